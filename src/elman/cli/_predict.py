"""``elman predict``: predictions of a trained model."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO, TypeAlias

from cyclopts import Parameter

from elman._errors import ConfigError, DataError
from elman._files import replacing
from elman.cli._cells import CellFlag, TrustFlag, own_cells
from elman.cli._output import (
    Flag,
    as_json,
    log,
    number,
    table,
    warn_unknown,
    with_bad_rows,
    with_beam,
    write_csv,
)
from elman.cli._streams import text_of

if TYPE_CHECKING:
    from elman.tasks import LanguageModel, Supervised

AT_ONCE = 256
"""Rows that are predicted together."""

SILENCE = 5.0
"""Seconds between two lines of progress."""

WIDEST = 400
"""Longest row with several columns on the terminal; files have all of it."""

Answer: TypeAlias = tuple[Mapping[str, Any], dict[str, Any]]
"""A row, and its prediction, which repeats its columns."""

Show: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], str]
"""A prediction and its row as text."""

Texts = Annotated[list[str] | None, Parameter(negative=())]


def predict(
    run: Path,
    /,
    *,
    prompt: Annotated[
        list[str] | None, Parameter(name=("--prompt", "--text", "--image"), negative=())
    ] = None,
    input: Annotated[  # noqa: A002 - the name of the flag
        Path | None, Parameter(allow_leading_hyphen=True)
    ] = None,
    output: Path | None = None,
    top: int | None = None,
    word: Texts = None,
    beam: int | None = None,
    checkpoint: Literal["best", "last"] = "best",
    device: str = "cpu",
    on_bad_row: Literal["error", "skip"] | None = None,
    pictures: Path | None = None,
    raw_csv: Flag = False,
    cell: CellFlag = None,
    trust: TrustFlag = False,
    json: Flag = False,
) -> None:
    """Predict with a trained model: next words, labels, numbers, translations, forecasts ...

    Parameters
    ----------
    run
        The run folder, such as runs/language-1.
    prompt
        A text, or an image file; may be repeated.
    input
        A file with one text per line, or a table as in training; - is standard input. For captions
        also an image or a folder of images. Without it, a forecast continues the training series.
    output
        File to write to (default: standard output). A .csv file gets a table.
    top
        Language models: number of words (default: 10, or none with --word).
    word
        Language models: a word whose rank, probability, training frequency and lift to print; may
        be repeated. The lift is the probability divided by the frequency.
    beam
        Translations and captions: beam width, the number of sequences that the search keeps at each
        step. 1 is greedy decoding. Default: the run's model.beam.
    checkpoint
        Checkpoint to load.
    device
        Device to compute on: cpu, cuda ...
    on_bad_row
        How to treat rows of a table that cannot be used (default: as in training).
    pictures
        Folder to save a plot of each prediction in, if the task has one.
    raw_csv
        Write text into a .csv file unchanged. Otherwise text that begins with = + - @, which a
        spreadsheet would run as a formula, gets an apostrophe.
    json
        Print one JSON object per input.
    """
    from elman.training import read_config

    if top is not None and top < 1:
        raise ConfigError(f"--top must be at least 1, got {top}")
    prompt, word = (texts and list(map(text_of, texts)) for texts in (prompt, word))
    read_config(run)  # a mistyped path is named before torch is loaded
    import elman
    from elman.tasks import LanguageModel

    with own_cells([run], cell, trust=trust):
        loaded = elman.load(run, which=checkpoint, device=device)
    model = with_beam(with_bad_rows(loaded, on_bad_row), beam)
    show: Show = described
    if isinstance(model, LanguageModel):
        if prompt is None and input is None:
            raise ConfigError("expected --prompt TEXT or --input FILE, got neither")
        words = word or []
        count = top or (0 if words else 10)
        texts = (*(prompt or ()), *_lines(input))
        pairs: Iterator[Answer] = (({}, predicted(model, text, count, words)) for text in texts)
    else:
        if top or word:
            raise ConfigError(f"--top and --word are for language models, not for {model.name}")
        pairs = answered(model, prompt or (), input, pictures)
        show = described_answer
    if raw_csv and not (output and output.suffix == ".csv"):
        raise ConfigError("--raw-csv needs --output FILE.csv")
    if output and not output.parent.is_dir():
        raise DataError(f"{output}: no such folder {output.parent}: make it, or check --output")
    with written(output) if output else nullcontext(sys.stdout) as file:
        if output and output.suffix == ".csv":
            write_csv((answer for _, answer in _with_progress(pairs, input)), file, raw=raw_csv)
            return
        for row, answer in _with_progress(pairs, input):
            print(as_json(answer) if json else show(answer, row), file=file, flush=not output)


@contextmanager
def written(path: Path) -> Iterator[TextIO]:
    """A text file that appears once it is complete; a device or a pipe is written directly."""
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    with replacing(path) as raw:
        text = TextIOWrapper(raw, encoding="utf-8", newline="", write_through=True)
        yield text
        text.detach()


def _with_progress(answers: Iterator[Answer], path: Path | None) -> Iterator[Answer]:
    """The same answers, with a line of progress every few seconds for the rows of a file."""
    logged = time.monotonic()
    for count, answer in enumerate(answers, 1):
        yield answer
        if path is not None and time.monotonic() - logged > SILENCE:
            logged = time.monotonic()
            log(f"predicted {count:,} rows of {path}")


def answered(
    task: Supervised, texts: Sequence[str], path: Path | None, pictures: Path | None = None
) -> Iterator[Answer]:
    """The predictions for texts and the rows of a file, or for the task's own next rows."""
    from elman.pictures import save

    rows = _rows(task, texts, path)
    drawn = 0
    while some := list(islice(rows, AT_ONCE)):
        answers = task.answers(some)
        # If bad rows were skipped, it is unknown which row an answer belongs to.
        own = some if len(some) == len(answers) else [{}] * len(answers)
        yield from zip(own, answers, strict=True)
        for file in save(task.plots_of(some), pictures) if pictures else ():
            log(f"picture {file}")
            drawn += 1
    if pictures and not drawn:
        log(f"no plots: {task.name} has none for its predictions")
    for line in task.source.bad.skipped:
        log(f"skipped: {line}")


