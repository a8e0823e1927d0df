"""Steps that read global names of their module."""

# ruff: noqa: ARG005, PLC3002, PLR0124 - steps as users write them

from __future__ import annotations

import enum
import functools
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

from unit.engine.readings._case import Case, Make, registered, stepping

CASES: dict[str, Make] = {}
case = registered(CASES)


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
def the_default_dtype() -> Case:
    made = stepping(lambda _, z: z if torch.get_default_dtype() is torch.float32 else -z)
    return made, lambda: torch.set_default_dtype(torch.float64)
