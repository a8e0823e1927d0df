"""Tasks over tables as a user types them: train, evaluate, predict, resume, and bad rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from elman.cli import main

pytestmark = pytest.mark.slow

SMALL = ["--model.hidden", "6", "--data.batch", "8", "--train.lr", "0.02", "--train.log_every", "5"]


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with reviews.csv."""
    monkeypatch.chdir(tmp_path)
    rows = [("good", "pos") if i % 2 else ("bad", "neg") for i in range(60)]
    text = "".join(f"film {i} was {word},{label}\n" for i, (word, label) in enumerate(rows))
    Path("reviews.csv").write_text("review,stars\n" + text)
    return tmp_path


COLUMNS = ["--data.text", "review", "--data.label", "stars"]
TRAIN = ["train", "classify", "reviews.csv", *COLUMNS, *SMALL]


def test_classify(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, "--train.epochs", "12", "--seed", "3", "--json"]) == 0
    out, err = capsys.readouterr()
    start, *_, end = objects(out)
    assert start["data"]["rows"] == {"train": 48, "valid": 6, "test": 6}
    assert "rows: train 48, valid 6, test 6" in err
    assert "seed 3" in err
    assert "rows/s" in err
    assert end["run"] == "runs/classify-1"
    assert end["metrics"]["test"]["accuracy"] == 1
    assert {"most_frequent", "bag_of_words"} <= set(end["baselines"])

    assert main(["evaluate", end["run"], "--json"]) == 0
    (measured,) = objects(capsys.readouterr().out)
    assert measured["metrics"] == pytest.approx(end["metrics"]["test"])
    assert measured["tables"]["true label, taken for"][0] == {"": "neg", "neg": 3, "pos": 0}
    assert main(["evaluate", end["run"]]) == 0
    assert "true label, taken for" in capsys.readouterr().out

    assert main(["predict", end["run"], "--text", "a good zebra", "--text", "bad", "--json"]) == 0
    good, bad = objects(capsys.readouterr().out)
    assert (good["review"], good["label"], bad["label"]) == ("a good zebra", "pos", "neg")
    assert good["unknown"] == ["a", "zebra"]
    assert main(["predict", end["run"], "--prompt", "good"]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == ["good", "  unknown: none", "  label: pos"]


def test_predict_from_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, "--train.epochs", "12", "--quiet"]) == 0
    Path("more.csv").write_text('review\n"good, good"\nbad\n\n"",\n')
    Path("more.txt").write_text("film 1 was good\nfilm 2 was bad\n")
    run = ["predict", "runs/classify-1", "--json", "--input"]
    capsys.readouterr()
    assert main([*run, "more.txt", "--output", "answers.jsonl"]) == 0
    answers = objects(Path("answers.jsonl").read_text())
    assert [answer["label"] for answer in answers] == ["pos", "neg"]
    assert main([*run, "more.csv"]) == 3
    assert "more.csv, line 5: expected 1 field, got 2" in capsys.readouterr().err
    assert main([*run, "more.csv", "--on-bad-row", "skip"]) == 0
    out, err = capsys.readouterr()
    assert len(objects(out)) == 2
    assert "skipped: more.csv, line 5" in err


