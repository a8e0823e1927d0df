"""Layer-normalized long short-term memory."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell


@final
class LayerNormLSTM(Cell):
    r"""Long short-term memory with layer normalization of both products and of the cell state.

    .. math::
        u_t &= LN(W_i x_t; \alpha_1, \beta_1) + LN(W_h h_{t-1}; \alpha_2, \beta_2) \\
        i_t, f_t, o_t &= \sigma(u_i), \sigma(u_f), \sigma(u_o) &\text{store, forget, output} \\
        c_t &= f_t \odot c_{t-1} + i_t \odot \tanh(u_g) \\
        h_t &= o_t \odot \tanh(LN(c_t; \alpha_3, \beta_3))

    LN takes the mean and variance of all features of a row: of W_i x_t, of the four gates together.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t and c_t.
        bias: whether there are shifts beta.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h and c (batch, hidden_size); u stacked i, f, g, o.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.LayerNormLSTM(3, 5))(torch.randn(2, 7, 3))
        >>> output.shape, state.c.shape
        (torch.Size([2, 7, 5]), torch.Size([2, 5]))

    References:
        J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", 2016, equations 20 to 22.
    """

    states = ("h", "c")
    retention = "forget"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 4 * hidden_size, bias=False, **factory)
        self.recurrent = nn.Linear(hidden_size, 4 * hidden_size, bias=False, **factory)
        self.norm_input = nn.LayerNorm(4 * hidden_size, bias=bias, **factory)
        self.norm_recurrent = nn.LayerNorm(4 * hidden_size, bias=bias, **factory)
        self.norm_memory = nn.LayerNorm(hidden_size, bias=bias, **factory)

    def project(self, x: Tensor) -> Any:
        return self.norm_input(self.input(x))

    def step(self, inp: Tensor, state: Any) -> Any:
        u_i, u_f, u_g, u_o = (inp + self.norm_recurrent(self.recurrent(state.h))).chunk(4, -1)
        i, f, o = sigmoid(u_i), sigmoid(u_f), sigmoid(u_o)
        c = f * state.c + i * tanh(u_g)
        self.watch(store=i, forget=f, output=o)
        return self.State(h=o * tanh(self.norm_memory(c)), c=c)
