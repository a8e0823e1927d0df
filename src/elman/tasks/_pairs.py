"""Tasks whose rows are a text and what it may be translated to: how such rows are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from elman._errors import DataError
from elman.data import BadValue, Record, read_parallel, read_table
from elman.data._table import FORMATS
from elman.tasks._answers import value_of
from elman.tasks._table import TableTask
from elman.tasks._translate_config import TranslateData


class Pair(NamedTuple):
    """A text, and what it may be translated to."""

    source: str
    targets: tuple[str, ...]


class PairTask(TableTask):
    """Reads tables with two columns, and text files of which one translates the other.

    A source that has several translations is one row to validate and test, and all are right; in
    training each is a row.
    """

    data: TranslateData

    def wanted(self) -> list[str]:
        return [self.data.source, self.data.target]

    def reads(self, path: Path) -> bool:
        return path.is_dir() or super().reads(path)

    def read_all(self, files: Sequence[Path]) -> Iterator[Record]:
        """The rows of tables; or of text files, two by two: a source and its translation."""
        data, texts = self.data, [file for file in files if not self.reads(file)]
        if len(texts) % 2:
            raise DataError(
                f"{texts[-1]} has no translation: give parallel files two by two, the source first"
                f", or a table ({', '.join(FORMATS)}) with columns {' and '.join(self.wanted())}; "
                "--valid and --test are repeated for each file"
            )
        yield from super().read_all([file for file in files if self.reads(file)])
        for source, target in zip(texts[::2], texts[1::2], strict=True):
            names = data.source, data.target
            yield from read_parallel(source, target, names, self.bad, encoding=data.encoding)

    def parse(self, values: Mapping[str, Any]) -> Pair:
        said = values[self.data.target]
        targets = said if isinstance(said, list) and said else [said]
        texts = (self._text(self.data.target, text) for text in targets)
        return Pair(self.source_of(values), tuple(dict.fromkeys(texts)))

    def source_of(self, values: Mapping[str, Any]) -> str:
        return self._text(self.data.source, value_of(values, self.data.source))

    def _text(self, column: str, value: Any) -> str:
        text = " ".join(str(value if value is not None else "").split())
        if not text:
            raise BadValue(column, "is empty")
        return text.lower() if self.data.lowercase else text

    def _parsed(self, rows: Iterable[Record]) -> list[tuple[Pair, str | None]]:
        """What is divided has each source once, so that none is both learned and tested."""
        found = super()._parsed(rows)
        if self.known or not self.data.unique:
            return found
        targets: dict[tuple[str, str | None], dict[str, None]] = {}
        for pair, split in found:
            targets.setdefault((pair.source, split), {}).update(dict.fromkeys(pair.targets))
        said = sum(len(pair.targets) for pair, _ in found)
        self.duplicates += said - sum(map(len, targets.values()))
        return [(Pair(source, tuple(t)), split) for (source, split), t in targets.items()]

    def _divided(self) -> dict[str, list[Pair]]:
        parts = super()._divided()
        parts["train"] = [Pair(p.source, (t,)) for p in parts["train"] for t in p.targets]
        return parts

    def key(self, example: Pair) -> Pair:
        return example

    def row_of(self, text: str) -> Mapping[str, Any]:
        if not text.strip():
            raise BadValue("", "the text is empty: give one to translate")
        return {self.data.source: text}

    def rows_of(self, path: Path) -> Iterator[Mapping[str, Any]]:
        data = self.data
        options: Any = {"names": data.columns, "encoding": data.encoding}
        for place, values in read_table(path, [data.source], self.bad, **options):
            with self.bad.caught(place):
                self.source_of(values)
                yield values