def test_a_table_of_predictions_has_all_columns_of_its_input(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TRAIN, "--train.epochs", "1", "--quiet"]) == 0
    Path("more.csv").write_text("id,review,stars,label\n7,good,pos,x\n8,so bad,neg,y\n")
    run = ["predict", "runs/classify-1", "--input"]
    assert main([*run, "more.csv", "--output", "told.csv"]) == 0
    with Path("told.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ["id", "review", "stars", "label", "unknown", "predicted_label"]
    assert list(rows[0]) == [*columns, "probabilities.neg", "probabilities.pos"]
    assert [(row["id"], row["review"], row["label"]) for row in rows] == [
        ("7", "good", "x"),
        ("8", "so bad", "y"),
    ]
    assert main([*run, "told.csv", "--output", "again.csv"]) == 0  # nothing of it is lost, too
    with Path("again.csv").open(newline="") as file:
        (again, _) = csv.DictReader(file)
    assert again["predicted_label"] == rows[0]["predicted_label"]
    assert again["predicted_predicted_label"] in {"neg", "pos"}

    Path("more.jsonl").write_text('{"review": "good"}\n{"review": "bad", "id": 3}\n')
    capsys.readouterr()
    assert main([*run, "more.jsonl", "--output", "told.csv"]) == 3
    assert (
        "must have the same columns; some lack id: write a .jsonl file" in capsys.readouterr().err
    )
    assert main([*run, "more.jsonl", "--json"]) == 0
    assert objects(capsys.readouterr().out)[1]["id"] == 3


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_predict_from_rows_of_several_numbers_a_step(
    here: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"x": [[float(i % 2), 1.0]] * (2 + i % 3), "label": i % 2} for i in range(40)]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    if kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), "rows.parquet")
    file = f"rows.{kind}"
    columns = ["--data.series", "x", "--data.no-unique", "--train.epochs", "1", "--quiet"]
    assert main(["train", "classify", file, *SMALL, *columns]) == 0
    capsys.readouterr()
    assert main(["predict", "runs/classify-1", "--input", file, "--json"]) == 0
    answers = objects(capsys.readouterr().out)
    assert [answer["x"] for answer in answers] == [row["x"] for row in rows]
    assert {answer["predicted_label"] for answer in answers} <= {"0", "1"}
    assert main(["predict", "runs/classify-1", "--input", file, "--output", "told.csv"]) == 0
    assert main(["predict", "runs/classify-1", "--input", "told.csv", "--json"]) == 0
    again = objects(capsys.readouterr().out)
    assert [a["predicted_predicted_label"] for a in again] == [
        a["predicted_label"] for a in answers
    ]
    assert main(["predict", "runs/classify-1", "--input", file]) == 0
    assert capsys.readouterr().out.startswith("x [0.0, 1.0] [0.0, 1.0], label 0\n  predicted_lab")


def test_evaluate_on_a_file_with_a_bad_row(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, "--train.epochs", "1", "--quiet"]) == 0
    Path("more.csv").write_text("review,stars\ngood,pos\nso so,medium\n")
    capsys.readouterr()
    assert main(["evaluate", "runs/classify-1", "more.csv"]) == 3
    assert "line 3, column 'stars': 'medium' was not in training" in capsys.readouterr().err
    skip = ["--on-bad-row", "skip", "--json"]
    assert main(["evaluate", "runs/classify-1", "more.csv", *skip]) == 0
    (record,) = objects(capsys.readouterr().out)
    assert record["data"]["rows"] == {"test": 1}
    assert record["data"]["bad_rows"] == 1
    assert main(["evaluate", "runs/classify-1", "missing.csv", *skip]) == 3


def test_a_bad_row(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Path("reviews.csv").open("a") as file:
        file.write("no stars,\n")
    assert main([*TRAIN, "--train.epochs", "1"]) == 3
    err = capsys.readouterr().err
    assert "reviews.csv, line 62, column 'stars': a label was expected, got none" in err
    assert "--on-bad-row skip" in err
    assert not list(Path("runs").iterdir())
    assert main([*TRAIN, "--train.epochs", "1", "--on-bad-row", "skip"]) == 0
    err = capsys.readouterr().err
    assert "bad rows: 1" in err
    assert "reviews.csv, line 62" in err


def test_resume_gives_the_run_that_was_not_stopped(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TRAIN, "--train.max_steps", "20", "--name", "whole", "--quiet"]) == 0
    assert main([*TRAIN, "--train.max_steps", "9", "--train.schedule", "constant", "--quiet"]) == 0
    go_on = ["--train.max_steps", "20", "--train.schedule", "constant", "--quiet"]
    assert main([*TRAIN, *go_on, "--name", "constant"]) == 0
    assert main(["train", "classify", "--resume", "runs/classify-1", *go_on]) == 0
    weights = [
        Path(f"runs/{name}/checkpoints/last/model.safetensors").read_bytes()
        for name in ("whole-1", "constant-1", "classify-1")
    ]
    assert weights[1] == weights[2]
    assert weights[0] != weights[1]


