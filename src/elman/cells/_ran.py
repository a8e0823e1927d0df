"""The recurrent additive network."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell, named_tuple

Inputs = named_tuple("Inputs", ("gates", "content"))


@final
class RAN(Cell):
    r"""Recurrent additive network: its memory is a gated sum of linear images of the input.

    .. math::
        i_t &= \sigma(W_{ii} x_t + b_i + W_{hi} h_{t-1}) &\text{input} \\
        f_t &= \sigma(W_{if} x_t + b_f + W_{hf} h_{t-1}) &\text{forget} \\
        c_t &= i_t \odot W_c x_t + f_t \odot c_{t-1} \qquad h_t = \tanh(c_t)

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t and c_t.
        bias: whether there are biases b.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h and c (batch, hidden_size); W_i stacked i, f.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.RAN(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        K. Lee, O. Levy and L. Zettlemoyer, "Recurrent additive networks", 2017.
    """

    states = ("h", "c")
    retention = "forget"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 2 * hidden_size, bias, **factory)
        self.content = nn.Linear(input_size, hidden_size, bias=False, **factory)
        self.recurrent = nn.Linear(hidden_size, 2 * hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return Inputs(self.input(x), self.content(x))

    def step(self, inp: Any, state: Any) -> Any:
        i, f = sigmoid(inp.gates + self.recurrent(state.h)).chunk(2, -1)
        c = i * inp.content + f * state.c
        self.watch(input=i, forget=f)
        return self.State(h=tanh(c), c=c)
