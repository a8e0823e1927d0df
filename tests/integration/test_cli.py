"""The commands together, as a user types them: train, evaluate, predict, generate, resume."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.cli import main
from elman.training._run import Run

LINES = (
    "the cat sat on the mat .\nthe dog lay on the log .\nthis morning i took my cat for a walk .\n"
)
SMALL = ["--model.hidden", "8", "--data.lanes", "4", "--train.k1", "10", "--train.log_every", "1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with book.txt and a finished run of six updates."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "book.txt").write_text(LINES * 40)
    runs = ["--runs", str(folder / "runs"), "--train.max_steps", "6", "--quiet"]
    assert main(["train", "language", str(folder / "book.txt"), *SMALL, *runs]) == 0
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


RUN = "runs/language-1"


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_train_as_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budget = ["--train.epochs", "1", "--seed", "3", "--name", "try", "--json"]
    assert main(["train", "language", "book.txt", *SMALL, *budget]) == 0
    out, err = capsys.readouterr()
    events = objects(out)
    assert events[0]["event"] == "start"
    assert events[0]["seed"] == 3
    assert {"train", "valid"} <= {event["event"] for event in events}
    assert "seed 3" in err
    end = events[-1]
    assert end["event"] == "end"
    assert end["run"] == "runs/try-1"
    assert set(end["metrics"]) == {"valid", "test"}
    assert set(end["baselines"]) == {"unigram", "bigram", "trigram"}
    for metrics in (*end["baselines"].values(), end["metrics"]):
        assert metrics["test"]["perplexity"] > 1


def test_train_prints_a_table_with_the_baselines(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = ["--train.max_steps", "3"]
    assert main(["train", "language", "book.txt", *SMALL, *steps]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["perplexity", "valid", "test"]
    assert {line.split("  ")[0] for line in lines[1:-1]} == {
        "this run",
        "unigram",
        "bigram",
        "trigram",
    }
    assert lines[-1] == "run runs/language-2"
    assert "seed 0" in err
    assert "update 3" in err


def test_a_run_is_replaced_only_by_force(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (here / RUN / "config.toml").read_text()
    again = ["train", "language", "book.txt", *SMALL, "--train.max_steps", "2", "--quiet"]
    assert main(again) == 0
    assert (here / RUN / "config.toml").read_text() == before
    assert (here / "runs/language-2").is_dir()
    assert main([*again, "--force"]) == 0
    assert (here / RUN / "config.toml").read_text() != before
    assert capsys.readouterr().out.splitlines()[-1] == f"run {RUN}"


def test_evaluate(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = objects((here / RUN / "metrics.jsonl").read_text())[-1]
    for split in ("valid", "test"):
        assert main(["evaluate", RUN, "--split", split, "--json"]) == 0
        (record,) = objects(capsys.readouterr().out)
        assert record["event"] == "end"
        assert record["metrics"] == pytest.approx(last["metrics"][split])


def test_evaluate_on_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.txt").write_text("on the mat the cat sat .\n" * 30)
    perplexities = []
    for lanes in ("1", "5"):
        assert main(["evaluate", RUN, "other.txt", "--lanes", lanes, "--json"]) == 0
        perplexities.append(objects(capsys.readouterr().out)[0]["metrics"]["perplexity"])
    assert perplexities[0] != perplexities[1]
    assert main(["evaluate", RUN, "other.txt"]) == 0
    assert capsys.readouterr().out.split()[0] == "nats"


def test_predict_prints_a_distribution(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", RUN, "--prompt", "the cat", "--top", "5", "--json"]) == 0
    (answer,) = objects(capsys.readouterr().out)
    assert answer["prompt"] == "the cat"
    assert answer["unknown"] == []
    probabilities = [entry["probability"] for entry in answer["next"]]
    assert len(probabilities) == 5
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0 < sum(probabilities) < 1
    expected = elman.load(RUN).next_words("the cat", 5)
    assert [(e["word"], e["probability"]) for e in answer["next"]] == expected


def test_predict_sets_a_word_beside_its_frequency(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["predict", RUN, "--prompt", "the", "--word", "the", "--word", "walk"]
    assert main([*asked, "--json"]) == 0
    (answer,) = objects(capsys.readouterr().out)
    the, walk = answer["words"]
    assert "next" not in answer
    assert the["lift"] == pytest.approx(the["probability"] / the["frequency"])
    order = [word for word, _ in elman.load(RUN).next_words("the", 99)]
    assert [the["rank"], walk["rank"]] == [1 + order.index("the"), 1 + order.index("walk")]
    assert the["frequency"] == pytest.approx(4 * walk["frequency"], rel=0.1)
    assert main(asked) == 0
    head, row, _ = capsys.readouterr().out.splitlines()[1:]
    assert head.split() == ["word", "rank", "probability", "frequency", "lift"]
    assert row.split()[0] == "the"


def test_predict_many(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("prompts.txt").write_text("the cat\nthe dog\nthis morning\n")
    files = ["--input", "prompts.txt", "--output", "answers.jsonl"]
    assert main(["predict", RUN, *files, "--json", "--top", "2"]) == 0
    assert capsys.readouterr().out == ""
    answers = objects(Path("answers.jsonl").read_text())
    assert [answer["prompt"] for answer in answers] == ["the cat", "the dog", "this morning"]
    assert main(["predict", RUN, "--prompt", "a", "--input", "prompts.txt", "--top", "1"]) == 0
    assert capsys.readouterr().out.count(" ...\n") == 4


def test_unknown_words_of_a_prompt_are_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", RUN, "--prompt", "the xylophone sat on zzz", "--json"]) == 0
    out, err = capsys.readouterr()
    assert objects(out)[0]["unknown"] == ["xylophone", "zzz"]
    assert "not in the vocabulary, read as <unk>: xylophone, zzz" in err


def test_generate_is_repeatable(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def generated(*options: str) -> str:
        assert main(["generate", RUN, "--prompt", "the cat", "--length", "12", *options]) == 0
        return capsys.readouterr().out

    first = generated("--seed", "1")
    assert first.startswith("the cat ")
    assert len(first.split()) >= 10
    assert generated("--seed", "1") == first
    assert generated("--seed", "2") != first
    assert generated("--temperature", "0", "--seed", "1") == generated("--top-k", "1")
    (record,) = objects(generated("--seed", "1", "--json"))
    assert record["text"] + "\n" == first
    assert record["seed"] == 1


def test_baselines_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baseline", "language", "book.txt", "--json"]) == 0
    (record,) = objects(capsys.readouterr().out)
    last = objects((here / RUN / "metrics.jsonl").read_text())[-1]
    assert record == {"event": "end", "baselines": last["baselines"]}
    assert main(["baseline", "language", "book.txt", "--quiet"]) == 0
    assert "trigram" in capsys.readouterr().out


def test_config_file_and_resume(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "language"]) == 0
    Path("small.toml").write_text(capsys.readouterr().out)
    options = ["--config", "small.toml", *SMALL, "--train.max_steps", "2", "--quiet"]
    assert main(["train", "language", "book.txt", *options]) == 0
    run = capsys.readouterr().out.splitlines()[-1].removeprefix("run ")
    go_on = ["train", "language", "--resume", run, "--train.max_steps", "4", "--json", "--quiet"]
    assert main(go_on) == 0
    events = objects(capsys.readouterr().out)
    assert events[0]["resumed"]
    assert (events[0]["update"], events[-1]["update"]) == (2, 4)
    assert main(["train", "language", "--resume", run, "--model.hidden", "9"]) == 2
    assert "keeps its data and its model, got --model.hidden" in capsys.readouterr().err


def elman_process(*arguments: str, **keywords: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "elman.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **keywords,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_and_exits_130(here: Path, number: signal.Signals) -> None:
    endless = ["--train.max_steps", "1000000", "--json"]
    # Where the tests themselves run under nohup, a child would ignore SIGHUP as they do.
    heeded = partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)
    with elman_process(
        "train", "language", "book.txt", *SMALL, *endless, preexec_fn=heeded
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "train":
                break
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"stopped by {number.name}" in err
    assert "runs/language-2" in err
    assert "Traceback" not in err
    elman.load("runs/language-2", "last")
    at = int(err.split("after update ")[1].split(";")[0])
    command = err.split("To continue: elman ")[1].strip()  # as it is printed
    assert command == "train language --resume runs/language-2"
    assert main([*command.split(), "--train.max_steps", str(at + 3), "--quiet"]) == 0
    assert [e["update"] for e in Run.open(Path("runs/language-2")).events()][-1] == at + 3


def test_training_stops_when_its_reader_leaves(here: Path) -> None:
    endless = ["--train.max_steps", "1000000", "--json"]
    with elman_process("train", "language", "book.txt", *SMALL, *endless) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        start = time.monotonic()
        assert process.wait(timeout=60) == 1
        assert time.monotonic() - start < 30
        assert "Traceback" not in process.stderr.read()
