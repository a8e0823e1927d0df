"""The asks of sandbox and run view, without a server: on small runs that they train themselves."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from elman import ConfigError, Interrupted
from elman.cli._request import parse_request
from elman.cli._train import LINE, OPTIONS
from elman.lab import _sandbox
from elman.lab._asks import Place, asks_of
from elman.lab._own_cell import EXAMPLE
from elman.lab._protocol import encode, read_settings
from elman.training import Run, load, read_config

CELL = """
import elman


class Mine(elman.cells.PointwiseCell):
    gates, states = ("z",), ("h",)

    def pointwise(self, inp, rec, state):
        return self.State(h={}(inp.z + rec.z))
"""


def answer(place: Place, name: str, **settings: Any) -> dict[str, dict[str, Any]]:
    """The events by their names, the last of each; all of them fit into messages."""
    ask = asks_of(place)[name]
    checked = read_settings(ask.settings, settings)
    assert not isinstance(checked, list)
    events: dict[str, Any] = {}
    for event in ask.answer(checked):
        encode(event)
        events[str(event["event"])] = event
    return events


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder with a run of the sandbox, lab-1, of an LSTM that begins with open forget gates."""
    place = Place(tmp_path_factory.mktemp("runs"))
    small = {"data": "recall", "rows": 200, "updates": 20, "hidden": 8, "steps": 2}
    answer(place, "sandbox.train", cell="lstm", forget_bias=5, lr=1e-6, **small)
    return place


def test_a_run_opens_with_its_curves(place: Place) -> None:
    events = answer(place, "run.open", run="lab-1")
    assert events["summary"]["task"] == "classify"
    assert not events["summary"]["live"]
    titles = [panel["title"] for panel in events["curves"]["panels"]]
    assert {"nats", "gradient norm", "learning rate", "throughput"} <= set(titles)


def test_a_text_shows_gates_states_and_the_answer(place: Place) -> None:
    text = "i grew up in france . and i speak fluent"
    events = answer(place, "run.look", run="lab-1", text=text)
    assert events["tokens"]["tokens"] == text.split()
    layer = events["layer"]
    assert (layer["states"], layer["gates"]) == (["h", "c"], ["store", "forget", "output"])
    assert [len(step) for step in layer["maps"]["c"]] == [8] * 10
    assert min(layer["means"]["forget"]) > 0.95  # the forget bias of 5 was set, and hardly trained
    assert events["answer"]["answer"]["label"]


def test_a_unit_is_found_where_it_is_highest(place: Place) -> None:
    """The ten places are those that a recording of the same rows has, with the words there."""
    from elman.inspection import record_activations

    task = load(place.directory / "lab-1")
    excerpt = task.excerpt(64)
    (track,) = record_activations(task, excerpt.batch).layers().values()
    cell = track.activations["c"][..., 3].where(track.active, -torch.inf)
    found = answer(place, "run.unit", run="lab-1", layer=track.name, what="c", unit=3)["places"]
    assert found["rows"] == cell.shape[1] > 1
    values = [each["value"] for each in found["places"]]
    assert values == cell.flatten().sort(descending=True).values[:10].tolist()
    for each in found["places"]:
        step, words = each["step"] - 1, list(excerpt.words[each["row"] - 1][""])
        assert cell[step, each["row"] - 1] == each["value"]
        assert each["word"] == words[step]
        assert f"{each['before']} {each['word']} {each['after']}".strip() in " ".join(words)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"layer": "recurrent"}, "no layer 'recurrent': choose from: recurrent.layers.0"),
        ({"what": "C"}, "what: no 'C' here"),
        ({"unit": 8}, "unit: expected one below 8, got 8"),
    ],
)
def test_a_unit_that_is_none_is_refused(place: Place, asked: dict[str, Any], said: str) -> None:
    known = {"layer": "recurrent.layers.0", "what": "c", "unit": 3}
    with pytest.raises(ConfigError, match=said):
        answer(place, "run.unit", run="lab-1", **{**known, **asked})


def test_the_command_of_a_run_trains_the_same(place: Place) -> None:
    small = {"data": "parity", "rows": 60, "updates": 2, "hidden": 4, "steps": 3, "init": "glorot"}
    run = answer(place, "sandbox.train", **small)["run"]
    _, command, *words = shlex.split(run["command"])
    assert command == "train"
    request = parse_request("train", LINE, words, OPTIONS)
    assert request is not None
    assert request.config.toml() == read_config(place.directory / run["run"])


