"""How a file of readings lists its cases: a cell, and a change of what its step reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from elman.cells import Cell, PointwiseCell

Case = tuple[Cell, Callable[[], Any]]
Make = Callable[[], Case]


def registered(cases: dict[str, Make]) -> Callable[[Make], Make]:
    """A decorator for functions that make a cell and the change of what it reads."""

    def case(make: Make) -> Make:
        cases[make.__name__.replace("_", " ").strip()] = make
        return make

    return case


def stepping(step: Any, **attributes: Any) -> Any:
    """A cell whose step is ``step(self, z)``."""

    class Made(PointwiseCell):
        gates, states = ("z",), ("h",)

        def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
            return self.State(h=step(self, torch.tanh(inp.z + rec.z)))

    made = Made(3, 5)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made
