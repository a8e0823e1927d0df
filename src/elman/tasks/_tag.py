"""Tagging: a label for every word, from all words before and after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import copy, deepcopy
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from elman import metrics as measure
from elman._errors import DataError, nearest
from elman.baselines import MostFrequentTag
from elman.data import (
    TABLE_FORMATS,
    BadValue,
    Ragged,
    Record,
    Rows,
    Vectors,
    read_tagged,
    read_vectors,
    restored,
)
from elman.metrics import Metric
from elman.scan import mask
from elman.tasks._answers import value_of
from elman.tasks._features import Feature
from elman.tasks._source import RowSource
from elman.tasks._supervised import Part, Supervised
from elman.tasks._tag_config import RESTORE, TagData, TagNet
from elman.tasks._tag_net import Forms, TagNetwork
from elman.tasks._task import Metrics, Table

MOST_LABELS = 50
"""A table of more labels is left out."""

LISTS = {".jsonl", ".ndjson", ".parquet"}
"""Files whose rows have a list of words and a list of labels."""


class Words(Feature):
    """The words of a sentence, as numbers of their forms."""

    forms: Forms
    vectors: Vectors | None = None

    def __init__(self, data: TagData, vectors: Path | None) -> None:
        self.columns, self.data, self.file = (data.tokens,), data, vectors

    def parse(self, values: Mapping[str, Any]) -> list[str]:
        column = _column(self.data.tokens, "tokens", values)
        words = value_of(values, column)
        if not isinstance(words, list | tuple) or not words:
            raise BadValue(column, f"a list of words was expected, got {words!r:.80}")
        return list(map(str, words))

    def key(self, value: Sequence[str]) -> str:
        return " ".join(value)

    def fit(self, values: Sequence[Sequence[str]]) -> None:
        counts = Counter(word for words in values for word in words)
        lower: Counter[str] = Counter()
        letters: Counter[str] = Counter()
        for word, count in counts.items():
            lower[word.lower()] += count
            letters.update(dict.fromkeys(word, count))
        often = [w for w, n in lower.most_common(self.data.vocabulary) if n >= self.data.min_count]
        self.forms = Forms(["<unk>", *often], ["<unk>", *sorted(letters)])
        if self.file:
            self.vectors = read_vectors(self.file, self.forms.known_words)

    def encode(self, values: Sequence[Sequence[str]]) -> Ragged:
        return Ragged.of([self.forms.numbers(words) for words in values], torch.int32)

    def state_dict(self) -> dict[str, Any]:
        return {
            "words": self.forms.known_words,
            "characters": self.forms.known_characters,
            "forms": self.forms.all(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.forms = Forms(state["words"], state["characters"])
        self.forms.numbers(state["forms"])

    def row_of(self, text: str) -> dict[str, Any]:
        if not text.split():
            raise BadValue(
                "",
                "the text is empty: give words with spaces between them; a file of words with "
                "labels is read as one where its name ends in .conllu, .conll or .tsv",
            )
        return {self.data.tokens: text.split()}

    def step_names(self, column: Tensor) -> list[str]:
        forms = self.forms.all()
        return [forms[number] for number in column.tolist()]


class Tags(Feature):
    """The label of each word of a sentence."""

    def __init__(self, data: TagData) -> None:
        self.columns, self.name, self.blank = (data.tags,), data.tags, data.blank
        self.labels: list[str] = []

    def parse(self, values: Mapping[str, Any]) -> list[str]:
        column = _column(self.name, "tags", values)
        tags = values[column]
        if not isinstance(tags, list | tuple):
            raise BadValue(column, f"a list of labels was expected, got {tags!r:.80}")
        if self.labels and (new := set(map(str, tags)) - set(self.labels)):
            known = ", ".join(self.labels[:20])
            raise BadValue(column, f"{min(new)!r} was not in training: {known}")
        return list(map(str, tags))

    def fit(self, values: Sequence[Sequence[str]]) -> None:
        self.labels = sorted({tag for tags in values for tag in tags})
        if self.blank is not None and self.blank not in self.labels:
            raise DataError(
                f"data.blank must be a label of the training rows, got {self.blank!r}: "
                f"{nearest(self.blank, self.labels)}"
            )

    def encode(self, values: Sequence[Sequence[str]]) -> Ragged:
        number = {label: i for i, label in enumerate(self.labels)}
        return Ragged.of([[number[tag] for tag in tags] for tags in values], torch.int16)

    def state_dict(self) -> dict[str, Any]:
        return {"labels": self.labels}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.labels = list(state["labels"])


def _column(name: str, usual: str, values: Any) -> str:
    """The column of a table; a named data set and a file of columns have the usual one."""
    other = isinstance(values, Mapping) and name not in values and usual in values
    return usual if other else name


class TagPredictions(NamedTuple):
    """The network's predictions for a split, its sentences end to end.

    Attributes:
        rows: the sentences.
        logs: ln P(label | sentence) of each word (words, labels).
        tags: the label of each word (words,).
    """

    rows: Rows
    logs: Tensor
    tags: Tensor


class Tag(Supervised):
    r"""Many to many, step by step: a label for each word of a sentence.

    .. math:: L = -\frac1N \sum_{b,t} \ln p(y_{b,t} \mid x_{b,1..T})

    The mean is over real words, never over padding. Make one with `prepare`, train it with
    `elman.training.fit`, get it back with `elman.load`.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "small.tsv")
        >>> _ = file.write_text("the\tDET\ncat\tNOUN\n\n" * 20 + "a\tDET\nCat\tNOUN\n")
        >>> task = Tag.prepare(TagData(train=[file], unique=False), TagNet(hidden=4))
        >>> task.labels, len(task.answers([{"tokens": ["a", "zebra"]}])[0]["tags"])
        (['DET', 'NOUN'], 2)

    References:
        Huang, Xu & Yu 2015, "Bidirectional LSTM-CRF models for sequence tagging".
    """

    name: ClassVar[str] = "tag"
    counted: ClassVar[str] = "words"
    sort_by = "x"
    data: TagData
    network: TagNetwork

    def __init__(self, data: TagData, model: TagNet) -> None:
        self.words, self.tags = Words(data, model.vectors), Tags(data)
        features: Any = {"inputs": {"x": self.words}, "targets": {"y": self.tags}}
        super().__init__(data, model, **features, read=_read)

    @property
    def labels(self) -> list[str]:
        return self.tags.labels

    def parse(self, values: Mapping[str, Any]) -> dict[str, Any]:
        example: dict[str, Any] = super().parse(values)
        words, tags = len(example["x"]), len(example["y"])
        if words != tags:
            raise BadValue(self.data.tags, f"{words} words have {tags} labels")
        return example

    def with_data(self, files: Sequence[Path] = (), rows: int | None = None) -> Self:
        other = copy(self)
        other.words = deepcopy(self.words)  # the forms that these files add are theirs
        other.inputs = {"x": other.words}
        return super(Tag, other).with_data(files, rows)

    def build(self) -> TagNetwork:
        forms = self.words.forms
        sizes = len(forms.known_words), len(forms.known_characters), len(self.labels)
        network = TagNetwork(self.model, *sizes)
        network.register_buffer("offsets", torch.zeros(len(self.labels)))
        if self.words.vectors is not None:
            network.words.start_from(*self.words.vectors)
        return network

    def terms(self, rows: Rows, indices: Tensor) -> int:
        return int(rows.lengths("x")[indices].sum())

    def scores(self, batch: Part) -> tuple[Tensor, Tensor]:
        """Scores (batch, time, labels), and which steps are real (batch, time)."""
        columns = batch.columns()
        x, lengths = columns["x"], columns["x_lengths"]
        return self.network(x, lengths, self.words.forms), mask(lengths, x.shape[1])

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

    def calibrate(self) -> bool:
        """Fit the offsets of labels on the validation rows, where they aim at macro-F1."""
        if self.data.aim == "accuracy" or "valid" not in self.parts:
            return False
        rows = self.parts["valid"]
        offsets = measure.offsets(torch.cat(self.logarithms(rows)), _steps(rows, "y"))
        self.network.get_buffer("offsets").copy_(offsets)
        return True

    def likeliest(self, logs: Tensor) -> Tensor:
        """The labels for log-probabilities (steps, labels)."""
        return (logs + self.network.get_buffer("offsets").cpu()).argmax(-1)

    @property
    def metric(self) -> Metric:
        """That of whole spans or of symbols where the labels have such, else ``data.aim``."""
        if self.data.blank is not None:
            return Metric("symbol_accuracy", higher_is_better=True)
        return Metric("span_f1" if self._spans else self.data.aim, higher_is_better=True)

    @property
    def _spans(self) -> bool:
        return all(label == "O" or label[:2] in ("B-", "I-") for label in self.labels)

    def predict(self, split: str) -> TagPredictions:
        rows = self.part(split)
        logs = torch.cat(self.logarithms(rows))
        return TagPredictions(rows, logs, self.likeliest(logs))

    def metrics(self, predictions: TagPredictions) -> Metrics:
        rows, logs, tags = predictions
        return self._measured(tags, rows) | {"nats": float(F.nll_loss(logs, _steps(rows, "y")))}

    def _measured(self, predicted: Tensor, rows: Rows) -> Metrics:
        """Of one label for each word, all sentences end to end."""
        target = _steps(rows, "y")
        new = self.words.forms.words(_steps(rows, "x")) == 0
        metrics = {
            "accuracy": measure.accuracy(predicted, target),
            "macro_f1": measure.macro_f1(self._confusion(predicted, target)),
        }
        if new.any():
            metrics["unknown_accuracy"] = measure.accuracy(predicted, target, new)
        if self._blank is not None:
            metrics["symbol_accuracy"] = measure.accuracy(predicted, target, target != self._blank)
        if self._spans:
            lengths = rows.lengths("x").tolist()
            pair = (
                [[self.labels[i] for i in row] for row in torch.split(flat, lengths)]
                for flat in (predicted, target)
            )
            metrics["span_f1"] = measure.span_f1(*pair)
        return {self.metric.name: metrics[self.metric.name], **metrics}

    @property
    def _blank(self) -> int | None:
        """The number of the label ``data.blank``."""
        return None if self.data.blank is None else self.labels.index(self.data.blank)

    def _confusion(self, predicted: Tensor, target: Tensor) -> Tensor:
        return measure.confusion(predicted, target, len(self.labels))

    def tables(self, predictions: TagPredictions) -> list[Table]:
        """Precision and recall of each label."""
        matrix = self._confusion(predictions.tags, _steps(predictions.rows, "y")).double()
        hits, true, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
        columns = ["label", "words", "precision", "recall", "f1"]
        values = torch.stack(
            [hits / predicted, hits / true, 2 * hits / (true + predicted)], 1
        ).nan_to_num()
        cells = zip(self.labels, true.int().tolist(), values.tolist(), strict=True)
        table = Table("labels", columns, [[label, n, *v] for label, n, v in cells if n])
        return [table] if len(self.labels) <= MOST_LABELS else []

    def samples(self, predictions: TagPredictions) -> Table:
        rows = predictions.rows
        lengths = rows.lengths("x").tolist()
        predicted, target = (
            [" ".join(self.labels[i] for i in row.tolist()) for row in torch.split(flat, lengths)]
            for flat in (predictions.tags, _steps(rows, "y"))
        )
        cells = [[text, predicted[i], target[i]] for i, text in self.inputs_of(rows)]
        return Table("samples", ["input", "prediction", "target"], cells)

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """The label that is most frequent overall, for each word and, with a blank, at a step."""
        train = self.parts["train"]
        size = len(self.words.forms.all())
        model = MostFrequentTag(_steps(train, "x").numpy(), _steps(train, "y").numpy(), size)
        overall = torch.tensor(model.overall)
        metrics: dict[str, dict[str, Metrics]] = {"most_frequent": {}, "most_frequent_per_word": {}}
        for split, rows in self.parts.items():
            if split != "train":
                x = _steps(rows, "x")
                by_word = torch.from_numpy(model.tags(x.numpy()))
                metrics["most_frequent"][split] = self._measured(overall.expand_as(x), rows)
                metrics["most_frequent_per_word"][split] = self._measured(by_word, rows)
                if self._blank is not None:
                    logs = self._memoryless(rows)
                    nats = float(F.nll_loss(logs, _steps(rows, "y")))
                    measured = self._measured(logs.argmax(-1), rows) | {"nats": nats}
                    metrics.setdefault("memoryless", {})[split] = measured
        return metrics

    def _memoryless(self, rows: Rows) -> Tensor:
        """Ln P(label | time step) of each word (words, labels), from the training rows."""
        train, size = self.parts["train"], len(self.labels)
        places, longest = _places(train), int(train.lengths("x").max())
        pairs = places * size + _steps(train, "y")
        counts = torch.bincount(pairs, minlength=longest * size).view(longest, size).double()
        shares = counts / counts.sum(1, keepdim=True)
        return shares.clamp(min=1e-300).log()[_places(rows).clamp(max=longest - 1)]

    def accepts(self, path: Path) -> bool:
        return bool(set(path.suffixes) & {*TABLE_FORMATS, ".conllu", ".conll"})

    def text_rows(self, text: str) -> Rows:
        words = self.words.parse(self.row_of(text))
        return self.encode([{"x": words, "y": [self.labels[0]] * len(words)}])

    def step_names(self, rows: Rows, row: int) -> Mapping[str, Sequence[str]]:
        return {"recurrent": super().step_names(rows, row)[""]}

    def rows_of(self, path: Path) -> Iterator[Mapping[str, Any]]:
        if set(path.suffixes) & LISTS:
            yield from super().rows_of(path)
        else:
            yield from (values for _, values in _read(self.source, [path]))

    def answer(self, rows: Rows) -> list[dict[str, Any]]:
        """A label for each word."""
        words, forms = rows["x"], self.words.forms.all()
        answers = []
        for row, logs in enumerate(self.logarithms(rows)):
            tags = [self.labels[i] for i in self.likeliest(logs).tolist()]
            answer: dict[str, Any] = {"tags": tags}
            if self.data.name == RESTORE:
                answer["restored"] = restored([forms[i] for i in words[row].tolist()], tags)
            answers.append(answer)
        return answers


def _read(source: RowSource[Any], files: Sequence[Path]) -> Iterator[Record]:
    """The sentences of tables with lists, or of files of columns."""
    data = source.data
    for file in files:
        if set(file.suffixes) & LISTS:
            yield from source.tables([file])
        else:
            yield from read_tagged(file, source.bad, tag=data.tag, encoding=data.encoding)


def _places(rows: Rows) -> Tensor:
    """The time step of each word, sentences end to end."""
    return torch.cat([torch.arange(n) for n in rows.lengths("x").tolist()])


def _steps(rows: Rows, name: str) -> Tensor:
    """A column of sequences end to end."""
    return rows.sequences(name).values.long()
