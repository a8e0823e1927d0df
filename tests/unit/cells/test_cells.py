"""The built-in equations against numbers by hand, and what a cell's author gets told."""

from __future__ import annotations

import ast
import copy
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

import elman
from elman.cells import GRU, LSTM, Elman, PointwiseCell, Projected, by_name


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _filled(cell: PointwiseCell, value: float = 0.5) -> PointwiseCell:
    for parameter in cell.parameters():
        torch.nn.init.constant_(parameter, value)
    return cell.double()


def _step(cell: Any, x: float, *state: float) -> tuple[float, ...]:
    before = cell.State(*(torch.full((1, 1), s, dtype=torch.float64) for s in state))
    after = cell.step(cell.project(torch.full((1, 1), x, dtype=torch.float64)), before)
    return tuple(s.item() for s in after)


def test_elman_by_hand() -> None:
    (h,) = _step(_filled(Elman(1, 1)), 2.0, -1.0)
    assert h == pytest.approx(math.tanh(0.5 * 2 + 0.5 + 0.5 * -1 + 0.5), abs=1e-12)


def test_lstm_by_hand() -> None:
    cell = _filled(LSTM(1, 1))
    cell.bias_ih.data = torch.tensor([0.1, 0.2, 0.3, 0.4]).double()  # i, f, g, o
    h, c = _step(cell, 2.0, -1.0, 0.3)
    i, f, g, o = (0.5 * 2 + bias + 0.5 * -1 + 0.5 for bias in (0.1, 0.2, 0.3, 0.4))
    expected = _sigmoid(f) * 0.3 + _sigmoid(i) * math.tanh(g)
    assert c == pytest.approx(expected, abs=1e-7)
    assert h == pytest.approx(_sigmoid(o) * math.tanh(expected), abs=1e-7)


def test_gru_by_hand() -> None:
    cell = _filled(GRU(1, 1))
    cell.bias_ih.data = torch.tensor([0.1, 0.2, 0.3]).double()  # r, z, n
    (h,) = _step(cell, 2.0, -1.0)
    rec = 0.5 * -1 + 0.5
    r, z, n = (0.5 * 2 + bias for bias in (0.1, 0.2, 0.3))
    z = _sigmoid(z + rec)
    expected = (1 - z) * math.tanh(n + _sigmoid(r + rec) * rec) + z * -1.0
    assert h == pytest.approx(expected, abs=1e-7)


def test_projection_by_hand() -> None:
    inner = _filled(LSTM(1, 2))
    cell = Projected(inner, 1).double()
    torch.nn.init.constant_(inner.weight_hh, 0.5)
    torch.nn.init.constant_(cell.weight_hr, 0.25)
    state = cell.State(torch.zeros(1, 1).double(), torch.zeros(1, 2).double())
    h, c = cell.step(cell.project(torch.ones(1, 1).double()), state)
    inner_h = _sigmoid(1.5) * torch.tanh(c)
    assert torch.allclose(h, inner_h.sum(1, keepdim=True) * 0.25)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tanh", math.tanh(1.5)),
        ("relu", 1.5),
        ("identity", 1.5),
        ("sigmoid", _sigmoid(1.5)),
        ("gelu", 1.5 * 0.5 * (1 + math.erf(1.5 / math.sqrt(2)))),
        (torch.sin, math.sin(1.5)),
    ],
)
def test_activations(name: Any, expected: float) -> None:
    assert _step(_filled(Elman(1, 1, name)), 1.0, 0.0)[0] == pytest.approx(expected, abs=1e-9)


def test_unknown_activation_names_the_nearest() -> None:
    with pytest.raises(elman.ConfigError, match="did you mean 'tanh'"):
        Elman(1, 1, "tahn")


def test_a_type_checker_sees_every_cell() -> None:
    tree = ast.parse(Path(elman.cells.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    names = {a.asname for node in block.body for a in node.names}  # type: ignore[attr-defined]
    assert {"CELLS", "by_name", *names} == set(elman.cells.__all__)


@pytest.mark.parametrize(("name", "path"), elman.cells.CELLS)
def test_a_cell_has_the_name_of_its_class(name: str, path: str) -> None:
    assert name == path.partition(":")[2].lower()
    assert by_name(name) is by_name(name.upper()) is getattr(elman.cells, path.partition(":")[2])


def test_unknown_cell_names_the_nearest() -> None:
    with pytest.raises(elman.ConfigError, match=r"did you mean 'lstm'\? choose from: elman, lstm"):
        by_name("ltsm")


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [(0, ValueError, "greater than zero, got 0"), (2.0, TypeError, "of type int, got: float")],
)
def test_sizes_are_checked(size: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LSTM(3, size)


def test_a_pointwise_that_returns_something_else_is_told() -> None:
    class Careless(PointwiseCell):
        gates, states = ("z",), ("h",)

        def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
            return torch.tanh(inp.z + rec.z)

    with pytest.raises(TypeError, match=r"expected Careless.pointwise to return self.State\(h\)"):
        elman.Recurrent(Careless(2, 3))(torch.randn(1, 2, 2))


def test_names_that_are_no_names_are_told() -> None:
    with pytest.raises(elman.ConfigError, match="gates names must be distinct identifiers"):
        type("Twice", (PointwiseCell,), {"gates": ("a", "a"), "states": ("h",)})


def test_a_gru_cannot_be_projected() -> None:
    with pytest.raises(elman.ConfigError, match="GRU uses its state 'h' elementwise"):
        Projected(GRU(3, 4), 2)


@pytest.mark.parametrize("size", [0, 4, 9])
def test_projection_size_is_checked(size: int) -> None:
    with pytest.raises(elman.ConfigError, match=f"hidden_size=4, got {size}"):
        Projected(LSTM(3, 4), size)


def test_states_pickle_even_of_a_cell_defined_in_a_function() -> None:
    class Local(PointwiseCell):
        gates, states = ("z",), ("h", "memory")

        def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
            return self.State(torch.tanh(inp.z + rec.z), state.memory + 1)

    state = Local(2, 3).initial_state(1)
    for again in (pickle.loads(pickle.dumps(state)), copy.deepcopy(state)):
        assert type(again) is type(state)
        assert torch.equal(again.memory, state.memory)


def test_initial_state_is_like_the_parameters() -> None:
    assert all(s.dtype == torch.float64 for s in LSTM(2, 3).double().initial_state(4))
    assert LSTM(2, 3).initial_state(4, dtype=torch.bfloat16).h.dtype == torch.bfloat16


@pytest.mark.parametrize("name", [name for name, _ in elman.cells.CELLS])
@pytest.mark.parametrize("sizes", [(2, 5), (5, 2), (3, 3)])
def test_any_sizes_without_biases_in_any_dtype(name: str, sizes: tuple[int, int]) -> None:
    cell = by_name(name)(*sizes, bias=False, dtype=torch.float64)  # type: ignore[call-arg]
    assert not [key for key, _ in cell.named_parameters() if "bias" in key]
    new = cell.step(cell.project(torch.randn(4, sizes[0]).double()), cell.initial_state(4))
    assert [s.shape for s in new] == [(4, size) for size in cell.state_sizes]
    assert {s.dtype for s in new} == {torch.float64}
