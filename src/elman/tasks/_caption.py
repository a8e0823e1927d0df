"""Captioning: an image in, a sentence about it out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from elman import metrics as measure
from elman.baselines import NearestRow
from elman.data import EOS, UNK, Ragged, Record, Rows, Vocabulary, read_captions, read_image
from elman.data._images import IMAGES, Pixels
from elman.data._table import FORMATS
from elman.decode import Hypothesis, beam
from elman.pictures import Picture
from elman.scan import mask
from elman.tasks._answers import beside, value_of
from elman.tasks._base import Metrics, Table, evaluating
from elman.tasks._caption_config import CaptionData, CaptionNet
from elman.tasks._caption_net import CaptionNetwork
from elman.tasks._caption_picture import Looked, Shown, attention, contact_sheet
from elman.tasks._supervised import Part
from elman.tasks._table import TableTask

SHOWN, LOOKED = 12, 3
"""Images of a contact sheet, and rows of the table; images of the picture of attention."""


class Example(NamedTuple):
    """An image as bytes (3, size, size), and all that people say of it."""

    image: Pixels
    captions: list[str]


class Caption(TableTask):
    r"""One to many: a sentence about an image, word by word.

    .. math:: L = -\frac1N \sum_{b,t} \ln p(y_{b,t} \mid x_b, y_{b,<t})

    The mean is over the words of all captions, with the end of each. Make one with `prepare`, train
    it with `elman.training.fit`, get it back with `elman.load`.

    Example:
        >>> data = CaptionData(name="scenes", rows=30, steps=1)
        >>> task = Caption.prepare(data, CaptionNet(channels=[4, 4, 4], hidden=8))
        >>> task.facts()["rows"]
        {'train': 24, 'valid': 3, 'test': 3}
        >>> task.network = task.build()
        >>> sorted(task.evaluate("test"))
        ['bleu', 'bleu_1', 'bleu_2', 'bleu_3', 'exact_match', 'nats']

    References:
        Vinyals et al. 2015, "Show and tell: a neural image caption generator".
        Papineni et al. 2002, "BLEU", for the measure of captions that are not the only right ones.
    """

    name: ClassVar[str] = "caption"
    suits: ClassVar[str] = "caption"
    counted: ClassVar[str] = "words"
    sort_by = "tokens"
    data: CaptionData
    network: CaptionNetwork
    vocabulary: Vocabulary

    def __init__(self, data: CaptionData, model: CaptionNet) -> None:
        super().__init__(data, model)
        self.model: CaptionNet = model
        self.beam = model.beam
        self.words = 0  # of the longest caption, with its end

    def wanted(self) -> list[str]:
        return [self.data.image, self.data.caption]

    def read(self, path: Path) -> Iterator[Record]:
        data = self.data
        columns: Any = {"image": data.image, "caption": data.caption, "names": data.columns}
        return read_captions(path, self.bad, images=data.images, encoding=data.encoding, **columns)

    def parse(self, values: Mapping[str, Any]) -> Example:
        captions = values["captions"] if "captions" in values else [values["caption"]]
        plain = [" ".join(caption.split()) for caption in captions]
        image = read_image(values["image"], self.data.size)
        return Example(image, [c.lower() for c in plain] if self.data.lowercase else plain)

    def key(self, example: Example) -> bytes:
        return example.image.tobytes()

    def learn(self, examples: Sequence[Example]) -> None:
        data = self.data
        captions = [f"{caption}\n" for example in examples for caption in example.captions]
        options: Any = {"min_count": data.min_count, "max_size": data.vocabulary}
        self.vocabulary = Vocabulary.train(captions, eos=True, punctuation=True, **options)
        self.words = max(map(len, self.vocabulary.encode_lines(captions)))

    def encode(self, examples: Sequence[Example]) -> Rows:
        texts = ["".join(f"{c}\n" for c in example.captions) for example in examples]
        return Rows(
            {
                "image": torch.stack([torch.from_numpy(example.image) for example in examples]),
                # All captions of an image, one after the other, each with its end.
                "tokens": Ragged.of(map(self.vocabulary.encode, texts), torch.int32),
                "right": Ragged.of([list(text.encode()) for text in texts], torch.uint8),
            }
        )

    def learned(self) -> dict[str, Any]:
        return {"tokenizer": json.loads(self.vocabulary.to_json()), "words": self.words}

    def recall(self, learned: Mapping[str, Any]) -> None:
        self.vocabulary = Vocabulary.from_json(json.dumps(learned["tokenizer"]))
        self.words = int(learned["words"])

    def build(self) -> CaptionNetwork:
        return CaptionNetwork(self.model, self.data.size, len(self.vocabulary), self.words)

    @property
    def end(self) -> int:
        """The token after a caption, and before it."""
        return self.vocabulary.index(EOS)

    @property
    def unknown(self) -> int:
        return self.vocabulary.index(UNK)

    def terms(self, rows: Rows, indices: Tensor) -> int:
        return int(rows.lengths("tokens")[indices].sum())

    def criterion(self, batch: Part) -> Tensor:
        columns = batch.columns()
        captions, owners = self._captions(columns["tokens"].cpu(), columns["tokens_lengths"].cpu())
        padded, lengths = captions.padded(torch.arange(len(captions)))
        targets, real = padded.to(batch.device), mask(lengths, padded.shape[1], device=batch.device)
        seen = self.network.look(columns["image"]).of(owners.to(batch.device))
        scores, _ = self.network(seen, self._told(targets).T, lengths)
        return F.cross_entropy(scores.transpose(0, 1)[real], targets[real], reduction="sum")

    def _captions(self, tokens: Tensor, lengths: Tensor) -> tuple[Ragged, Tensor]:
        """The captions of a batch, each a row, and the image that each belongs to."""
        real = mask(lengths, tokens.shape[1])
        words = tokens[real]
        ends = torch.nonzero(words == self.end)[:, 0] + 1
        owners = torch.nonzero((tokens == self.end) & real)[:, 0]
        return Ragged(words, ends.diff(prepend=ends.new_zeros(1))), owners

    def _shifted(self, tokens: Tensor) -> Tensor:
        """The tokens before these (rows, time)."""
        return F.pad(tokens[:, :-1], (1, 0), value=self.end)

    def _told(self, tokens: Tensor) -> Tensor:
        """The tokens before these, some of them hidden in training (Bowman et al. 2016)."""
        before = self._shifted(tokens)
        if not self.network.training:
            return before
        hidden = torch.rand(before.shape, device=before.device) < self.model.word_dropout
        return before.masked_fill(hidden & (before != self.end), self.unknown)

    def words_of(self, rows: Rows) -> dict[str, list[str]]:
        """Of the first caption of the first image, each word and before it the end."""
        read = rows.take(torch.tensor([0]))["tokens"][0].tolist()
        first = [self.end, *read[: read.index(self.end)]]
        return {"decoder": [self.vocabulary.token(index) for index in first]}

    def said(self, rows: Rows) -> list[Hypothesis]:
        """The best caption that is found for each image, in their order."""
        return self.in_order(rows, self._search)

    def _search(self, batch: Part) -> list[Hypothesis]:
        images = _images(batch.of)[batch.indices].to(batch.device)
        state, memory = self.network.look(images)
        step = partial(self.network.step, memory=memory)
        first = torch.full((batch.rows,), self.end, device=batch.device)
        found = beam(
            step,
            *step(first, state),
            end=self.end,
            width=self.beam,
            length=self.model.longest,
            penalty=self.model.length_penalty,
            forbidden=[self.unknown],
        )
        return [several[0] for several in found]

    def text(self, caption: Hypothesis) -> str:
        return self.vocabulary.decode(caption.tokens)

    def evaluate(self, split: str) -> Metrics:
        said, nats = self._texts_of(split), super().evaluate(split)["nats"]
        return {**self._measured(said, self.part(split)), "nats": nats}

    def _texts_of(self, split: str) -> list[str]:
        return self.once(("said", split), lambda: [*map(self.text, self.said(self.part(split)))])

    def _measured(self, said: Iterable[str], rows: Rows) -> Metrics:
        said, right = list(said), _right(rows)
        hits = sum(text in texts for text, texts in zip(said, right, strict=True))
        metrics = {f"bleu_{n}": measure.bleu(said, right, n).score for n in (1, 2, 3)}
        metrics = {"bleu": measure.bleu(said, right).score, **metrics}
        exact = {"exact_match": hits / len(said)}
        return {**exact, **metrics} if self.data.aim == "exact_match" else {**metrics, **exact}

    def score(self, metrics: Metrics) -> float:
        return -metrics[self.data.aim]

    def facts(self) -> dict[str, Any]:
        facts = super().facts()
        captions = {split: sum(map(len, _right(rows))) for split, rows in self.parts.items()}
        return {**facts, "captions": captions, "vocabulary": len(self.vocabulary)}

    def tables(self, split: str) -> list[Table]:
        """Some captions, beside those of people, and how BLEU was counted."""
        said, right = self._texts_of(split), _right(self.part(split))
        pairs = [[one, " / ".join(of)] for one, of in zip(said, right, strict=True)]
        signature = measure.bleu(said, right).signature
        return [Table(f"captions, BLEU {signature}", ["said", "right"], pairs[:SHOWN])]

    def pictures(self, split: str) -> list[Picture]:
        """A sheet of images with their captions; and where the decoder looked, word by word."""
        rows = self.part(split)
        rows = rows.select(torch.arange(min(SHOWN, len(rows))))
        found, images = self.said(rows), _images(rows)
        said = [self.text(caption) for caption in found]
        shown = [Shown(*one) for one in zip(images, said, _right(rows), strict=True)]
        pictures = [Picture("captions", partial(contact_sheet, shown), (8.0, 7.0))]
        if self.network.decoder.attention is not None:
            looked = [self.looked(*one) for one in zip(images[:LOOKED], found, strict=False)]
            size = (1.0 + max(len(one.words) for one in looked), 1.3 * len(looked))
            pictures.append(Picture("attention", partial(attention, looked), size))
        return pictures

    def looked(self, image: Tensor, caption: Hypothesis) -> Looked:
        """Where the decoder looks for each word of a caption, with its end."""
        words = torch.tensor([[*caption.tokens, self.end]], device=self.device)
        lengths = torch.tensor([words.shape[1]], device=self.device)
        with evaluating(self.network):
            seen = self.network.look(image[None].to(self.device))
            _, weights = self.network(seen, self._shifted(words).T, lengths)
        assert weights is not None
        side = self.network.side
        tokens = [self.vocabulary.token(int(word)) for word in words[0]]
        return Looked(image, tokens, weights[:, 0].view(-1, side, side).cpu())

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """The most frequent caption; and that of the training image whose pixels are nearest."""
        train = self.parts["train"]
        right = _right(train)
        [(often, _)] = Counter(text for texts in right for text in texts).most_common(1)
        nearest = NearestRow(_images(train).flatten(1).numpy())
        found: dict[str, dict[str, Metrics]] = {"most_frequent": {}, "nearest_image": {}}
        for split, rows in self.parts.items():
            if split != "train":
                found["most_frequent"][split] = self._measured([often] * len(rows), rows)
                alike = nearest.rows(_images(rows).flatten(1).numpy())
                said = [right[row][0] for row in alike.tolist()]
                found["nearest_image"][split] = self._measured(said, rows)
        return found

    def reads(self, path: Path) -> bool:
        return path.is_dir() or bool({*path.suffixes} & {*FORMATS, *IMAGES})

    def row_of(self, text: str) -> Mapping[str, Any]:
        return {"image": Path(text)}

    def rows_of(self, path: Path) -> Iterator[Mapping[str, Any]]:
        """An image; all images of a folder; or those that a table names."""
        if path.suffix in IMAGES:
            yield {"image": path}
        elif path.is_dir():
            yield from ({"image": file} for file in sorted(path.iterdir()) if file.suffix in IMAGES)
        else:
            yield from (values for _, values in self.read(path))

    def answers(self, given: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """A caption for each ``{"image": PATH}``, beside its other columns.

        Images that cannot be read may be left out.
        """
        rows, examples = [], []
        for values in given:
            image = value_of(values, "image")
            with self.bad.caught(str(image)):
                examples.append(Example(read_image(image, self.data.size), []))
                rows.append({**values, "image": str(image)})
        found = self.said(self.encode(examples)) if examples else []
        return [
            beside(row, {"caption": self.text(one), "log_probability": one.log_probability})
            for row, one in zip(rows, found, strict=True)
        ]


def _images(rows: Rows) -> Tensor:
    images = rows["image"]
    assert isinstance(images, Tensor)
    return images


def _right(rows: Rows) -> list[list[str]]:
    """All captions of each image, as people wrote them."""
    column = rows["right"]
    assert isinstance(column, Ragged)
    return [
        bytes(row.tolist()).decode().splitlines()
        for row in torch.split(column.values, column.lengths.tolist())
    ]
