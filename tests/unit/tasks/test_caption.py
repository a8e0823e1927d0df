"""Captions: a loss over all of them, one search, and images that cannot be read."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sacrebleu.metrics.bleu import BLEU
from torch.nn import functional as F

import elman
from elman._errors import ConfigError, DataError
from elman.cli import main
from elman.data import CATALOG, Ragged
from elman.pictures import drawn
from elman.tasks import Caption, CaptionData, CaptionNet
from elman.tasks._caption_net import CaptionNetwork
from elman.training import config_class, train

COLORS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 60, 230)}
SMALL: dict[str, Any] = {"channels": [8, 8], "hidden": 24, "embedding": 8, "longest": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with a colored half, left or right, and two captions each."""
    path, draw = tmp_path_factory.mktemp("images"), random.Random(0)
    lines = ["image,caption"]
    for number in range(90):
        color, side = draw.choice([*COLORS]), draw.choice(["left", "references"])
        pixels = np.random.default_rng(number).integers(0, 40, (12, 12, 3)).astype(np.uint8)
        pixels[:, slice(6) if side == "left" else slice(6, 12)] = COLORS[color]
        Image.fromarray(pixels).save(path / f"{number}.png")
        lines += [f"{number}.png,{color.title()}  on the {side}", f"{number}.png,the {side} is it"]
    (path / "captions.csv").write_text("\n".join(lines))
    return path


def prepared(folder: Path, model: dict[str, Any] | None = None, **data: Any) -> Caption:
    section = CaptionData.parse({"train": [folder], "size": 12, "batch": 8, **data})
    task = Caption.prepare(section, CaptionNet.parse({**SMALL, **(model or {})}))
    torch.manual_seed(0)
    task.network = task.build()
    return task


def test_the_loss_is_over_the_words_of_all_captions(folder: Path) -> None:
    task = prepared(folder)
    task.network.eval()
    batch = task.batches("valid")[0]
    columns, total, count = batch.columns(), 0.0, 0
    for row in range(batch.rows):
        seen = task.network.encode(columns["image"][row : row + 1])
        real = columns["tokens"][row, : columns["tokens_lengths"][row]].tolist()
        text = task.vocabulary.decode(real).strip().split("\n")
        assert len(text) == 2
        for caption in text:
            words = torch.tensor(task.vocabulary.encode(f"{caption}\n"))
            before = torch.cat([torch.tensor([task.end]), words[:-1]])
            scores, _ = task.network(seen, before[:, None], torch.tensor([len(words)]))
            total += F.cross_entropy(scores[:, 0], words, reduction="sum").item()
            count += len(words)
    assert batch.count(0, 1) == count
    assert task.criterion(batch).item() == pytest.approx(total, rel=1e-5)


KINDS: list[dict[str, Any]] = [
    {"attention": "none", "cell": "gru"},
    {"attention": "bahdanau", "layers": 2},
    {"attention": "luong", "cell": "elman"},
    {"cell": "feedforward"},
]


@pytest.mark.parametrize("model", KINDS)
def test_the_search_is_that_of_each_image_alone(folder: Path, model: dict[str, Any]) -> None:
    task = prepared(folder, model)
    for parameter in task.network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    task.network.double().output.bias.data[task.end] -= 3
    rows = task.part("valid")
    together = task.captions(rows)
    task.batch_rows = 1
    alone = task.captions(rows)
    assert [one.tokens for one in together] == [one.tokens for one in alone]
    assert len({round(one.log_probability, 3) for one in alone}) > 1
    for image, caption in zip(rows["image"], alone, strict=True):
        words = torch.tensor([*caption.tokens, task.end][: task.model.longest])
        before = torch.cat([torch.tensor([task.end]), words[:-1]])[:, None]
        with torch.no_grad():
            task.network.eval()
            scores, _ = task.network(
                task.network.encode(image[None]), before, torch.tensor([len(words)])
            )
        logs = scores[:, 0].log_softmax(-1)
        total = float(logs[torch.arange(len(words)), words].sum())
        assert caption.log_probability == pytest.approx(total)


def test_it_learns_what_is_where(folder: Path, tmp_path: Path) -> None:
    settings = {
        "data": {"train": [folder], "size": 12, "batch": 8, "aim": "exact_match"},
        "model": {**SMALL, "dropout": 0.0},
        "train": {"epochs": 14, "lr": 0.01},
    }
    result = train(config_class("caption").parse(settings), tmp_path / "run")
    assert result.metrics["test"]["exact_match"] == 1
    assert result.baselines["most_frequent"]["test"]["exact_match"] < 0.9
    assert result.baselines["nearest_image"]["test"]["exact_match"] == 1  # there is little noise
    assert {f.name for f in result.pictures} == {
        f"{name}.{kind}" for name in ("captions", "attention") for kind in ("png", "svg")
    }
    task = elman.load(result.run.path)
    assert task.evaluate("test") == result.metrics["test"]
    facts = task.facts()
    assert facts["captions"]["train"] == 2 * facts["rows"]["train"]
    [table] = task.tables(task.predict("test"))
    assert "refs:2" in table.title
    assert table.rows[0][0] in str(table.rows[0][1]).split(" / ")
    looked = task.attended(task.part("test")["image"][0], task.captions(task.part("test"))[0])
    assert looked.weights.shape == (len(looked.words), 3, 3)
    torch.testing.assert_close(looked.weights.sum((1, 2)), torch.ones(len(looked.words)))

    for given in (["--image", str(folder / "0.png")], ["--input", str(folder)]):
        main(["predict", str(result.run.path), *given, "--beam", "2"])


