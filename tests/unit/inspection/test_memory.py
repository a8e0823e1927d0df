"""Memory capacity: closed forms for linear networks, and what cannot be measured."""

from __future__ import annotations

import pytest
import torch

import elman
from elman._errors import ConfigError
from elman.cells import GRU, Elman
from elman.inspection import memory
from elman.layers import Bidirectional, Recurrent, Stack


def linear(units: int, rho: float = 0.95, inputs: int = 1, **options: bool) -> Recurrent:
    """h_t = rho Q h_{t-1} + V x_t, of which every state holds as many numbers as it has units."""
    layer = Recurrent(Elman(inputs, units, "identity", bias=False, dtype=torch.float64), **options)
    torch.manual_seed(1)
    with torch.no_grad():
        layer.cell.weight_hh.copy_(rho * torch.linalg.qr(torch.randn(units, units))[0])
    return layer


def test_a_linear_network_holds_as_many_numbers_as_it_has_units() -> None:
    for inputs in (1, 2):
        measured = [memory(linear(8, inputs=inputs), delays=120, seed=i)[0] for i in range(3)]
        assert sum(m.capacity for m in measured) / 3 == pytest.approx(8, abs=0.4)
    found = measured[0]
    assert float(found.recalled[0]) > float(found.recalled[40])


def test_without_recurrence_only_the_present_is_known() -> None:
    layer = linear(4)
    with torch.no_grad():
        layer.cell.weight_hh.zero_()
    (found,) = memory(layer, delays=[0, 1, 5])
    assert found.recalled.tolist() == pytest.approx([1, 0, 0], abs=0.01)
    assert found.delays.tolist() == [0, 1, 5]


def test_reversed_layers_remember_what_is_later_in_time() -> None:
    torch.manual_seed(1)
    (found,) = memory(linear(6, reverse=True), delays=100)
    assert found.capacity == pytest.approx(6, abs=0.4)
    both = Bidirectional(linear(5), linear(5, reverse=True))
    ahead, back = memory(both, delays=100)
    assert (ahead.layer, back.layer) == ("directions.0", "directions.1")
    assert back.capacity == pytest.approx(5, abs=0.4)


def test_upper_layers_recall_the_models_input() -> None:
    below, above = memory(Stack(linear(4), linear(4, inputs=4)), delays=20)
    assert above.layer == "layers.1"
    assert 0 < above.capacity <= below.capacity + 0.5


def test_it_is_repeatable_and_takes_ones_own_data() -> None:
    cell = GRU(2, 6)
    a, b = (memory(cell, delays=5, seed=3)[0] for _ in range(2))
    assert torch.equal(a.recalled, b.recalled)
    x = torch.randn(2, 300, 2)
    assert memory(elman.GRU(2, 6, batch_first=True), x, delays=5)[0].layer == "GRU l0"
    assert 0 < memory(Recurrent(cell).bfloat16(), x.bfloat16(), delays=5)[0].capacity < 12


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(ConfigError, match="expected more steps, got 20 of 2 rows"):
        memory(GRU(2, 30), torch.randn(2, 20, 2), delays=5)
    with pytest.raises(ConfigError, match="pass x="):
        memory(torch.nn.ModuleList([Recurrent(GRU(2, 3))]))
    with pytest.raises(ConfigError, match="delays must be 0 or more"):
        memory(GRU(2, 3), delays=[-1])

    class Ragged(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = Recurrent(GRU(2, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.layer(x, lengths=torch.tensor([40, 0]))[0]
            return output

    with pytest.raises(ConfigError, match="got padding"):
        memory(Ragged(), torch.randn(2, 40, 2))
