"""The three mutated gated units that a search over architectures ended with."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell


@final
class MUT1(Cell):
    r"""Mutated unit 1: a GRU whose update gate sees the input alone.

    .. math::
        z_t &= \sigma(W_{iz} x_t + b_z) &\text{update} \\
        r_t &= \sigma(W_{ir} x_t + b_r + W_{hr} h_{t-1}) &\text{reset} \\
        n_t &= \tanh(\tanh(W_{in} x_t) + W_{hn} (r_t \odot h_{t-1}) + b_n) \\
        h_t &= z_t \odot n_t + (1 - z_t) \odot h_{t-1}

    The paper has tanh(x_t) in n; W_in brings x_t to as many features as units, and has a bias.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        bias: whether there are biases b.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); W_i stacked z, r, n.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.MUT1(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        R. Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of recurrent network
        architectures", ICML 2015.
    """

    states = ("h",)
    retention = "carry"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 3 * hidden_size, bias, **factory)
        self.reset = nn.Linear(hidden_size, hidden_size, bias=False, **factory)
        self.candidate = nn.Linear(hidden_size, hidden_size, bias, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        x_z, x_r, x_n = inp.chunk(3, -1)
        z, r = sigmoid(x_z), sigmoid(x_r + self.reset(state.h))
        n = tanh(tanh(x_n) + self.candidate(r * state.h))
        carry = 1 - z
        self.watch(update=z, carry=carry, reset=r)
        return self.State(h=z * n + carry * state.h)


@final
class MUT2(Cell):
    r"""Mutated unit 2: a GRU whose reset gate adds the input itself.

    .. math::
        z_t &= \sigma(W_{iz} x_t + b_z + W_{hz} h_{t-1}) &\text{update} \\
        r_t &= \sigma(W_{ir} x_t + b_r + W_{hr} h_{t-1}) &\text{reset} \\
        n_t &= \tanh(W_{in} x_t + b_n + W_{hn} (r_t \odot h_{t-1})) \\
        h_t &= z_t \odot n_t + (1 - z_t) \odot h_{t-1}

    The paper has x_t itself in r; W_ir brings it to as many features as units.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        bias: whether there are biases b.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); W_i stacked z, r, n.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.MUT2(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        R. Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of recurrent network
        architectures", ICML 2015.
    """

    states = ("h",)
    retention = "carry"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 3 * hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, 2 * hidden_size, bias=False, **factory)
        self.candidate = nn.Linear(hidden_size, hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        x_z, x_r, x_n = inp.chunk(3, -1)
        h_z, h_r = self.recurrent(state.h).chunk(2, -1)
        z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
        n = tanh(x_n + self.candidate(r * state.h))
        carry = 1 - z
        self.watch(update=z, carry=carry, reset=r)
        return self.State(h=z * n + carry * state.h)


@final
class MUT3(Cell):
    r"""Mutated unit 3: a GRU whose update gate sees the squashed state.

    .. math::
        z_t &= \sigma(W_{iz} x_t + b_z + W_{hz} \tanh(h_{t-1})) &\text{update} \\
        r_t &= \sigma(W_{ir} x_t + b_r + W_{hr} h_{t-1}) &\text{reset} \\
        n_t &= \tanh(W_{in} x_t + b_n + W_{hn} (r_t \odot h_{t-1})) \\
        h_t &= z_t \odot n_t + (1 - z_t) \odot h_{t-1}

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        bias: whether there are biases b.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); W_i stacked z, r, n.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.MUT3(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        R. Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of recurrent network
        architectures", ICML 2015.
    """

    states = ("h",)
    retention = "carry"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 3 * hidden_size, bias, **factory)
        self.update = nn.Linear(hidden_size, hidden_size, bias=False, **factory)
        self.reset = nn.Linear(hidden_size, hidden_size, bias=False, **factory)
        self.candidate = nn.Linear(hidden_size, hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        x_z, x_r, x_n = inp.chunk(3, -1)
        z, r = sigmoid(x_z + self.update(tanh(state.h))), sigmoid(x_r + self.reset(state.h))
        n = tanh(x_n + self.candidate(r * state.h))
        carry = 1 - z
        self.watch(update=z, carry=carry, reset=r)
        return self.State(h=z * n + carry * state.h)
