"""Asks with code that is typed into the page: each in a worker of its own, with limits."""

from __future__ import annotations

import ast
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import AfterValidator, Field

from elman._errors import ConfigError, ElmanError
from elman._files import replacing
from elman.lab._lesson import Ask
from elman.lab._live import Live
from elman.lab._protocol import Event
from elman.lab._runs import folder_of
from elman.lab._sandbox import continue_training, measured, run_training
from elman.lab._sandbox_settings import ProbeSettings, TrainSettings

if TYPE_CHECKING:
    from elman.cells import Cell
    from elman.lab._asks import Place

LONGEST = 20_000
"""Characters of typed code."""
NAME = "your_cell.py"
"""What messages call the file."""

EXAMPLE = '''\
import elman
import torch


class Leaky(elman.cells.PointwiseCell):
    """h_t = (1 - a) h_{t-1} + a tanh(z_t), with a gate a."""

    gates, states = ("z", "a"), ("h",)

    def pointwise(self, inp, rec, state):
        a = torch.sigmoid(inp.a + rec.a)
        self.watch(a=a)
        return self.State(h=(1 - a) * state.h + a * torch.tanh(inp.z + rec.z))
'''
"""A cell to begin with."""


def class_of(code: str) -> str:
    """The name of the last class at the top of the code, which is only parsed.

    Raises:
        ValueError: it is not Python, or has no class.
    """
    try:
        tree = ast.parse(code, NAME)
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(str(error)) from None
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    if not names:
        raise ValueError("expected a class that is a cell, such as class Leaky, got none")
    return names[-1]


def _checked(code: str) -> str:
    """The code, if it has a class."""
    class_of(code)
    return code


Code = Annotated[
    str,
    Field(min_length=1, max_length=LONGEST, description="Python with a class that is a cell"),
    AfterValidator(_checked),
]


class TypedProbe(ProbeSettings):
    """A probe of a typed cell."""

    code: Code


class TypedTraining(TrainSettings):
    """Training of a typed cell, or a few updates of it, within the time that typed code has."""

    code: Code
    updates: int = Field(200, ge=1, le=2000, description="updates")
    rows: int = Field(1000, ge=30, le=20_000, description="rows of generated data")
    run: str = Field("", max_length=300, description="run to continue; a new one if empty")
    by: int | None = Field(None, ge=1, le=1000, description="updates of a step; all if unset")


def asks(place: Place) -> tuple[Ask, ...]:
    """The asks of typed code."""
    return (
        Ask("own_cell.probe", TypedProbe, probe),
        Ask("own_cell.train", TypedTraining, partial(train, place=place)),
    )


def probe(settings: TypedProbe) -> Iterator[Event]:
    """What `sandbox.probe` measures, of the typed cell."""
    with tempfile.TemporaryDirectory() as folder:
        kind = _executed(settings.code, Path(folder, NAME))
    yield _located(lambda: measured(settings, kind))


def train(settings: TypedTraining, place: Place) -> Live:
    """What `sandbox.train` and `sandbox.step` do, with the typed cell.

    Its file is kept in runs/cells. A run goes on with the code that it began with.
    """

    def work(report: Callable[[Event], None]) -> None:
        reference = _kept(settings.code, place)

        def go_on() -> None:
            path = folder_of(settings.run, place)
            continue_training(path, settings.by or settings.updates, report, cell=reference)

        def begin() -> None:
            run_training(settings, place, reference, report, pause_after=settings.by)

        _located(go_on if settings.run else begin)

    return Live(work)


def _kept(code: str, place: Place) -> str:
    """The reference of the code's cell, whose file is named by what is in it.

    Raises:
        ConfigError: it is not a cell, or raises; with the line.
    """
    digest = hashlib.sha256(code.encode()).hexdigest()[:12]
    file = place.directory / "cells" / f"cell_{digest}.py"
    return f"{file}:{_executed(code, file).__name__}"


def _executed(code: str, file: Path) -> type[Cell]:
    """The class of the code, executed as a file.

    Raises:
        ConfigError: it is not a cell, or raises; with the line.
    """
    from elman.cells import resolve

    with replacing(file) as content:
        content.write(code.encode())
    try:
        return resolve(f"{file}:{class_of(code)}")
    except ConfigError as error:
        raise ConfigError(f"code: {error}".replace(f"{file}:", "line ")) from error


Result = TypeVar("Result")


def _located(work: Callable[[], Result]) -> Result:
    """What the work returns; an error of the typed code names its line.

    Raises:
        ConfigError: the code raised.
    """
    try:
        return work()
    except ElmanError:
        raise
    except Exception as error:
        line = _line(error)
        if line is None or isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise
        what = f"{type(error).__name__}: {error}"
        raise ConfigError(f"code: line {line}: {what}") from error


def _line(error: BaseException) -> int | None:
    """The last line of typed code in the traceback."""
    line, trace = None, error.__traceback__
    while trace is not None:
        name = Path(trace.tb_frame.f_code.co_filename).name
        if name == NAME or name.startswith("cell_"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
