"""The error tree: every message says what was expected, what came, and what to do.

Each class also subclasses the built-in error that torch or Python raises in the same place, so that
code written against them keeps working. ``exit_code`` is what the command line exits with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from os import PathLike


class ElmanError(Exception):
    """The root of every error that elman raises on purpose."""

    exit_code = 1


class ConfigError(ElmanError, ValueError):
    """An argument or a configuration key has a value it cannot have."""

    exit_code = 2


class ShapeError(ElmanError, RuntimeError):
    """A tensor does not have the shape that was expected (torch raises RuntimeError there)."""


class DtypeError(ElmanError, TypeError, RuntimeError):
    """An argument has a type, or a tensor a dtype, that it cannot have.

    torch raises TypeError for the one and RuntimeError for the other.
    """


class DataError(ElmanError, ValueError):
    """A data file cannot be used; the message names the file and, where there is one, the line."""

    exit_code = 3


class CheckpointError(ElmanError, ValueError):
    """A run folder or checkpoint cannot be read, or does not fit the model."""

    exit_code = 3


class Diverged(ElmanError, RuntimeError):
    """The loss or a gradient stopped being finite; the message names the step."""

    exit_code = 4


class Interrupted(ElmanError, KeyboardInterrupt):
    """Training was stopped by Ctrl-C, SIGTERM or SIGHUP, after the current update was saved.

    ``resume`` are the words after ``elman`` on a command line that goes on, where there is one.
    """

    exit_code = 130

    def __init__(self, message: str = "", resume: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.resume = tuple(resume)


class EngineError(ElmanError, RuntimeError):
    """An engine that was asked for by name cannot run; the message gives the reason."""


ALIKE = 0.66
"""How much of two names must be equal for one to be a misspelling of the other."""

SYNONYMS = {
    "early_stopping": ("patience",),
    "early_stop": ("patience",),
    "grad_accum": ("accumulate",),
    "gradient_accumulation": ("accumulate",),
    "gradient_accumulation_steps": ("accumulate",),
    "accumulate_grad_batches": ("accumulate",),
    "batch_size": ("batch", "lanes"),
    "batches": ("batch", "lanes"),
    "num_epochs": ("epochs",),
    "n_epochs": ("epochs",),
    "max_epochs": ("epochs",),
    "iterations": ("max_steps",),
    "num_steps": ("max_steps",),
    "updates": ("max_steps",),
    "learning_rate": ("lr",),
    "rate": ("lr",),
    "optim": ("optimizer",),
    "scheduler": ("schedule",),
    "lr_scheduler": ("schedule",),
    "wd": ("weight_decay",),
    "max_norm": ("clip_limit",),
    "grad_clip": ("clip", "clip_limit"),
    "gradient_clip": ("clip", "clip_limit"),
    "gradient_clipping": ("clip", "clip_limit"),
    "max_grad_norm": ("clip_limit",),
    "hidden_size": ("hidden",),
    "hidden_dim": ("hidden",),
    "hidden_units": ("hidden",),
    "units": ("hidden",),
    "num_layers": ("layers",),
    "n_layers": ("layers",),
    "depth": ("layers",),
    "embedding_dim": ("embedding",),
    "embedding_size": ("embedding",),
    "emb": ("embedding",),
    "vocab_size": ("vocabulary",),
    "max_vocab": ("vocabulary",),
    "seq_len": ("k1", "steps"),
    "sequence_length": ("k1", "steps"),
    "seq_length": ("k1", "steps"),
    "bptt_length": ("k1",),
    "covariates": ("past", "known"),  # in this order: what is of the past leaks no future
    "tie": ("tied",),
    "tie_weights": ("tied",),
    "tied_weights": ("tied",),
    "tie_word_embeddings": ("tied",),
    "nonlinearity": ("activation",),
    "workers": ("threads",),
    "num_threads": ("threads",),
    "num_workers": ("threads",),
    "random_seed": ("seed",),
    "gpu": ("device", "cuda"),
    "rnn": ("elman",),
    "simple_rnn": ("elman",),
    "vanilla": ("elman",),
    "no_clip": ("clip",),
    "lm": ("language",),
    "language_model": ("language",),
    "sentiment": ("classify",),
    "ner": ("tag",),
    "translation": ("translate",),
    "classification": ("classify",),
    "regression": ("regress",),
    "captioning": ("caption",),
    "forecasting": ("forecast",),
}
"""What other libraries call it, and what it is called here."""

FLOAT32 = dict.fromkeys(
    ("amp", "fp16", "bf16", "precision", "mixed_precision", "autocast"),
    "training is in float32, and there is no setting for it",
)
"""What other libraries have and this one has not."""


LISTED = 100
"""So many choices are listed in a message."""


def kind_of(value: object) -> str:
    """What a value is, for a message that shall not print all of it.

    >>> kind_of([1, 2]), kind_of(ElmanError)
    ('list', 'type')
    """
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def check_path(what: str, path: object) -> None:
    """A clear error where ``path`` is no path of ``what``, but a table, say."""
    if not isinstance(path, (str, PathLike)):
        raise DtypeError(f"expected the path of {what}, a string or a Path, got {kind_of(path)}")


def nearest(name: str, choices: Iterable[str]) -> str:
    """The end of a message about an unknown name: the likeliest choice, then all of them.

    >>> nearest("ltsm", ["lstm", "gru"])
    "did you mean 'lstm'? choose from: lstm, gru"
    >>> nearest("average", ["seed", "lr"])
    'choose from: seed, lr'
    """
    known = [choice if len(choice) <= LISTED else f"{choice[:LISTED]}..." for choice in choices]
    more = f" and {len(known) - LISTED:,} more" if len(known) > LISTED else ""
    return f"{suggestion(name, known)}choose from: {', '.join(known[:LISTED])}{more}"


def suggestion(name: str, choices: Sequence[str]) -> str:
    """What was meant, as the beginning of a sentence; nothing where no choice is like it."""
    if guess := likeliest(name, choices):
        return f"did you mean {guess!r}? "
    note = FLOAT32.get(_last(name))
    return f"{note}; " if note else ""


def likeliest(name: str, choices: Sequence[str]) -> str | None:
    """The choice that was meant, if one is like the name: a misspelling, or another word for it.

    Only what comes after the last dot is compared, so that a section in common counts for nothing.

    >>> likeliest("--train.early_stopping", ["--train.patience", "--train.epochs"])
    '--train.patience'
    >>> likeliest("--train.average", ["--train.seed", "--train.watch"]) is None
    True
    """
    own = _last(name)
    for synonym in SYNONYMS.get(own, ()):
        if matches := [choice for choice in choices if _last(choice) == synonym]:
            return matches[0]
    scores = [(_alike(own, _last(c)), _ratio(name, c), -i) for i, c in enumerate(choices)]
    best = max(scores, default=(0.0, 0.0, 0))
    return choices[-best[2]] if best[0] >= ALIKE else None


def _last(name: str) -> str:
    """The last part of a dotted name, in one spelling."""
    return name.lstrip("-").rpartition(".")[2].replace("-", "_").lower()


def _alike(own: str, other: str) -> float:
    """How alike two words are; the beginning of a word stands for it."""
    begins = len(own) >= 3 and other.startswith(own)
    return 1.0 if begins else _ratio(own, other)


def _ratio(own: str, other: str) -> float:
    return SequenceMatcher(None, own, other).ratio()