def test_captions_are_measured_as_sacrebleu_does(folder: Path) -> None:
    task = prepared(folder)
    rows = task.part("test")
    texts = ["red on the left", "blue on a left"] + ["the right is it"] * (len(rows) - 2)
    measured = task._measured(texts, rows)
    texts_of = [bytes(rows["references"][i].tolist()).decode() for i in range(len(rows))]
    right = [text.split("\n")[:2] for text in texts_of]
    streams = [list(stream) for stream in zip(*right, strict=True)]
    for name, order in (("bleu", 4), ("bleu_1", 1), ("bleu_3", 3)):
        expected = BLEU(max_ngram_order=order).corpus_score(texts, streams).score
        assert measured[name] == pytest.approx(expected)
    hits = sum(text in texts for text, texts in zip(texts, right, strict=True))
    assert measured["exact_match"] == hits / len(rows)
    assert all(text == text.lower() and "  " not in text for texts in right for text in texts)


def test_an_image_that_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    for name in ("0.png", "1.png", "2.png", "3.png"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    file = tmp_path / "captions.csv"
    rows = [f"{n}.png,it is number {n}" for n in range(5)]
    file.write_text("\n".join(["image,caption", *rows]))
    (tmp_path / "2.png").write_text("no image")
    bad = r"captions.csv, line 4, column 'image': .*2.png: cannot be read: cannot identify"
    with pytest.raises(DataError, match=bad + ".*--on-bad-row skip"):
        prepared(tmp_path)
    task = prepared(folder, on_bad_row="skip")
    moved = task.with_data([tmp_path])
    facts = moved.facts()
    assert (facts["rows"], facts["bad_rows"]) == ({"test": 3}, 2)
    assert "4.png: no such file" in facts["first_bad"][1]
    given = [{"image": tmp_path / f"{n}.png"} for n in (0, 2, 3)]
    assert [a["image"] for a in moved.answers(given)] == [
        str(given[0]["image"]),
        str(given[2]["image"]),
    ]
    task.source.bad.action = "error"
    with pytest.raises(DataError, match=r"2.png, column 'image': .*cannot be read"):
        task.answers(given)


def test_captions_of_a_batch_find_their_images(folder: Path) -> None:
    task = prepared(folder)
    end = task.end
    tokens = Ragged.of([[5, end], [6, 7, end, end, 8, end], [9, end, 4, end]])
    captions, owners = task._captions(*tokens.padded(torch.arange(3)))
    assert owners.tolist() == [0, 1, 1, 1, 2, 2]
    assert [row.tolist() for row in torch.split(captions.values, captions.lengths.tolist())] == [
        [5, end], [6, 7, end], [end], [8, end], [9, end], [4, end],
    ]  # fmt: skip


def test_named_sets_say_what_they_need() -> None:
    assert CaptionData.parse({}).name == "scenes"
    assert (CaptionData.parse({}).size, CaptionData.parse({}).aim) == (40, "exact_match")
    assert CaptionData.parse({"name": "openmoji"}).aim == "bleu"
    assert {d.name for d in CATALOG if "caption" in d.tasks} == {"openmoji", "scenes"}
    with pytest.raises(ConfigError, match="3 convolutions an image is a single region"):
        CaptionNetwork(CaptionNet(), size=8, vocabulary_size=5, words=3)
    with pytest.raises(ConfigError, match="bidirectional: unknown key"):
        CaptionNet.parse({"bidirectional": True})


def test_a_sheet_marks_a_wrong_caption(folder: Path) -> None:
    task = prepared(folder)
    sheet = task.plots(task.predict("test"))[0]
    with drawn(sheet) as figure:
        titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    rows = task.part("test")
    assert len(titles) == min(12, len(rows))
    assert all("(reference: " in " ".join(title.split("\n")) for title in titles)  # it is untrained


@pytest.mark.parametrize(("cell", "bias"), [("lstm", 1.0), ("elman", None)])
def test_a_cell_with_a_memory_gate_keeps_the_image_at_first(cell: str, bias: float | None) -> None:
    network = CaptionNetwork(CaptionNet(hidden=4, cell=cell), size=16, vocabulary_size=5, words=3)
    inner: Any = network.decoder
    weights = inner.layer.layers[0].cell
    if bias is not None:
        assert torch.equal(weights.bias_ih[4:8] + weights.bias_hh[4:8], torch.full((4,), bias))
