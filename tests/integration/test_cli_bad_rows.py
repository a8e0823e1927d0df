"""One broken row in a file of one's own, in every task: it is named, or skipped and counted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from elman.cli import main
from elman.data import Note, write_midi
from elman.tasks import TASKS

pytestmark = pytest.mark.slow

QUICK = ["--train.max_steps", "1", "--train.threads", "1"]


def _texts() -> list[str]:
    return [f"the food was {'good' if i % 2 else 'bad'} {i}" for i in range(20)]


def _classify() -> None:
    rows = [f"{text},{i % 2}" for i, text in enumerate(_texts())]
    Path("a.csv").write_text("\n".join(["text,label", *rows, "and nothing else,"]))


def _regress() -> None:
    rows = [f"{text},{i}" for i, text in enumerate(_texts())]
    Path("a.csv").write_text("\n".join(["text,target", *rows, "and then,nan"]))


def _tag() -> None:
    words = [f"the DET\nfood{i} NOUN\n\n" for i in range(20)]
    Path("a.txt").write_text("".join([*words, "the DET\nlonely\n"]))


def _translate() -> None:
    Path("a.de").write_text("\n".join([*_texts(), ""]) + "\n")
    Path("a.en").write_text("\n".join([*_texts(), "nothing"]) + "\n")


def _forecast() -> None:
    rows = [f"{step},{step % 4}" for step in range(40)]
    Path("a.csv").write_text("\n".join(["time,value", *rows, "40,many"]))


def _music() -> None:
    Path("tunes").mkdir()
    for i in range(12):
        write_midi(Path(f"tunes/{i:02}.mid"), [Note(t, t + 1, 60 + t % 7) for t in range(8 + i)])
    write_midi(Path("tunes/silent.mid"), [])


def _motion() -> None:
    for number in range(6):
        Path(f"films/{number}").mkdir(parents=True)
        for at in range(14):
            frame = Image.new("L", (12, 12))
            frame.putpixel((at % 12, number), 255)
            frame.save(f"films/{number}/{at}.png")
    Path("films/3/4.png").write_bytes(b"no image")


def _caption() -> None:
    Path("balls").mkdir()
    rows = [f"{i}.png,ball {i}" for i in range(21)]
    for i in range(20):
        Image.new("RGB", (8, 8), (i, 9 * i, 0)).save(f"balls/{i}.png")
    Path("balls/20.png").write_bytes(b"no image")
    Path("balls/captions.csv").write_text("\n".join(["image,caption", *rows]))


SHARES = ["--data.valid_share", "0.2", "--data.test_share", "0.2"]
CASES: dict[str, tuple[Callable[[], None], list[str], str]] = {
    "classify": (_classify, ["a.csv"], "a.csv, line 22, column 'label': a label was expected"),
    "regress": (_regress, ["a.csv"], "a.csv, line 22, column 'target': a finite number"),
    "tag": (_tag, ["a.txt"], "a.txt, line 62: expected a word and a label, got 'lonely'"),
    "translate": (_translate, ["a.de", "a.en"], "a.de, line 21, column 'source': is empty"),
    "forecast": (
        _forecast,
        ["a.csv", "--data.target", "value", "--data.horizon", "2", "--data.context", "8"],
        "a.csv, line 42, column 'value': a finite number was expected, got 'many'",
    ),
    "music": (
        _music,
        ["tunes", "--data.step", "quarter"],
        "silent.mid: expected notes",
    ),
    "motion": (
        _motion,
        ["films", "--data.size", "12", "--model.ahead", "2", *SHARES],
        "films/3: 4.png cannot be read as an image",
    ),
    "caption": (_caption, ["balls", "--data.size", "8", "--model.channels", "4"], "20.png"),
}


@pytest.mark.parametrize("task", [name for name, _ in TASKS if name != "language"])
def test_a_broken_row_is_named_or_skipped_and_counted(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make, arguments, message = CASES[task]
    make()
    train = ["train", task, *arguments, "--model.hidden", "4", *QUICK]
    assert main(train) == 3
    err = capsys.readouterr().err
    assert message in err
    assert "--on-bad-row skip" in err
    assert main([*train, "--on-bad-row", "skip", "--json"]) == 0
    start = json.loads(capsys.readouterr().out.splitlines()[0])
    facts = start["data"] if start["event"] == "start" else json.loads(_events(tmp_path))["data"]
    assert facts["bad_rows"] == 1
    assert message in facts["first_bad"][0]


def _events(folder: Path) -> str:
    (metrics,) = folder.glob("runs/*/metrics.jsonl")
    return metrics.read_text().splitlines()[0]


def test_a_line_of_a_text_file_to_be_answered_is_a_row_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _classify()
    train = ["train", "classify", "a.csv", "--on-bad-row", "skip", "--model.hidden", "4", *QUICK]
    assert main(train) == 0
    Path("lines.txt").write_text("good\n\nbad\n")
    ask = ["predict", "runs/classify-1", "--on-bad-row"]
    capsys.readouterr()
    assert main([*ask, "error", "--input", "lines.txt"]) == 3
    assert "lines.txt, line 2, column 'text': a text was expected" in capsys.readouterr().err
    command = [sys.executable, "-m", "elman", *ask, "skip", "--input", "-", "--json"]
    found = subprocess.run(
        [*command, "--pictures", "drawn"],
        check=False,
        input="good\n\nbad\n",
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0
    assert [json.loads(line)["text"] for line in found.stdout.splitlines()] == ["good", "bad"]
    assert "skipped: standard input, line 2" in found.stderr
    assert "no plots" in found.stderr


def test_too_few_rows_to_be_divided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("text,label\ngood,1\nbad,0\nfine,1\npoor,0\n")
    train = ["train", "classify", "a.csv", "--model.hidden", "4", *QUICK]
    assert main(train) == 3
    assert "4 rows are too few for data.valid_share = 0.1" in capsys.readouterr().err
    assert main([*train, "--data.valid_share", "0", "--data.test_share", "0"]) == 0
    assert "the run has no validation or test data" in capsys.readouterr().out


def test_an_encoding_that_there_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _classify()
    assert main(["train", "classify", "a.csv", "--data.encoding", "utf-99"]) == 2
    assert "unknown encoding 'utf-99'" in capsys.readouterr().err


def test_no_row_is_left_for_they_are_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("text,label\n" + "good,1\ngood,0\n" * 20)
    assert main(["train", "classify", "a.csv", *QUICK]) == 3
    assert "39 were there before, see data.unique" in capsys.readouterr().err
