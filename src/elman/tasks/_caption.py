"""Captioning: an image in, a sentence about it out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from elman import metrics as measure
from elman._errors import ConfigError
from elman.baselines import NearestRow
from elman.data import (
    EOS,
    IMAGE_SUFFIXES,
    TABLE_FORMATS,
    UNK,
    Pixels,
    Ragged,
    Record,
    Rows,
    Vocabulary,
    read_captions,
    read_image,
)
from elman.decode import Hypothesis, beam
from elman.metrics import Metric
from elman.pictures import Picture
from elman.scan import mask
from elman.tasks._answers import beside, value_of
from elman.tasks._caption_config import CaptionData, CaptionNet
from elman.tasks._caption_encoder import Pretrained, Weights, pretrained_weights
from elman.tasks._caption_net import CaptionNetwork
from elman.tasks._caption_picture import Attended, Captioned, attention, contact_sheet
from elman.tasks._features import Feature, References, reference_texts
from elman.tasks._source import RowSource
from elman.tasks._supervised import Part, Supervised
from elman.tasks._task import Metrics, Table, evaluating

SHEET, ATTENTION_ROWS = 12, 3
"""Images of the contact sheet, and rows of the table; images of the picture of attention."""


class Image(Feature):
    """An image, as bytes (3, size, size)."""

    def __init__(self, data: CaptionData) -> None:
        self.columns, self.size = (data.image,), data.size

    def parse(self, values: Mapping[str, Any]) -> Pixels:
        return read_image(value_of(values, "image"), self.size)

    def key(self, value: Pixels) -> bytes:
        return value.tobytes()

    def encode(self, values: Sequence[Pixels]) -> Tensor:
        return torch.stack([torch.from_numpy(pixels) for pixels in values])

    def row_of(self, text: str) -> dict[str, Any]:
        return {"image": Path(text)}


class CaptionTokens(Feature):
    """All captions of an image as tokens, one caption after the other, each with its end."""

    vocabulary: Vocabulary

    def __init__(self, data: CaptionData) -> None:
        self.columns, self.data = (data.caption,), data
        self.longest = 0  # tokens of the longest caption, with its end

    def parse(self, values: Mapping[str, Any]) -> list[str]:
        captions = values["captions"] if "captions" in values else [values["caption"]]
        plain = [" ".join(caption.split()) for caption in captions]
        return [caption.lower() for caption in plain] if self.data.lowercase else plain

    def fit(self, values: Sequence[Sequence[str]]) -> None:
        data = self.data
        captions = [f"{caption}\n" for several in values for caption in several]
        options: Any = {"min_count": data.min_count, "max_size": data.vocabulary}
        self.vocabulary = Vocabulary.train(captions, eos=True, punctuation=True, **options)
        self.longest = max(map(len, self.vocabulary.encode_lines(captions)))

    def encode(self, values: Sequence[Sequence[str]]) -> Ragged:
        texts = ("".join(f"{caption}\n" for caption in several) for several in values)
        return Ragged.of(map(self.vocabulary.encode, texts), torch.int32)

    def state_dict(self) -> dict[str, Any]:
        return {"tokenizer": json.loads(self.vocabulary.to_json()), "longest": self.longest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.vocabulary = Vocabulary.from_json(json.dumps(state["tokenizer"]))
        self.longest = int(state["longest"])


class Captions(NamedTuple):
    """The network's predictions for a split.

    Attributes:
        rows: the images with the captions by people.
        texts: the caption of each image.
        nats: the mean loss of the captions by people.
        attended: where the decoder attended in the first images, if it has attention.
    """

    rows: Rows
    texts: list[str]
    nats: float
    attended: list[Attended]


class Caption(Supervised):
    r"""One to many: a sentence about an image, word by word.

    .. math:: L = -\frac1N \sum_{b,t} \ln p(y_{b,t} \mid x_b, y_{b,<t})

    The mean is over the words of all captions, with the end of each. Make one with `prepare`, train
    it with `elman.training.fit`, load it with `elman.load`.

    Example:
        >>> data = CaptionData(name="scenes", rows=30, steps=1)
        >>> task = Caption.prepare(data, CaptionNet(channels=[4, 4, 4], hidden=8))
        >>> task.facts()["rows"]
        {'train': 24, 'valid': 3, 'test': 3}
        >>> sorted(task.evaluate("test"))
        ['bleu', 'bleu_1', 'bleu_2', 'bleu_3', 'exact_match', 'nats']

    References:
        Vinyals et al. 2015, "Show and tell: a neural image caption generator".
        Papineni et al. 2002, "BLEU", for the measure of captions that are not the only right ones.
    """

    name: ClassVar[str] = "caption"
    counted: ClassVar[str] = "words"
    sort_by = "tokens"
    data: CaptionData
    network: CaptionNetwork

    def __init__(self, data: CaptionData, model: CaptionNet) -> None:
        self.tokens = CaptionTokens(data)
        targets = {"tokens": self.tokens, "references": References(self.tokens.parse)}
        features: Any = {"inputs": {"image": Image(data)}, "targets": targets}
        super().__init__(data, model, **features, read=_read, splits=True)
        self.beam = model.beam
        # Read where training begins; a run that is loaded has all weights in its checkpoint.
        self.pretrained: tuple[Weights, str] | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        return self.tokens.vocabulary

    def fit(self, examples: Sequence[Mapping[str, Any]]) -> None:
        super().fit(examples)
        self.pretrained = pretrained_weights(self.model)

    def build(self) -> CaptionNetwork:
        sizes = self.data.size, len(self.vocabulary), self.tokens.longest
        network = CaptionNetwork(self.model, *sizes)
        if self.pretrained and isinstance(network.convolutions, Pretrained):
            network.convolutions.start_from(*self.pretrained)
        return network

    @property
    def end(self) -> int:
        """The token after a caption, and before it."""
        return self.vocabulary.index(EOS)

    @property
    def unknown(self) -> int:
        return self.vocabulary.index(UNK)

    def terms(self, rows: Rows, indices: Tensor) -> int:
        if "tokens" not in rows.columns:  # rows that are answered have no captions
            return 0
        return int(rows.lengths("tokens")[indices].sum())

    def criterion(self, batch: Part) -> Tensor:
        columns = batch.columns()
        captions, owners = self._captions(columns["tokens"].cpu(), columns["tokens_lengths"].cpu())
        padded, lengths = captions.padded(torch.arange(len(captions)))
        targets, real = padded.to(batch.device), mask(lengths, padded.shape[1], device=batch.device)
        encoded = self.network.encode(columns["image"]).of(owners.to(batch.device))
        scores, _ = self.network(encoded, self._inputs(targets).T, lengths)
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

    def _inputs(self, tokens: Tensor) -> Tensor:
        """The tokens before these, some of them hidden in training (Bowman et al. 2016)."""
        before = self._shifted(tokens)
        if not self.network.training:
            return before
        hidden = torch.rand(before.shape, device=before.device) < self.model.word_dropout
        return before.masked_fill(hidden & (before != self.end), self.unknown)

    def step_names(self, rows: Rows, row: int) -> Mapping[str, Sequence[str]]:
        """Of the first caption of an image, each word and before it the end."""
        read = rows.take(torch.tensor([row]))["tokens"][0].tolist()
        first = [self.end, *read[: read.index(self.end)]]
        return {"decoder": [self.vocabulary.token(index) for index in first]}

    def text_rows(self, text: str) -> Rows:
        raise ConfigError(f"{self.name} reads no texts here: leave the text out")

    def captions(self, rows: Rows) -> list[Hypothesis]:
        """The best caption of the search for each image, in their order."""
        return self.in_order(rows, self._search)

    def _search(self, batch: Part) -> list[Hypothesis]:
        images = batch.of.tensor("image")[batch.indices].to(batch.device)
        state, memory = self.network.encode(images)
        step = partial(self.network.step, memory=memory)
        first = torch.full((batch.rows,), self.end, device=batch.device)
        hypotheses = beam(
            step,
            *step(first, state),
            end=self.end,
            width=self.beam,
            length=self.model.longest,
            penalty=self.model.length_penalty,
            forbidden=[self.unknown],
        )
        return [several[0] for several in hypotheses]

    def text(self, caption: Hypothesis) -> str:
        return self.vocabulary.decode(caption.tokens)

    @property
    def metric(self) -> Metric:
        """That of ``data.aim``."""
        return Metric(self.data.aim, higher_is_better=True)

    def predict(self, split: str) -> Captions:
        rows = self.part(split)
        captions = self.captions(rows)
        attended: list[Attended] = []
        if self.network.decoder.attention is not None:
            pairs = zip(rows.tensor("image")[:ATTENTION_ROWS], captions, strict=False)
            attended = [self.attended(*pair) for pair in pairs]
        return Captions(rows, [*map(self.text, captions)], self.mean_loss(split), attended)

    def metrics(self, predictions: Captions) -> Metrics:
        return self._measured(predictions.texts, predictions.rows) | {"nats": predictions.nats}

    def _measured(self, texts: Sequence[str], rows: Rows) -> Metrics:
        references = reference_texts(rows)
        exact = measure.exact_match(texts, references)
        metrics = {f"bleu_{n}": measure.bleu(texts, references, n).score for n in (1, 2, 3)}
        metrics |= {"bleu": measure.bleu(texts, references).score, "exact_match": exact}
        return {self.data.aim: metrics[self.data.aim], **metrics}

    def facts(self) -> dict[str, Any]:
        facts = super().facts()
        captions = {
            split: sum(map(len, reference_texts(rows))) for split, rows in self.parts.items()
        }
        return {**facts, "captions": captions, "vocabulary": len(self.vocabulary)}

    def tables(self, predictions: Captions) -> list[Table]:
        """Some captions, beside those of people, and how BLEU was counted."""
        texts, references = predictions.texts, reference_texts(predictions.rows)
        pairs = [
            [text, " / ".join(several)] for text, several in zip(texts, references, strict=True)
        ]
        signature = measure.bleu(texts, references).signature
        return [Table(f"captions, BLEU {signature}", ["caption", "references"], pairs[:SHEET])]

    def plots(self, predictions: Captions) -> list[Picture]:
        """A sheet of images with their captions; and the attention of the decoder, word by word."""
        rows, texts, attended = predictions.rows, predictions.texts, predictions.attended
        each = zip(rows.tensor("image"), texts, reference_texts(rows), strict=True)
        sheet = [Captioned(*one) for one in islice(each, SHEET)]
        pictures = [Picture("captions", partial(contact_sheet, sheet), (8.0, 7.0))]
        if attended:
            size = (1.0 + max(len(one.words) for one in attended), 1.3 * len(attended))
            pictures.append(Picture("attention", partial(attention, attended), size))
        return pictures

    def attended(self, image: Tensor, caption: Hypothesis) -> Attended:
        """Where the decoder attends for each word of a caption, with its end."""
        words = torch.tensor([[*caption.tokens, self.end]], device=self.device)
        lengths = torch.tensor([words.shape[1]], device=self.device)
        with evaluating(self.network):
            encoded = self.network.encode(image[None].to(self.device))
            _, weights = self.network(encoded, self._shifted(words).T, lengths)
        assert weights is not None
        side = self.network.side
        tokens = [self.vocabulary.token(int(word)) for word in words[0]]
        return Attended(image, tokens, weights[:, 0].view(-1, side, side).cpu())

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """The most frequent caption; and that of the training image whose pixels are nearest."""
        train = self.parts["train"]
        captions = reference_texts(train)
        [(often, _)] = Counter(text for several in captions for text in several).most_common(1)
        nearest = NearestRow(_pixels(train))

        def alike(rows: Rows) -> list[str]:
            return [captions[row][0] for row in nearest.rows(_pixels(rows)).tolist()]

        return self.baseline_metrics(
            {
                "most_frequent": lambda rows: self._measured([often] * len(rows), rows),
                "nearest_image": lambda rows: self._measured(alike(rows), rows),
            }
        )

    def accepts(self, path: Path) -> bool:
        return path.is_dir() or _is_image(path) or bool({*path.suffixes} & {*TABLE_FORMATS})

    def rows_of(self, path: Path) -> Iterator[Mapping[str, Any]]:
        """An image; all images of a folder; or those that a table names."""
        if _is_image(path):
            yield {"image": path}
        elif path.is_dir():
            yield from ({"image": file} for file in sorted(path.iterdir()) if _is_image(file))
        else:
            yield from (values for _, values in self.source.records([path]))

    def answers(self, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """A caption for each ``{"image": PATH}``, beside its other columns.

        Images that cannot be read may be left out.
        """
        read, images = [], []
        for values in rows:
            image = value_of(values, "image")
            with self.source.bad.place(str(image)):
                images.append(self.inputs["image"].parse(values))
                read.append({**values, "image": str(image)})
        if not images:
            return []
        captions = self.captions(Rows({"image": self.inputs["image"].encode(images)}))
        return [
            beside(row, {"caption": self.text(one), "log_probability": one.log_probability})
            for row, one in zip(read, captions, strict=True)
        ]


def _read(source: RowSource[Any], files: Sequence[Path]) -> Iterator[Record]:
    data = source.data
    columns: Any = {"image": data.image, "caption": data.caption, "names": data.columns}
    options: Any = {"images": data.images, "encoding": data.encoding, **columns}
    for file in files:
        yield from read_captions(file, source.bad, **options)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES  # cameras write .JPG


def _pixels(rows: Rows) -> NDArray[np.uint8]:
    """Those of each image, as a row of a matrix."""
    pixels: NDArray[np.uint8] = rows.tensor("image").flatten(1).numpy()
    return pixels
