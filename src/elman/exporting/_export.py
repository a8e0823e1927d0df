"""``elman.export``: a trained model, or a layer, as code that needs neither Python nor torch."""

from __future__ import annotations

import math
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from torch import nn

from elman._errors import ConfigError, ElmanError, nearest
from elman._files import replacing
from elman.exporting._compile import CompiledC, code_size, compiler
from elman.exporting._lower import lower
from elman.exporting._model import ExportCheck, StepModel, of_module, require_steps, token_count
from elman.exporting._nodes import StepGraph
from elman.exporting._report import Sizes
from elman.exporting._target import ExportOptions, Files, Weights
from elman.exporting._tasks import of_task
from elman.exporting._trace import Traced, trace
from elman.tasks import Task
from elman.training import load

TARGETS: tuple[tuple[str, str], ...] = (("c", "elman.exporting._c"),)
"""Names of ``to``, and the module whose ``files`` prints a model."""


class Target(Protocol):
    """What a module of `TARGETS` has."""

    def files(
        self, model: StepModel, traced: Traced, graph: StepGraph, options: ExportOptions
    ) -> Files: ...


class Exported(NamedTuple):
    """What an export wrote.

    Attributes:
        files: the paths.
        sizes: what the code takes.
        check: how it compares with the model; None where no compiler was there to run it.
    """

    files: tuple[Path, ...]
    sizes: Sizes
    check: ExportCheck | None


def export(
    model: nn.Module | Task | str | PathLike[str],
    to: str = "c",
    path: str | PathLike[str] = ".",
    name: str = "net",
    *,
    weights: str = "float32",
    libm: bool = True,
    max_loss: float = 0.01,
    checkpoint: str = "best",
) -> Exported:
    """Writes a model as code that runs without Python, one step at a time and with its state.

    The step is traced, what depends on weights alone is computed now, and the rest is printed.
    Where a C compiler is found, the code is compiled in a temporary folder and run on validation
    data, or on random inputs for a layer, before anything is written.

    Args:
        model: a layer, a module that a `Stream` takes, a trained task, or the path of a run.
        to: what to write: "c" for a header and a file in C99.
        path: the folder to write into.
        name: what the files and their names begin with.
        weights: "float32"; or "int8", matrices and embeddings of 8 bits with a scale a row.
        libm: whether the code may call the functions of math.h.
        max_loss: the largest share of the metric that the export may cost, as by int8 weights.
        checkpoint: of a run: "best" or "last".

    Returns:
        The files, what they take, and how they compare with the model.

    Raises:
        ConfigError: the model cannot be computed step by step, as bidirectional layers; or an
            argument has a value that it cannot have.
        ElmanError: the export costs more than ``max_loss``, or computes NaN; nothing is written.

    Example:
        >>> import tempfile, elman
        >>> layer = elman.Recurrent(elman.cells.GRU(3, 5))
        >>> exported = elman.export(layer, to="c", path=tempfile.mkdtemp(), name="gru")
        >>> [file.name for file in exported.files]
        ['gru.h', 'gru.c']
        >>> exported.sizes.state  # 5 numbers of 4 bytes
        20
    """
    target = _target(to)
    if weights not in ("float32", "int8"):
        raise ConfigError(f"weights must be float32 or int8, got {weights!r}: choose one of them")
    if not max_loss >= 0:
        raise ConfigError(f"max_loss must be at least 0, got {max_loss}")
    step_model = _model_of(model, checkpoint)
    require_steps(step_model.step, step_model.example)
    traced = trace(step_model.step, step_model.example)
    graph = lower(traced, _names(step_model.step))
    tokens = _tokens(step_model)
    options = ExportOptions(name, cast("Weights", weights), libm, tokens)
    files = target.files(step_model, traced, graph, options)
    check, sizes = _checked(step_model, graph, files, options)
    if check is not None:
        _require_same(check, weights, max_loss)
    paths = []
    for file, text in files.texts.items():
        with replacing(Path(path) / file) as opened:
            opened.write(text.encode())
        paths.append(Path(path) / file)
    return Exported(tuple(paths), sizes, check)


def _require_same(check: ExportCheck, weights: str, max_loss: float) -> None:
    """Refuse code that computes NaN or costs too much; ``not <=`` refuses a NaN of the metric."""
    if not math.isfinite(check.difference):
        raise ElmanError(
            f"the exported code gives NaN or infinity on {check.data} where the model gives "
            "numbers, or the model itself does: nothing was written; look at its outputs first"
        )
    if check.metric is not None and not check.loss <= max_loss:
        raise ElmanError(
            f"weights of {weights} cost {check.loss:.1%} of {check.metric.name} ({check.before:.6g}"
            f" before, {check.after:.6g} after), and at most {max_loss:.1%} is allowed: nothing "
            "was written; use float32, or allow more (--max-loss, max_loss=)"
        )


def _target(to: str) -> Target:
    known = dict(TARGETS)
    if to not in known:
        raise ConfigError(f"to must be one of {', '.join(known)}, got {to!r}: {nearest(to, known)}")
    return cast("Target", import_module(known[to]))


def _model_of(model: Any, checkpoint: str) -> StepModel:
    if isinstance(model, (str, PathLike)):
        model = load(Path(model), which=checkpoint)
    if isinstance(model, Task):
        return of_task(model)
    return of_module(model)


def _names(step: Any) -> dict[int, str]:
    """The names of parameters and buffers, by the address of their storage."""
    tensors = [*step.named_parameters(), *step.named_buffers()]
    return {t.untyped_storage().data_ptr(): name for name, t in reversed(tensors)}


def _tokens(model: StepModel) -> int | None:
    if not model.reads_tokens:
        return None
    if model.vocabulary is not None:
        return len(model.vocabulary)
    return token_count(model.step)


def _checked(
    model: StepModel, graph: StepGraph, files: Files, options: ExportOptions
) -> tuple[ExportCheck | None, Sizes]:
    """How the code compares with the model, and its size, where a compiler is found."""
    if compiler() is None:
        return None, files.sizes
    code = CompiledC(
        files.texts,
        options.name,
        reads_tokens=model.reads_tokens,
        output_size=graph.output.size,
    )
    return model.check(code), files.sizes._replace(code=code_size(files.texts, options.name))
