"""Translation: a sequence in, another one out, of another length and in another order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from elman import metrics as measure
from elman._errors import ConfigError
from elman.baselines import WordByWord
from elman.data import Ragged, Rows, Vocabulary, crop
from elman.decode import Hypothesis
from elman.pictures import Picture
from elman.tasks import _translate_report as report
from elman.tasks._answers import beside
from elman.tasks._base import BY_LENGTH, Metrics, Table, evaluating
from elman.tasks._pairs import Pair, PairTask
from elman.tasks._supervised import Part
from elman.tasks._translate_config import TranslateData, TranslateNet
from elman.tasks._translate_net import TranslateNetwork

SHOWN = 4
"""Rows whose attention is drawn."""


class Translate(PairTask):
    r"""Many to many, of other lengths: a text in, its translation out, one token after the other.

    .. math:: L = -\frac1N \sum_{b,t} \ln p(y_{b,t} \mid y_{b,<t}, x_b)

    A source that has several translations is one row to validate and test, and all are right; in
    training each is a row. Make one with `prepare`, train it with `elman.training.fit`, get it back
    with `elman.load`. ``beam`` is how many sequences a search keeps; 1 is greedy.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp(), "small.tsv")
        >>> _ = file.write_text("source\ttarget\n" + "".join(f"{i}\t{i}!\n" for i in range(60)))
        >>> task = Translate.prepare(TranslateData(train=[file]), TranslateNet(hidden=4))
        >>> task.network = task.build()
        >>> task.answers([{"source": "7"}])[0]["source"]
        '7'

    References:
        Sutskever, Vinyals & Le 2014, "Sequence to sequence learning with neural networks".
    """

    name: ClassVar[str] = "translate"
    suits: ClassVar[str] = "translate"
    counted: ClassVar[str] = "tokens"
    sort_by = "x"
    data: TranslateData
    network: TranslateNetwork
    source: Vocabulary
    target: Vocabulary

    def __init__(self, data: TranslateData, model: TranslateNet) -> None:
        super().__init__(data, model)
        self.model: TranslateNet = model
        self.beam = model.beam
        self.ratio = 1.0  # target tokens for each of the source
        if data.aim == "bleu" and not measure.has_sacrebleu():
            raise ConfigError('BLEU needs the package sacrebleu: pip install "elman[data]"')

    def learn(self, examples: Sequence[Pair]) -> None:
        data = self.data
        self.source = self._vocabulary(data.level, [pair.source for pair in examples])
        self.target = self._vocabulary(data.target_level, [pair.targets[0] for pair in examples])
        rows = self.encode(examples)
        self.ratio = float(rows.lengths("y").sum() / rows.lengths("x").sum())

    def _vocabulary(self, level: str, texts: Sequence[str]) -> Vocabulary:
        data = self.data
        return Vocabulary.train(
            (text + "\n" for text in texts),
            level,
            eos=True,
            min_count=data.min_count,
            max_size=data.vocabulary,
            punctuation=data.punctuation and level == "word",
        )

    def encode(self, examples: Sequence[Pair]) -> Rows:
        """Tokens of both sides, and all translations as bytes, a line each."""
        right = [list("\n".join(pair.targets).encode()) for pair in examples]
        return Rows(
            {
                "x": _numbers(self.source, [pair.source for pair in examples]),
                "y": _numbers(self.target, [pair.targets[0] for pair in examples]),
                "right": Ragged.of(right, torch.uint8),
            }
        )

    def learned(self) -> dict[str, Any]:
        sides = {"source": self.source, "target": self.target}
        return {"ratio": self.ratio} | {name: side.to_json() for name, side in sides.items()}

    def recall(self, learned: Mapping[str, Any]) -> None:
        self.ratio = float(learned["ratio"])
        self.source = Vocabulary.from_json(learned["source"])
        self.target = Vocabulary.from_json(learned["target"])

    def build(self) -> TranslateNetwork:
        return TranslateNetwork(self.model, len(self.source), len(self.target), self._end)

    @property
    def _end(self) -> int:
        assert self.target.eos is not None
        return self.target.eos

    def facts(self) -> dict[str, Any]:
        facts = super().facts()
        facts["vocabulary"] = {"source": len(self.source), "target": len(self.target)}
        most = self.data.max_length
        longer = {
            split: int(((rows.lengths("x") > most) | (rows.lengths("y") > most)).sum())
            for split, rows in self.parts.items()
        }
        if any(longer.values()):
            facts["longer"] = {"than": most, **longer}
        return facts

    def batches(self, split: str, epoch: int = 0) -> list[Part]:
        if split == "train":
            self.network.sampling = self.model.sampling * epoch / (epoch + 1)
        return super().batches(split, epoch)

    def terms(self, rows: Rows, indices: Tensor) -> int:
        side = "y" if "y" in rows.columns else "x"  # rows that are answered have no target
        return int(rows.lengths(side)[indices].clamp(max=self.data.max_length).sum())

    def _read(self, batch: Part, name: str) -> tuple[Tensor, Tensor]:
        columns = batch.columns()
        return crop(columns[name], columns[f"{name}_lengths"], self.data.max_length)

    def criterion(self, batch: Part) -> Tensor:
        loss: Tensor = self.network(*self._read(batch, "x"), *self._read(batch, "y"))
        return loss

    def translations(self, rows: Rows) -> list[list[Hypothesis]]:
        """The best token sequences for each row, the best first, in the order of the rows."""
        unknown = [] if self.target.unk is None else [self.target.unk]

        def run(batch: Part) -> list[list[Hypothesis]]:
            x, lengths = self._read(batch, "x")
            most = (2 * self.ratio * lengths).long() + 10
            options: dict[str, Any] = {
                "width": self.beam,
                "penalty": self.model.length_penalty,
                "forbidden": unknown,
            }
            return self.network.translate(x, lengths, most, **options)

        return self.in_order(rows, run)

    def said(self, rows: Rows) -> list[str]:
        """The translation of each row."""
        return [self.target.decode(several[0].tokens) for several in self.translations(rows)]

    def _said_of(self, split: str) -> list[str]:
        return self.once(("said", split), lambda: self.said(self.part(split)))

    def evaluate(self, split: str) -> Metrics:
        said, right = self._said_of(split), _right(self.part(split))
        nats = super().evaluate(split)["nats"]
        return {**report.measured(self.data.aim, said, right), "nats": nats}

    def text_rows(self, text: str) -> Rows:
        """A source, and as its target what the network says of it."""
        source = self.source_of(self.row_of(text))
        (said,) = self.said(Rows({"x": _numbers(self.source, [source])}))
        return self.encode([Pair(source, (said,))])

    def words_of(self, rows: Rows) -> dict[str, list[str]]:
        row = rows.take(torch.tensor([0]))
        most = self.data.max_length
        source, target = row["x"][0, :most], row["y"][0, :most]
        told = torch.cat([target.new_tensor([self._end]), target[:-1]])
        return {
            "encoder": _named(self.source, source),
            "decoder": _named(self.target, told),
        }

    def score(self, metrics: Metrics) -> float:
        return metrics[self.data.aim] * (1 if self.data.aim == "phoneme_error" else -1)

    def _by_length(self, rows: Rows, said: Sequence[str]) -> Any:
        right, lengths = _right(rows), (rows.lengths("x") - 1).tolist()  # without the end
        return report.by_length(
            lengths,
            lambda here: report.measured(
                self.data.aim, [said[i] for i in here], [right[i] for i in here]
            ),
        )

    def tables(self, split: str) -> list[Table]:
        """The measures by the length of the source."""
        rows = self.part(split)
        said = self._said_of(split)
        title = f"{BY_LENGTH} of the source"
        if self.data.aim == "bleu":
            title += f"; BLEU|{measure.bleu(said, _right(rows)).signature}"
        found = self._by_length(rows, said)
        cells = [
            [f"{first}-{last}" if last > first else str(first), count, *metrics.values()]
            for (first, last), (count, metrics) in found.items()
        ]
        return [Table(title, ["tokens", "rows", *next(iter(found.values()))[1]], cells)]

    def pictures(self, split: str) -> list[Picture]:
        """The aim by the length of the source, and where the tokens of some rows looked."""
        rows = self.part(split)
        looks = []
        if self.network.decoder.attention is not None:
            order = rows.lengths("x").argsort(stable=True)
            at = [len(order) * (2 * i + 1) // (2 * SHOWN) for i in range(SHOWN)]
            looks = [self.look(rows.select(order[i : i + 1])) for i in at]
        lengths = self._by_length(rows, self._said_of(split))
        return report.pictures(self.data.aim, lengths, looks)

    def portraits(self, given: Iterable[Mapping[str, Any]]) -> list[Picture]:
        """For each source where the tokens of its translation looked, if they could."""
        if self.network.decoder.attention is None:
            return []
        texts = [self.source_of(values) for values in given]
        rows = [Rows({"x": _numbers(self.source, [text])}) for text in texts]
        return [
            report.attention(report.file_name(text), [self.look(row)])
            for text, row in zip(texts, rows, strict=True)
        ]

    def look(self, row: Rows) -> report.Look:
        """Where each token of the translation of one row looked."""
        [several] = self.translations(row)
        said = torch.tensor([[*several[0].tokens, self._end]], device=self.device)
        [batch] = self.batched(row)
        x, lengths = self._read(batch, "x")
        with evaluating(self.network):
            weights = self.network.looks(x, lengths, said, torch.tensor([said.shape[1]]))
        assert weights is not None
        return report.Look(
            _shown(self.source, x[0]), _shown(self.target, said[0]), weights[:, 0].cpu()
        )

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """Each token of the source by itself, as it is most often translated."""
        train = self.parts["train"]
        model = WordByWord(_tokens(train, "x"), _tokens(train, "y"))
        found: dict[str, Metrics] = {}
        for split, rows in self.parts.items():
            if split != "train":
                said = [self.target.decode(model.translate(x)) for x in _tokens(rows, "x")]
                found[split] = report.measured(self.data.aim, said, _right(rows))
        return {"word_by_word": found}

    def answers(self, given: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The translation of each row's source, beside its columns; with a beam the others, too."""
        rows = list(given)
        texts = [self.source_of(values) for values in rows]
        found = self.translations(Rows({"x": _numbers(self.source, texts)}))
        answers = []
        for row, text, (best, *others) in zip(rows, texts, found, strict=True):
            answer: dict[str, Any] = {
                "translation": self.target.decode(best.tokens),
                "log_probability": best.log_probability,
                "unknown": self.source.unknown(text),
            }
            if others:
                answer["others"] = {self.target.decode(h.tokens): h.score for h in others}
            answers.append(beside(row, answer))
        return answers


