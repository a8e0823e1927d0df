"""Tagging: labels for every word, also for words that training did not have."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import sklearn.metrics
import torch
from torch.nn import functional as F

import elman
from elman._errors import DataError
from elman.data import Ragged
from elman.metrics import Metric
from elman.tasks import Tag, TagData, TagNet
from elman.tasks._tag_net import Forms
from elman.training import config_class, train


def sentences(count: int = 60, seed: int = 0) -> list[tuple[list[str], list[str]]]:
    """Names have a capital; "may" is a verb after a name, else a noun."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        name = draw.choice("ABCDEFGH") + "".join(draw.choices("aeiou", k=draw.randint(2, 5)))
        found.append(([name, "may", "go"], ["NAME", "VERB", "VERB"]))
        found.append((["in", "may", name, "sleeps"], ["ADP", "NOUN", "NAME", "VERB"]))
    return found


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.tsv"
    blocks = ["\n".join(f"{w}\t{t}" for w, t in zip(*s, strict=True)) for s in sentences()]
    path.write_text("\n\n".join(blocks))
    return path


def prepared(path: Path, model: dict[str, Any] | None = None, **data: Any) -> Tag:
    section = TagData.parse({"train": [path], "batch": 8, **data})
    small = {"hidden": 8, "embedding": 6, "characters": 6, **(model or {})}
    task = Tag.prepare(section, TagNet.parse(small))
    torch.manual_seed(0)
    task.network = task.build()
    return task


def test_the_loss_is_over_real_words(corpus: Path) -> None:
    task = prepared(corpus)
    task.network.eval()
    batch = task.batches("valid")[0]
    assert batch.count(0, 1) == int(batch.columns()["x_lengths"].sum())
    total = 0.0
    for row in batch.indices.tolist():
        x, y = (batch.of[name][row].long() for name in ("x", "y"))
        scores = task.network(x[None], torch.tensor([len(x)]), task.words.forms)
        total += F.cross_entropy(scores[0], y, reduction="sum").item()
    assert task.criterion(batch).item() == pytest.approx(total, rel=1e-5)


def test_it_learns_from_context_and_characters(corpus: Path, tmp_path: Path) -> None:
    settings = {
        "data": {"train": [corpus], "batch": 8},
        "model": {"hidden": 12, "embedding": 8, "characters": 8, "dropout": 0.1},
        "train": {"epochs": 12, "lr": 0.02},
    }
    result = train(config_class("tag").parse(settings), tmp_path / "run")
    assert result.metrics["test"]["accuracy"] > 0.98
    assert result.metrics["test"]["unknown_accuracy"] > 0.95
    per_word = result.baselines["most_frequent_per_word"]["test"]
    assert per_word["accuracy"] < 0.9
    task = elman.load(result.run.path)
    assert task.evaluate("test") == result.metrics["test"]
    verb, noun = task.answers([{"tokens": ["Xuu", "may", "go"]}, {"tokens": ["in", "may"]}])
    assert verb["tags"] == ["NAME", "VERB", "VERB"]
    assert noun["tags"] == ["ADP", "NOUN"]
    assert task.row_of("in may") == {"tokens": ["in", "may"]}


def test_new_words_of_other_files_do_not_stay(corpus: Path, tmp_path: Path) -> None:
    task, other = prepared(corpus), tmp_path / "other.tsv"
    other.write_text("Zyzzy\tNAME\nmay\tVERB\n")
    before = task.words.forms.all()
    moved = task.with_data([other])
    assert task.words.forms.all() == before
    assert "Zyzzy" in moved.words.forms.all()
    assert set(moved.evaluate("test")) >= {"accuracy", "unknown_accuracy"}
    other.write_text("Zyzzy\tPLANET\n")
    with pytest.raises(DataError, match=r"other.tsv, line 1, column 'tags': 'PLANET' was not in"):
        task.with_data([other])


def test_lists_in_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"words": w, "pos": t} for w, t in sentences()]
    path.write_text("\n".join(map(json.dumps, rows)))
    task = prepared(path, tokens="words", tags="pos")
    assert task.labels == ["ADP", "NAME", "NOUN", "VERB"]
    path.write_text(path.read_text() + '\n{"words": ["a", "b"], "pos": ["X"]}')
    with pytest.raises(DataError, match=r"line 121, column 'pos': 2 words have 1 labels"):
        prepared(path, tokens="words", tags="pos")


