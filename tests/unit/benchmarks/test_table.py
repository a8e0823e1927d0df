"""Markdown, JSON and SVG of a result."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from benchmarks.speed._plot import Axis, svg
from benchmarks.speed._result import YARDSTICK, Machine, Memory, MemoryRow, Result, Timing
from benchmarks.speed._table import markdown, summary


def result(*rows: Any, memory: list[MemoryRow] | None = None) -> Result:
    return Result(
        plan={"shapes": ["S3"]},
        environment={"processor": "P", "commit": None, "packages": {"torch": "2", "jax": None}},
        machines=[Machine(threads=2, flops=5e11, flops_by="a product", bandwidth={1024: 3e11})],
        rows=list(rows),
        memory=memory or [],
    )


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_a_line_of_the_table(row: Any) -> None:
    text = markdown(result(row()))
    assert lines(text, "## ") == ["## inference, 2 threads"]
    assert lines(text, "| shape") == [
        "| shape | cell | engine | elman, ms | torch | jax | best peer | over floor |"
    ]
    assert lines(text, "| S3") == [
        "| S3 | gru | native | 2e+03 | 6e+03 (3.00x) | 3e+03 (1.50x) | 1.50x (jax) | 4.00 |"
    ]


def test_who_measured_on_what(row: Any) -> None:
    text = markdown(result(row()))
    for line in ("| processor | P |", "| commit | unknown |", "| jax | not installed |"):
        assert line in text
    assert (
        "2 threads: float32 peak 500 GFLOP/s (a product); weights read in every step: "
        "1 KiB at 300 GB/s." in text
    )


def test_no_ratio_without_a_passed_contract_test(row: Any) -> None:
    text = markdown(result(row(broken="outputs differ"), row(broken="outputs differ", shape="S4")))
    assert lines(text, "| S3") == ["| S3 | gru | native | 2e+03 | 6e+03 | 3e+03 | - | - |"]
    assert "x (" not in text
    assert "geometric mean" not in text
    assert "- no ratio: native is broken: outputs differ (S3 gru, S4 gru)" in text
    assert "no ratios: outputs differ" in summary(row(broken="outputs differ"))


def test_noise_is_marked(row: Any) -> None:
    busy = Timing(blocks=[4.0, 6.0, 6.0])
    noisy = row(timings=row().timings | {"torch": busy})
    assert "6e+03~ (3.00x)" in markdown(result(noisy))
    assert "noisy: torch" in summary(noisy)
    assert "noisy" not in summary(row())


def test_a_busy_machine_is_marked(row: Any) -> None:
    text = markdown(result(row(others=0.4), row(shape="S4", others=0.01)))
    assert lines(text, "| S3~ | gru")
    assert lines(text, "| S4 | gru")
    assert "other processes took 40% of the processors" in summary(row(others=0.4))
    assert "other processes" not in summary(row(others=None))


def test_who_is_left_out_and_where(row: Any) -> None:
    out = {"jax": "not installed"}
    seconds = {"elman": 1.0, "torch": 2.0}
    rows = [row(seconds, left_out=out), row(left_out={}), row(seconds, left_out=out, shape="S4")]
    text = markdown(result(*rows))
    assert "- left out: jax: not installed (S3 gru, S4 gru)" in text
    assert "| S4 | gru | native | 1e+03 | 2e+03 (2.00x) | - | 2.00x (torch) | 2.00 |" in text


def test_who_is_left_out_of_all_rows(row: Any) -> None:
    rows = [row(left_out={"jax": "not installed"}, shape=shape) for shape in ("S3", "S4", "S5")]
    assert "- left out: jax: not installed (all rows)" in markdown(result(*rows))


def test_means_over_the_shapes(row: Any) -> None:
    rows = [row(), row({"elman": 1.0, "torch": 12.0}, shape="S4")]
    assert lines(markdown(result(*rows)), "- gru") == [
        "- gru: torch 6.00 (3.00 to 12.0), best peer 4.24 (1.50 to 12.0)"
    ]
    assert not lines(markdown(result(rows[0])), "- gru")


def test_a_stream_is_told_by_the_step(row: Any) -> None:
    seconds = {"elman": 200e-6, "torch cell": 600e-6}
    text = markdown(result(row(seconds, mode="streaming", calls=100, floor=None)))
    assert "elman, us a step" in text
    assert lines(text, "| S3")[0].startswith("| S3 | gru | native | 2 | 6 (3.00x)")


def test_a_custom_cell_is_held_against_the_lstm(row: Any) -> None:
    seconds = {"elman": 2.0, "eager": 6.0, YARDSTICK: 4.0}
    text = markdown(result(row(seconds, mode="custom", yardstick_flops=4e9)))
    assert "| per FLOP, over LSTM |" in text
    assert lines(text, "| S3")[0].endswith("| 3.00x (eager) | 4.00 | 2.00 |")  # half, of a quarter


def test_each_mode_and_number_of_threads_has_its_table(row: Any) -> None:
    rows = [row(), row(threads=1), row(mode="ragged", training=True), row(mode="ragged")]
    assert lines(markdown(result(*rows)), "## ") == [
        "## inference, 1 thread",
        "## inference, 2 threads",
        "## ragged inference, 2 threads",
        "## ragged training, 2 threads",
    ]


def test_memory() -> None:
    row = MemoryRow(
        shape="S3",
        cell="lstm",
        threads=1,
        engine="native",
        candidates={
            "elman": Memory(peak=2**20, growth=0, steps=9),
            "torch": Memory(peak=3 * 2**20, growth=2**19, steps=9),
        },
        left_out={"jax": "not installed"},
    )
    text = markdown(result(memory=[row]))
    assert "## memory of training, 1 thread" in text
    assert "| S3 | lstm | native | 9 | 1.0, +0.0 | 3.0, +0.5 (3.00x) |" in text
    assert "- left out: jax: not installed (S3 lstm)" in text
    assert summary(row) == "memory S3 lstm: elman 1.0 MiB, torch 3.0 MiB"


def test_json_gives_the_result_back(row: Any) -> None:
    before = result(row(), row(broken="outputs differ"))
    assert Result.model_validate_json(before.model_dump_json()) == before


def test_a_plot_has_a_dot_for_every_ratio(row: Any) -> None:
    text = svg(result(row(cell="a<b"), row(broken="outputs differ")))
    assert text is not None
    tree = ET.fromstring(text)
    titles = [node.text for node in tree.iter() if node.tag.endswith("title")]
    assert titles == ["torch 3.00x", "jax 1.50x"]
    assert "inference, 2 threads: S3 a<b" in [node.text for node in tree.iter()]


def test_nothing_to_plot(row: Any) -> None:
    assert svg(result()) is None
    assert svg(result(row(broken="outputs differ"))) is None


def test_the_axis_goes_from_power_to_power() -> None:
    axis = Axis(0.5, 16.6)
    assert (axis.low, axis.high) == (-1, 2)
    assert list(axis.ticks()) == pytest.approx([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])
    assert axis(0.5) < axis(1) < axis(16.6)
