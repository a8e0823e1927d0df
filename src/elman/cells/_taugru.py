"""The gated recurrent unit with delayed feedback."""

from __future__ import annotations

from typing import Any, ClassVar, final

from torch import Tensor, nn, sigmoid, tanh

from elman._errors import ConfigError
from elman.cells._base import Cell, named_tuple


@final
class TauGRU(Cell):
    r"""Gated recurrent unit that also sees its state of some steps ago.

    .. math::
        u_t &= \tanh(W_{iu} x_t + b_u + W_{hu} h_{t-1}) \\
        z_t &= \tanh(W_{iz} x_t + b_z + W_{hz} h_{t-1-d}) &\text{delayed} \\
        g_t &= \sigma(W_{ig} x_t + b_g + W_{hg} h_{t-1}) &\text{update} \\
        a_t &= \sigma(W_{ia} x_t + b_a + W_{ha} h_{t-1}) &\text{feedback} \\
        h_t &= (1 - g_t) \odot h_{t-1} + g_t \odot (u_t + a_t \odot z_t)

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        delay: d, in steps.
        bias: whether there are biases b.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h and what it was up to d steps ago, h1 to hd (batch,
    hidden_size); W_i stacked u, z, g, a.

    Raises:
        ConfigError: a size or a delay below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.TauGRU(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        N. B. Erichson, S. H. Lim and M. W. Mahoney, "Gated recurrent neural networks with weighted
        time-delay feedback", 2022.
    """

    states: ClassVar[tuple[str, ...]] = ("h", "h1")
    retention = "carry"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        delay: int = 1,
        bias: bool = True,
        **factory: Any,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if delay < 1:
            raise ConfigError(f"delay must be at least 1 step, got {delay}")
        self.states = ("h", *(f"h{age}" for age in range(1, delay + 1)))  # type: ignore[misc]
        self.input = nn.Linear(input_size, 4 * hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, 3 * hidden_size, bias=False, **factory)
        self.delayed = nn.Linear(hidden_size, hidden_size, bias=False, **factory)

    @property
    def State(self) -> Any:  # noqa: N802 - not kept: types do not pickle
        """The type of the state, which has a field for each step of the delay."""
        return named_tuple("State", self.states)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        x_u, x_z, x_g, x_a = inp.chunk(4, -1)
        h_u, h_g, h_a = self.recurrent(state[0]).chunk(3, -1)
        u, z = tanh(x_u + h_u), tanh(x_z + self.delayed(state[-1]))
        g, a = sigmoid(x_g + h_g), sigmoid(x_a + h_a)
        carry = 1 - g
        h = carry * state[0] + g * (u + a * z)
        self.watch(update=g, carry=carry, feedback=a)
        return self.State(h, *state[:-1])
