"""``elman selftest``: what it checks, what it prints, and which cells it takes from a file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.cells import by_name
from elman.cli import main
from elman.engine import _select
from elman.engine.runtime import _library
from elman.testing import CELL_CONTRACTS, ENGINE_CONTRACTS, _selftest
from plans import engine_of

pytestmark = [
    pytest.mark.unchecked,
    pytest.mark.skipif(
        _library.missing() is not None, reason="elman was installed without a compiler"
    ),
]

CELL = """
import elman, torch

class Leaky(elman.cells.PointwiseCell):
    gates, states = ("z", "leak"), ("h",)

    def pointwise(self, inp, rec, state):
        leak = torch.sigmoid(inp.leak + rec.leak)
        return self.State(h=(1 - leak) * state.h + leak * torch.tanh(inp.z + rec.z))

class Sorted(elman.cells.PointwiseCell):
    gates, states = ("z",), ("h",)

    def pointwise(self, inp, rec, state):
        return self.State(h=torch.tanh(inp.z + rec.z).sort(-1).values)

class Wrong(elman.cells.PointwiseCell):
    gates, states = ("z",), ("h",)

    def pointwise(self, inp, rec, state):
        return self.State(h=torch.tanh(inp.z + rec.z.detach()))

class Needy(elman.cells.PointwiseCell):
    gates, states = ("z",), ("h",)

    def __init__(self, input_size, hidden_size, more):
        super().__init__(input_size, hidden_size)

    def pointwise(self, inp, rec, state):
        return self.State(h=torch.tanh(inp.z + rec.z))

class Other: ...

def function(): ...
"""


@pytest.fixture(autouse=True)
def _one_built_in_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """To save time; the contract tests of engines run over all of them."""
    monkeypatch.setattr(_selftest, "_built_in", lambda _: {"gru": by_name("gru")})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(CELL)
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str], str]:
    few = () if "--cases" in words else ("--cases", "6")
    code = main(["selftest", *few, *words])
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err


def test_a_machine_that_computes_right(capsys: pytest.CaptureFixture[str]) -> None:
    code, (facts, *lines, last), err = run(capsys, "--seed", "3")
    assert (code, err) == (0, "")
    assert facts.startswith(f"elman {elman.__version__}, ")
    assert facts.endswith(", seed 3")
    assert all(line.startswith("ok ") for line in lines), lines
    assert f", on {_library.library().isa}, " in lines[0]
    assert sum(line.startswith("ok       native: ") for line in lines) == len(ENGINE_CONTRACTS) + 3
    assert last == f"{len(lines)} checks passed"


def test_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = run(capsys, "--json")
    start, *checks, end = map(json.loads, lines)
    assert code == 0
    assert start["event"] == "start"
    assert start["seed"] == 0
    assert {c["event"] for c in checks} == {"check"}
    assert {c["status"] for c in checks} == {"ok"}
    assert end == {"event": "end", "passed": len(checks), "failed": 0, "skipped": 0}


def test_an_engine_that_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_wrongly(case: Any) -> Any:
        output, final = case.scan()
        return output + 1e-6, final

    wrong = engine_of(run_wrongly)
    monkeypatch.setitem(_select._ENGINES, "native", wrong)
    code, lines, err = run(capsys)
    assert code == 1
    assert any(line.startswith("FAILED   native: agrees with the reference: ") for line in lines)
    assert any("native: random configurations: configuration " in line for line in lines)
    assert any(line.startswith("ok       reference: agrees") for line in lines)
    assert " failed" in lines[-1]
    assert "checks failed: native: agrees with the reference; " in err
    assert 'elman.use_engine("reference")' in err


def test_without_a_library_its_checks_are_skipped_with_the_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_library, "_load", lambda: (None, "there was no compiler"))
    code, lines, _ = run(capsys)
    assert code == 0
    assert lines[1].startswith("skipped  native library: there was no compiler")
    skipped = [line for line in lines if line.startswith("skipped  native: ")]
    assert len(skipped) == len(ENGINE_CONTRACTS) + 3
    assert all("there was no compiler; the reference runs it" in line for line in skipped)
    assert lines[-1].endswith(f" checks passed, {len(skipped) + 1} skipped")


def test_a_cell_of_ones_own(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    code, lines, _ = run(capsys, "--cell", f"{file}:Leaky")
    assert code == 0, lines
    own = [line for line in lines if "Leaky: " in line]
    assert len(own) == len(CELL_CONTRACTS) + len(ENGINE_CONTRACTS) + 2
    assert all(line.startswith("ok ") for line in own)


def test_a_cell_that_only_the_reference_runs_says_why(
    capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    code, lines, _ = run(capsys, "--cell", f"{file}:Sorted")
    assert code == 0, lines
    skipped = [line for line in lines if line.startswith("skipped  Sorted: native: ")]
    assert len(skipped) == len(ENGINE_CONTRACTS) + 1
    assert all(
        "Sorted cannot be traced: " in line and "the reference runs it" in line for line in skipped
    )
    assert any(line.startswith("ok       Sorted: gradients are right") for line in lines)


def test_a_cell_that_breaks_a_contract(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    code, lines, err = run(capsys, "--cell", f"{file}:Wrong")
    assert code == 1
    failed = [line for line in lines if line.startswith("FAILED")]
    assert len(failed) == 1
    assert failed[0].startswith("FAILED   Wrong: gradients are right: gradients agree with finite")
    assert "Wrong: gradients are right" in err


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("own.py", "unknown cell '.*own.py': .* or FILE.py:Class"),
        ("own.txt:Leaky", "the cell must be a name of `elman cell list`, FILE.py:Class or .*, got"),
        ("missing.py:Leaky", "missing.py: no such file"),
        ("own.py:Leeky", "own.py has no Leeky: did you mean 'Leaky'. choose from: Leaky, "),
        ("own.py:Other", r"own.py:\d+: Other must be a subclass of elman.cells.Cell, got Other"),
        (
            "own.py:function",
            "own.py: function must be a subclass of elman.cells.Cell, got function",
        ),
        (
            "own.py:Needy",
            r"own.py:\d+: Needy needs the option more: give it as --model.options.more VALUE",
        ),
    ],
)
def test_what_is_no_cell_is_named(
    place: str, message: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines, err = run(capsys, "--cell", str(file.parent / place))
    assert (code, lines) == (2, [])
    assert re.search(message, err), err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import elman\n\ndef broken(:\n", "bad.py:3: invalid syntax"),
        ("import elman\nx = 1\ny = x / 0\n", "bad.py:3: ZeroDivisionError: division by zero"),
        ("import nosuchmodule\n", "bad.py:1: ModuleNotFoundError: No module named 'nosuchmodule'"),
        ("x = 1\n", "bad.py has no Leaky: it defines no cell"),
    ],
)
def test_a_file_that_does_not_run_is_named_with_its_line(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.py").write_text(text)
    code, _, err = run(capsys, "--cell", f"{tmp_path / 'bad.py'}:Leaky")
    assert code == 2
    assert message in err


@pytest.mark.parametrize("words", [("--cases", "0"), ("--seed", "-1")])
def test_numbers_out_of_range(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, *words)
    assert code == 2
    assert f"{words[0]} must be at least" in err
