"""The figure of how runs went."""

from __future__ import annotations

from typing import Any

import pytest

from elman.pictures import drawn
from elman.reporting._summary import Ranking, facts, sentence
from elman.reporting._training import TrainingHistory, training


def events() -> list[dict[str, Any]]:
    """Two reports of training, three validations of which the second is best, and the end."""
    found: list[dict[str, Any]] = [
        {"event": "start", "parameters": 1234, "seed": 7, "epoch": 0, "update": 0}
    ]
    found[0] |= {"metric": "accuracy", "higher_is_better": True}
    for update, loss in ((10, 0.9), (20, 0.6)):
        rate = {"rows_per_second": 5e3, "lr": 0.01, "clipped": 0.5, "seconds": 1.0}
        found.append({"event": "train", "nats": loss, "norm": loss / 2, "update": update, **rate})
    for epoch, (nats, accuracy) in enumerate(((0.8, 0.6), (0.5, 0.8), (0.7, 0.7)), 1):
        at = {"epoch": epoch, "update": 8 * epoch, "updates": 24, "best": epoch < 3}
        found.append({"event": "valid", "nats": nats, "accuracy": accuracy, **at})
    simple = {"guess": {"accuracy": 0.5, "nats": 0.69}, "bag": {"accuracy": 0.75, "nats": 0.9}}
    baselines = {name: {"valid": of, "test": of} for name, of in simple.items()}
    metrics = {"valid": {"accuracy": 0.8, "nats": 0.5}, "test": {"accuracy": 0.7, "nats": 0.6}}
    end = {"epoch": 3, "update": 24, "metrics": metrics, "baselines": baselines}
    return [*found, {"event": "end", **end}]


def test_training_loss_best_epoch_and_baselines_are_drawn() -> None:
    figure, further = training({"run": events()})
    with drawn(figure.picture) as sheet:
        panels = {axes.get_ylabel(): axes for axes in sheet.axes}
        assert list(panels) == ["nats", "gradient norm", "accuracy"]
        lines = {line.get_label(): line for line in panels["nats"].lines}
        assert set(lines) == {"training", "validation", "best, epoch 2", "bag"}
        assert list(lines["training"].get_ydata()) == [0.9, 0.6]
        assert list(lines["training"].get_xdata()) == [10, 20]
        assert list(lines["validation"].get_ydata()) == [0.8, 0.5, 0.7]
        assert list(lines["best, epoch 2"].get_xdata()) == [16, 16]
        assert list(lines["bag"].get_ydata()) == [0.9, 0.9]  # of the best by the metric
        more = {line.get_label(): line for line in panels["accuracy"].lines}
        assert list(more["bag"].get_ydata()) == [0.75, 0.75]
        assert "training" not in more
        assert lines["training"].get_linestyle() != lines["validation"].get_linestyle()
    assert [panel.y.label for panel in further.panels] == [
        "rows per second", "learning rate", "clipped",
    ]  # fmt: skip
    assert [list(panel.lines[0].y) for panel in further.panels][1:] == [[0.01] * 2, [0.5] * 2]


def test_a_run_that_did_not_end_has_what_there_is() -> None:
    course = TrainingHistory.of(events()[:3])
    assert (course.best, course.baselines) == (None, {})
    assert set(course.curves) - {"rows_per_second", "learning rate", "clipped"} == {
        "nats", "gradient norm",
    }  # fmt: skip
    watched = [{"event": "watch", "norms": [1.0, None, 3.0], "update": 4}]
    assert TrainingHistory.of(watched).curves["gradient norm"]["largest"] == ([4], [3.0])
    assert (
        TrainingHistory.of([{"event": "train", "nats": None, "norm": None, "update": 1}]).curves
        == {}
    )


CONFIG = {
    "task": "classify",
    "data": {"train": ["/a/b.csv", "c.csv", "d.csv", "e.csv"]},
    "model": {"cell": "lstm", "hidden": 8, "layers": 2, "bidirectional": True},
}


def test_the_sentence() -> None:
    assert sentence(CONFIG, events(), [], ["baselines", "saturation"]) == (
        "2 lstm layers of 8 units in each direction (1,234 parameters), trained on b.csv, c.csv, "
        "d.csv and 1 more (classify) for 24 updates (3 epochs): test accuracy 0.7, worse than the "
        "best baseline (bag, 0.75). The doctor found no problems (checked: baselines, saturation)."
    )
    timed = [*events()[:-1], {**events()[-1], "seconds": 254.2}]
    assert " for 24 updates (3 epochs) in 4 min: test" in sentence(CONFIG, timed, [])
    found = [{"code": "E-UNLEARNED"}, {"code": "E-LR"}]
    assert sentence(CONFIG, events(), found).endswith(". The doctor found E-UNLEARNED, E-LR.")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metrics": {"test": {"accuracy": 0.75}}}, "accuracy 0.75, the same as the best baseline"),
        ({"metrics": {"test": {"accuracy": 0.9}}}, "accuracy 0.9, better than the best baseline"),
        ({"metrics": {"valid": {"accuracy": 0.9}}}, "valid accuracy 0.9"),
        ({"metrics": {"test": {"accuracy": None}}}, "test accuracy unknown. Not"),
        ({"baselines": {}}, "test accuracy 0.7, without a baseline"),
        ({"metrics": {}}, ": no validation or test data. "),
    ],
)
def test_how_good_it_is(change: dict[str, Any], said: str) -> None:
    *rest, end = events()
    text = sentence(CONFIG, [*rest, {**end, **change}])
    assert said in text
    assert text.endswith(". Not diagnosed yet.")


def test_a_run_that_stopped_says_so() -> None:
    assert ": not finished. " in sentence(CONFIG, events()[:4])
    diverged = [*events()[:3], {"event": "diverged", "update": 31, "epoch": 2}]
    assert ": diverged after update 31. " in sentence(CONFIG, diverged)
    assert sentence({"task": "mine"}, []).startswith("A network, trained for mine: not finished")


def test_the_best_comes_first_and_what_lacks_the_measure_last() -> None:
    *rest, end = events()
    end["baselines"]["other"] = {"test": {"nats": 0.1}}
    standing = Ranking.of([*rest, end])
    assert standing is not None
    assert [name for name, _ in standing.ranked()] == ["bag", "", "guess", "other"]
    told = dict(facts(CONFIG, [*rest, end]))
    assert told["best validation"] == "epoch 2, update 16"
    assert told["test accuracy"] == 0.7
