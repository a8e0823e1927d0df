"""``elman cell``: what it lists, shows, writes and checks."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

import elman
from elman.cells import CELLS, references
from elman.cli import main
from elman.testing import cell_facts

Captured = pytest.CaptureFixture[str]

BROKEN = """
import elman, torch

class Broken(elman.cells.PointwiseCell):
    gates, states = ("z",), ("h",)

    def pointwise(self, inp, rec, state):
        return self.State(h=torch.tanh(inp.z + rec.z.detach()))

class Branch(elman.cells.PointwiseCell):
    gates, states = ("z",), ("h",)

    def pointwise(self, inp, rec, state):
        if inp.z.isnan().any():
            return state
        return self.State(h=torch.tanh(inp.z + rec.z))

class Decay(elman.cells.Cell):
    states = ("h",)

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.rate = torch.nn.Parameter(torch.zeros(hidden_size))
        self.weight = torch.nn.Parameter(torch.zeros(hidden_size, input_size))

    def project(self, x):
        return torch.nn.functional.linear(x, self.weight)

    def step(self, inp, state):
        return self.State(h=torch.sigmoid(self.rate) * state.h + inp)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(references, "_loaded", {})
    Path("own.py").write_text(BROKEN)
    return tmp_path


def run(capsys: Captured, *words: str) -> tuple[int, list[str], str]:
    code = main(["cell", *words])
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err


def test_the_list_has_every_cell(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elman.cells, "CELLS", CELLS[:3])
    code, (head, *rows), err = run(capsys, "list")
    assert (code, err) == (0, "")
    assert head.split() == ["name", "year", "states", "gates", "parameters", "kind", "runs", "on"]
    assert [row.split()[0] for row in rows] == ["elman", "lstm", "gru"]
    assert rows[1].split()[:4] == ["lstm", "1997", "h", "c"]
    assert "4 I + 4 H + 8" in rows[1]
    assert {"dense"} <= set(rows[1].split())


def test_facts_are_read_from_the_cell() -> None:
    assert cell_facts(elman.cells.Elman).parameters == "I + H + 2"
    assert cell_facts(elman.cells.FastRNN).parameters == "I + H + 2 + 2 / H"
    decay = elman.cells.resolve("own.py:Decay")
    assert cell_facts(decay)[1:] == (None, ("h",), (), "I + 1", "linear")


def test_equations_and_source_are_shown(capsys: Captured) -> None:
    code, lines, _ = run(capsys, "show", "gru")
    assert code == 0
    assert lines[0].startswith("Gated recurrent unit")
    assert "Options: bias = True" in lines
    assert any("class GRU(PointwiseCell)" in line for line in lines)
    code, lines, _ = run(capsys, "show", "own.py:Decay", "--json")
    assert json.loads(lines[0])["kind"] == "linear"


def test_a_new_cell_passes_its_test(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    code, lines, _ = run(capsys, "new", "my_cell")
    assert code == 0
    assert lines[-1] == "next: elman cell check my_cell.py:MyCell"
    monkeypatch.syspath_prepend(".")
    tests = runpy.run_path("test_my_cell.py")
    for name, test in tests.items():
        if name.startswith("test_"):
            test()
    sys.modules.pop("my_cell", None)
    code, _, err = run(capsys, "new", "my_cell")
    assert (code, "my_cell.py: this file exists" in err) == (2, True)
    assert run(capsys, "new", "my_cell", "--force")[0] == 0


@pytest.mark.parametrize("name", ["torch", "json", "2fast", "class", "a.b"])
def test_a_name_that_no_module_can_have(name: str, capsys: Captured) -> None:
    code, lines, err = run(capsys, "new", name)
    assert (code, lines) == (2, [])
    assert f"got {name!r}" in err
    assert not list(Path().glob("test_*.py"))


def test_a_check_ends_with_a_verdict(capsys: Captured) -> None:
    code, lines, _ = run(capsys, "check", "own.py:Branch")
    assert code == 0
    assert lines[0] == "Branch: dense, states h, gates z, I + H + 2 parameters a unit"
    assert "runs on reference, not on native: Branch cannot be traced" in lines[1]
    assert "own.py:14: if inp.z.isnan().any():" in lines[1]
    assert lines[-3].startswith("speed: ")
    assert lines[-2].startswith("memory at the first weights: half-life of the gradient ")
    assert lines[-1].startswith("verdict: Branch keeps its contracts, is slow on reference, and ")


def test_a_broken_contract_fails(capsys: Captured) -> None:
    code, lines, err = run(capsys, "check", "own.py:Broken", "--json")
    assert code == 1
    events = [json.loads(line) for line in lines]
    assert events[-1]["passed"] is False
    assert events[-1]["failed"] == ["Broken: gradients are right"]
    assert "Broken breaks 1 of its contracts" in events[-1]["verdict"]
    assert "1 of 11 checks failed: Broken: gradients are right" in err


def test_a_wrong_option_of_a_check_is_refused(capsys: Captured) -> None:
    code, lines, err = run(capsys, "check", "gru", "--model.options.bais", "no")
    assert (code, lines) == (2, [])
    assert "unknown option bais of GRU; did you mean 'bias'?" in err