def test_a_first_weight_that_no_command_sets_has_no_command(place: Place) -> None:
    small = {"rows": 60, "updates": 1, "hidden": 4, "steps": 3}
    assert answer(place, "sandbox.train", radius=0.5, **small)["run"]["command"] is None


def stepped(place: Place, name: str = "sandbox.step", **settings: Any) -> list[dict[str, Any]]:
    """The events of a step, which is paused at its end."""
    ask = asks_of(place)[name]
    events: list[dict[str, Any]] = []
    with pytest.raises(Interrupted, match="paused after update"):
        events.extend(ask.answer(ask.settings(**settings)))
    for event in events:
        encode(event)
    return events


def test_steps_lead_where_a_training_without_pauses_does(tmp_path: Path) -> None:
    """Two steps and the rest, which another process takes over, end with the same digits."""
    place = Place(tmp_path)
    small = {"rows": 60, "updates": 8, "hidden": 4, "steps": 3, "radius": 0.5}
    whole = answer(place, "sandbox.train", **small)
    first = stepped(place, **small)
    assert first[0]["run"] == "lab-2"
    assert [e["update"] for e in first if e["event"] in ("train", "valid", "watch")] == [1, 1, 1]
    second = stepped(place, run="lab-2", by=5)
    pictures = [event for event in (*first, *second) if event["event"] == "network"]
    assert [event["update"] for event in pictures[-2:]] == [5, 6]
    assert pictures[0]["gradient"] != pictures[-1]["gradient"]
    assert (len(pictures[0]["gradient"]), len(pictures[0]["states"]["h"])) == (3, 4)
    _sandbox._paused.clear()
    rest = answer(place, "sandbox.step", run="lab-2", by=1000)
    assert rest["end"]["metrics"] == whole["end"]["metrics"]
    with pytest.raises(ConfigError, match="lab-2 has made all its updates"):
        answer(place, "sandbox.step", run="lab-2")


def test_a_typed_cell_takes_steps_while_its_code_stands(tmp_path: Path) -> None:
    place = Place(tmp_path)
    small = {"rows": 60, "updates": 8, "hidden": 4, "steps": 3, "code": EXAMPLE}
    first = stepped(place, "own_cell.train", **small, by=1)
    second = stepped(place, "own_cell.train", **small, run=first[0]["run"], by=2)
    assert [event["update"] for event in second if event["event"] == "network"][-1] == 3
    other = {**small, "code": f"{EXAMPLE}# changed"}
    with pytest.raises(ConfigError, match="lab-1 began with another cell"):
        answer(place, "own_cell.train", **other, run=first[0]["run"])


def test_a_step_continues_no_run_but_the_sandboxs_own(place: Place) -> None:
    Run.create(place.directory / "mine-1", read_config(place.directory / "lab-1"))
    with pytest.raises(ConfigError, match="only runs of the sandbox"):
        answer(place, "sandbox.step", run="mine-1")


def test_nothing_is_left_of_a_run_that_could_not_begin(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="init: "):
        answer(Place(tmp_path), "sandbox.train", init="chrono", rows=60, updates=1)
    assert not list(tmp_path.iterdir())


def test_the_file_of_a_cell_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    place = Place(tmp_path, cell=f"{file}:Mine")
    probe = {"cell": place.cell, "hidden": 4, "steps": 5}
    file.write_text(CELL.format("(lambda z: z)"))
    linear = answer(place, "sandbox.probe", **probe)["probe"]["states"]["h"]
    file.write_text(CELL.format("(lambda z: 0 * z)"))
    zero = answer(place, "sandbox.probe", **probe)["probe"]["states"]["h"]
    assert any(linear[0])
    assert not any(zero[0])


@pytest.mark.parametrize(
    ("activation", "radius", "verdict"),
    [("tanh", 0.5, "vanishes"), ("identity", 1.0, "survives"), ("identity", 1.5, "explodes")],
)
def test_the_verdict_and_the_radius(activation: str, radius: float, verdict: str) -> None:
    asked = {"activation": activation, "radius": radius, "hidden": 8}
    probe = answer(Place(), "sandbox.probe", **asked)["probe"]
    assert probe["verdict"] == verdict
    assert probe["radius"] == pytest.approx(radius, rel=1e-4)
    assert probe["ratio"] == pytest.approx(probe["gradient"][0] / probe["gradient"][-1])
    if activation == "identity":  # W_hh is orthogonal times the radius, 49 times
        assert probe["ratio"] == pytest.approx(radius**49, rel=1e-3)