def _numbers(vocabulary: Vocabulary, texts: Sequence[str]) -> Ragged:
    """The tokens of each text, and the end."""
    return Ragged.of(vocabulary.encode_lines([text + "\n" for text in texts]), torch.int32)


def _tokens(rows: Rows, name: str) -> list[list[int]]:
    """The tokens of each row, without the end."""
    column = rows[name]
    assert isinstance(column, Ragged)
    return [row[:-1].tolist() for row in torch.split(column.values, column.lengths.tolist())]


def _right(rows: Rows) -> list[list[str]]:
    """For each row its translations."""
    column = rows["right"]
    assert isinstance(column, Ragged)
    texts = torch.split(column.values, column.lengths.tolist())
    return [bytes(text.tolist()).decode().split("\n") for text in texts]


def _named(vocabulary: Vocabulary, tokens: Tensor) -> list[str]:
    """Each token as text, or by its name where it is none."""
    return [vocabulary.decode([t]).strip() or vocabulary.token(t) for t in tokens.tolist()]


def _shown(vocabulary: Vocabulary, tokens: Tensor) -> list[str]:
    """Each token as a picture can show it: a dot for what has no look of its own."""
    texts = (vocabulary.decode([token]).strip() for token in tokens.tolist())
    return [text if text.isprintable() and text else "·" for text in texts]
