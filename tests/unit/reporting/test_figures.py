"""The figures of measures: what is on them, and in which colors."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.pictures import drawn
from elman.reporting import Curve, LayerMeasures, Measures, figures, measure
from elman.reporting._chart import Chart, as_csv, as_json
from elman.reporting._figures import BEFORE
from elman.reporting._plot import boxes
from elman.training import config_class, train


def layer(name: str = "one", **values: Any) -> LayerMeasures:
    three = (1.0, 0.5, 2.0)
    fall = values.pop("fall", [1.0, 0.5, 0.25])
    curve = Curve(fall=fall, half_life=three, horizon=three)
    return LayerMeasures(name=name, cell="GRU", gradient={"h": curve}, **values)


def measures(*layers: LayerMeasures, at: tuple[int, ...] = (0, 1, 2)) -> Measures:
    return Measures(
        task="mine", checkpoint="best", rows=2, steps=3, loss_steps=list(at), layers=list(layers)
    )


def named(run: Measures) -> dict[str, Any]:
    return {chart.name: chart.picture for chart in figures({"run": run})}


def charts(run: Measures) -> dict[str, Chart]:
    return {chart.name: chart for chart in figures({"run": run})}


def test_gradients_stand_by_steps_before_the_loss_which_is_to_the_right() -> None:
    run = measures(layer("a", fall=[1.0, 0.1, 0.01, 1e-3]), layer("b", fall=[1.0, 0.5]))
    with drawn(named(run)["gradient"]) as sheet:
        [axes] = sheet.axes
        assert axes.xaxis_inverted()
        assert axes.get_xlabel() == "steps before the loss"
        assert list(axes.lines[0].get_ydata()) == [1.0, 0.1, 0.01, 1e-3]
    with drawn(named(run)["gradient-map"]) as sheet:
        [image] = sheet.axes[0].images
        grid = np.ma.filled(image.get_array(), math.nan)
        assert grid[0].tolist() == pytest.approx([1, 0.1, 0.01, 1e-3])
        assert np.isnan(grid[1, 2:]).all()  # it has no such steps
        assert sheet.axes[0].get_xlim()[0] > sheet.axes[0].get_xlim()[1]


@pytest.mark.parametrize(
    ("least", "low"), [(0.8, -1), (0.05, -2), (3e-5, -5), (1e-30, -12), (0.0, -1)]
)
def test_colors_reach_as_far_as_the_values_do(least: float, low: int) -> None:
    run = measures(layer(fall=[1.0, least], contribution=[[1.0, 0, 0], [least, 0.9, 0]]))
    for name in ("gradient-map", "contribution"):
        with drawn(named(run)[name]) as sheet:
            assert sheet.axes[0].images[0].get_clim() == (10.0**low, 1), name


def test_a_download_has_the_values_that_are_drawn() -> None:
    run = measures(
        layer("a", fall=[1.0, 0.1], words=["the", "=cat"], units=[3], gates=["f"]).model_copy(
            update={"maps": {"f": [[0.25], [0.5]]}}
        )
    )
    found = charts(run)
    rows = list(csv.DictReader(io.StringIO(as_csv(found["gradient"]))))
    assert [(row["line"], row[BEFORE], row["value"]) for row in rows] == [
        ("h", "0", "1.0"),
        ("h", "1", "0.1"),
    ]
    gate = list(csv.DictReader(io.StringIO(as_csv(found["gates"]))))
    assert gate == [
        {"panel": "f", "unit": "3", "step": "the", "value": "0.25"},
        {"panel": "f", "unit": "3", "step": "'=cat", "value": "0.5"},  # no formula
    ]
    [panel] = as_json(found["gates"])["panels"]
    assert panel["values"] == [[0.25, 0.5]]
    assert panel["x"]["names"] == ["the", "=cat"]
    gone = as_json(charts(measures(layer("a", fall=[1.0, math.nan])))["gradient"])
    assert gone["panels"][0]["lines"][0]["y"] == [1.0, None]


def test_what_a_place_in_the_drawing_means() -> None:
    chart = charts(measures(layer(fall=[1.0, 0.1, 0.01])))["gradient"]
    with drawn(chart.picture) as sheet:
        [box] = boxes(sheet, chart)
        axes, height = sheet.axes[0], 72 * chart.size[1]
        for step, value in enumerate([1.0, 0.1, 0.01]):
            x, y = axes.transData.transform((step, value)) * 72 / sheet.dpi
            across = (step - box.xlim[0]) / (box.xlim[1] - box.xlim[0])
            low, high = map(math.log10, box.ylim)
            up = (math.log10(value) - low) / (high - low)
            assert box.left + across * (box.right - box.left) == pytest.approx(x, abs=0.1)
            assert box.bottom - up * (box.bottom - box.top) == pytest.approx(height - y, abs=0.1)
    assert box.log


def test_gates_that_hardly_differ_are_told_apart() -> None:
    gate = [[0.43, 0.5], [0.47, 0.58]]
    run = measures(layer(maps={"g": gate, "h": [[0.0, -0.2], [0.1, 0.1]]}, gates=["g"], units=[0]))
    with drawn(named(run)["gates"]) as sheet:
        by_label = {axes.get_ylabel(): axes for axes in sheet.axes}
        assert by_label["g"].images[0].get_clim() == pytest.approx((0.4, 0.6))
        assert by_label["h"].images[0].get_clim() == pytest.approx((-0.2, 0.2))
    flat = measures(layer(maps={"g": [[0.5], [0.5]]}, gates=["g"], units=[0]))
    with drawn(named(flat)["gates"]) as sheet:
        low, high = sheet.axes[0].images[0].get_clim()
        assert low < high


def test_loss_steps_without_a_loss_leave_no_blank_square() -> None:
    last = layer(contribution=[[0.0] * 3, [0.0] * 3, [1e-3, 0.1, 1.0]])
    assert "contribution" not in named(measures(last))
    two = layer(contribution=[[0.0] * 3, [0.5, 1.0, 0.0], [1e-3, 0.1, 1.0]])
    with drawn(named(measures(two, at=(0, 4, 8)))["contribution"]) as sheet:
        axes = sheet.axes[0]
        assert [text.get_text() for text in axes.get_yticklabels()] == ["4", "8"]
        assert axes.images[0].get_array().shape == (2, 3)


def test_ragged_rows_fall_together(tmp_path: Path) -> None:
    """A cell whose gradient fades at one rate shows a line, however long its rows are."""
    file = tmp_path / "rows.jsonl"
    rows = [
        f'{{"x": {[0.1 * (i % 3)] * (6 + 5 * i % 17)}, "target": {i % 5}.5}}' for i in range(60)
    ]
    file.write_text("\n".join(rows))
    tree = {
        "data": {"train": [file], "series": "x", "unique": False},
        "model": {"cell": "elman", "hidden": 4, "pool": "last", "bidirectional": False},
        "train": {"max_steps": 1, "threads": 1},
    }
    run = train(config_class("regress").parse(tree), tmp_path / "run").run.path
    found = measure(run, figures=False)
    fall = np.array(found.layers[0].gradient["h"].fall)
    assert fall[0] == 1
    assert 6 <= len(fall) <= 22  # as many as half of the rows have
    assert (np.diff(np.log(fall)) < 0.1).all()  # no saw
    assert not [f for f in figures({"run": found}) if f.name == "contribution"] or (
        len(found.loss_steps) > 1
    )
