"""Steps that read attributes of their cell, and of the modules in it."""

# ruff: noqa: PLW0108 - steps as users write them

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from elman.cells import Elman
from unit.engine.readings._case import Case, Make, registered, stepping

CASES: dict[str, Make] = {}
case = registered(CASES)


@dataclass
class Settings:
    scale: float = 1.0


def _attribute(value: Any, change: Any, step: Any) -> Callable[[], Case]:
    def make() -> Case:
        made = stepping(step, value=value() if callable(value) else value)
        return made, lambda: change(made)

    return make


CASES.update(
    {
        "an attribute": _attribute(
            1.0, lambda c: setattr(c, "value", 2.0), lambda c, z: z * c.value
        ),
        "a list in an attribute": _attribute(
            lambda: [1.0], lambda c: c.value.append(2.0), lambda c, z: z * sum(c.value)
        ),
        "a dict in an attribute": _attribute(
            lambda: {"k": 1.0}, lambda c: c.value.update(k=2.0), lambda c, z: z * c.value["k"]
        ),
        "a set in an attribute": _attribute(
            lambda: {1}, lambda c: c.value.add(2), lambda c, z: z * len(c.value)
        ),
        "a dataclass in an attribute": _attribute(
            Settings, lambda c: setattr(c.value, "scale", 2.0), lambda c, z: z * c.value.scale
        ),
        "an attribute by getattr": _attribute(
            1.0,
            lambda c: setattr(c, "value", 2.0),
            lambda c, z: z * getattr(c, "value"),  # noqa: B009
        ),
        "an attribute that was absent": _attribute(
            1.0, lambda c: setattr(c, "boost", 2.0), lambda c, z: z * getattr(c, "boost", 1.0)
        ),
        "one of the class that was absent": _attribute(
            1.0, lambda c: setattr(type(c), "boost", 2.0), lambda c, z: z * getattr(c, "boost", 1.0)
        ),
        "one whose absence is caught": _attribute(
            1.0, lambda c: setattr(c, "boost", 2.0), lambda c, z: _boosted(c, z)
        ),
        "an attribute that a helper reads": _attribute(
            1.0, lambda c: setattr(c, "value", 2.0), lambda c, z: _scaled(c, z)
        ),
        "the training mode": _attribute(
            1.0, lambda c: c.eval(), lambda c, z: z if c.training else -z
        ),
        "a child's attribute": _attribute(
            lambda: nn.LeakyReLU(0.1),
            lambda c: setattr(c.value, "negative_slope", 0.6),
            lambda c, z: c.value(z),
        ),
        "a child swapped": _attribute(
            nn.Tanh, lambda c: setattr(c, "value", nn.ReLU()), lambda c, z: c.value(z)
        ),
        "a child's training mode": _attribute(
            lambda: nn.Dropout(1.0),
            lambda c: c.eval(),
            lambda c, z: z * (2 if c.value.training else 3),
        ),
        "a child's forward on it alone": _attribute(
            nn.Tanh, lambda c: setattr(c.value, "forward", torch.sin), lambda c, z: c.value(z)
        ),
        "a method in an attribute": _attribute(
            lambda: torch.tanh, lambda c: setattr(c, "value", torch.sin), lambda c, z: c.value(z)
        ),
    }
)


def _boosted(c: Any, z: Any) -> Any:
    try:
        return z * c.boost
    except AttributeError:
        return z


def _scaled(c: Any, z: Any) -> Any:
    return z * c.value


@case
def the_activation_of_a_builtin_cell() -> Case:
    made = Elman(3, 5)
    return made, lambda: setattr(made, "activation", torch.sigmoid)
