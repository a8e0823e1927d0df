"""Every cell keeps every contract, and for every contract a broken cell that fails it."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import elman
import sampling
from elman import testing
from elman.cells import CELLS, PointwiseCell, by_name
from elman.testing import CELL_CONTRACTS, Contract, ContractError, MakeCell

MAKERS: dict[str, MakeCell] = {name: partial(by_name(name), 2, 3) for name in sampling.cells(5)}


class Peephole(PointwiseCell):
    """A user's own: three gates, two states, a vector and a buffer of its own."""

    gates, states = ("f", "g", "o"), ("h", "c")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.peep = torch.nn.Parameter(torch.randn(hidden_size))
        self.register_buffer("scale", torch.tensor(0.7))

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        f = torch.sigmoid(inp.f + rec.f + self.peep * state.c)
        c = f * state.c + (1 - f) * torch.sin(inp.g + rec.g)
        return self.State(h=torch.sigmoid(inp.o + rec.o) * c * self.scale, c=c)


MAKERS |= {
    "relu": lambda: elman.cells.Elman(2, 3, "relu"),
    "projected": lambda: elman.cells.Projected(elman.cells.LSTM(2, 4), 3),
    "own": lambda: Peephole(2, 3),
    "no bias": lambda: elman.cells.GRU(2, 3, bias=False),
    "wrapped": lambda: elman.cells.Zoneout(
        elman.cells.RecurrentDropout(elman.cells.LSTM(2, 3), 0.2), 0.3
    ).eval(),
}


@pytest.mark.every
@pytest.mark.parametrize("contract", CELL_CONTRACTS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("name", MAKERS)
def test_contract(name: str, contract: Contract) -> None:
    contract(MAKERS[name])


@pytest.mark.every
@pytest.mark.parametrize("name", [name for name, _ in CELLS])
def test_built_in_cells_are_documented(name: str) -> None:
    testing.is_documented(partial(by_name(name), 2, 3))


class Broken(PointwiseCell):
    gates, states = ("z",), ("h",)

    def __init__(self) -> None:
        super().__init__(2, 3)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=torch.tanh(inp.z + rec.z))


class Remembers(Broken):
    calls = 0

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        self.calls += 1
        return self.State(h=torch.tanh(inp.z + rec.z) * self.calls)


class LooksAround(Broken):
    def project(self, x: Tensor, weights: Any = None) -> Tensor:
        return super().project(x - x.mean(0))


class MixesRows(Broken):
    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        z = inp.z + rec.z
        return self.State(h=torch.tanh(z - z.mean(0)))


class MixesUnits(Broken):
    """It says of itself what its W_hh belies."""

    recurrence = "elementwise"


class Detaches(Broken):
    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=torch.tanh(inp.z + rec.z.detach()))


class HidesAWeight(Broken):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = torch.randn(3, dtype=torch.float64)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=torch.tanh(inp.z + rec.z) * self.hidden)


class FixesTheDtype(Broken):
    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=torch.tanh(inp.z + rec.z).float())


class OwnDice(Broken):
    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=torch.tanh(inp.z + rec.z) * random.random())


BROKEN: dict[str, MakeCell] = {
    "scan_is_the_fold_of_step": Remembers,
    "whole_is_its_chunks": LooksAround,
    "rows_are_independent": MixesRows,
    "units_are_independent": MixesUnits,
    "padding_is_inert": LooksAround,
    "gradients_are_right": Detaches,
    "state_dict_round_trips": HidesAWeight,
    "dtype_follows_the_input": FixesTheDtype,
    "deterministic_given_a_seed": OwnDice,
    "is_documented": Broken,
}


def test_every_contract_has_a_broken_cell() -> None:
    assert set(BROKEN) == {c.__name__ for c in (*CELL_CONTRACTS, testing.is_documented)}


@pytest.mark.parametrize("contract", BROKEN)
def test_a_broken_cell_fails(contract: str) -> None:
    with pytest.raises(ContractError):
        getattr(testing, contract)(BROKEN[contract])
