"""Estimates of a network's memory, to refuse one that the machine cannot hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import torch

from elman._errors import ConfigError
from elman.cells import Cell, by_name
from elman.cells.references import is_cell
from elman.tasks import cell_options
from elman.training import parts
from elman.training._config import Config, Training

FLOAT = 4
LAYER = 20_000
"""Bytes of the Python objects of a layer of any size."""

SMALL_INPUTS, SMALL_HIDDEN = (7, 15), (8, 16, 24)
"""Sizes at which a cell's parameters are counted; a polynomial extends them to all sizes.

They differ, since a cell may need a matrix more where its input has another size than its state.
"""


def require_memory(config: Config, *, training: bool = False) -> None:
    """Refuse a network that does not fit into memory, before it is built.

    Only the weights of recurrent layers are counted, and in training their gradients and optimizer
    state, so a network that fits is never refused.

    Raises:
        ConfigError: the network needs more memory than there is.
    """
    model: Any = config.model
    count = parameters(model)
    copies = _copies(config.train) if training else 1
    needed = FLOAT * count * copies + LAYER * getattr(model, "layers", 1)
    device, there = _memory(config.train.device if training else "cpu")
    if needed > there:
        sizes = ("layers", "hidden", "embedding")
        named = ", ".join(f"model.{k} = {v}" for k in sizes if (v := getattr(model, k, None)))
        raise ConfigError(
            f"{named}: {count:.3g} weights need at least {_gigabytes(needed)}"
            + (f" in training ({copies} copies)" if training else "")
            + f", and {device} has {_gigabytes(there)}: use smaller sizes"
        )


def parameters(model: Any) -> int:
    """A lower bound of the number of recurrent weights of a ``[model]`` section."""
    hidden, layers = getattr(model, "hidden", 1), getattr(model, "layers", 1)
    inputs = getattr(model, "embedding", None) or 1
    count: Callable[[int, int], int] = _dense
    if is_cell(getattr(model, "cell", "")):
        options = cell_options(model)
        count = _counting(by_name(model.cell), tuple(sorted(options.items())))
    return count(inputs, hidden) + (layers - 1) * count(hidden, hidden)


@cache
def _counting(cell: type[Cell], options: tuple[tuple[str, Any], ...]) -> Callable[[int, int], int]:
    """The number of parameters of a cell by its sizes, extrapolated from small ones."""
    with torch.random.fork_rng(), torch.device("meta"):
        counted = {
            (inputs, hidden): sum(
                p.numel() for p in cell(inputs, hidden, **dict(options)).parameters()
            )
            for hidden in SMALL_HIDDEN
            for inputs in (*SMALL_INPUTS, hidden)
        }

    def count(inputs: int, hidden: int) -> int:
        if inputs == hidden:
            return int(through(SMALL_HIDDEN, [counted[h, h] for h in SMALL_HIDDEN], hidden))
        rows = [
            through(SMALL_HIDDEN, [counted[i, h] for h in SMALL_HIDDEN], hidden)
            for i in SMALL_INPUTS
        ]
        return int(through(SMALL_INPUTS, rows, inputs))

    return count


def _dense(inputs: int, hidden: int) -> int:
    return hidden * (inputs + 1)


def through(at: Sequence[int], values: Sequence[Fraction | int], x: int) -> Fraction:
    """The value at x of the polynomial through some points, exactly.

    >>> int(through((1, 2, 3), (1, 4, 9), 10**30)) == 10**60
    True
    """
    total = Fraction(0)
    for i, value in enumerate(values):
        term = Fraction(value)
        for j, other in enumerate(at):
            if j != i:
                term *= Fraction(x - other, at[i] - other)
        total += term
    return total


def _copies(train: Training) -> int:
    """The number of copies of each weight: itself, its gradient and optimizer state."""
    return 2 + (bool(train.momentum) if train.optimizer == "sgd" else 2)


def _memory(device: str) -> tuple[str, int]:
    """The device and its memory in bytes."""
    where = parts.device(device)
    if where.type == "cuda":
        return str(where), torch.cuda.get_device_properties(where).total_memory
    return "this machine", _of_machine()


def _of_machine() -> int:
    """Bytes of memory and swap, or the limit of the process if that is lower."""
    try:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not POSIX
        return 1 << 62
    limits = [physical + _kilobytes("SwapTotal")]
    with suppress(OSError, ValueError):  # no such file, or no limit ("max")
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(limits)


def _kilobytes(name: str) -> int:
    """An entry of /proc/meminfo in bytes; 0 if there is none."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(x.split()[1]) * 1024 for x in lines if x.startswith(f"{name}:")), 0)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size < 10**15 else f"{size / 1e9:.3g} GB"
