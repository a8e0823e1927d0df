"""Random configurations: what is drawn, that nothing of it stays, and what is made of results."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

import elman
from elman.cells import Cell
from elman.engine import Recurrence, _select
from elman.engine.runtime import _operators
from elman.testing import (
    KINDS,
    Configuration,
    ContractError,
    Kind,
    check_configuration,
    check_configurations,
    composed,
    draw,
)
from elman.testing._composed import BINARY, KINKED, LEAVES, UNARY
from elman.testing._configurations import LAYOUTS, LENGTHS, SIZES
from elman.testing._problem import problem
from elman.testing._random import Tally
from plans import absent_engine, engine_of

pytestmark = pytest.mark.unchecked  # thousands of calls of the reference, which has its own tests

DRAWN = [draw(number) for number in range(2000)]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cell", set(KINDS)),
        ("form", {"recurrence", "recurrent", "stack", "bidirectional", "drop-in"}),
        ("sizes", {*SIZES, (5, 5)}),
        ("dtype", {torch.float32, torch.float64}),
        ("layout", set(LAYOUTS)),
        ("lengths", {None, *LENGTHS}),
        ("steps", set(range(1, 13))),
        ("batch", set(range(1, 21))),
        ("split", {0, 1, 2}),
        ("needs", {"all", "input", "weights", "some"}),
        ("mode", {"grad", "retain", "double", "no_grad", "inference"}),
        ("order", {"f0", "f0 f1", "f0 b0", "f0 f1 b0 b1", "f0 f1 b1 b0", "f0 b0 f1 b1"}),
        *(
            (name, {True, False})
            for name in (
                "strided", "elsewhere", "reset", "reverse", "observe", "deterministic",
                "double_by_default", "flush",
            )
        ),
    ],
)  # fmt: skip
def test_every_value_is_drawn(name: str, values: set[Any]) -> None:
    assert {getattr(c, name) for c in DRAWN} == values


def test_threads_differ_between_the_passes_and_between_python_threads() -> None:
    calls = [call for c in DRAWN for call in c.calls]
    assert sum(len(set(call.threads)) == 2 for call in calls) > 0.3 * len(calls)
    assert {call.places for call in calls} == {(0, 0), (1, 1), (0, 1), (1, 0), (1, 2)}


def test_cells_with_kinks_are_drawn_in_float64_alone() -> None:
    kinds = {"kinked": Kind(elman.cells.GRU, kinked=True, smallest=5)}
    drawn = [draw(n, kinds) for n in range(200)]
    assert {c.dtype for c in drawn} == {torch.float64}
    assert min(c.sizes[1] for c in drawn if c.sizes) == 5


def test_it_is_shown_by_its_number_and_what_is_not_as_usual() -> None:
    shown = str(replace(DRAWN[7], lengths=None, flush=True, split=2))
    assert shown.startswith("configuration 7 (cell=")
    assert "flush=True" in shown
    assert "split=2" in shown
    assert "lengths" not in shown


def find(**wanted: Any) -> Configuration:
    matching = (c for c in DRAWN if all(getattr(c, k) == v for k, v in wanted.items()))
    return next(matching)


def settings() -> tuple[Any, ...]:
    return (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_default_dtype(),
        sys.float_info.min / 2 == 0,
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        _operators.split,
        torch.get_rng_state().tolist(),
    )


def test_nothing_that_is_set_stays() -> None:
    before = settings()
    check_configurations("reference", range(60))
    assert settings() == before


def test_nothing_that_is_set_stays_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, ...]] = []

    def run(case: Recurrence) -> Any:
        seen.append(settings())
        raise ValueError("broken")

    monkeypatch.setitem(_select._ENGINES, "broken", engine_of(run))
    before = settings()
    drawn = replace(
        find(form="recurrence", order="f0 b0", elsewhere=False),
        deterministic=True, double_by_default=True, flush=True, split=2,
    )  # fmt: skip
    with pytest.raises(ValueError, match="broken"):
        check_configuration("broken", drawn)
    assert seen[0][1:4] == (True, torch.float64, True)
    assert seen[0][6] == 2
    assert settings() == before


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_input_lies_as_its_layout_says(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    strides: list[tuple[int, ...]] = []

    def run(case: Recurrence) -> Any:
        strides.append(case.x.stride())
        assert case.x.shape == (3, 4, 5)
        return case.scan()

    monkeypatch.setitem(_select._ENGINES, "looks", engine_of(run))
    drawn = replace(
        find(form="recurrence", mode="grad", cell="gru"),
        layout=layout, steps=3, batch=4, sizes=(5, 5), lengths=None, states=0, starts=0,
    )  # fmt: skip
    assert check_configuration("looks", drawn) is None
    expected = {
        "time first": (20, 5, 1),
        "batch first": (5, 15, 1),
        "every other step": (40, 5, 1),
        "every other row": (40, 10, 1),
        "part of a wider input": (32, 8, 1),
        "features outermost": (4, 1, 12),
        "one row for all": (5, 0, 1),
    }
    assert strides[0] == expected[layout]


def test_a_refusal_is_told_from_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = absent_engine("it is closed")
    monkeypatch.setitem(_select._ENGINES, "refuses", refusing)
    tally = check_configurations("refuses", range(5))
    assert tally == Tally(0, tally.refused)
    assert tally.checked == 5
    assert any("it is closed" in reason for reason in tally.refused)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda output: output.float(), "output.0 is .* in torch.float32, expected .*float64"),
        (lambda output: output[:-1], r"output.0 is \(2, 4, 5\) .*, expected \(3, 4, 5\)"),
        (lambda output: output * torch.nan, "output.0 differs when it is repeated"),
        (lambda output: output.nan_to_num() + 1e-9, "output.0 is off by 1e-09, allowed"),
    ],
)
def test_what_is_wrong_is_named(broken: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(case: Recurrence) -> Any:
        output, final = case.scan()
        return broken(output), final

    monkeypatch.setitem(_select._ENGINES, "broken", engine_of(run))
    drawn = replace(
        find(form="recurrence", order="f0 b0", cell="lstm"),
        dtype=torch.float64, steps=3, batch=4, sizes=(5, 5), elsewhere=False,
    )  # fmt: skip
    with pytest.raises(ContractError, match=message):
        check_configuration("broken", drawn)


def test_numbers_are_the_same_in_both_precisions() -> None:
    stated = problem(find(dtype=torch.float32, form="recurrence", cell="gru"), KINDS)
    exact = stated.exact()
    for ours, right in zip(stated.arguments[0].leaves, exact.arguments[0].leaves, strict=True):
        assert torch.equal(ours.double(), right)
    for ours, right in zip(stated.module.parameters(), exact.module.parameters(), strict=True):
        assert torch.equal(ours.double(), right)


class Dropped(Cell):
    """Draws a mask by torch's generator, as recurrent dropout does."""

    states = ("h",)

    def __init__(self) -> None:
        super().__init__(3, 4)
        self.weight = torch.nn.Parameter(torch.randn(3, 4))

    def project(self, x: torch.Tensor) -> torch.Tensor:
        projected = x @ self.weight
        return projected * (torch.rand_like(projected) < 0.5)

    def step(self, inp: torch.Tensor, state: Any) -> Any:
        return self.State(h=torch.tanh(inp + 0.5 * state.h))


def test_a_cell_that_draws_masks_is_compared_with_the_same_masks() -> None:
    elman.testing.check_engine("reference", Dropped, cases=30)


def test_drawn_steps_are_their_seeds_and_use_every_operation() -> None:
    kinds = composed(range(200))
    trees = {name: str(kind.make(3, 5).trees) for name, kind in kinds.items()}
    assert trees == {
        name: str(kind.make(3, 5).trees) for name, kind in composed(range(200)).items()
    }
    assert len(set(trees.values())) == 200
    words = {*LEAVES, *UNARY, *BINARY, *KINKED}
    assert {word for word in words if any(f"'{word}'" in tree for tree in trees.values())} == words
    assert not any(
        f"'{word}'" in trees[f"composed {n}"] for n in range(0, 200, 2) for word in KINKED
    )
    check_configurations("reference", range(5), kinds)
