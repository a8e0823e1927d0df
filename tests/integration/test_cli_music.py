"""Music as a user types it: train, evaluate, predict, generate."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import pytest

from elman.cli import main
from elman.data import Note, write_midi

SMALL = ["--model.hidden", "6", "--model.units", "4", "--train.max_steps", "12", "--quiet"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.chdir(tmp_path)
    Path("tunes").mkdir()
    for i in range(20):
        notes = [Note(t, t + 1, 50 + (i * t) % 11 + i % 7) for t in range(6 + i % 5)]
        write_midi(Path(f"tunes/{i}.mid"), notes)
    windows = ["--train.bptt", "truncated", "--train.k1", "5"]
    assert main(["train", "music", "tunes", *SMALL, *windows]) == 0
    out, err = capsys.readouterr()
    assert "last_frame" in out
    assert "picture runs/music-1/pictures/foreseen.png" in out
    assert err == "seed 0\n"
    return "runs/music-1"


def test_music(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", run, "tunes/3.mid", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert set(measured["metrics"]) == {"nll", "accuracy"}
    assert main(["predict", run, "--input", "tunes", "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 20
    (same,) = [answer for answer in answers if answer["piece"] == "3"]
    assert same["nll"] == pytest.approx(measured["metrics"]["nll"], rel=1e-5)
    assert main(["predict", run, "--text", "la la"]) == 2


def test_generate(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["generate", run, "--length", "6", "--seed", "7", "--prime", "tunes/1.mid"]
    assert main([*ask, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["midi"] == f"{run}/generated/seed-7.mid"
    assert err == "seed 7\n"
    first = Path(f"{run}/generated/seed-7.mid").read_bytes()
    assert main([*ask, "--output", "out/b.mid", "--device", "cpu", "--checkpoint", "best"]) == 0
    out = capsys.readouterr().out
    assert "midi out/b.mid\n" in out
    assert "no_" not in out
    assert ("wav out/b.wav\n" in out) != ("\nno sound: install fluidsynth and a sound font" in out)
    assert Path("out/b.mid").read_bytes() == first
    for more, code, message in (
        (["--prompt", "a"], 2, "unknown option --prompt"),
        (["--length", "0", "--tempos", "9"], 2, "did you mean '--tempo'?\n       length: input"),
        (["--length", "0"], 2, "length: input should be greater than or equal to 1"),
        (["--checkpoint", "first"], 2, "checkpoint: input should be 'best' or 'last'"),
        (["runs/other"], 2, f"expected one run folder, got {run}, runs/other"),
        (["--prime", "no.mid"], 3, "no.mid: no such file"),
    ):
        once = [(flag, v) for flag, v in zip(ask[2::2], ask[3::2], strict=True) if flag not in more]
        given = [*ask[:2], *chain.from_iterable(once)]
        assert main([*given, *more]) == code
        assert message in capsys.readouterr().err
    assert main(["generate", "--length", "3"]) == 2
    assert "expected a run folder" in capsys.readouterr().err


def test_help_is_the_tasks(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", run, "--help"]) == 0
    assert "--prime" in capsys.readouterr().out
    assert main(["generate", "--help"]) == 0
    assert "--prompt" in capsys.readouterr().out
