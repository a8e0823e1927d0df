"""``elman predict``: what a trained model says of a text, or expects next."""

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
from elman.data._files import replacing

if TYPE_CHECKING:
    from elman.tasks import LanguageModel, TableTask

AT_ONCE = 256
"""Rows that are answered together."""

SILENCE = 5.0
"""Seconds after which one is told how far it is."""

WIDEST = 400
"""Characters of a row of several columns on the terminal; files have all of it."""

Answer: TypeAlias = tuple[Mapping[str, Any], dict[str, Any]]
"""A row, and all of its columns with what is said of it."""

Show: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], str]
"""An answer and its row as text."""

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
    json: Flag = False,
) -> None:
    """Print what a trained model says: next words of a text, its label, next steps of a series ...

    Parameters
    ----------
    run
        The run folder, such as runs/language-1.
    prompt
        A text, or an image's file; give it again for more.
    input
        A file with one text a line, or a table as in training; - is the standard input. For
        captions also an image, or a folder of them. Series that were trained on need none to be
        continued.
    output
        Where to write the results; the standard output unless given. A .csv file is a table.
    top
        Language models: how many words; 10, or none where --word asks for certain ones.
    word
        Language models: this word's probability and its frequency in training; may be repeated.
    beam
        Translations and captions: how many sequences the search goes on with side by side, of which
        the best wins. 1 is greedy, the likeliest token each time. Unless given it is the run's
        model.beam, whose default is 1.
    checkpoint
        Which weights.
    device
        Where to compute: cpu, cuda ...
    on_bad_row
        Rows of a table that cannot be used: as in training, unless given.
    pictures
        A folder for a picture of each answer, if the task draws them.
    raw_csv
        Write texts into a .csv file as they are, also those that a spreadsheet would run as
        formulas: those that begin with = + - @, which get an apostrophe otherwise.
    json
        One JSON object a text.
    """
    from elman.training._run_config import read_config

    if top is not None and top < 1:
        raise ConfigError(f"--top must be at least 1, got {top}")
    prompt, word = (texts and list(map(text_of, texts)) for texts in (prompt, word))
    read_config(run)  # a mistyped path is named before torch is loaded
    import elman
    from elman.tasks import LanguageModel

    loaded = elman.load(run, which=checkpoint, device=device)
    model = with_beam(with_bad_rows(loaded, on_bad_row), beam)
    show: Show = described
    if isinstance(model, LanguageModel):
        if prompt is None and input is None:
            raise ConfigError("nothing to predict from: give --prompt TEXT or --input FILE")
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
        raise ConfigError("--raw-csv is for tables: write one with --output FILE.csv")
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
    """A text file that appears once it is whole; a device or a pipe, which cannot, as it goes."""
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    with replacing(path) as raw:
        text = TextIOWrapper(raw, encoding="utf-8", newline="", write_through=True)
        yield text
        text.detach()


def _with_progress(answers: Iterator[Answer], path: Path | None) -> Iterator[Answer]:
    """The answers to a file; where they take long, how many there are by now."""
    logged = time.monotonic()
    for count, answer in enumerate(answers, 1):
        yield answer
        if path is not None and time.monotonic() - logged > SILENCE:
            logged = time.monotonic()
            log(f"answered {count:,} of {path}")


def answered(
    task: TableTask, texts: Sequence[str], path: Path | None, pictures: Path | None = None
) -> Iterator[Answer]:
    """Texts and the rows of a file, or what a task can go on with itself; what it says of each."""
    from elman.pictures import save

    rows = _rows(task, texts, path)
    drawn = 0
    while some := list(islice(rows, AT_ONCE)):
        answers = task.answers(some)
        # Rows that cannot be used may be left out, and then none is known to be an answer's.
        own = some if len(some) == len(answers) else [{}] * len(answers)
        yield from zip(own, answers, strict=True)
        for file in save(task.portraits(some), pictures) if pictures else ():
            log(f"picture {file}")
            drawn += 1
    if pictures and not drawn:
        log(f"no picture: {task.name} draws none of what it says")
    for line in task.bad.skipped:
        log(f"left out: {line}")


def _rows(task: TableTask, texts: Sequence[str], path: Path | None) -> Iterator[Mapping[str, Any]]:
    """The texts as rows, then those of the file; what the task can go on with where there is none.

    A line of a text file that cannot be used is named, or left out, as a row of a table is.
    """
    if not texts and path is None:
        yield from task.upcoming()
    yield from map(task.row_of, texts)
    if path is not None and task.reads(path):
        yield from task.rows_of(path)
        return
    name = "standard input" if str(path) == "-" else path
    for at, line in enumerate(_lines(path), 1):
        with task.bad.caught(f"{name}, line {at}"):
            yield task.row_of(line)


def described_answer(answer: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """The row in a line, and each part of what is said of it."""
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
    """One prompt's answer, as JSON has it."""
    answer: dict[str, Any] = {"prompt": prompt, "unknown": warn_unknown(model, prompt)}
    if top:
        likeliest = model.next_words(prompt, top)
        answer["next"] = [{"word": word, "probability": p} for word, p in likeliest]
    if words:
        answer["words"] = [_word_probability(model, prompt, word) for word in words]
    return answer


def described(answer: Mapping[str, Any], _: Mapping[str, Any]) -> str:
    """A language model's answer as a table or two."""
    parts = [f"{answer['prompt']} ..."]
    if "next" in answer:
        rows = [[repr_token(a["word"]), f"{a['probability']:.4f}"] for a in answer["next"]]
        parts.append(table(rows, indent="  "))
    if "words" in answer:
        head = ["word", "probability", "frequency", "ratio"]
        rows = [[a["word"], *(number(a[key]) for key in head[1:])] for a in answer["words"]]
        parts.append(table([head, *rows], indent="  "))
    return "\n".join(parts)


def repr_token(token: str) -> str:
    """A token so that white space in it can be seen.

    >>> repr_token("walk"), repr_token(" ")
    ('walk', "' '")
    """
    return token if token.isprintable() and token.strip() == token else repr(token)


def _word_probability(model: LanguageModel, prompt: str, word: str) -> dict[str, Any]:
    probability, frequency = model.probability(prompt, word), model.frequency(word)
    # A word of the vocabulary may be missing from the training text: a byte of a BPE, for one.
    ratio = probability / frequency if frequency else None
    return {"word": word, "probability": probability, "frequency": frequency, "ratio": ratio}


def _lines(path: Path | None) -> Iterator[str]:
    from elman.data import RowLines

    if path is None:
        return
    if str(path) != "-" and not path.is_file():
        raise DataError(f"{path}: no such file: check the path of --input")
    with nullcontext(sys.stdin) if str(path) == "-" else path.open(encoding="utf-8") as file:
        try:
            for _, line in RowLines(file, path).rows():
                yield line.rstrip("\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8: {error.reason}; convert the file first") from error