def test_spans_are_scored_where_labels_are_bio(tmp_path: Path) -> None:
    path = tmp_path / "ner.txt"
    path.write_text("EU B-ORG\nsaid O\n\nBonn B-LOC\nam I-LOC\nRhein I-LOC\n\n" * 20)
    task = prepared(path, unique=False)
    measured = task.evaluate("test")
    rows = task.part("test")
    predicted = torch.cat(task.logarithms(rows)).argmax(-1)
    flat = [[task.labels[i] for i in v] for v in (predicted.tolist(), rows["y"].values.tolist())]
    f1 = sklearn.metrics.f1_score(flat[1], flat[0], average="macro", zero_division=0)
    assert measured["macro_f1"] == pytest.approx(f1)
    assert 0 <= measured["span_f1"] <= 1
    assert task.metric == Metric("span_f1", higher_is_better=True)
    assert "span_f1" in task.baselines()["most_frequent_per_word"]["test"]


def test_a_form_is_known_by_its_characters() -> None:
    forms = Forms(["<unk>", "cat"], ["<unk>", "C", "a", "t", "s"])
    numbers = torch.tensor(forms.numbers(["Cat", "cats", "tac"]))
    assert forms.words(numbers).tolist() == [1, 0, 0]
    letters, lengths = forms.characters(numbers)
    assert letters.tolist() == [[1, 2, 3, 0], [0, 2, 3, 4], [3, 2, 0, 0]]
    assert lengths.tolist() == [3, 4, 3]
    assert forms.numbers(["new"]) == [3]
    assert forms.words(torch.tensor([3])).tolist() == [0]


@pytest.mark.parametrize("model", [{"characters": 0}, {"cell": "feedforward", "window": 4}])
def test_batches_of_other_lengths_change_nothing(corpus: Path, model: dict[str, Any]) -> None:
    task = prepared(corpus, {"layers": 2, **model})
    rows = task.part("valid")
    together = task.logarithms(rows)
    task.batch_rows = 1
    for one, other in zip(together, task.logarithms(rows), strict=True):
        torch.testing.assert_close(one, other)
    assert [len(row) for row in together] == rows.lengths("x").tolist()


def test_a_window_sees_no_further(corpus: Path) -> None:
    task = prepared(corpus, {"cell": "feedforward", "window": 3})
    words = ["in", "may", "Aaa", "may", "go"]

    def scores(tokens: list[str]) -> torch.Tensor:
        x = Ragged.of([task.words.forms.numbers(tokens)])
        return task.logarithms(elman.data.Rows({"x": x}))[0]

    changed = scores([*words[:4], "sleeps"])
    torch.testing.assert_close(scores(words)[:3], changed[:3])
    assert not torch.allclose(scores(words)[3:], changed[3:])


def test_vectors_of_words(corpus: Path, tmp_path: Path) -> None:
    vectors = tmp_path / "v.vec"
    vectors.write_text("may " + " ".join("123456") + "\n")
    task = prepared(corpus, {"vectors": vectors, "freeze": True})
    may = task.words.forms.words(torch.tensor(task.words.forms.numbers(["may"])))
    assert task.network.words.weight[may].tolist() == [[1, 2, 3, 4, 5, 6]]


def test_copy_memory_counts_the_symbols_alone() -> None:
    """Who has no memory says blanks, and then any symbol: 10 ln 8 / (steps + 20) nats."""
    section = TagData(name="copy-memory", rows=3000, steps=8)
    task = Tag.prepare(section, TagNet(hidden=2, characters=0))
    assert section.blank == "_"
    assert task.evaluate("test")["symbol_accuracy"] < 0.5
    memoryless = task.baselines()["memoryless"]["test"]
    assert memoryless["nats"] == pytest.approx(10 * math.log(8) / 28, rel=0.02)
    assert memoryless["symbol_accuracy"] == pytest.approx(1 / 8, abs=0.03)
    assert task.baselines()["most_frequent"]["test"]["symbol_accuracy"] == 0


def test_a_blank_is_a_label(corpus: Path) -> None:
    with pytest.raises(DataError, match=r"data.blank must be a label of the training rows, got 'N"):
        Tag.prepare(TagData(train=[corpus], blank="NAMES"), TagNet())
