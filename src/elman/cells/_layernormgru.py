"""The layer-normalized gated recurrent unit."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell, named_tuple

Inputs = named_tuple("Inputs", ("gates", "candidate"))


@final
class LayerNormGRU(Cell):
    r"""Gated recurrent unit with layer normalization of all products.

    .. math::
        r_t, z_t &= \sigma(LN(W_i x_t; \alpha_1, \beta_1) + LN(W_h h_{t-1}; \alpha_2, \beta_2))
            &\text{reset, update} \\
        n_t &= \tanh(LN(W_{in} x_t; \alpha_3, \beta_3)
            + r_t \odot LN(W_{hn} h_{t-1}; \alpha_4, \beta_4)) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    LN takes the mean and variance of all features of a row: of both gates together, and of n. The
    paper has z_t and 1 - z_t exchanged, which is the same with other signs.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        bias: whether there are shifts beta.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); gates stacked r, z, n.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.LayerNormGRU(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", 2016, appendix.
    """

    states = ("h",)
    retention = "update"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 3 * hidden_size, bias=False, **factory)
        self.recurrent = nn.Linear(hidden_size, 3 * hidden_size, bias=False, **factory)
        self.sizes = 2 * hidden_size, hidden_size
        self.norm_input, self.norm_input_n, self.norm_recurrent, self.norm_recurrent_n = (
            nn.LayerNorm(size, bias=bias, **factory) for size in (*self.sizes, *self.sizes)
        )

    def project(self, x: Tensor) -> Any:
        gates, n = self.input(x).split(self.sizes, -1)
        return Inputs(self.norm_input(gates), self.norm_input_n(n))

    def step(self, inp: Any, state: Any) -> Any:
        gates, n = self.recurrent(state.h).split(self.sizes, -1)
        r, z = sigmoid(inp.gates + self.norm_recurrent(gates)).chunk(2, -1)
        n = tanh(inp.candidate + r * self.norm_recurrent_n(n))
        self.watch(reset=r, update=z)
        return self.State(h=n + z * (state.h - n))
