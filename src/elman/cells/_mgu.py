"""The minimal gated unit."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell


@final
class MGU(Cell):
    r"""Minimal gated unit: one gate resets the old state, and mixes it with the candidate.

    .. math::
        f_t &= \sigma(V_f x_t + b_f + W_f h_{t-1}) &\text{update} \\
        n_t &= \tanh(V_n x_t + b_n + W_n (f_t \odot h_{t-1})) \\
        h_t &= (1 - f_t) \odot h_{t-1} + f_t \odot n_t

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        bias: whether there are biases.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h (batch, hidden_size).

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.MGU(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        G.-B. Zhou, J. Wu, C.-L. Zhang and Z.-H. Zhou, "Minimal gated unit for recurrent neural
        networks", International Journal of Automation and Computing 13, 2016.
    """

    states = ("h",)
    retention = "retain"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 2 * hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False, **factory)
        self.candidate = nn.Linear(hidden_size, hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        f_x, n_x = inp.chunk(2, -1)
        f = sigmoid(f_x + self.recurrent(state.h))
        n = tanh(n_x + self.candidate(f * state.h))
        self.watch(update=f, retain=1 - f)
        return self.State(h=state.h + f * (n - state.h))
