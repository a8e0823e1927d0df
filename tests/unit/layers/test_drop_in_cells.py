"""RNNCell, LSTMCell and GRUCell beside torch.nn's."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman

KINDS = ("RNNCell", "LSTMCell", "GRUCell")


def pair(kind: str, *args: Any, **options: Any) -> tuple[Any, Any]:
    """torch's cell and ours, made from the same seed."""
    made = []
    for library in (nn, elman):
        torch.manual_seed(0)
        made.append(getattr(library, kind)(*args, **options))
    return made[0], made[1]


def state_for(kind: str, *shape: int) -> Any:
    states = tuple(torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(2))
    return states if kind == "LSTMCell" else states[0]


def flat(state: Any) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(), (4,)], ids=["unbatched", "batched"])
@pytest.mark.parametrize("with_state", [True, False])
def test_values_and_gradients_equal_torchs(
    kind: str, bias: bool, rows: tuple[int, ...], with_state: bool
) -> None:
    theirs, ours = pair(kind, 3, 5, bias=bias, dtype=torch.float64)
    x = torch.randn(*rows, 3, dtype=torch.float64, requires_grad=True)
    hx = state_for(kind, *rows, 5) if with_state else None
    expected, got = theirs(x, hx), ours(x, hx)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    inputs = [x, *(flat(hx) if with_state else ())]
    gradients = []
    for module, result in ((theirs, expected), (ours, got)):
        loss = sum(state.sin().sum() for state in flat(result))
        gradients.append(torch.autograd.grad(loss, [*inputs, *module.parameters()]))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_makes_the_same_cell(kind: str) -> None:
    for options in ({}, {"bias": False}):
        theirs, ours = pair(kind, 3, 5, **options)
        assert repr(ours) == f"elman.{theirs!r}"
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for name, value in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_is_one_of_torchs(kind: str) -> None:
    cell = getattr(elman, kind)(3, 5)
    assert isinstance(cell, getattr(nn, kind))
    for sizes in ((0, 5), (3, 0), (3, "5")):
        with pytest.raises(elman.ElmanError, match="_size"):
            getattr(elman, kind)(*sizes)


def test_new_random_weights_leave_the_activations_own() -> None:
    cell = elman.RNNCell(3, 5, nonlinearity=nn.PReLU())
    cell.reset_parameters()
    assert torch.equal(cell.get_parameter("nonlinearity.weight"), torch.tensor([0.25]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_repeated_is_the_layer(kind: str) -> None:
    cell, layer = getattr(elman, kind)(3, 5), getattr(elman, kind.removesuffix("Cell"))(3, 5)
    layer.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    x, state = torch.randn(7, 2, 3), None
    output, final = layer(x)
    for t in range(7):
        state = cell(x[t], state)
        torch.testing.assert_close(flat(state)[0], output[t])
    for last, expected in zip(flat(state), flat(final), strict=True):
        torch.testing.assert_close(last, expected[0])


@pytest.mark.parametrize("kind", KINDS)
def test_copies_compute_the_same_and_share_nothing(kind: str) -> None:
    cell, x = getattr(elman, kind)(3, 5), torch.randn(2, 3)
    for copied in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        torch.testing.assert_close(copied(x), cell(x), rtol=0, atol=0)
        nn.init.zeros_(copied.weight_ih)
        assert not torch.equal(flat(copied(x))[0], flat(cell(x))[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(), (1, 2, 3)])
def test_an_input_of_other_dimensions_is_torchs_error(kind: str, shape: tuple[int, ...]) -> None:
    theirs, ours = pair(kind, 3, 5)
    for cell in (theirs, ours):
        with pytest.raises(ValueError, match=f"{kind}: Expected input to be 1D or 2D, got"):
            cell(torch.randn(shape))


def test_the_state_of_an_lstm_cell_is_a_pair() -> None:
    cell, x, h = elman.LSTMCell(3, 5), torch.randn(2, 3), torch.zeros(2, 5)
    with pytest.raises(elman.DtypeError, match=r"hx as a tuple \(h, c\) of tensors, got Tensor"):
        cell(x, h)
    torch.testing.assert_close(cell(x, [h, h]), cell(x))


def test_a_cell_computes_with_weights_that_are_replaced() -> None:
    cell, x = elman.GRUCell(3, 5), torch.randn(2, 3)
    cell.weight_ih = nn.Parameter(torch.zeros(15, 3))
    assert torch.equal(cell(x), cell(torch.zeros(2, 3)))
    assert cell.double()(x.double()).dtype is torch.float64
    assert elman.GRUCell(3, 5, device="meta")(torch.zeros(2, 3, device="meta")).shape == (2, 5)


def test_a_cell_is_initialized_by_scheme() -> None:
    cell = elman.RNNCell(3, 5, nonlinearity="relu")
    elman.init.initialize(cell, "identity")
    assert torch.equal(cell.weight_hh, torch.eye(5))


def test_nonlinearity_by_name_callable_and_module() -> None:
    x, named = torch.randn(2, 3), elman.RNNCell(3, 5, nonlinearity="gelu")
    called = elman.RNNCell(3, 5, nonlinearity=nn.functional.gelu)
    called.load_state_dict(named.state_dict())
    assert torch.equal(called(x), named(x))
    assert repr(named) == "elman.RNNCell(3, 5, nonlinearity=gelu)"
    learned = elman.RNNCell(3, 5, nonlinearity=nn.PReLU())
    learned(x).sum().backward()
    assert learned.get_parameter("nonlinearity.weight").grad is not None
    with pytest.raises(ValueError, match="did you mean 'relu'"):
        elman.RNNCell(3, 5, nonlinearity="rleu")
