"""The structurally constrained recurrent network."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid

from elman.cells._base import Cell


@final
class SCRN(Cell):
    r"""Structurally constrained network: context units that change slowly beside hidden ones.

    .. math::
        s_t &= (1 - \alpha) (B x_t + b_s) + \alpha s_{t-1} &\text{context} \\
        h_t &= \sigma(P s_t + A x_t + b_h + R h_{t-1}) &\text{hidden} \\
        y_t &= U h_t + V s_t + b_y &\text{output}

    Only h and s recur. In the paper y is squashed: here that is left to what reads it.

    Args:
        input_size: features of x_t.
        hidden_size: units of y_t, h_t and s_t.
        alpha: how much of the old context is retained.
        bias: whether there are biases b.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), y, h and s (batch, hidden_size); stacked are B and A, and
    P and V.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.SCRN(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.y)
        True

    References:
        T. Mikolov, A. Joulin, S. Chopra, M. Mathieu and M. Ranzato, "Learning longer memory in
        recurrent neural networks", ICLR workshop 2015.
    """

    states = ("y", "h", "s")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        alpha: float = 0.95,
        bias: bool = True,
        **factory: Any,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.alpha = alpha
        self.input = nn.Linear(input_size, 2 * hidden_size, bias, **factory)
        self.context = nn.Linear(hidden_size, 2 * hidden_size, bias=False, **factory)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False, **factory)
        self.output = nn.Linear(hidden_size, hidden_size, bias, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        x_s, x_h = inp.chunk(2, -1)
        s = x_s + self.alpha * (state.s - x_s)
        s_h, s_y = self.context(s).chunk(2, -1)
        h = sigmoid(s_h + x_h + self.recurrent(state.h))
        return self.State(y=self.output(h) + s_y, h=h, s=s)
