"""Translation: a sequence in, another one out, of another length and in another order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from elman import metrics as measure
from elman._errors import ConfigError, DataError
from elman.baselines import WordByWord
from elman.data import (
    TABLE_FORMATS,
    BadValue,
    Ragged,
    Record,
    Rows,
    Vocabulary,
    crop,
    read_parallel,
)
from elman.decode import Hypothesis
from elman.metrics import Metric
from elman.pictures import Picture
from elman.tasks import _translate_report as report
from elman.tasks._answers import value_of
from elman.tasks._features import Feature, References, reference_texts
from elman.tasks._source import Labeled, RowSource
from elman.tasks._supervised import Example, Part, Supervised
from elman.tasks._task import Metrics, Table, evaluating
from elman.tasks._translate_config import TranslateData, TranslateNet
from elman.tasks._translate_net import TranslateNetwork

EXAMPLES = 4
"""Rows whose attention is drawn."""


class Tokens(Feature):
    """A text, or the first of several, as tokens with <eos> at their end."""

    vocabulary: Vocabulary

    def __init__(self, column: str, level: str, data: TranslateData) -> None:
        self.columns, self.level, self.data = (column,), level, data

    def parse(self, values: Mapping[str, Any]) -> str:
        return self.all(values)[0]

    def all(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """The text in the column, or the texts of a list there, each once."""
        (column,) = self.columns
        value = value_of(values, column)
        texts = []
        for each in value if isinstance(value, list) and value else [value]:
            text = " ".join(str(each if each is not None else "").split())
            if not text:
                raise BadValue(column, "is empty")
            texts.append(text.lower() if self.data.lowercase else text)
        return tuple(dict.fromkeys(texts))

    def fit(self, values: Sequence[str]) -> None:
        data = self.data
        self.vocabulary = Vocabulary.train(
            (text + "\n" for text in values),
            self.level,
            eos=True,
            min_count=data.min_count,
            max_size=data.vocabulary,
            punctuation=data.punctuation and self.level == "word",
        )

    def encode(self, values: Sequence[str]) -> Ragged:
        lines = self.vocabulary.encode_lines([text + "\n" for text in values])
        return Ragged.of(lines, torch.int32)

    def state_dict(self) -> dict[str, Any]:
        return {"tokenizer": self.vocabulary.to_json()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.vocabulary = Vocabulary.from_json(state["tokenizer"])

    def row_of(self, text: str) -> dict[str, Any]:
        if not text.strip():
            raise BadValue("", "the text is empty: give one to translate")
        return {self.columns[0]: text}

    def unknown(self, value: str) -> list[str]:
        return self.vocabulary.unknown(value)

    def text_of(self, column: Tensor) -> str:
        return self.vocabulary.decode(column.tolist())


class Translations(NamedTuple):
    """The network's predictions for a split.

    Attributes:
        rows: the rows of the split.
        texts: the translation of each.
        nats: the mean loss of the reference translations.
        alignments: where the decoder attended in a few rows, from short to long.
    """

    rows: Rows
    texts: list[str]
    nats: float
    alignments: list[report.Alignment]


class Translate(Supervised):
    r"""Many to many, of other lengths: a text in, its translation out, one token after the other.

    .. math:: L = -\frac1N \sum_{b,t} \ln p(y_{b,t} \mid y_{b,<t}, x_b)

    A source that has several translations is one row in validation and test, and each is
    correct; in training each is a row. Make one with `prepare`, train it with
    `elman.training.fit`, load it with `elman.load`. ``beam`` is the number of sequences that a
    search keeps; 1 is greedy.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp(), "small.tsv")
        >>> _ = file.write_text("source\ttarget\n" + "".join(f"{i}\t{i}!\n" for i in range(60)))
        >>> task = Translate.prepare(TranslateData(train=[file]), TranslateNet(hidden=4))
        >>> task.answers([{"source": "7"}])[0]["source"]
        '7'

    References:
        Sutskever, Vinyals & Le 2014, "Sequence to sequence learning with neural networks".
    """

    name: ClassVar[str] = "translate"
    counted: ClassVar[str] = "tokens"
    sort_by = "x"
    data: TranslateData
    network: TranslateNetwork

    def __init__(self, data: TranslateData, model: TranslateNet) -> None:
        self.source_text = Tokens(data.source, data.level, data)
        self.target_text = Tokens(data.target, data.target_level, data)
        targets = {"y": self.target_text, "references": References(self.target_text.all)}
        super().__init__(data, model, inputs={"x": self.source_text}, targets=targets, read=_read)
        self.beam = model.beam
        self.ratio = 1.0  # target tokens for each of the source
        if data.aim == "bleu" and not measure.has_sacrebleu():
            raise ConfigError('BLEU needs the package sacrebleu: pip install "elman[data]"')

    @property
    def vocabularies(self) -> tuple[Vocabulary, Vocabulary]:
        """Those of the source and of the target."""
        return self.source_text.vocabulary, self.target_text.vocabulary

    def key(self, example: Example) -> Any:
        return example["x"], example["references"]

    def merged(self, examples: list[Labeled[Example]]) -> list[Labeled[Example]]:
        """Each source once, with all its translations, so that it is in one split only."""
        if not self.data.unique:
            return examples
        references: dict[tuple[str, str | None], dict[str, None]] = {}
        for pair, split, _ in examples:
            several = references.setdefault((pair["x"], split), {})
            several.update(dict.fromkeys(pair["references"]))
        count = sum(len(pair["references"]) for pair, *_ in examples)
        self.source.duplicates += count - sum(map(len, references.values()))
        return [
            Labeled(_pair(source, *several), split)
            for (source, split), several in references.items()
        ]

    def divide(self, examples: Sequence[Labeled[Example]]) -> dict[str, list[Example]]:
        parts = super().divide(examples)
        parts["train"] = [
            _pair(pair["x"], text) for pair in parts["train"] for text in pair["references"]
        ]
        return parts

    def fit(self, examples: Sequence[Example]) -> None:
        super().fit(examples)
        rows = self.encode(examples)
        self.ratio = float(rows.lengths("y").sum() / rows.lengths("x").sum())

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "ratio": self.ratio}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.ratio = float(state["ratio"])

    def build(self) -> TranslateNetwork:
        source, target = self.vocabularies
        return TranslateNetwork(self.model, len(source), len(target), self._end)

    @property
    def _end(self) -> int:
        eos = self.target_text.vocabulary.eos
        assert eos is not None
        return eos

    def facts(self) -> dict[str, Any]:
        facts = super().facts()
        source, target = map(len, self.vocabularies)
        facts["vocabulary"] = {"source": source, "target": target}
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
        unk = self.target_text.vocabulary.unk
        unknown = [] if unk is None else [unk]

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

    @property
    def metric(self) -> Metric:
        """That of ``data.aim``."""
        return Metric(self.data.aim, higher_is_better=self.data.aim != "phoneme_error")

    def predict(self, split: str) -> Translations:
        rows = self.part(split)
        best = [several[0] for several in self.translations(rows)]
        texts = [self._decode(each.tokens) for each in best]
        order = rows.lengths("x").argsort(stable=True).tolist()
        places = [order[len(order) * (2 * i + 1) // (2 * EXAMPLES)] for i in range(EXAMPLES)]
        alignments = [self.alignment(rows.select(torch.tensor([i])), best[i]) for i in places]
        return Translations(
            rows, texts, self.mean_loss(split), [each for each in alignments if each is not None]
        )

    def metrics(self, predictions: Translations) -> Metrics:
        references = reference_texts(predictions.rows)
        measured = report.measured(self.data.aim, predictions.texts, references)
        return {**measured, "nats": predictions.nats}

    def text_rows(self, text: str) -> Rows:
        """A source, and as its target the translation by the network."""
        row = self.row_of(text)
        [[best, *_]] = self.translations(self.input_rows([row]))
        return self.encode([_pair(self.source_text.parse(row), self._decode(best.tokens))])

    def step_names(self, rows: Rows, row: int) -> Mapping[str, Sequence[str]]:
        values = rows.take(torch.tensor([row]))
        most = self.data.max_length
        source, target = values["x"][0, :most], values["y"][0, :most]
        inputs = torch.cat([target.new_tensor([self._end]), target[:-1]])
        from_, to = self.vocabularies
        return {"encoder": _named(from_, source), "decoder": _named(to, inputs)}

    def _by_length(self, predictions: Translations) -> report.ByLength:
        rows, texts = predictions.rows, predictions.texts
        references = reference_texts(rows)
        return report.by_length(
            (rows.lengths("x") - 1).tolist(),  # without the end
            lambda here: report.measured(
                self.data.aim, [texts[i] for i in here], [references[i] for i in here]
            ),
        )

    def tables(self, predictions: Translations) -> list[Table]:
        """The metrics by the length of the source."""
        title = "by length of the source"
        if self.data.aim == "bleu":
            references = reference_texts(predictions.rows)
            title += f"; BLEU|{measure.bleu(predictions.texts, references).signature}"
        groups = self._by_length(predictions)
        cells: list[list[str | float | int]] = [
            [f"{first}-{last}" if last > first else str(first), count, *metrics.values()]
            for (first, last), (count, metrics) in groups.items()
        ]
        columns = ["tokens", "rows", *next(iter(groups.values()))[1]]
        return [Table(title, columns, cells, by_length=True)]

    def samples(self, predictions: Translations) -> Table:
        texts, references = predictions.texts, reference_texts(predictions.rows)
        cells = [
            [text, texts[i], " / ".join(references[i])]
            for i, text in self.inputs_of(predictions.rows)
        ]
        return Table("samples", ["input", "prediction", "references"], cells)

    def plots(self, predictions: Translations) -> list[Picture]:
        """The metric by the length of the source, and the attention of a few rows."""
        groups = self._by_length(predictions)
        return report.plots(self.data.aim, groups, predictions.alignments)

    def plots_of(self, rows: Iterable[Mapping[str, Any]]) -> list[Picture]:
        """For each source where the decoder attended, if it has attention."""
        read = list(rows)
        texts = [self.source_text.parse(values) for values in read]
        encoded = [self.input_rows([values]) for values in read]
        best = [self.translations(row)[0][0] for row in encoded]
        alignments = [self.alignment(*pair) for pair in zip(encoded, best, strict=True)]
        return [
            report.attention(report.file_name(text), [alignment])
            for text, alignment in zip(texts, alignments, strict=True)
            if alignment is not None
        ]

    def alignment(self, row: Rows, translation: Hypothesis) -> report.Alignment | None:
        """The attention of each token of a row's translation; None without attention."""
        if self.network.decoder.attention is None:
            return None
        target = torch.tensor([[*translation.tokens, self._end]], device=self.device)
        [batch] = self.batched(row)
        x, lengths = self._read(batch, "x")
        with evaluating(self.network):
            weights = self.network.attention(x, lengths, target, torch.tensor([target.shape[1]]))
        assert weights is not None
        from_, to = self.vocabularies
        return report.Alignment(
            _printable(from_, x[0]), _printable(to, target[0]), weights[:, 0].cpu()
        )

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """Each token of the source by itself, as it is most often translated."""
        train = self.parts["train"]
        model = WordByWord(_tokens(train, "x"), _tokens(train, "y"))

        def word_by_word(rows: Rows) -> Metrics:
            texts = [self._decode(model.translate(x)) for x in _tokens(rows, "x")]
            return report.measured(self.data.aim, texts, reference_texts(rows))

        return self.baseline_metrics({"word_by_word": word_by_word})

    def _decode(self, tokens: Sequence[int]) -> str:
        return self.target_text.vocabulary.decode(tokens)

    def accepts(self, path: Path) -> bool:
        return _is_table(path)

    def answer(self, rows: Rows) -> list[dict[str, Any]]:
        """The translation; with a beam the others, too."""
        answers = []
        for best, *others in self.translations(rows):
            answer: dict[str, Any] = {
                "translation": self._decode(best.tokens),
                "log_probability": best.log_probability,
            }
            if others:
                answer["others"] = {self._decode(h.tokens): h.score for h in others}
            answers.append(answer)
        return answers


