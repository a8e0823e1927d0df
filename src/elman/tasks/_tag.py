"""Tagging: a label for every word, from all that stands before and after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from elman import metrics as measure
from elman.baselines import MostFrequentTag
from elman.data import (
    BadValue,
    Ragged,
    Record,
    Rows,
    Vectors,
    read_table,
    read_tagged,
    read_vectors,
    restored,
)
from elman.data._table import FORMATS
from elman.scan import mask
from elman.tasks._answers import beside, value_of
from elman.tasks._base import Metrics, Table
from elman.tasks._supervised import Part
from elman.tasks._table import TableTask
from elman.tasks._tag_config import RESTORE, TagData, TagNet
from elman.tasks._tag_net import Forms, TagNetwork

SHOWN_LABELS = 50
LISTS = {".jsonl", ".ndjson", ".parquet"}


class Sentence(NamedTuple):
    """Words, and a label for each."""

    tokens: list[str]
    tags: list[str]


class Tag(TableTask):
    r"""Many to many, step by step: a label for each word of a sentence.

    .. math:: L = -\frac1N \sum_{b,t} \ln p(y_{b,t} \mid x_{b,1..T})

    The mean is over real words, never over padding. Make one with `prepare`, train it with
    `elman.training.fit`, get it back with `elman.load`.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "small.tsv")
        >>> _ = file.write_text("the\tDET\ncat\tNOUN\n\n" * 20 + "a\tDET\nCat\tNOUN\n")
        >>> task = Tag.prepare(TagData(train=[file], unique=False), TagNet(hidden=4))
        >>> task.network = task.build()
        >>> task.labels, len(task.answers([{"tokens": ["a", "zebra"]}])[0]["tags"])
        (['DET', 'NOUN'], 2)

    References:
        Huang, Xu & Yu 2015, "Bidirectional LSTM-CRF models for sequence tagging".
    """

    name: ClassVar[str] = "tag"
    suits: ClassVar[str] = "tag"
    counted: ClassVar[str] = "words"
    sort_by = "x"
    data: TagData
    network: TagNetwork

    def __init__(self, data: TagData, model: TagNet) -> None:
        super().__init__(data, model)
        self.model: TagNet = model
        self.labels: list[str] = []
        self.vectors: Vectors | None = None

    def wanted(self) -> list[str]:
        return [self.data.tokens, self.data.tags]

    def read(self, path: Path) -> Iterator[Record]:
        if set(path.suffixes) & LISTS:
            return read_table(path, self.wanted(), self.bad, encoding=self.data.encoding)
        return read_tagged(path, self.bad, tag=self.data.tag, encoding=self.data.encoding)

    def parse(self, values: Mapping[str, Any]) -> Sentence:
        named = self.data.name or "tags" in values  # a named set and files of columns
        tokens, tags = (values[key] for key in (("tokens", "tags") if named else self.wanted()))
        if not isinstance(tokens, list) or not isinstance(tags, list) or not tokens:
            raise BadValue(self.data.tokens, "a list of words and one of labels were expected")
        if len(tokens) != len(tags):
            raise BadValue(self.data.tags, f"{len(tokens)} words have {len(tags)} labels")
        if self.known and (new := set(map(str, tags)) - set(self.labels)):
            raise BadValue(
                self.data.tags, f"{min(new)!r} was not in training: {', '.join(self.labels[:20])}"
            )
        return Sentence(list(map(str, tokens)), list(map(str, tags)))

    def key(self, example: Sentence) -> str:
        return " ".join(example.tokens)

    def learn(self, examples: Sequence[Sentence]) -> None:
        self.labels = sorted({tag for example in examples for tag in example.tags})
        counts = Counter(token for example in examples for token in example.tokens)
        lower: Counter[str] = Counter()
        letters: Counter[str] = Counter()
        for token, count in counts.items():
            lower[token.lower()] += count
            letters.update(dict.fromkeys(token, count))
        often = [w for w, n in lower.most_common(self.data.vocabulary) if n >= self.data.min_count]
        self.forms = Forms(["<unk>", *often], ["<unk>", *sorted(letters)])
        if self.model.vectors:
            self.vectors = read_vectors(self.model.vectors, self.forms.known_words)

    def encode(self, examples: Sequence[Sentence]) -> Rows:
        number = {label: i for i, label in enumerate(self.labels)}
        x = [self.forms.numbers(example.tokens) for example in examples]
        y = [[number[tag] for tag in example.tags] for example in examples]
        return Rows({"x": Ragged.of(x, torch.int32), "y": Ragged.of(y, torch.int16)})

    def learned(self) -> dict[str, Any]:
        return {
            "labels": self.labels,
            "words": self.forms.known_words,
            "characters": self.forms.known_characters,
            "forms": self.forms.all(),
        }

    def recall(self, learned: Mapping[str, Any]) -> None:
        self.labels = list(learned["labels"])
        self.forms = Forms(learned["words"], learned["characters"])
        self.forms.numbers(learned["forms"])

    def on(self, files: Sequence[Path] = (), rows: int | None = None) -> Self:
        lone = self.forms
        self.forms = deepcopy(lone)  # what these files add is theirs
        try:
            return super().on(files, rows)
        finally:
            self.forms = lone

    def build(self) -> TagNetwork:
        sizes = len(self.forms.known_words), len(self.forms.known_characters), len(self.labels)
        network = TagNetwork(self.model, *sizes)
        network.register_buffer("offsets", torch.zeros(len(self.labels)))
        if self.vectors is not None:
            network.words.start_from(*self.vectors)
        return network

    def terms(self, rows: Rows, indices: Tensor) -> int:
        return int(rows.lengths("x")[indices].sum())

    def scores(self, batch: Part) -> tuple[Tensor, Tensor]:
        """Scores (batch, time, labels), and which steps are real (batch, time)."""
        columns = batch.columns()
        x, lengths = columns["x"], columns["x_lengths"]
        return self.network(x, lengths, self.forms), mask(lengths, x.shape[1])

    def criterion(self, batch: Part) -> Tensor:
        scores, real = self.scores(batch)
        return F.cross_entropy(scores[real], batch.columns()["y"][real], reduction="sum")

    def logarithms(self, rows: Rows) -> list[Tensor]:
        """Ln P(label | sentence) of each row (steps, labels), in their order."""

        def run(batch: Part) -> list[Tensor]:
            scores, real = self.scores(batch)
            logs = scores.double().log_softmax(-1).cpu()
            return [row[: int(n)] for row, n in zip(logs, real.sum(1), strict=True)]

        return self.in_order(rows, run)

    def settle(self) -> bool:
        """Fit the offsets of labels on the validation rows, where they aim at macro-F1."""
        if self.data.aim == "accuracy" or "valid" not in self.parts:
            return False
        rows = self.parts["valid"]
        found = measure.offsets(torch.cat(self.logarithms(rows)), _steps(rows, "y"))
        self.network.get_buffer("offsets").copy_(found)
        return True

    def said(self, logs: Tensor) -> Tensor:
        """The labels for log-probabilities (steps, labels)."""
        return (logs + self.network.get_buffer("offsets").cpu()).argmax(-1)

    def evaluate(self, split: str) -> Metrics:
        rows = self.part(split)
        logs = torch.cat(self.logarithms(rows))
        target = _steps(rows, "y")
        metrics = self._measured(self.said(logs), rows)
        metrics["nats"] = float(F.nll_loss(logs, target))
        return metrics

    def _measured(self, predicted: Tensor, rows: Rows) -> Metrics:
        """Of one label for each word, all sentences end to end."""
        target = _steps(rows, "y")
        new = self.forms.words(_steps(rows, "x")) == 0
        metrics = {
            "accuracy": measure.accuracy(predicted, target),
            "macro_f1": measure.macro_f1(self._confusion(predicted, target)),
        }
        if self.data.aim == "macro_f1":
            metrics = dict(reversed(metrics.items()))  # what it is about comes first
        if new.any():
            metrics["unknown_accuracy"] = measure.accuracy(predicted, target, new)
        if all(label == "O" or label[:2] in ("B-", "I-") for label in self.labels):
            lengths = rows.lengths("x").tolist()
            pair = (
                [[self.labels[i] for i in row] for row in torch.split(flat, lengths)]
                for flat in (predicted, target)
            )
            metrics = {"span_f1": measure.span_f1(*pair), **metrics}
        return metrics

    def _confusion(self, predicted: Tensor, target: Tensor) -> Tensor:
        return measure.confusion(predicted, target, len(self.labels))

    def score(self, metrics: Metrics) -> float:
        return -next(iter(metrics.values()))

    def tables(self, split: str) -> list[Table]:
        """Precision and recall of each label."""
        rows = self.part(split)
        predicted = self.said(torch.cat(self.logarithms(rows)))
        matrix = self._confusion(predicted, _steps(rows, "y")).double()
        hits, true, said = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
        columns = ["label", "words", "precision", "recall", "f1"]
        values = torch.stack([hits / said, hits / true, 2 * hits / (true + said)], 1).nan_to_num()
        cells = zip(self.labels, true.int().tolist(), values.tolist(), strict=True)
        table = Table("labels", columns, [[label, n, *v] for label, n, v in cells if n])
        return [table] if len(self.labels) <= SHOWN_LABELS else []

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """The label that is most frequent overall, and for each word."""
        train = self.parts["train"]
        size = len(self.forms.all())
        model = MostFrequentTag(_steps(train, "x").numpy(), _steps(train, "y").numpy(), size)
        overall = torch.tensor(model.overall)
        found: dict[str, dict[str, Metrics]] = {"most_frequent": {}, "most_frequent_per_word": {}}
        for split, rows in self.parts.items():
            if split != "train":
                x = _steps(rows, "x")
                by_word = torch.from_numpy(model.tags(x.numpy()))
                found["most_frequent"][split] = self._measured(overall.expand_as(x), rows)
                found["most_frequent_per_word"][split] = self._measured(by_word, rows)
        return found

    def reads(self, path: Path) -> bool:
        return bool(set(path.suffixes) & set(FORMATS)) or bool(
            {".conllu", ".conll"} & set(path.suffixes)
        )

    def row_of(self, text: str) -> Mapping[str, Any]:
        if not text.split():
            raise BadValue(
                "",
                "the text is empty: give words with spaces between them; a file of words with "
                "labels is read as one where its name ends in .conllu, .conll or .tsv",
            )
        return {self.data.tokens: text.split()}

    def text_rows(self, text: str) -> Rows:
        words = list(self.row_of(text)[self.data.tokens])
        return self.encode([Sentence(words, [self.labels[0]] * len(words))])

    def words_of(self, rows: Rows) -> dict[str, list[str]]:
        forms = self.forms.all()
        read = rows.take(torch.tensor([0]))["x"][0].tolist()
        return {"recurrent": [forms[number] for number in read]}

    def rows_of(self, path: Path) -> Iterator[Mapping[str, Any]]:
        if not set(path.suffixes) & LISTS:
            yield from (values for _, values in self.read(path))
            return
        for place, values in read_table(
            path, [self.data.tokens], self.bad, encoding=self.data.encoding
        ):
            with self.bad.caught(place):
                self._tokens(values)
                yield values

    def answers(self, given: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """A label for each word of ``{"tokens": [...]}``, beside its other columns."""
        rows = list(given)
        tokens = [list(map(str, self._tokens(row))) for row in rows]
        x = Ragged.of([self.forms.numbers(row) for row in tokens], torch.int32)
        found = self.logarithms(Rows({"x": x}))
        answers = []
        for row, read, logs in zip(rows, tokens, found, strict=True):
            tags = [self.labels[i] for i in self.said(logs).tolist()]
            answer: dict[str, Any] = {"tags": tags}
            if self.data.name == RESTORE:
                answer["restored"] = restored(read, tags)
            answers.append(beside(row, answer))
        return answers

    def _tokens(self, row: Mapping[str, Any]) -> Sequence[Any]:
        """The words of a row of a table, or of a file of columns."""
        name = self.data.tokens
        plain = isinstance(row, Mapping) and name not in row and "tokens" in row
        column = "tokens" if plain else name
        words = value_of(row, column)
        if not isinstance(words, list | tuple) or not words:
            raise BadValue(column, f"a list of words was expected, got {words!r:.80}")
        return words


def _steps(rows: Rows, name: str) -> Tensor:
    """A column of sequences end to end."""
    column = rows[name]
    assert isinstance(column, Ragged)
    return column.values.long()
