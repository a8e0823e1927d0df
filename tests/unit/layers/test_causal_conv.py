"""A causal convolution is a layer: whole or in pieces, ragged, with resets."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman.cells import QRNN
from elman.layers import CausalConv1d

SIZES = pytest.mark.parametrize(("kernel_size", "groups"), [(1, 1), (2, 1), (4, 2)])


def layer_and_inputs(kernel_size: int, groups: int = 1, **options: Any) -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    layer = CausalConv1d(4, 6, kernel_size, groups=groups, **options).double()
    return layer, torch.randn(3, 7, 4, dtype=torch.float64)


@SIZES
def test_equals_a_padded_convolution_of_torch(kernel_size: int, groups: int) -> None:
    layer, x = layer_and_inputs(kernel_size, groups)
    theirs = nn.Conv1d(4, 6, kernel_size, groups=groups, padding=kernel_size - 1).double()
    theirs.load_state_dict(layer.state_dict())
    expected = theirs(x.transpose(1, 2))[..., :7].transpose(1, 2)
    torch.testing.assert_close(layer(x)[0], expected)


@SIZES
def test_whole_is_its_chunks_and_its_steps(kernel_size: int, groups: int) -> None:
    layer, x = layer_and_inputs(kernel_size, groups)
    reset = torch.rand(3, 7) < 0.3
    for again in (None, reset):
        whole, final = layer(x, reset=again)
        for cut in range(1, 7):
            parts = [None, None] if again is None else [again[:, :cut], again[:, cut:]]
            first, state = layer(x[:, :cut], reset=parts[0])
            second, last = layer(x[:, cut:], state, reset=parts[1])
            torch.testing.assert_close((torch.cat([first, second], 1), last), (whole, final))
    stream = elman.Stream(layer.float(), rows=3)
    outputs = [stream(x_t) for x_t in x.float().unbind(1)]
    torch.testing.assert_close(torch.stack(outputs, 1), layer(x.float())[0])


@SIZES
def test_a_reset_begins_anew(kernel_size: int, groups: int) -> None:
    layer, x = layer_and_inputs(kernel_size, groups)
    reset = torch.zeros(3, 7, dtype=torch.bool)
    reset[:, 3], state = True, torch.randn(3, kernel_size - 1, 4).double()
    output, _ = layer(x, state, reset=reset)
    torch.testing.assert_close(output[:, 3:], layer(x[:, 3:])[0])
    torch.testing.assert_close(output[:, :3], layer(x[:, :3], state)[0])


@SIZES
def test_padding_is_inert(kernel_size: int, groups: int) -> None:
    layer, x = layer_and_inputs(kernel_size, groups)
    state, lengths = torch.randn(3, kernel_size - 1, 4).double(), torch.tensor([7, 0, 2])
    padded = x.clone()
    padded[1], padded[2, 2:] = torch.nan, torch.inf
    for reset in (None, torch.rand(3, 7) < 0.3):
        output, final = layer(padded, state, lengths=lengths, reset=reset)
        assert output[1].eq(0).all()
        assert output[2, 2:].eq(0).all()
        torch.testing.assert_close(final[1], state[1])
        alone = layer(x[2:, :2], state[2:], reset=None if reset is None else reset[2:, :2])
        torch.testing.assert_close((output[2:, :2], final[2:]), alone)
        gradient = torch.autograd.grad(output.sum(), layer.weight)[0]
        assert gradient.isfinite().all()


def test_time_first() -> None:
    layer, x = layer_and_inputs(2)
    other = CausalConv1d(4, 6, 2, batch_first=False).double()
    other.load_state_dict(layer.state_dict())
    reset, lengths = torch.rand(3, 7) < 0.3, torch.tensor([5, 7, 1])
    expected, final = layer(x, reset=reset, lengths=lengths)
    output, state = other(x.transpose(0, 1), reset=reset.T, lengths=lengths)
    torch.testing.assert_close((output.transpose(0, 1), state), (expected, final))


def test_a_qrnn_with_its_window_equals_the_paper() -> None:
    """Filters of two steps and fo-pooling, in a loop."""
    torch.manual_seed(0)
    window, cell = CausalConv1d(3, 4, 2, bias=False).double(), QRNN(4, 5).double()
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    filters = torch.einsum("gm,mik->gik", cell.input.weight, window.weight)
    previous, c, outputs = torch.zeros(2, 3).double(), torch.zeros(2, 5).double(), []
    for x_t in x.unbind(1):
        both = previous @ filters[..., 0].T + x_t @ filters[..., 1].T + cell.input.bias
        z, f, o = both.chunk(3, -1)
        c = torch.sigmoid(f) * c + (1 - torch.sigmoid(f)) * torch.tanh(z)
        outputs.append(torch.sigmoid(o) * c)
        previous = x_t
    layer = elman.Stack(window, elman.Recurrent(cell))
    torch.testing.assert_close(layer(x)[0], torch.stack(outputs, 1))
    assert elman.explain(layer, x).engines == {"native"}


def test_what_cannot_be_is_an_error() -> None:
    with pytest.raises(elman.ConfigError, match=r"groups must divide input_size = 3 .* got 2"):
        CausalConv1d(3, 4, 2, groups=2)
    with pytest.raises(elman.ConfigError, match="kernel_size must be at least 1, got 0"):
        CausalConv1d(3, 4, 0)
    with pytest.raises(elman.ShapeError, match=r"expected state of shape \(2, 1, 3\)"):
        CausalConv1d(3, 4, 2)(torch.randn(2, 5, 3), torch.zeros(2, 3))
