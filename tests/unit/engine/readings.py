"""Cells that read something, and what changes it: every kind of thing that a step can read.

A test takes :func:`anew`, so that what it changes is its own.
"""

# ruff: noqa: ARG005, PLC3002, PLR0124, PLW0108, RUF012 - steps as users write them

from __future__ import annotations

import enum
import functools
import importlib.util
import itertools
import math
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from elman.cells import Cell, Elman, PointwiseCell

Case = tuple[Cell, Callable[[], Any]]
CASES: dict[str, Callable[[], Case]] = {}


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    """Registers a function that makes a cell and the change of what it reads."""
    CASES[make.__name__.replace("_", " ").strip()] = make
    return make


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


class Pair(NamedTuple):
    first: float
    second: float


@dataclass
class Settings:
    scale: float = 1.0
    offset: float = 0.0

    def total(self) -> float:
        return self.scale + self.offset


class Mode(enum.Enum):
    SOFT = "soft"
    HARD = "hard"

    def factor(self) -> float:
        return NUMBER if self is Mode.SOFT else 2 * NUMBER


@dataclass(slots=True)
class Slots:
    scale: float = 1.0


OWN = types.ModuleType(f"own_of_{__name__}")  # as one that a user has written
OWN.sub = types.ModuleType(f"{OWN.__name__}.sub")
sys.modules |= {module.__name__: module for module in (OWN, OWN.sub)}
NUMBER, ZERO, NAME, SWITCH, NOTHING = 1.0, 0.0, "soft", True, None
NUMBERS, BY_NAME, CHOSEN, FROZEN = (
    [1.0, 2.0],
    {"k": 1.0, "inner": {"l": [1.0]}},
    {1},
    frozenset({1}),
)
SLOTS = Slots()
PAIR, SETTINGS, MODE, ORDERED = Pair(1.0, 2.0), Settings(), Mode.SOFT, OrderedDict(k=1.0)
SPACE, TYPE, PLACES = types.SimpleNamespace(k=1.0), torch.float32, (1.0, (2.0, "soft"))
ACTIVATION, LEAKY, BOUND = torch.tanh, nn.LeakyReLU(0.1), functools.partial(torch.clamp, max=0.3)
BY_KIND = {"soft": F.softplus, "hard": F.relu}


def helper(z: Any) -> Any:
    return z * NUMBER


def outer_helper(z: Any) -> Any:
    return helper(z) + 1


def with_default(z: Any, by: float = 1.0) -> Any:
    return z * by


def with_keyword(z: Any, *, by: float = 1.0, more: tuple[float, ...] = (0.0,)) -> Any:
    return z * by + more[0]


def with_attribute(z: Any) -> Any:
    return z * with_attribute.by  # type: ignore[attr-defined]


with_attribute.by = 1.0  # type: ignore[attr-defined]


def decorated(f: Any) -> Any:
    @functools.wraps(f)
    def inner(z: Any) -> Any:
        return f(z) + NUMBER

    return inner


@decorated
def wrapped(z: Any) -> Any:
    return 2 * z


@torch.enable_grad()
def by_torch(z: Any) -> Any:
    return z * NUMBER


def _of_global(name: str, new: Any, step: Any) -> Callable[[], Case]:
    """The change of a global of this file."""

    def make() -> Case:
        return stepping(step), lambda: globals().__setitem__(name, new)

    return make


