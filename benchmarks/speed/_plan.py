"""What to measure: shapes, cells, modes, threads and peers. Nothing here imports torch."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.speed.peers import PEERS, SLOW

from elman._errors import ConfigError, nearest
from elman.cells.references import is_cell, names


class Shape(NamedTuple):
    """The sizes of a problem; ``input_gradient`` is whether training also computes that of x."""

    name: str
    batch: int
    steps: int
    input_size: int
    hidden_size: int
    layers: int = 1
    input_gradient: bool = True

    @classmethod
    def parse(cls, text: str) -> Shape:
        """A named shape, or one spelled out as batch x steps x input x hidden x layers.

        >>> Shape.parse("S3").hidden_size, Shape.parse("2x7x3x5x1").steps
        (200, 7)
        """
        if text in SHAPES:
            return SHAPES[text]
        if re.fullmatch(r"([1-9]\d*x){4}[1-9]\d*", text):
            batch, steps, inputs, hidden, layers = map(int, text.split("x"))
            return cls(text, batch, steps, inputs, hidden, layers)
        raise ConfigError(
            f"unknown shape {text!r}: {nearest(text, SHAPES)}, or spell it out as "
            "BATCHxSTEPSxINPUTxHIDDENxLAYERS"
        )


_DENSE = (
    Shape("S1", 1, 100, 128, 128),
    Shape("S2", 1, 1000, 256, 256),
    Shape("S3", 20, 35, 200, 200, 2),
    Shape("S4", 20, 35, 650, 650, 2),
    Shape("S5", 64, 100, 128, 128),
    Shape("S6", 64, 784, 1, 100, input_gradient=False),
    Shape("S7", 32, 200, 512, 512),
    Shape("S8", 128, 50, 1024, 1024),
)
_STREAMING = (
    Shape("H128", 1, 200, 128, 128),
    Shape("H256", 1, 200, 256, 256),
    Shape("H512", 1, 200, 512, 512),
    Shape("H256x1000", 1000, 20, 256, 256),
)
SHAPES: Mapping[str, Shape] = {shape.name: shape for shape in _DENSE + _STREAMING}

BUILT_IN = ("lstm", "gru", "tanh", "relu")
CUSTOM = ("minimal_gated", "coupled_peephole", "layer_norm_gru", "sine", "two_matrices")


class Mode(NamedTuple):
    """One kind of measurement, with the shapes and cells it has unless told otherwise."""

    line: str
    training: tuple[bool, ...]
    shapes: tuple[str, ...]
    cells: tuple[str, ...] = BUILT_IN
    choices: tuple[str, ...] = BUILT_IN


_EIGHT = tuple(shape.name for shape in _DENSE)
MODES: Mapping[str, Mode] = {
    "inference": Mode("forward without gradients", (False,), _EIGHT),
    "training": Mode("forward and backward, every gradient", (True,), _EIGHT),
    "ragged": Mode("lengths uniform in [T/4, T]", (False, True), _EIGHT[2:]),
    "streaming": Mode("one call a step", (False,), tuple(s.name for s in _STREAMING), ("lstm",)),
    "custom": Mode("cells that are not built in, training", (True,), _EIGHT, CUSTOM, CUSTOM),
    "memory": Mode("peak memory of training, a process each", (True,), _EIGHT),
}


@dataclass(frozen=True)
class Case:
    """One row of a table: a cell at a shape, in a mode."""

    shape: Shape
    cell: str
    mode: str
    training: bool
    threads: int


def _all_cores() -> tuple[int, ...]:
    return (len(cores()),)


def cores() -> list[int]:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@dataclass(frozen=True)
class Plan:
    """What to measure. Empty shapes or cells stand for those of each mode.

    Args:
        shapes: names in ``SHAPES``, or sizes as in "20x35x200x200x2".
        cells: names in ``BUILT_IN``, or for the mode custom in ``CUSTOM``, or any reference that
            `elman.cells.resolve` takes; its file is executed.
        modes: names in ``MODES``.
        threads: numbers of threads; each has a process of its own. All cores if empty.
        peers: names in ``PEERS``, or a Python file that is one; elman itself is always measured.
        repeats: timed blocks of each candidate in each row; training steps in mode memory.
        engine: of elman: "auto", or one by name, which then runs or the whole run fails.

    Raises:
        ConfigError: names what is unknown, with the nearest choice.

    >>> [case.cell for case in Plan(shapes=("S3",), modes=("ragged",), threads=(1,)).cases(1)]
    ['lstm', 'lstm', 'gru', 'gru', 'tanh', 'tanh', 'relu', 'relu']
    """

    shapes: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    modes: tuple[str, ...] = ("inference", "training")
    threads: tuple[int, ...] = ()
    peers: tuple[str, ...] = tuple(name for name, _ in PEERS if name not in SLOW)
    repeats: int = 9
    engine: str = "auto"

    def __post_init__(self) -> None:
        for text in self.shapes:
            Shape.parse(text)
        strange = [cell for cell in self.cells if not is_cell(cell)]
        _check("cell", strange, dict.fromkeys([*BUILT_IN, *CUSTOM, *names()]))
        _check("mode", self.modes, MODES)
        _check("peer", (p for p in self.peers if not p.endswith(".py")), dict(PEERS))
        for mode in self.modes:
            if not self._cells_of(mode):
                raise ConfigError(
                    f"mode {mode} has none of the cells {', '.join(self.cells)}: its cells are "
                    f"{', '.join(MODES[mode].choices)}"
                )
        if not self.threads:
            object.__setattr__(self, "threads", _all_cores())
        available = len(cores())
        if not all(isinstance(n, int) and 1 <= n <= available for n in self.threads):
            shown = ", ".join(map(str, self.threads))
            raise ConfigError(f"expected threads from 1 to {available} (the cores), got {shown}")
        if self.repeats < 1:
            raise ConfigError(f"expected repeats of at least 1, got {self.repeats}")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Plan:
        """The plan with these arguments, where lists stand for tuples."""
        frozen: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**frozen)

    @classmethod
    def read(cls, path: Path, given: Mapping[str, Any]) -> Plan:
        """The plan in a TOML file with a key for each argument; what is ``given`` wins over it.

        Raises:
            ConfigError: an unknown key, or a file that is not TOML.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: {error}") from None
        known = [field.name for field in fields(cls)]
        for key, value in values.items():
            if key not in known:
                raise ConfigError(f"{path}: unknown key {key!r}: {nearest(key, known)}")
            if isinstance(getattr(cls, key), tuple) != isinstance(value, list):
                kind = "a list" if isinstance(getattr(cls, key), tuple) else "one value"
                raise ConfigError(f"{path}: expected {kind} for {key}, got {value!r}")
        return cls.of({**values, **given})

    def cases(self, threads: int) -> Iterator[Case]:
        """Every row, mode by mode."""
        for mode in self.modes:
            for name in self.shapes or MODES[mode].shapes:
                for cell in self._cells_of(mode):
                    for training in MODES[mode].training:
                        yield Case(Shape.parse(name), cell, mode, training, threads)

    def _cells_of(self, mode: str) -> list[str]:
        asked = self.cells or MODES[mode].cells
        others = mode == "custom"
        return [
            cell
            for cell in asked
            if cell in MODES[mode].choices or (others and cell not in BUILT_IN and is_cell(cell))
        ]


def _check(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown {kind} {name!r}: {nearest(str(name), known)}")
