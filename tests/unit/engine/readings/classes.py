"""Steps that read the class of their cell, a base of it, its state, or what it projects."""

# ruff: noqa: ARG005, RUF012 - steps as users write them

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from elman.cells import Cell, PointwiseCell
from unit.engine.readings._case import Case, Make, registered

CASES: dict[str, Make] = {}
case = registered(CASES)

NUMBER = 1.0


def _new_class() -> Any:
    class Base(PointwiseCell):
        gates, states = ("z",), ("h",)
        factor, factors, kind = 1.0, (1.0, 2.0), "soft"
        listed: Any = [1.0]

        @property
        def hidden(self) -> float:
            return self._hidden

        @staticmethod
        def fixed(z: Any) -> Any:
            return z * NUMBER

        @classmethod
        def classed(cls, z: Any) -> Any:
            return z * cls.factor

        def act(self, z: Any) -> Any:
            return torch.tanh(z)

        def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
            return self.State(h=self.act(inp.z + rec.z))

    return Base


def _of_class(change: Any, step: Any) -> Callable[[], Case]:
    """The change of a base of a cell's class; the step is in the class itself."""

    def make() -> Case:
        base = _new_class()

        class Derived(base):  # type: ignore[misc]
            def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
                return self.State(h=step(self, torch.tanh(inp.z + rec.z), super()))

        made = Derived(3, 5)
        made._hidden = 1.0
        return made, lambda: change(made, Derived, base)

    return make


CASES.update(
    {
        "a class attribute": _of_class(
            lambda c, k, b: setattr(k, "factor", 2.0), lambda c, z, s: z * c.factor
        ),
        "an inherited class attribute": _of_class(
            lambda c, k, b: setattr(b, "factor", 2.0), lambda c, z, s: z * c.factor
        ),
        "a tuple of a class": _of_class(
            lambda c, k, b: setattr(b, "factors", (3.0,)), lambda c, z, s: z * c.factors[0]
        ),
        "a list of a class in place": _of_class(
            lambda c, k, b: b.listed.append(3.0), lambda c, z, s: z * c.listed[-1]
        ),
        "a string of a class": _of_class(
            lambda c, k, b: setattr(b, "kind", "hard"),
            lambda c, z, s: z if c.kind == "soft" else -z,
        ),
        "a class attribute by its class": _of_class(
            lambda c, k, b: setattr(b, "factor", 2.0), lambda c, z, s: z * type(c).factor
        ),
        "a class attribute hidden by the cell": _of_class(
            lambda c, k, b: setattr(c, "factor", 2.0), lambda c, z, s: z * c.factor
        ),
        "a property's hidden field": _of_class(
            lambda c, k, b: setattr(c, "_hidden", 2.0), lambda c, z, s: z * c.hidden
        ),
        "a property": _of_class(
            lambda c, k, b: setattr(b, "hidden", property(lambda s: 3.0)),
            lambda c, z, s: z * c.hidden,
        ),
        "a number of a static method": _of_class(
            lambda c, k, b: globals().__setitem__("NUMBER", 4.0), lambda c, z, s: c.fixed(z)
        ),
        "a number of a class method": _of_class(
            lambda c, k, b: setattr(b, "factor", 4.0), lambda c, z, s: c.classed(z)
        ),
        "a method of the class": _of_class(
            lambda c, k, b: setattr(b, "act", lambda s, z: torch.sin(z)), lambda c, z, s: c.act(z)
        ),
        "a method by super": _of_class(
            lambda c, k, b: setattr(b, "act", lambda s, z: torch.sin(z)), lambda c, z, s: s.act(z)
        ),
        "a method of the cell alone": _of_class(
            lambda c, k, b: setattr(c, "act", torch.sin), lambda c, z, s: c.act(z)
        ),
        "the pointwise of the class": _of_class(
            lambda c, k, b: setattr(k, "pointwise", lambda s, i, r, x: s.State(h=i.z - r.z)),
            lambda c, z, s: z,
        ),
        "the pointwise of the cell alone": _of_class(
            lambda c, k, b: setattr(c, "pointwise", lambda i, r, x: c.State(h=i.z - r.z)),
            lambda c, z, s: z,
        ),
        "the step of the cell alone": _of_class(
            lambda c, k, b: setattr(c, "step", lambda i, x: c.State(h=torch.sin(i))),
            lambda c, z, s: z,
        ),
        "the project of the cell alone": _of_class(
            lambda c, k, b: setattr(
                c, "project", lambda x: c.weights.ih.sum() + x.new_zeros(*x.shape[:-1], 5)
            ),
            lambda c, z, s: z,
        ),
        "an attribute of the state": _of_class(
            lambda c, k, b: setattr(c.State, "boost", 2.0),
            lambda c, z, s: z * getattr(c.State, "boost", 1.0),
        ),
    }
)


class Masked(NamedTuple):
    z: torch.Tensor

    @property
    def scaled(self) -> torch.Tensor:
        return self.z * NUMBER


@case
def a_number_that_what_is_projected_reads() -> Case:
    class Projects(Cell):
        states = ("h",)

        def __init__(self) -> None:
            super().__init__(3, 5)
            self.of_x = nn.Linear(3, 5)

        def project(self, x: Any) -> Masked:
            return Masked(self.of_x(x))

        def step(self, inp: Masked, state: Any) -> Any:
            return self.State(h=torch.tanh(inp.scaled + state.h))

    return Projects(), lambda: globals().__setitem__("NUMBER", 3.0)