CASES.update(
    {
        "a global number": _of_global("NUMBER", 2.0, lambda _, z: z * NUMBER),
        "its type: True for 1.0": _of_global(
            "NUMBER", True, lambda _, z: z if NUMBER is True else -z
        ),
        "its type: 1 for 1.0": _of_global("NUMBER", 1, lambda _, z: z * len(str(NUMBER))),
        "its sign: -0.0 for 0.0": _of_global(
            "ZERO", -0.0, lambda _, z: z * math.copysign(1.0, ZERO)
        ),
        "NaN for a number": _of_global(
            "NUMBER", math.nan, lambda _, z: z if NUMBER == NUMBER else -z
        ),
        "a global string": _of_global(
            "NAME", "hard", lambda _, z: z if NAME == "soft" else F.relu(z)
        ),
        "a global condition": _of_global("SWITCH", False, lambda _, z: z if SWITCH else -z),
        "a global None": _of_global(
            "NOTHING", 2.0, lambda _, z: z if NOTHING is None else z * NOTHING
        ),
        "a global tuple": _of_global("PLACES", (1.0, (3.0, "hard")), lambda _, z: z * PLACES[1][0]),
        "a global NamedTuple": _of_global("PAIR", Pair(1.0, 3.0), lambda _, z: z * PAIR.second),
        "a global enumeration": _of_global(
            "MODE", Mode.HARD, lambda _, z: z if MODE is Mode.SOFT else -z
        ),
        "its value": _of_global("MODE", Mode.HARD, lambda _, z: z if MODE.value == "soft" else -z),
        "a number of an enumeration's method": _of_global(
            "NUMBER", 3.0, lambda _, z: z * MODE.factor()
        ),
        "a global frozenset": _of_global(
            "FROZEN", frozenset({2}), lambda _, z: z if 1 in FROZEN else -z
        ),
        "a global dtype": _of_global(
            "TYPE", torch.float64, lambda _, z: z if TYPE is torch.float32 else -z
        ),
        "a global activation": _of_global("ACTIVATION", torch.sigmoid, lambda _, z: ACTIVATION(z)),
        "a global partial": _of_global(
            "BOUND", functools.partial(torch.clamp, max=0.1), lambda _, z: BOUND(z)
        ),
        "a function": _of_global("helper", lambda z: z * 7, lambda _, z: outer_helper(z)),
        "a number of a helper's helper": _of_global("NUMBER", 3.0, lambda _, z: outer_helper(z)),
        "a number that a decorator reads": _of_global("NUMBER", 3.0, lambda _, z: wrapped(z)),
        "a number within torch's decorator": _of_global("NUMBER", 3.0, lambda _, z: by_torch(z)),
        "a number in a comprehension": _of_global(
            "NUMBER", 3.0, lambda _, z: sum([z * NUMBER for _ in range(2)])
        ),
        "a number in a nested function": _of_global(
            "NUMBER", 3.0, lambda _, z: (lambda y: y * NUMBER)(z)
        ),
        "a builtin that a global hides": _of_global("abs", torch.neg, lambda _, z: abs(z)),
    }
)


@case
def a_global_list_changed_in_place() -> Case:
    return stepping(lambda _, z: z * NUMBERS[1]), lambda: NUMBERS.__setitem__(1, 5.0)


@case
def a_global_list_that_grows() -> Case:
    return stepping(lambda _, z: z * len(NUMBERS)), lambda: NUMBERS.append(5.0)


@case
def a_global_dict_changed_in_place() -> Case:
    return stepping(lambda _, z: z * BY_NAME["k"]), lambda: BY_NAME.update(k=5.0)


@case
def a_list_in_a_dict_in_a_dict() -> Case:
    change = lambda: BY_NAME["inner"]["l"].__setitem__(0, 5.0)  # type: ignore[index]  # noqa: E731
    return stepping(lambda _, z: z * BY_NAME["inner"]["l"][0]), change


@case
def a_key_of_a_global_dict() -> Case:
    return stepping(lambda _, z: -z if "new" in BY_NAME else z), lambda: BY_NAME.update(new=1.0)


@case
def a_global_set_changed_in_place() -> Case:
    return stepping(lambda _, z: -z if 2 in CHOSEN else z), lambda: CHOSEN.add(2)


@case
def an_ordered_dict() -> Case:
    return stepping(lambda _, z: z * ORDERED["k"]), lambda: ORDERED.update(k=3.0)


@case
def a_function_in_a_global_dict() -> Case:
    return stepping(lambda _, z: BY_KIND["soft"](z)), lambda: BY_KIND.update(soft=torch.sin)


@case
def an_attribute_of_a_dataclass() -> Case:
    return stepping(lambda _, z: z * SETTINGS.scale), lambda: setattr(SETTINGS, "scale", 4.0)


