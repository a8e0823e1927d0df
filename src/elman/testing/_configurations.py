"""Configurations that nobody chose: one whole number is one of them, whoever draws it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch

from elman.testing._probes import KINDS, Kind

SIZES = ((1, 1), (3, 5), (7, 16), (4, 19), (20, 33))
"""Of input and hidden state: one, odd, a whole vector of units, and somewhat more."""

LAYOUTS = (
    "time first",
    "batch first",
    "every other step",
    "every other row",
    "part of a wider input",
    "features outermost",
    "one row for all",
)

LENGTHS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


class EngineCall(NamedTuple):
    """One forward pass and its backward pass.

    ``threads`` are torch's number of threads at each, ``places`` the Python thread of each: 0 the
    calling one, 1 and 2 others.
    """

    threads: tuple[int, int]
    places: tuple[int, int]


@dataclass(frozen=True)
class Configuration:
    """Everything that is drawn; :func:`draw` makes it from its number.

    Attributes:
        number: what it is drawn from.
        cell: a name of the kinds of cells that are drawn from.
        form: "recurrence", "recurrent", "stack", "bidirectional" or "drop-in".
        sizes: of input and hidden state; None where the cell's maker decides.
        dtype: that it computes in.
        steps: of the longest row.
        batch: rows.
        layout: how the input lies in memory, of LAYOUTS.
        lengths: their type; None without lengths.
        strided: whether the lengths are every other number of a longer tensor.
        elsewhere: whether they are on a device where nobody can read them, which is an error.
        reset: whether rows begin anew in between.
        states: rows of different initial states: none (zeros), one for all, or the batch.
        starts: the same of the states after a reset.
        reverse: from the last step to the first.
        observe: whether every step is looked at.
        split: how threads divide the work: 0 as they like, 1 by rows, 2 by units.
        calls: one, or two that share the weights.
        order: of the forward ("f") and backward ("b") passes of the calls.
        needs: what has a gradient: "all", "input", "weights" or "some".
        mode: "grad", "retain", "double", "no_grad" or "inference".
        deterministic: of torch's global settings, use_deterministic_algorithms;
        double_by_default: float64 as default dtype; and
        flush: whether subnormal numbers are zero.
    """

    number: int
    cell: str
    form: str
    sizes: tuple[int, int] | None
    dtype: torch.dtype
    steps: int
    batch: int
    layout: str
    lengths: torch.dtype | None
    strided: bool
    elsewhere: bool
    reset: bool
    states: int
    starts: int
    reverse: bool
    observe: bool
    split: int
    calls: tuple[EngineCall, ...]
    order: str
    needs: str
    mode: str
    deterministic: bool
    double_by_default: bool
    flush: bool

    def __str__(self) -> str:
        values = ((f.name, getattr(self, f.name)) for f in fields(self)[1:])
        words = (f"{name}={value!s}" for name, value in values if value not in (None, False, 0))
        return f"configuration {self.number} ({', '.join(words)})"


def draw(number: int, kinds: Mapping[str, Kind] = KINDS, *, sized: bool = True) -> Configuration:
    """The configuration of this number.

    Args:
        number: any whole number.
        kinds: the cells to draw from.
        sized: whether their makers take sizes; those that do not make one cell at a time.

    Example:
        >>> draw(3) == draw(3), draw(3) == draw(4)
        (True, False)
    """
    dice = random.Random(number)
    names = sorted(kinds)
    name = dice.choices(names, [kinds[n].weight for n in names])[0]
    kind = kinds[name]
    dtype = torch.float64 if kind.kinked else dice.choice([torch.float32, torch.float64])
    form = _form(dice, kind, sized)
    mode = dice.choices(["grad", "retain", "double", "no_grad", "inference"], [14, 2, 1, 2, 2])[0]
    observe = form != "drop-in" and dice.random() < 0.15
    batch = dice.randint(1, 20)
    calls = dice.choices([1, 2], [3, 1])[0]
    backward = mode in ("grad", "retain", "double")
    return Configuration(
        number=number,
        cell=name,
        form=form,
        sizes=_sizes(dice, kind, form, observe) if sized else None,
        dtype=dtype,
        # The gradient of the gradient is torch's, step by step, and takes its time.
        steps=dice.randint(1, 4 if mode == "double" else 12),
        batch=batch,
        layout=dice.choice(LAYOUTS),
        lengths=_lengths(dice, form) if dice.random() < 0.5 else None,
        strided=dice.random() < 0.3,
        elsewhere=dice.random() < 0.03,
        reset=dice.random() < 0.4,
        states=dice.choice([0, 1, batch]),
        starts=dice.choice([0, 1, batch]),
        reverse=dice.random() < 0.3,
        observe=observe,
        split=dice.choice([0, 1, 2]),
        calls=tuple(_call(dice) for _ in range(calls)),
        order=_order(dice, calls) if backward else "f0 f1"[: 3 * calls - 1],
        needs=dice.choices(["all", "input", "weights", "some"], [4, 1, 1, 2])[0],
        mode=mode,
        deterministic=dice.random() < 0.15,
        double_by_default=dice.random() < 0.15,
        flush=dice.random() < 0.15,
    )


def _form(dice: random.Random, kind: Kind, sized: bool) -> str:
    forms = {"recurrence": 5, "recurrent": 3}
    if sized:  # of layers with several cells, whose sizes must fit
        forms |= {"stack": 1, "bidirectional": 1}
    if sized and kind.drop_in:
        forms["drop-in"] = 3
    return dice.choices(list(forms), list(forms.values()))[0]


def _sizes(dice: random.Random, kind: Kind, form: str, observe: bool) -> tuple[int, int]:
    """Few, since each is a program of its own, and to trace one takes longer than to run it."""
    if form in ("stack", "drop-in") or observe:
        return (5, 5)
    places = [size for size in SIZES if size[1] >= kind.smallest]
    return dice.choice(places[-kind.most :])


def _lengths(dice: random.Random, form: str) -> torch.dtype:
    """A recurrence takes signed integers, as its annotation says; a layer takes any."""
    return dice.choice(LENGTHS[: 4 if form == "recurrence" else 5])


def _call(dice: random.Random) -> EngineCall:
    threads = dice.choice([(1, 1), (1, 2), (2, 1), (2, 2), (1, 3), (3, 2), (3, 3), (5, 2), (2, 8)])
    places = dice.choices([(0, 0), (1, 1), (0, 1), (1, 0), (1, 2)], [6, 1, 1, 1, 1])[0]
    return EngineCall(threads, places)


def _order(dice: random.Random, calls: int) -> str:
    if calls == 1:
        return "f0 b0"
    return dice.choice(["f0 f1 b0 b1", "f0 f1 b1 b0", "f0 b0 f1 b1"])
