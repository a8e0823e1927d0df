"""Classification: from files to labels with their probabilities."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import elman
from elman._errors import CheckpointError, ConfigError, DataError
from elman.tasks import Classify, ClassifyData, ClassifyNet
from elman.training import Run, config_class, fit, train
from elman.training._config import FORMAT

GOOD, BAD = ("good", "great", "fine"), ("bad", "awful", "poor")


def lines(count: int = 60) -> list[tuple[str, str]]:
    """Both kinds of word in each text: only their order tells."""
    pairs = [(GOOD[i % 3], BAD[i // 2 % 3]) for i in range(count)]
    return [
        (f"film {i} was {g} not {b}", "pos") if i % 2 else (f"film {i} was {b} not {g}", "neg")
        for i, (g, b) in enumerate(pairs)
    ]


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    path.write_text("text,label\n" + "".join(f"{t},{y}\n" for t, y in lines()))
    return path


def prepared(path: Path, model: dict[str, Any] | None = None, **data: Any) -> Classify:
    section = ClassifyData.parse({"train": [path], "batch": 8, **data})
    task = Classify.prepare(section, ClassifyNet.parse({"hidden": 4, **(model or {})}))
    torch.manual_seed(0)
    task.network = task.build()
    return task


def test_rows_are_divided_by_label(reviews: Path) -> None:
    task = prepared(reviews)
    assert task.facts()["rows"] == {"train": 48, "valid": 6, "test": 6}
    assert task.labels == ["neg", "pos"]
    assert task.parts["test"]["y"].tolist().count(0) == 3
    other = prepared(reviews, seed=1)
    assert not torch.equal(task.parts["test"]["x"].values, other.parts["test"]["x"].values)


def test_files_of_their_own_are_validated_and_tested_on(reviews: Path, tmp_path: Path) -> None:
    test = tmp_path / "test.jsonl"
    test.write_text('{"text": "good", "label": "pos"}\n')
    task = prepared(reviews, test=[test], valid_share=0.0)
    assert task.facts()["rows"] == {"train": 60, "test": 1}


def test_duplicates_are_left_out_and_counted(reviews: Path) -> None:
    reviews.write_text(reviews.read_text() + "film 0 was bad not good,neg\n" * 3)
    task = prepared(reviews)
    assert task.facts()["duplicates"] == 3
    assert sum(task.facts()["rows"].values()) == 60
    assert sum(prepared(reviews, unique=False).facts()["rows"].values()) == 63


BROKEN = {
    ",pos": "column 'text': a text was expected, got none",
    "a text,": "column 'label': a label was expected, got none",
    "a text": "expected 2 fields, got 1",
}


@pytest.mark.parametrize("row", BROKEN)
def test_a_bad_row_is_named_or_skipped(reviews: Path, row: str) -> None:
    reviews.write_text(reviews.read_text() + row + "\n")
    with pytest.raises(DataError, match=rf"reviews.csv, line 62.*{BROKEN[row]}"):
        prepared(reviews)
    facts = prepared(reviews, on_bad_row="skip").facts()
    assert facts["bad_rows"] == 1
    assert BROKEN[row] in facts["first_bad"][0]


def test_a_label_that_training_did_not_have(reviews: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("text,label\ngood,pos\nso so,neutral\n")
    task = prepared(reviews)
    with pytest.raises(DataError, match=r"other.csv, line 3, column 'label': 'neutral' was not"):
        task.with_data([other])
    skipping = prepared(reviews, on_bad_row="skip").with_data([other])
    assert skipping.facts()["rows"] == {"test": 1}
    assert skipping.facts()["bad_rows"] == 1


def test_a_missing_column(reviews: Path) -> None:
    with pytest.raises(DataError, match="no column 'sentiment': choose from: text, label"):
        prepared(reviews, label="sentiment")


def test_one_label_is_none(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    path.write_text("text,label\n" + "".join(f"text {i},a\n" for i in range(20)))
    with pytest.raises(DataError, match=r"at least two labels are needed, got \['a'\]"):
        prepared(path)


def test_no_row_that_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "none.csv"
    path.write_text("text,label\n,a\n,b\n")
    with pytest.raises(DataError, match=r"no row can be used: 2 rows left out, .* line 2, column"):
        prepared(path, on_bad_row="skip")


def test_the_network_reads_max_length_steps_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    words = [f"{' '.join(f'w{i}{n}' for n in range(9))} end{i % 2},{i % 2}" for i in range(40)]
    path.write_text("text,label\n" + "\n".join(words))
    for keep in ("head", "tail"):
        task = prepared(path, max_length=3, keep=keep)
        assert task.facts()["longer"] == {
            "than": 3, "read": keep, "train": 32, "valid": 4, "test": 4,
        }  # fmt: skip
        rows = task.parts["test"]
        whole = task.all_scores(rows)
        kept = [
            row[:3] if keep == "head" else row[-3:] for row in map(rows["x"].__getitem__, range(4))
        ]
        cut = task.all_scores(elman.data.Rows({"x": elman.data.Ragged.of(kept), "y": rows["y"]}))
        torch.testing.assert_close(whole, cut)


def test_numbers_instead_of_text(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    rows = [f"{i % 2},{i},{100 * (i % 2) + i % 7},{i % 3}" for i in range(40)]
    path.write_text("label,id,x1,x2\n" + "\n".join(rows))
    task = prepared(path, series="x*")
    assert task.parts["train"]["x"].values.shape == (64, 1)
    values = task.parts["train"]["x"].values
    assert abs(float(values.mean())) < 1e-5
    assert float(values.std(correction=0)) == pytest.approx(1)
    (answer,) = task.answers([{"id": 7, "x1": 3, "x2": 4}])
    assert list(answer) == ["id", "x1", "x2", "label", "probabilities"]
    raw = prepared(path, series="x*", standardize=False)
    assert raw.parts["train"]["x"].values.max() > 50


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("1 nan 3", "column 'x': step 2 is .nan.: give finite numbers"),
        ("1 two 3", "column 'x': a number was expected, got 'two'"),
        ("", "column 'x': numbers, or lists of numbers, were expected"),
    ],
)
def test_a_series_with_a_hole(tmp_path: Path, cell: str, message: str) -> None:
    path = tmp_path / "series.csv"
    path.write_text("x,label\n" + "".join(f"{i} 2 3,{i % 2}\n" for i in range(30)) + f"{cell},1\n")
    with pytest.raises(DataError, match=f"series.csv, line 32, {message}"):
        prepared(path, series="x")


def test_steps_of_several_numbers(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [{"x": [[i, 1]] * (1 + i % 3), "label": i % 2} for i in range(30)]
    path.write_text("\n".join(map(json.dumps, rows)))
    task = prepared(path, series="x")
    assert task.network.first.output_size == 2
    with pytest.raises(DataError, match="2 numbers were expected at each step, got 1"):
        task.answers([{"x": [1, 2]}])
    task.input.features = 1
    with pytest.raises(DataError, match="1 number was expected at each step, got 2"):
        task.answers([{"x": [[1, 2]]}])


def test_rows_of_several_numbers_a_step_are_answered(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [{"x": [[i, 1]] * (1 + i % 3), "label": i % 2} for i in range(30)]
    path.write_text("\n".join(map(json.dumps, rows)))
    task = prepared(path, series="x")
    as_lists = {"x": [[1, 2], [3, 4]]}
    (plain,) = task.answers([as_lists])
    assert plain["x"] == as_lists["x"]
    (as_text,) = task.answers([{"x": json.dumps(as_lists["x"])}])
    assert as_text["probabilities"] == plain["probabilities"]
    with pytest.raises(DataError, match="column 'x': lists of numbers were expected, as JSON"):
        task.answers([{"x": "[[1, 2], [3"}])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "good"}, "column 'review': missing: the row has 'text'"),
        ({}, "column 'review': missing: the row has no column"),
        ("good", "a row was expected, such as {'review': ...}, got 'good'"),
        ({"review": ""}, "column 'review': a text was expected, got none"),
    ],
)
def test_a_row_without_its_column_is_named(tmp_path: Path, row: Any, message: str) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text("review,label\n" + "".join(f"good {i},a\nbad {i},b\n" for i in range(20)))
    task = prepared(path, text="review")
    with pytest.raises(DataError, match=re.escape(message)):
        task.answers([row])


def test_an_answer_keeps_the_row_as_it_came(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text("review,label\n" + "".join(f"good {i},a\nbad {i},b\n" for i in range(20)))
    task = prepared(path, text="review")
    row = {"id": 3, "review": "Good", "label": "?", "predicted_label": "b", "unknown": 1}
    (answer,) = task.answers([row])
    assert {name: answer[name] for name in row} == row
    assert list(answer)[len(row) :] == [
        "predicted_unknown", "predicted_predicted_label", "probabilities",
    ]  # fmt: skip
    (flat,) = task.answers([{"review": "good", "probabilities.a": "kept"}])
    assert set(flat["predicted_probabilities"]) == {"a", "b"}


def test_it_learns_what_only_order_tells(reviews: Path, tmp_path: Path) -> None:
    settings = {
        "data": {"train": [reviews], "batch": 8, "contrast": ["bad not good", "good not bad"]},
        "model": {"hidden": 8, "dropout": 0.0},
        "train": {"epochs": 25, "lr": 0.02},
    }
    result = train(config_class("classify").parse(settings), tmp_path / "run")
    assert result.metrics["test"]["accuracy"] == 1
    assert result.baselines["bag_of_words"]["test"]["accuracy"] < 0.9
    assert set(result.baselines) == {"most_frequent", "bag_of_words", "tfidf_logistic"}
    task = elman.load(result.run.path)
    assert task.evaluate("test") == result.metrics["test"]
    confusion, *_, order = task.tables(task.predict("test"))
    assert [row[1:] for row in confusion.rows] == [[3, 0], [0, 3]]
    (_, first, _, bag, p), (_, second, _, same, q) = order.rows
    assert (first, second) == ("neg", "pos")
    assert (bag, p) == (same, q)
    texts = [{"text": "the film was bad not fine"}, {"text": "zzz"}]
    bad, unknown = task.answers(texts)
    assert bad["label"] == "neg"
    assert sum(bad["probabilities"].values()) == pytest.approx(1)
    assert unknown["unknown"] == ["zzz"]


def test_without_scikit_learn_there_are_fewer_baselines_and_it_is_said(
    reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = prepared(reviews)
    assert "baselines" not in task.facts()
    monkeypatch.setattr("elman.baselines._bags.find_spec", lambda _: None)
    assert set(task.baselines()) == {"most_frequent", "bag_of_words"}
    assert 'pip install "elman[data]"' in task.facts()["baselines"]


def test_the_temperature_is_fitted_on_validation_rows_and_kept(
    reviews: Path, tmp_path: Path
) -> None:
    task = prepared(reviews)
    run = Run.create(tmp_path / "run", {"format": FORMAT})
    config = config_class("classify").parse({"train": {"epochs": 1}}).train
    fit(task, config, run)
    fitted = float(task.network.temperature)
    assert fitted != 1
    assert float(run.load("best").model["temperature"]) == fitted
    assert float(run.load("last").model["temperature"]) == 1
    expected = elman.metrics.temperature(
        task.all_scores(task.parts["valid"]), task.parts["valid"]["y"]
    )
    assert fitted == pytest.approx(expected)
    raw, p = task.all_scores(task.parts["test"]), task.probabilities(task.parts["test"])
    torch.testing.assert_close(p, (raw.double() / fitted).softmax(-1))


def test_accuracy_by_length_counts_each_row_once(tmp_path: Path) -> None:
    path = tmp_path / "ragged.csv"
    rows = [f"{'w ' * (1 + i % 9)}{i},{'long' if i % 9 > 4 else 'short'}" for i in range(90)]
    path.write_text("text,label\n" + "\n".join(rows))
    task = prepared(path)
    table = task.tables(task.predict("train"))[1]
    counts, shares = ([row[i] for row in table.rows] for i in (1, 2))
    assert sum(counts) == len(task.parts["train"])
    assert min(counts) > 0
    whole = sum(n * p for n, p in zip(counts, shares, strict=True)) / sum(counts)
    assert whole == pytest.approx(task.evaluate("train")["accuracy"])


def test_no_group_of_lengths_is_empty(tmp_path: Path) -> None:
    """A length that is a group alone, and none between it and the next one that is."""
    path = tmp_path / "alike.csv"
    lengths = [1] * 5 + [3] * 20 + [6] * 25
    rows = [f"{'w ' * n}{i},{i % 2}" for i, n in enumerate(lengths)]
    path.write_text("text,label\n" + "\n".join(rows))
    task = prepared(path)
    assert all(row[1] for row in task.tables(task.predict("train"))[1].rows)


def test_save_and_restore(reviews: Path, tmp_path: Path) -> None:
    task = prepared(reviews)
    task.save(tmp_path)
    back = Classify.restore(tmp_path, task.data, task.model)
    back.network = task.network
    assert back.evaluate("test") == task.evaluate("test")
    assert back.facts()["rows"] == task.facts()["rows"]
    (tmp_path / "task.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"task.json: is not what a run of classify writes"):
        Classify.restore(tmp_path, task.data, task.model)


def test_pretrained_vectors_once_read_are_not_needed_again(reviews: Path, tmp_path: Path) -> None:
    vectors = tmp_path / "v.vec"
    vectors.write_text("good 1 2 3\nbad 4 5 6\n")
    task = prepared(reviews, {"vectors": vectors, "freeze": True})
    good = task.input.tokens.index("good")
    assert task.network.first.weight[good].tolist() == [1, 2, 3]
    assert not task.network.first.weight.requires_grad
    assert task.facts()["with_vector"] == 2
    task.save(tmp_path)
    vectors.unlink()
    again = Classify.restore(tmp_path, task.data, task.model).build()
    assert again.first.weight.shape == task.network.first.weight.shape
    vectors.write_text("good 1 2 3\n")
    with pytest.raises(ConfigError, match="vectors have 3 components"):
        prepared(reviews, {"vectors": vectors, "embedding": 5})


@pytest.mark.parametrize("cell", ["elman", "gru", "feedforward"])
@pytest.mark.parametrize("pool", ["last", "attention"])
def test_cells_and_pools(reviews: Path, cell: str, pool: str) -> None:
    task = prepared(
        reviews, {"cell": cell, "pool": pool, "layers": 2, "bidirectional": pool == "last"}
    )
    batch = task.batches("train")[0]
    task.criterion(batch).backward()
    assert all(p.grad is not None for p in task.network.parameters())


def test_the_configuration_says_what_does_not_fit() -> None:
    with pytest.raises(ConfigError, match="only feedforward has a number of steps, not lstm"):
        ClassifyNet.parse({"steps": 3})
    with pytest.raises(ConfigError, match=r"unknown cell .*: did you mean 'feedforward'"):
        ClassifyNet.parse({"cell": "feedforwards"})
    with pytest.raises(ConfigError, match="k1: unknown key"):
        config_class("classify").parse({"train": {"k1": 5}})
    with pytest.raises(ConfigError, match="kjv is a data set for language, not for classify"):
        Classify.prepare(ClassifyData(name="kjv"), ClassifyNet())