def _pair(source: str, *targets: str) -> Example:
    return {"x": source, "y": targets[0], "references": targets}


def _is_table(path: Path) -> bool:
    return path.is_dir() or bool(set(path.suffixes) & set(TABLE_FORMATS))


def _read(source: RowSource[Any], files: Sequence[Path]) -> Iterator[Record]:
    """The rows of tables; or of text files, two by two: a source and its translation."""
    data, texts = source.data, [file for file in files if not _is_table(file)]
    if len(texts) % 2:
        raise DataError(
            f"{texts[-1]} has no translation: give parallel files two by two, the source first"
            f", or a table ({', '.join(TABLE_FORMATS)}) with columns {data.source} "
            f"and {data.target}; "
            "--valid and --test are repeated for each file"
        )
    yield from source.tables([file for file in files if _is_table(file)])
    for one, other in zip(texts[::2], texts[1::2], strict=True):
        names = data.source, data.target
        yield from read_parallel(one, other, names, source.bad, encoding=data.encoding)


def _tokens(rows: Rows, name: str) -> list[list[int]]:
    """The tokens of each row, without the end."""
    return [row[:-1].tolist() for row in rows.sequences(name).unbind()]


def _named(vocabulary: Vocabulary, tokens: Tensor) -> list[str]:
    """Each token as text, or by its name where it is none."""
    return [vocabulary.decode([t]).strip() or vocabulary.token(t) for t in tokens.tolist()]


def _printable(vocabulary: Vocabulary, tokens: Tensor) -> list[str]:
    """Each token as text that a picture can show: a dot where there is nothing to print."""
    texts = (vocabulary.decode([token]).strip() for token in tokens.tolist())
    return [text if text.isprintable() and text else "·" for text in texts]
