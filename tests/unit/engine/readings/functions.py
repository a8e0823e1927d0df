"""Steps that call functions: what is of the function itself, and its closure."""

from __future__ import annotations

import functools
from typing import Any

import torch

from unit.engine.readings._case import Case, Make, registered, stepping

CASES: dict[str, Make] = {}
case = registered(CASES)


def with_default(z: Any, by: float = 1.0) -> Any:
    return z * by


def with_keyword(z: Any, *, by: float = 1.0, more: tuple[float, ...] = (0.0,)) -> Any:
    return z * by + more[0]


def with_attribute(z: Any) -> Any:
    return z * with_attribute.by  # type: ignore[attr-defined]


with_attribute.by = 1.0  # type: ignore[attr-defined]


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
