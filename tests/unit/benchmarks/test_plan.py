"""What is measured: shapes, cells and modes by name; problems are named; files are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmarks.speed import _plan as plan_module
from benchmarks.speed._plan import CUSTOM, MODES, SHAPES, Plan, Shape, cores

from elman import ConfigError

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def test_a_shape_by_name_or_by_its_sizes() -> None:
    assert Shape.parse("S6") == Shape("S6", 64, 784, 1, 100, 1, input_gradient=False)
    assert Shape.parse("2x7x3x5x4") == Shape("2x7x3x5x4", 2, 7, 3, 5, 4)


@pytest.mark.parametrize("text", ["S9", "2x7x3x5", "0x7x3x5x1", "axbxcxdxe", ""])
def test_an_unknown_shape(text: str) -> None:
    with pytest.raises(ConfigError, match="unknown shape"):
        Shape.parse(text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cells": ("ltsm",)}, "unknown cell 'ltsm': did you mean 'lstm'"),
        ({"modes": ("traning",)}, "unknown mode 'traning': did you mean 'training'"),
        ({"peers": ("tourch",)}, "unknown peer 'tourch': did you mean 'torch'"),
        ({"shapes": ("S33",)}, "unknown shape 'S33'"),
        ({"threads": (0,)}, "expected threads from 1 to"),
        ({"threads": (10_000,)}, "got 10000"),
        ({"repeats": 0}, "repeats of at least 1"),
        ({"cells": ("lstm",), "modes": ("custom",)}, "mode custom has none of the cells lstm"),
    ],
)
def test_what_cannot_be_measured_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Plan(**given)


def test_each_mode_has_its_own_shapes_and_cells() -> None:
    cases = list(Plan(modes=tuple(MODES)).cases(1))
    shapes = {mode: {c.shape.name for c in cases if c.mode == mode} for mode in MODES}
    eight = {f"S{n}" for n in range(1, 9)}
    assert shapes["inference"] == shapes["training"] == shapes["custom"] == eight
    assert shapes["ragged"] == eight - {"S1", "S2"}  # one row has nothing to be shorter than
    assert shapes["streaming"] == SHAPES.keys() - eight
    assert {c.cell for c in cases if c.mode == "custom"} == set(CUSTOM)
    assert {c.training for c in cases if c.mode == "ragged"} == {False, True}
    assert {c.training for c in cases if c.mode == "custom"} == {True}


def test_cells_of_both_kinds_go_to_their_modes() -> None:
    plan = Plan(shapes=("S1",), cells=("gru", "sine"), modes=("inference", "custom"))
    assert [(c.mode, c.cell) for c in plan.cases(1)] == [("inference", "gru"), ("custom", "sine")]


def test_all_cores_and_no_slow_peer_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "cores", lambda: [0, 1, 2])
    assert Plan().threads == (3,)
    assert "compile" not in Plan().peers
    assert Plan(peers=("compile",)).peers == ("compile",)
    assert cores()


def test_what_is_given_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('shapes = ["S1", "S3"]\nrepeats = 4\nthreads = [1]\n')
    plan = Plan.read(file, {"repeats": 2})
    assert (plan.shapes, plan.repeats, plan.threads) == (("S1", "S3"), 2, (1,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shape = ['S1']", "a.toml: unknown key 'shape': did you mean 'shapes'"),
        ("shapes = 'S1'", "a.toml: expected a list for shapes, got 'S1'"),
        ("repeats = [3]", r"a.toml: expected one value for repeats, got \[3\]"),
        ("shapes = [", "a.toml: "),
    ],
)
def test_a_bad_file(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        Plan.read(file, {})


@pytest.mark.parametrize("file", sorted(BENCHMARKS.glob("*.toml")), ids=lambda file: file.name)
def test_the_projects_own_files(file: Path) -> None:
    assert list(Plan.read(file, {"threads": (1,)}).cases(1))


def test_a_reference_goes_to_mode_custom() -> None:
    plan = Plan(shapes=("S1",), cells=("gru", "own.py:Own"), modes=("inference", "custom"))
    cases = [(c.mode, c.cell) for c in plan.cases(1)]
    assert cases == [("inference", "gru"), ("custom", "own.py:Own")]
