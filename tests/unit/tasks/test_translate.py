"""Translation: pairs from files, what may look at what, and that it learns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

import elman
from elman import ConfigError, DataError
from elman.data import Rows
from elman.pictures import save
from elman.tasks import Translate, TranslateData, TranslateNet
from elman.training import Training

CHARS: dict[str, Any] = {"level": "char", "target_level": "char", "aim": "exact_match"}
SMALL: dict[str, Any] = {"hidden": 8, "embedding": 6, "dropout": 0.0}


def spelled(length: int, rows: int, seed: int = 0) -> list[tuple[str, str]]:
    """Words, and the same backwards in capitals."""
    draw = torch.Generator().manual_seed(seed)
    words = [
        "".join("abcd"[i] for i in torch.randint(4, (n,), generator=draw).tolist())
        for n in torch.randint(1, length + 1, (rows,), generator=draw).tolist()
    ]
    return [(word, word[::-1].upper()) for word in words]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "pairs.tsv"
    file.write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in spelled(4, 200)))
    return file


def prepared(file: Path, model: dict[str, Any] | None = None, **data: Any) -> Translate:
    torch.manual_seed(0)
    options = CHARS | data
    task = Translate.prepare(
        TranslateData.parse({"train": [file], **options}), TranslateNet.parse(SMALL | (model or {}))
    )
    task.network = task.build()
    return task


def test_a_source_with_several_translations_is_one_row_to_test(table: Path) -> None:
    with table.open("a") as file:
        file.writelines(f"{'e' * i}\t{x}\n" for i in range(1, 31) for x in "XYZZ")
    task = prepared(table, valid_share=0.3, test_share=0.3)
    pairs = [*spelled(4, 200), *[("", "")] * 30]  # of each "e...", a Z is one too many
    assert task.source.duplicates == len(pairs) - len({*pairs} - {("", "")})
    sources = {split: _sources(task, rows) for split, rows in task.parts.items()}
    assert len(sources["test"]) == len(set(sources["test"]))
    assert not set(sources["train"]) & (set(sources["test"]) | set(sources["valid"]))
    assert not set(sources["valid"]) & set(sources["test"])
    assert sources["train"].count(next(s for s in sources["train"] if "e" in s)) == 3
    row = next(i for i, source in enumerate(sources["test"]) if "e" in source)
    right = bytes(task.parts["test"]["references"][row].tolist()).decode()
    assert sorted(right.split("\n")) == ["X", "Y", "Z"]


def _sources(task: Translate, rows: Rows) -> list[str]:
    return [
        task.source_text.vocabulary.decode(row.tolist()).strip()
        for row in map(rows["x"].__getitem__, range(len(rows)))
    ]


def parallel(folder: Path, ours: str, theirs: str) -> list[Path]:
    files = [folder / "a.de", folder / "a.en"]
    for file, text in zip(files, (ours, theirs), strict=True):
        file.write_text(text)
    return files


def test_parallel_files(tmp_path: Path) -> None:
    numbers = range(40)
    files = parallel(
        tmp_path, "".join(f"eins {i}\n" for i in numbers), "".join(f"one {i}\n" for i in numbers)
    )
    data = TranslateData.parse({"train": files, "test": files, **CHARS})
    task = Translate.prepare(data, TranslateNet.parse(SMALL))
    assert {split: len(rows) for split, rows in task.parts.items()} == {
        "train": 36,
        "valid": 4,
        "test": 40,
    }
    x, y = (task.parts["test"][name][7] for name in "xy")
    assert (task.source_text.vocabulary.decode(x), task.target_text.vocabulary.decode(y)) == (
        "eins 7\n",
        "one 7\n",
    )


def test_parallel_files_of_different_lengths(tmp_path: Path) -> None:
    files = parallel(tmp_path, "eins\nzwei\ndrei\n", "one\ntwo\n")
    with pytest.raises(DataError, match=r"same number of lines, got 3 in .*a\.de and 2 in .*a\.en"):
        Translate.prepare(TranslateData.parse({"train": files, **CHARS}), TranslateNet())
    with pytest.raises(DataError, match=r"a\.de has no translation: give parallel files two by"):
        Translate.prepare(TranslateData.parse({"train": files[:1], **CHARS}), TranslateNet())
    files[1].unlink()
    with pytest.raises(DataError, match=r"a\.en: no such file"):
        Translate.prepare(TranslateData.parse({"train": files, **CHARS}), TranslateNet())


def test_an_empty_side_is_a_bad_row(tmp_path: Path) -> None:
    lines = [f"eins {i}" for i in range(30)]
    files = parallel(tmp_path, "\n".join(lines), "\n".join([*lines[:9], " ", *lines[10:]]))
    with pytest.raises(DataError, match=r"a\.de, line 10, column 'target': is empty; fix the row"):
        Translate.prepare(TranslateData.parse({"train": files, **CHARS}), TranslateNet())
    skipped = TranslateData.parse({"train": files, "on_bad_row": "skip", **CHARS})
    facts = Translate.prepare(skipped, TranslateNet()).facts()
    assert facts["bad_rows"] == 1
    assert sum(facts["rows"].values()) == 29


ATTENTIONS = [{"attention": "none"}, {"attention": "luong"}, {"attention": "bahdanau"}]
NETWORKS = [
    *ATTENTIONS,
    {"attention": "luong", "feed": True},
    {"attention": "bahdanau", "feed": False},
]


@pytest.mark.parametrize("model", NETWORKS, ids=str)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_loss_is_that_of_each_row_alone(model: dict[str, Any], cell: str, table: Path) -> None:
    task = prepared(table, {**model, "cell": cell, "layers": 2})
    [batch] = task.batched(task.parts["test"])
    with torch.no_grad():
        task.network.eval()
        whole = task.criterion(batch)
        rows = [task.parts["test"].select(torch.tensor([i])) for i in range(batch.rows)]
        alone = [task.batched(row)[0] for row in rows]
        torch.testing.assert_close(whole, torch.stack([task.criterion(b) for b in alone]).sum())
    assert batch.terms == sum(b.terms for b in alone)


@pytest.mark.parametrize("model", NETWORKS, ids=str)
def test_a_search_scores_as_the_loss_does(model: dict[str, Any], table: Path) -> None:
    task = prepared(table, {**model, "bidirectional": False, "smoothing": 0.3, "beam": 3})
    rows = task.parts["test"]
    for row, several in enumerate(task.translations(rows)[:5]):
        for best in several:
            y = torch.tensor([[*best.tokens, task._end]])
            if y.shape[1] > int(2 * task.ratio * rows.lengths("x")[row]) + 10:
                continue  # it was as long as is allowed, and did not end
            x = rows["x"][row][None].long()
            with torch.no_grad():
                lengths = torch.tensor([x.shape[1]]), torch.tensor([y.shape[1]])
                nats = task.network.eval()(x, lengths[0], y, lengths[1])
            assert best.log_probability == pytest.approx(-float(nats), abs=1e-4)


def test_without_attention_all_goes_through_the_last_state(table: Path) -> None:
    blind, seeing = (prepared(table, {"attention": a}) for a in ("none", "luong"))
    assert blind.network.decoder.attention is None
    [batch] = blind.batched(blind.parts["test"])
    x, lengths = blind._read(batch, "x")
    assert blind.network.encode(x, lengths)[1] is None
    assert seeing.network.encode(x, lengths)[1] is not None


def test_scheduled_sampling_tells_the_decoder_its_own(table: Path) -> None:
    task = prepared(table, {"sampling": 1.0})
    [batch, *_] = task.batches("train", epoch=0)
    assert task.network.sampling == 0
    told = task.criterion(batch)
    task.batches("train", epoch=3)
    assert task.network.sampling == 0.75
    assert not torch.equal(task.criterion(batch), told)
    task.network.sampling = 1.0
    one, two = (task.criterion(batch) for _ in range(2))
    torch.testing.assert_close(one, two)  # all are its own: nothing is left to chance
    task.network.eval()
    task.network.smoothing, plain = 0.0, task.criterion(batch)
    task.network.sampling = 0.0
    torch.testing.assert_close(task.criterion(batch), plain)  # only in training


def test_it_learns_and_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "words.tsv"
    file.write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in spelled(3, 600)))
    config = Training(max_steps=120, lr=0.02, seed=1)
    data = TranslateData.parse({"train": [file], "batch": 16, **CHARS})
    sections = elman.training.config_class("translate")
    net = {"hidden": 24, "embedding": 12, "attention": "luong", "dropout": 0.0}
    whole = sections.parse(
        {"data": data.model_dump(), "model": net, "train": config.model_dump(exclude_none=True)}
    )
    result = elman.training.train(whole, tmp_path / "run")
    assert result.metrics["test"]["exact_match"] == 1
    assert result.baselines["word_by_word"]["test"]["exact_match"] < 0.7
    task = elman.load(tmp_path / "run")
    assert task.evaluate("test") == pytest.approx(result.metrics["test"], abs=1e-5)
    assert task.answers([{"source": "abc"}])[0]["translation"] == "CBA"
    task.beam = 3
    [answer] = task.answers([{"source": "abz"}])
    assert answer["unknown"] == ["z"]
    assert len(answer["others"]) == 2
    logs = [answer["log_probability"], *answer["others"].values()]
    assert sum(map(math.exp, logs)) <= 1 + 1e-6  # probabilities of different sequences
    [lengths] = task.tables(task.predict("test"))
    assert [row[0] for row in lengths.rows] == ["1", "2", "3"][-len(lengths.rows) :]
    shortest, *_ = task.predict("test").alignments
    assert shortest.weights.shape == (len(shortest.target), len(shortest.source))
    torch.testing.assert_close(shortest.weights.sum(1), torch.ones(len(shortest.target)))
    names = [file.name for file in save(task.plots(task.predict("test")), tmp_path)]
    assert names == ["by-length.png", "by-length.svg", "attention.png", "attention.svg"]


def test_own_settings_and_their_limits() -> None:
    assert TranslateData.parse({}).aim == "phoneme_error"
    assert TranslateData.parse({"name": "emoji", "target": "fr"}).target == "fr"
    with pytest.raises(ConfigError, match="emoji has no column 'english': choose from: en, ar, de"):
        TranslateData.parse({"name": "emoji", "source": "english"})
    for given, message in (
        ({"cell": "feedforward"}, "translation has no feedforward"),
        ({"attention": "none", "feed": True}, "nothing to feed"),
        ({"tied": True, "embedding": 3}, "an embedding of 3 and 128 hidden"),
    ):
        with pytest.raises(ConfigError, match=message):
            TranslateNet.parse(given)


def test_bleu_needs_its_package(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.metrics.has_sacrebleu", lambda: False)
    with pytest.raises(ConfigError, match=r'sacrebleu: pip install "elman\[data\]"'):
        prepared(table, aim="bleu")


@pytest.mark.parametrize("level", ["word", "char", "bpe", "unigram"])
def test_texts_come_out_as_they_went_in(level: str, tmp_path: Path) -> None:
    texts = [f"A dog, no. {i % 4}, runs (fast)!" for i in range(50)]
    files = parallel(tmp_path, "\n".join(texts), "\n".join(texts))
    levels = {"level": level, "target_level": level, "vocabulary": 400}
    task = prepared(files[0], train=files, unique=False, aim="bleu", **levels)
    tokens = [row[:-1] for row in map(task.parts["test"]["y"].__getitem__, range(5))]
    right = [bytes(task.parts["test"]["references"][i].tolist()).decode() for i in range(5)]
    assert [task.target_text.vocabulary.decode(row) for row in tokens] == right


def test_too_long_rows_are_read_in_part_and_said(table: Path) -> None:
    task = prepared(table, max_length=3)
    longer = task.facts()["longer"]
    assert longer["than"] == 3
    assert longer["train"] == int((task.parts["train"].lengths("x") > 3).sum())
    assert task.evaluate("test")["nats"] > 0
