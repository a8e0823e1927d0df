"""The strongly typed networks, whose matrices multiply the input alone."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import named_tuple
from elman.cells._elementwise import ElementwiseCell
from elman.cells._linear import LinearCell

Inputs = named_tuple("Inputs", ("now", "lag"))


@final
class TRNN(LinearCell):
    r"""Strongly typed network: a gated average of linear images of the input.

    .. math::
        z_t &= W_z x_t + b_z \\
        f_t &= \sigma(W_f x_t + b_f) &\text{forget} \\
        h_t &= f_t \odot h_{t-1} + (1 - f_t) \odot z_t

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        bias: whether there are biases b.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); W stacked z, f.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.TRNN(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        D. Balduzzi and M. Ghifary, "Strongly-typed recurrent neural networks", ICML 2016.
    """

    states = ("h",)
    retention = "forget"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 2 * hidden_size, bias, **factory)

    def affine(self, x: Tensor) -> Tensor:
        return self.input(x)  # type: ignore[no-any-return]

    def coefficients(self, gates: Tensor) -> tuple[Any, ...]:
        z, f = gates.chunk(2, -1)
        return sigmoid(f), sigmoid(-f) * z


@final
class TGRU(ElementwiseCell):
    r"""Strongly typed GRU: its gates see the input and the one before.

    .. math::
        z_t &= W_z x_t + V_z x_{t-1} + b_z \\
        f_t &= \sigma(W_f x_t + V_f x_{t-1} + b_f) &\text{forget} \\
        o_t &= \tanh(W_o x_t + V_o x_{t-1} + b_o) &\text{output} \\
        h_t &= f_t \odot h_{t-1} + z_t \odot o_t

    x_0 is zero. What x_(t-1) adds to the gates is kept in the states lag_z, lag_f and lag_o.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        bias: whether there are biases b.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h and the lags (batch, hidden_size); W and V stacked z, f,
    o.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.TGRU(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        D. Balduzzi and M. Ghifary, "Strongly-typed recurrent neural networks", ICML 2016.
    """

    states = ("h", "lag_z", "lag_f", "lag_o")
    retention = "forget"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 3 * hidden_size, bias, **factory)
        self.lag = nn.Linear(input_size, 3 * hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return Inputs(self.input(x), self.lag(x))

    def step(self, inp: Any, state: Any) -> Any:
        x_z, x_f, x_o = inp.now.chunk(3, -1)
        z, f, o = x_z + state.lag_z, sigmoid(x_f + state.lag_f), tanh(x_o + state.lag_o)
        self.watch(forget=f, output=o)
        return self.State(f * state.h + z * o, *inp.lag.chunk(3, -1))


@final
class TLSTM(ElementwiseCell):
    r"""Strongly typed LSTM: its gates see the input and the one before, and not its output.

    .. math::
        z_t &= W_z x_t + V_z x_{t-1} + b_z \\
        f_t &= \sigma(W_f x_t + V_f x_{t-1} + b_f) &\text{forget} \\
        o_t &= \tanh(W_o x_t + V_o x_{t-1} + b_o) &\text{output} \\
        c_t &= f_t \odot c_{t-1} + (1 - f_t) \odot z_t \qquad h_t = o_t \odot c_t

    x_0 is zero. What x_(t-1) adds to the gates is kept in the states lag_z, lag_f and lag_o.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t and c_t.
        bias: whether there are biases b.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h, c and the lags (batch, hidden_size); W and V stacked z,
    f, o.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.TLSTM(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        D. Balduzzi and M. Ghifary, "Strongly-typed recurrent neural networks", ICML 2016.
    """

    states = ("h", "c", "lag_z", "lag_f", "lag_o")
    retention = "forget"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 3 * hidden_size, bias, **factory)
        self.lag = nn.Linear(input_size, 3 * hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return Inputs(self.input(x), self.lag(x))

    def step(self, inp: Any, state: Any) -> Any:
        x_z, x_f, x_o = inp.now.chunk(3, -1)
        z, f, o = x_z + state.lag_z, sigmoid(x_f + state.lag_f), tanh(x_o + state.lag_o)
        c = z + f * (state.c - z)
        self.watch(forget=f, output=o)
        return self.State(o * c, c, *inp.lag.chunk(3, -1))
