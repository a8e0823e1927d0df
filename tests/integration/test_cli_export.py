"""``elman export`` from end to end: files, figures, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import elman.exporting._export
from elman.cli._main import main
from elman.exporting import compiler

LINES = "the cat sat on the mat .\na dog ran home .\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text(LINES * 40)
    small = ["--model.hidden", "8", "--steps", "4", "--quiet", "--train.no-baselines"]
    assert main(["train", "language", "book.txt", *small]) == 0
    return "runs/language-1"


@pytest.mark.skipif(compiler() is None, reason="no C compiler is here")
def test_a_run_becomes_two_files(
    run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()
    assert main(["export", run, "--path", "c", "--name", "words", "--report"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[:2] == ["wrote c/words.h", "wrote c/words.c"]
    assert "largest difference" in out
    assert "perplexity" in out
    assert "state of a stream" in out

    assert (
        main(["export", run, "--path", "c", "--weights", "int8", "--max-loss", "1", "--json"]) == 0
    )
    record = json.loads(capsys.readouterr().out)
    assert record["check"]["metric"] == "perplexity"
    assert record["sizes"]["flash"] == sum(
        record["sizes"][part] for part in ("weights", "vocabulary", "code")
    )

    monkeypatch.setattr(elman.exporting._model.ExportCheck, "loss", property(lambda _: 0.02))
    assert main(["export", run, "--path", "e", "--weights", "int8"]) == 1
    assert "int8 cost 2.0% of perplexity" in capsys.readouterr().err
    assert not Path("e").exists()


def test_without_a_compiler_it_is_said(
    run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elman.exporting._export, "compiler", lambda: None)
    assert main(["export", run, "--path", "c", "--report"]) == 0
    captured = capsys.readouterr()
    assert "not checked: no C compiler" in captured.err
    assert "unknown" in captured.out
    assert Path("c", "net.c").exists()


def test_usage_is_checked(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "nowhere"]) == 3
    assert main(["export", run, "--to", "fortran"]) == 2
    assert main(["export", run, "--name", "1net"]) == 2
    assert "C identifier" in capsys.readouterr().err
