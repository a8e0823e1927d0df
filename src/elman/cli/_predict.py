"""``elman predict``: what a trained model expects next."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from elman._errors import ConfigError, DataError
from elman.cli._output import Flag, as_json, number, table, warn_unknown

if TYPE_CHECKING:
    from elman.tasks import LanguageModel

Texts = Annotated[list[str] | None, Parameter(negative=())]


def predict(
    run: Path,
    /,
    *,
    prompt: Texts = None,
    input: Path | None = None,  # noqa: A002 - the name of the flag
    output: Path | None = None,
    top: int | None = None,
    word: Texts = None,
    checkpoint: Literal["best", "last"] = "best",
    device: str = "cpu",
    json: Flag = False,
) -> None:
    """Print the likeliest next words after a prompt, with their probabilities.

    Parameters
    ----------
    run
        The run folder, such as runs/language-1.
    prompt
        The text so far; give it again for more texts.
    input
        A file with one prompt a line; - is the standard input.
    output
        Where to write the results; the standard output unless given.
    top
        How many words; 10, or none where --word asks for certain ones.
    word
        Print this word's probability beside its frequency in the training text; may be repeated.
    checkpoint
        Which weights.
    device
        Where to compute: cpu, cuda ...
    json
        One JSON object a prompt.
    """
    import elman

    if prompt is None and input is None:
        raise ConfigError("nothing to predict from: give --prompt TEXT or --input FILE")
    if top is not None and top < 1:
        raise ConfigError(f"--top must be at least 1, got {top}")
    model = elman.load(run, which=checkpoint, device=device)
    words = word or []
    count = top or (0 if words else 10)
    show = as_json if json else described
    if output and not output.parent.is_dir():
        raise DataError(f"{output}: no such folder {output.parent}: make it, or check --output")
    with output.open("w", encoding="utf-8") if output else nullcontext(sys.stdout) as file:
        for text in (*(prompt or ()), *_lines(input)):
            print(show(predicted(model, text, count, words)), file=file, flush=not output)


def predicted(model: LanguageModel, prompt: str, top: int, words: list[str]) -> dict[str, Any]:
    """One prompt's answer, as JSON has it."""
    answer: dict[str, Any] = {"prompt": prompt, "unknown": warn_unknown(model, prompt)}
    if top:
        likeliest = model.next_words(prompt, top)
        answer["next"] = [{"word": word, "probability": p} for word, p in likeliest]
    if words:
        answer["words"] = [_asked(model, prompt, word) for word in words]
    return answer


def described(answer: dict[str, Any]) -> str:
    """The answer as a table or two."""
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


def _asked(model: LanguageModel, prompt: str, word: str) -> dict[str, Any]:
    probability, frequency = model.probability(prompt, word), model.frequency(word)
    # A word of the vocabulary may be missing from the training text: a byte of a BPE, for one.
    ratio = probability / frequency if frequency else None
    return {"word": word, "probability": probability, "frequency": frequency, "ratio": ratio}


def _lines(path: Path | None) -> Iterator[str]:
    if path is None:
        return
    if str(path) != "-" and not path.is_file():
        raise DataError(f"{path}: no such file: check the path of --input")
    with nullcontext(sys.stdin) if str(path) == "-" else path.open(encoding="utf-8") as file:
        try:
            yield from (line.rstrip("\n") for line in file)
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8: {error.reason}; convert the file first") from error