@case
def a_dataclass_by_its_method() -> Case:
    return stepping(lambda _, z: z * SETTINGS.total()), lambda: setattr(SETTINGS, "offset", 4.0)


@case
def a_method_of_a_dataclass() -> Case:
    change = lambda: setattr(Settings, "total", lambda self: 9.0)  # noqa: E731
    return stepping(lambda _, z: z * SETTINGS.total()), change


@case
def a_class_attribute_hidden_by_a_dataclass() -> Case:
    Settings.more = 1.0
    return stepping(lambda _, z: z * SETTINGS.more), lambda: setattr(SETTINGS, "more", 4.0)


@case
def a_dataclass_with_slots() -> Case:
    return stepping(lambda _, z: z * SLOTS.scale), lambda: setattr(SLOTS, "scale", 4.0)


@case
def a_namespace() -> Case:
    return stepping(lambda _, z: z * SPACE.k), lambda: setattr(SPACE, "k", 4.0)


@case
def a_default_of_a_function() -> Case:
    return stepping(lambda _, z: with_default(z)), lambda: setattr(
        with_default, "__defaults__", (3.0,)
    )


@case
def a_keyword_default_of_a_function() -> Case:
    change = lambda: with_keyword.__kwdefaults__.update(by=3.0)  # noqa: E731
    return stepping(lambda _, z: with_keyword(z)), change


@case
def an_attribute_of_a_function() -> Case:
    return stepping(lambda _, z: with_attribute(z)), lambda: setattr(with_attribute, "by", 3.0)


@case
def the_code_of_a_function() -> Case:
    change = lambda: setattr(with_default, "__code__", (lambda z, by: z - by).__code__)  # noqa: E731
    return stepping(lambda _, z: with_default(z)), change


@case
def a_global_module_of_torch() -> Case:
    return stepping(lambda _, z: LEAKY(z)), lambda: setattr(LEAKY, "negative_slope", 0.7)


@case
def a_number_of_an_own_module() -> Case:
    OWN.K = 1.0
    return stepping(lambda _, z: z * OWN.K), lambda: setattr(OWN, "K", 2.0)


@case
def a_number_of_an_own_module_within_one() -> Case:
    OWN.sub.K = 1.0
    return stepping(lambda _, z: z * OWN.sub.K), lambda: setattr(OWN.sub, "K", 2.0)


@case
def a_function_of_an_own_module() -> Case:
    OWN.f = torch.tanh
    return stepping(lambda _, z: OWN.f(z)), lambda: setattr(OWN, "f", torch.sigmoid)


@case
def a_number_of_a_closure() -> Case:
    k = 1.0

    def change() -> None:
        nonlocal k
        k = 2.0

    return stepping(lambda _, z: z * k), change


@case
def a_list_of_a_closure() -> Case:
    ks = [1.0]
    return stepping(lambda _, z: z * ks[0]), lambda: ks.__setitem__(0, 2.0)


@case
def a_function_of_a_closure_of_a_closure() -> Case:
    f = torch.sin

    def through(z: Any) -> Any:
        return f(z)

    def change() -> None:
        nonlocal f
        f = torch.cos

    return stepping(lambda _, z: through(z)), change


@case
def a_partial_of_a_keyword() -> Case:
    bound = functools.partial(torch.clamp, max=0.2)
    return stepping(lambda _, z: bound(z)), lambda: bound.keywords.update(max=0.1)


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


@case
def the_activation_of_a_builtin_cell() -> Case:
    made = Elman(3, 5)
    return made, lambda: setattr(made, "activation", torch.sigmoid)


@case
def the_default_dtype() -> Case:
    made = stepping(lambda _, z: z if torch.get_default_dtype() is torch.float32 else -z)
    return made, lambda: torch.set_default_dtype(torch.float64)


def anew() -> types.ModuleType:
    """This file once more, under a name of its own: torch.compile finds modules by their names."""
    name = f"readings_{next(_numbers)}"
    spec = importlib.util.spec_from_file_location(name, __file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_numbers = itertools.count()
