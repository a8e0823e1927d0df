"""The stages of scripts/test: which run, what is counted of them, and that a full run goes on."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "scripts" / "_stages.py"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, which keeps its results elsewhere."""
    spec = importlib.util.spec_from_file_location("stages_under_test", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(module, "TABLES", (sys.executable, "-c", ""))  # the pages stay as they are
    monkeypatch.setattr(module, "commit", lambda: "abc with changes")
    for name in ("ELMAN_FULL", "ELMAN_RESULTS", "ELMAN_COMMIT"):
        monkeypatch.setenv(name, "")  # so that what the script sets is set back
    monkeypatch.setenv("ELMAN_SAMPLE_SEED", "5")
    return module


def names(script: Any, *words: str) -> list[str]:
    selected, _ = script.chosen(list(words))
    return [stage.name for stage in selected]


def test_a_full_run_has_every_stage_and_others_leave_out_what_takes_hours(script: Any) -> None:
    everything = names(script, "--full")
    alone = ["sanitized", "baseline", "avx2", "avx512"]
    assert [name for name in everything if name not in alone] == names(script)
    assert names(script, "--fast") == ["lint", "types", "layers", "tests"]
    assert set(alone) < set(everything)
    assert names(script, "--sanitize") == ["sanitized"]
    assert names(script, "--full", "avx2", "lint") == ["avx2", "lint"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--full", "lnt"], "no stage lnt: choose from lint, types, "),
        (["--slow"], "usage: scripts/test"),
        (["lint"], "usage: scripts/test"),
    ],
)
def test_what_it_does_not_know_ends_it(script: Any, words: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        script.chosen(words)


def test_fast_leaves_out_slow_tests(script: Any) -> None:
    for fast in (True, False):
        stages = script.stages(fast=fast, full=False)
        lines = [
            " ".join(c) for s in stages if not s.only_full for c in s.commands if c[0] == "pytest"
        ]
        assert ["not slow" in line for line in lines] == ([True] if fast else [False] * 3)


TESTS = """
import pytest
def test_one(): ...
def test_two(): assert False
@pytest.fixture
def broken(): raise ValueError
def test_three(broken): ...
@pytest.mark.skip(reason="no such processor")
def test_four(): ...
"""


@pytest.fixture
def fake(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Stages that pass, fail, count tests and are skipped, in a project of their own."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "test_these.py").write_text(TESTS)
    (tmp_path / "test_isa.py").write_text(
        "import os\ndef test_it(): assert os.environ['ELMAN_ISA'] == 'avx2'\n"
    )
    stages = [
        script.Stage("bad", "Fails", ((sys.executable, "-c", "exit(3)"), ("never", "run"))),
        script.Stage("counts", "Counts", (("pytest", "-q", "-p", "no:cacheprovider", "deep"),)),
        script.Stage("good", "Passes", ((sys.executable, "-c", ""),)),
        script.Stage(
            "isa", "Sets", (("pytest", "-q", "-p", "no:cacheprovider", "test_isa.py"),),
            lambda: {"ELMAN_ISA": "avx2"},
        ),
        script.Stage("absent", "Skips", (("never", "run"),), why_not=lambda: "no avx1024 here"),
    ]  # fmt: skip
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "stages", lambda **_: iter(stages))
    return script


def kept(script: Any, stage: str) -> dict[str, Any]:
    return json.loads((script.RESULTS / f"stage-{stage}.json").read_text())


def test_a_full_run_goes_on_and_keeps_what_it_counted(
    fake: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    assert fake.main(["--full"]) == 1
    out = capfd.readouterr().out
    assert (
        "all of each generated suite, seed 5; repeat: ELMAN_SAMPLE_SEED=5 scripts/test -- PATH"
        in out
    )
    assert out.splitlines()[-1].startswith(
        "failed: bad, counts; repeat a test: ELMAN_SAMPLE_SEED=5"
    )
    statuses = {
        name: kept(fake, name)["status"] for name in ("bad", "counts", "good", "isa", "absent")
    }
    assert statuses == {
        "bad": "failed", "counts": "failed", "good": "passed", "isa": "passed", "absent": "skipped",
    }  # fmt: skip
    counts = kept(fake, "counts")
    assert {k: counts[k] for k in ("passed", "failed", "skipped")} == {
        "passed": 1,
        "failed": 2,
        "skipped": 1,
    }
    assert counts["suites"] == {"deep": {"passed": 1, "failed": 2, "skipped": 1}}
    assert counts["reasons"] == {"no such processor": 1}
    assert counts["commit"] == "abc with changes"
    assert counts["seed"] == 5
    assert kept(fake, "absent")["reasons"] == {"no avx1024 here": 1}


def test_a_full_run_can_be_done_in_pieces(fake: Any) -> None:
    assert fake.main(["--full", "good", "isa"]) == 0
    assert {file.name for file in fake.RESULTS.iterdir()} == {"stage-good.json", "stage-isa.json"}


def test_any_other_run_ends_at_the_first_failure_and_keeps_nothing(
    fake: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    assert fake.main([]) == 1
    out = capfd.readouterr().out
    assert "a sample of each generated suite, seed 5" in out
    assert "== Fails" in out
    assert "== Counts" not in out
    assert not fake.RESULTS.exists()


def test_the_commit_says_whether_files_differ_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("stages_of_commit", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for changed, end in (("", ""), (" M src/elman/scan.py", " with changes")):
        answers = {"status": changed, "rev-parse": "0123abc"}
        monkeypatch.setattr(
            module.subprocess, "run",
            lambda command, answers=answers, **_: type("Done", (), {"stdout": answers[command[1]]}),
        )  # fmt: skip
        assert module.commit() == f"0123abc{end}"


def test_an_instruction_set_that_is_not_there_is_named(script: Any) -> None:
    assert "ELMAN_ISA names an instruction set that this machine does not have" in script.lacks(
        "avx1024"
    )
    assert script.lacks("baseline") is None
