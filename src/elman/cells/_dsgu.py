"""The deep simple gated unit."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell


@final
class DSGU(Cell):
    r"""Deep simple gated unit: an :class:`SGU` with a matrix before its output.

    .. math::
        g_t &= \tanh(W_g ((V_g x_t + b_g) \odot h_{t-1}) + c_g) \\
        o_t &= \sigma(W_o (g_t \odot h_{t-1})) \\
        z_t &= \min(1, \max(0, (V_z x_t + b_z + W_z h_{t-1}) / 6 + 1 / 2)) &\text{update} \\
        h_t &= (1 - z_t) \odot h_{t-1} + z_t \odot o_t

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
        >>> output, state = elman.Recurrent(elman.cells.DSGU(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        Y. Gao and D. Glowacka, "Deep gate recurrent neural network", ACML 2016.
    """

    states = ("h",)
    retention = "retain"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 2 * hidden_size, bias, **factory)
        self.modulation = nn.Linear(hidden_size, hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False, **factory)
        self.output = nn.Linear(hidden_size, hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        g_x, z_x = inp.chunk(2, -1)
        g = tanh(self.modulation(g_x * state.h))
        # Not F.hardsigmoid, whose gradient rounds 1/6 to float32.
        z = ((z_x + self.recurrent(state.h)) / 6 + 0.5).clamp(0, 1)
        self.watch(update=z, retain=1 - z)
        return self.State(h=state.h + z * (sigmoid(self.output(g * state.h)) - state.h))
