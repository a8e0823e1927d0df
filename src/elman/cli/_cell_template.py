"""What ``elman cell new`` writes."""

from __future__ import annotations

CELL = '''"""A cell of my own."""

from torch import sigmoid, tanh

from elman.cells import PointwiseCell


class CLASS(PointwiseCell):
    r"""A leaky unit: a gate between the last state and a candidate.

    .. math::
        g_t &= \\sigma(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) \\\\
        z_t &= \\tanh(s (W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz})) \\\\
        h_t &= g_t \\odot h_{t-1} + (1 - g_t) \\odot z_t

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        slope: s, of the candidate; --model.options.slope sets it.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(CLASS(3, 5))(torch.randn(2, 7, 3))
        >>> output.shape
        torch.Size([2, 7, 5])

    References:
        The paper, with its year, or that there is none.
    """

    # Each gate has a matrix on the input, one on the first state, and biases. The first state is
    # the output. More states: ("h", "c").
    gates, states = ("g", "z"), ("h",)

    # For --model.init chrono and forget_bias: the gate whose bias, raised, retains the state.
    memory_gate = "g"

    # What is specific to the cell. Parameters of its own, such as torch.nn.Parameter(
    # torch.zeros(hidden_size)), are trained as well. Leave __init__ out if there is nothing.
    def __init__(self, input_size, hidden_size, slope: float = 1.0, **options):
        super().__init__(input_size, hidden_size, **options)
        self.slope = slope

    # One time step, of (batch, units) tensors by name. Operations on tensors only: no Python
    # condition or loop may depend on their values, or the native engine leaves the cell to the
    # reference, which is slower.
    def pointwise(self, inp, rec, state):
        g = sigmoid(inp.g + rec.g)
        z = tanh(self.slope * (inp.z + rec.z))
        self.watch(keep=g)  # `elman flow` and `elman report` show it under this name
        return self.State(h=g * state.h + (1 - g) * z)
'''
"""The cell, with MODULE and CLASS to be replaced."""

TEST = '''"""The contracts of CLASS; run it with pytest."""

import torch
from MODULE import CLASS

import elman
from elman.testing import agrees_with_the_reference, check_cell


def make():
    return CLASS(3, 5)


def test_the_contracts_of_a_cell():
    check_cell(make)


def test_the_native_engine_computes_the_same():
    agrees_with_the_reference("native", make)  # check_engine runs every contract, in minutes


def test_the_gradient_reaches_every_weight():
    layer = elman.Recurrent(make())
    output, _ = layer(torch.randn(2, 7, 3))
    output.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in layer.parameters())
'''
"""Its test."""