def test_what_a_task_does_not_do(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, "--train.epochs", "1", "--quiet"]) == 0
    for arguments, message in {
        ("generate", "runs/classify-1"): "classify has no generator",
        ("predict", "runs/classify-1", "--text", "x", "--word", "y"): "are for language models",
        ("predict", "runs/classify-1"): "nothing to predict from",
        (*TRAIN, "--train.k1", "5"): "unknown option --train.k1",
    }.items():
        assert main(list(arguments)) == 2
        assert message in capsys.readouterr().err


def test_baselines_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baseline", "classify", "reviews.csv", *COLUMNS, "--json"]) == 0
    (record,) = objects(capsys.readouterr().out)
    assert record["baselines"]["bag_of_words"]["test"]["accuracy"] == 1


def test_init_prints_settings_that_can_be_read(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "classify"]) == 0
    Path("c.toml").write_text(capsys.readouterr().out)
    assert main([*TRAIN, "--config", "c.toml", "--train.epochs", "1", "--quiet"]) == 0


def test_tag(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = "1\tBonn\t_\tPROPN" + "\t_" * 6 + "\n2\tlies\t_\tVERB" + "\t_" * 6 + "\n\n"
    other = sentence.replace("Bonn", "It").replace("PROPN", "PRON")
    Path("a.conllu").write_text((sentence + other) * 20)
    small = [*SMALL, "--model.characters", "4", "--train.epochs", "8", "--json"]
    assert main(["train", "tag", "a.conllu", *small]) == 3
    assert "row is left: 38 were there before, see data.unique" in capsys.readouterr().err
    assert main(["train", "tag", "a.conllu", *small, "--data.no-unique"]) == 0
    *_, end = objects(capsys.readouterr().out)
    assert end["metrics"]["test"]["accuracy"] == 1
    assert set(end["baselines"]) == {"most_frequent", "most_frequent_per_word"}
    assert main(["predict", end["run"], "--text", "It lies", "--json"]) == 0
    (answer,) = objects(capsys.readouterr().out)
    assert (answer["tokens"], answer["tags"]) == (["It", "lies"], ["PRON", "VERB"])
    assert main(["predict", end["run"], "--input", "a.conllu", "--json"]) == 0
    assert len(objects(capsys.readouterr().out)) == 40
    Path("b.conll").write_text("It X\nlies X\n\nBonn X\n")  # of columns: a word first
    assert main(["predict", end["run"], "--input", "b.conll", "--json"]) == 0
    told = [answer["tokens"] for answer in objects(capsys.readouterr().out)]
    assert told == [["It", "lies"], ["Bonn"]]
    assert main(["evaluate", end["run"], "a.conllu"]) == 0
    assert "precision" in capsys.readouterr().out


def test_regress(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["a,b,c,target", *[f"{i},{i % 3},1,{2 * i}" for i in range(40)]]
    Path("wide.csv").write_text("\n".join(rows))
    columns = ["--data.series", "?", "--train.epochs", "2"]
    assert main(["train", "regress", "wide.csv", *SMALL, *columns]) == 3
    assert "has no column '?'" in capsys.readouterr().err
    columns = ["--data.series", "[abc]", "--train.epochs", "2"]
    assert main(["train", "regress", "wide.csv", *SMALL, *columns]) == 3
    Path("wide.csv").write_text("\n".join(rows).replace("a,b,c", "x1,x2,x3"))
    columns = ["--data.series", "x*", "--train.epochs", "2", "--json"]
    capsys.readouterr()
    assert main(["train", "regress", "wide.csv", *SMALL, *columns]) == 0
    out, err = capsys.readouterr()
    *_, end = objects(out)
    assert end["metrics"]["test"]["rmse"] == pytest.approx(end["metrics"]["test"]["mse"] ** 0.5)
    assert "mse" in err
    Path("new.csv").write_text("x1,x2,x3\n3,1,1\n")
    assert main(["predict", end["run"], "--input", "new.csv", "--json"]) == 0
    (answer,) = objects(capsys.readouterr().out)
    assert {name: answer[name] for name in ("x1", "x2", "x3")} == {"x1": "3", "x2": "1", "x3": "1"}
    assert main(["predict", end["run"], "--input", "new.csv"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "x1 3, x2 1, x3 1"
    assert main(["predict", end["run"], "--text", "three"]) == 2
    assert "reads no texts here" in capsys.readouterr().err


def test_translate_from_parallel_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [(f"{i} rote äpfel", f"{i} red apples") for i in range(120)]
    for side, name in enumerate(("a.de", "a.en")):
        Path(name).write_text("".join(pair[side] + "\n" for pair in lines))
    train = ["train", "translate", "a.de", "a.en", "--valid", "a.de", "--valid", "a.en", *SMALL]
    small = ["--data.vocabulary", "300", "--model.embedding", "6", "--train.epochs", "1", "--json"]
    assert main([*train, *small]) == 0
    end = objects(capsys.readouterr().out)[-1]
    assert list(end["metrics"]["test"])[:2] == ["bleu", "exact_match"]
    assert "word_by_word" in end["baselines"]
    assert {Path(name).name for name in end["pictures"]} >= {"by-length.png", "attention.png"}

    assert main(["evaluate", end["run"], "a.de", "a.en", "--beam", "2", "--json"]) == 0
    (measured,) = objects(capsys.readouterr().out)
    assert measured["data"]["rows"] == {"test": 120}
    assert any("BLEU|nrefs:1|" in title for title in measured["tables"])

    asked = ["predict", end["run"], "--text", "3 rote äpfel", "--beam", "3"]
    assert main([*asked, "--json"]) == 0
    (answer,) = objects(capsys.readouterr().out)
    assert len(answer["others"]) <= 2
    assert main(asked) == 0
    assert capsys.readouterr().out.startswith("3 rote äpfel\n  unknown: none\n  translation: ")
    Path("more.txt").write_text("1 rote äpfel\n2 rote äpfel\n")
    assert main(["predict", end["run"], "--input", "more.txt", "--pictures", "looks"]) == 0
    looks = sorted(file.name for file in Path("looks").glob("*.png"))
    assert len(looks) == 2  # one a sentence
    assert f"picture looks/{looks[0]}" in capsys.readouterr().err
    assert main(["predict", end["run"], "--input", "more.txt", "--json"]) == 0
    told = [a["source"] for a in objects(capsys.readouterr().out)]
    assert told == ["1 rote äpfel", "2 rote äpfel"]

    Path("a.en").write_text("1 red apple\n")
    assert main(["evaluate", end["run"], "a.de", "a.en"]) == 3
    assert "got 120 in a.de and 1 in a.en" in capsys.readouterr().err


def test_a_beam_is_for_what_is_searched(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, "--train.epochs", "1", "--quiet"]) == 0
    assert main(["predict", "runs/classify-1", "--text", "good", "--beam", "2"]) == 2
    assert "--beam is for tasks with beam search" in capsys.readouterr().err


def test_a_network_without_recurrence_says_the_size_of_its_input(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = ["--model.cell", "feedforward", "--model.steps", "3", "--train.max_steps", "2"]
    assert main([*TRAIN, *alone]) == 0
    assert "parameters, 3 steps of input, 2 updates" in capsys.readouterr().err
    compare = ["compare", *TRAIN[1:], "--cells", "gru,feedforward", "--seeds", "1", "--quiet"]
    sees = ["--set", "feedforward:model.steps=3", "--train.max_steps", "2"]
    assert main([*compare, *sees]) == 0
    table = Path("runs/compare-classify-1/table.md").read_text()
    assert "feedforward reads 3 steps." in table
    assert "gru sees" not in table