def _rows(task: Supervised, texts: Sequence[str], path: Path | None) -> Iterator[Mapping[str, Any]]:
    """The texts as rows, then the rows of the file; without both, the task's own next rows.

    A line of a text file that cannot be used is an error or skipped, like a row of a table.
    """
    if not texts and path is None:
        yield from task.continuation()
    yield from map(task.row_of, texts)
    if path is not None and task.accepts(path):
        yield from task.rows_of(path)
        return
    name = "standard input" if str(path) == "-" else path
    for at, line in enumerate(_lines(path), 1):
        with task.source.bad.place(f"{name}, line {at}"):
            yield task.row_of(line)


def described_answer(answer: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """The row on one line, then each part of the prediction."""
    own = [name for name in answer if name in row and answer[name] is row[name]]
    own = own or [next(iter(answer))]
    texts = [_in_line(answer[name]) for name in own]
    if len(own) > 1:
        texts = [f"{name} {text}" for name, text in zip(own, texts, strict=True)]
    line = ", ".join(texts)
    parts = [line if len(line) <= WIDEST or len(own) == 1 else f"{line[: WIDEST - 4]} ..."]
    for name, value in answer.items():
        if name in own:
            continue
        match value:
            case Mapping():
                ranked = sorted(value.items(), key=lambda item: -item[1])
                parts.append(table(([key, f"{p:.4f}"] for key, p in ranked), indent="  "))
            case [Mapping() as first, *_]:
                cells = [[_cell(part) for part in row.values()] for row in value]
                parts.append(table([list(first), *cells], indent="  "))
            case list() | tuple():
                parts.append(f"  {name}: {' '.join(map(str, value)) or 'none'}")
            case _:
                parts.append(f"  {name}: {_cell(value)}")
    return "\n".join(parts)


def _in_line(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else number(value)


def predicted(model: LanguageModel, prompt: str, top: int, words: list[str]) -> dict[str, Any]:
    """The prediction for a prompt as a JSON object."""
    answer: dict[str, Any] = {"prompt": prompt, "unknown": warn_unknown(model, prompt)}
    if top:
        likeliest = model.next_words(prompt, top)
        answer["next"] = [{"word": word, "probability": p} for word, p in likeliest]
    if words:
        answer["words"] = [_word_probability(model, prompt, word) for word in words]
    return answer


def described(answer: Mapping[str, Any], _: Mapping[str, Any]) -> str:
    """The prediction of a language model as tables."""
    parts = [f"{answer['prompt']} ..."]
    if "next" in answer:
        rows = [[repr_token(a["word"]), f"{a['probability']:.4f}"] for a in answer["next"]]
        parts.append(table(rows, indent="  "))
    if "words" in answer:
        head = ["word", "rank", "probability", "frequency", "lift"]
        rows = [[a["word"], *(number(a[key]) for key in head[1:])] for a in answer["words"]]
        parts.append(table([head, *rows], indent="  "))
    return "\n".join(parts)


def repr_token(token: str) -> str:
    """A token with its white space made visible.

    >>> repr_token("walk"), repr_token(" ")
    ('walk', "' '")
    """
    return token if token.isprintable() and token.strip() == token else repr(token)


def _word_probability(model: LanguageModel, prompt: str, word: str) -> dict[str, Any]:
    probability, frequency = model.probability(prompt, word), model.frequency(word)
    return {
        "word": word,
        "rank": model.rank(prompt, word),
        "probability": probability,
        "frequency": frequency,
        # A token of the vocabulary may not occur in the training text, such as a byte of a BPE.
        "lift": probability / frequency if frequency else None,
    }


def _lines(path: Path | None) -> Iterator[str]:
    from elman.data import RowLines

    if path is None:
        return
    if str(path) != "-" and not path.is_file():
        raise DataError(f"{path}: no such file: check --input")
    with nullcontext(sys.stdin) if str(path) == "-" else path.open(encoding="utf-8") as file:
        try:
            for _, line in RowLines(file, path).rows():
                yield line.rstrip("\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8: {error.reason}; convert the file first") from error
