"""The independently recurrent network."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from elman.cells._elementwise import ElementwiseCell
from elman.cells._elman import Activation, activation_by_name


@final
class IndRNN(ElementwiseCell):
    r"""Independently recurrent network: each unit sees itself alone of the last state.

    .. math::
        h_t = s(W_{ih} x_t + b_{ih} + w_{hh} \odot h_{t-1})

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        activation: s, a name (relu, tanh, identity, sigmoid, gelu) or any elementwise callable.
        bias: whether there is b_ih.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); ``weight_hh`` is a vector.

    Raises:
        ConfigError: an unknown activation or a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.IndRNN(3, 5))(torch.randn(2, 7, 3))
        >>> output.shape
        torch.Size([2, 7, 5])

    References:
        S. Li et al., "Independently recurrent neural network (IndRNN): building a longer and deeper
        RNN", CVPR 2018.
    """

    states = ("h",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        activation: str | Activation = "relu",
        *,
        bias: bool = True,
        **factory: Any,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.activation = activation_by_name(activation)
        self.input = nn.Linear(input_size, hidden_size, bias, **factory)
        # Between forgetting all and keeping all, as in the paper's experiments.
        self.weight_hh = nn.Parameter(torch.rand(hidden_size, **factory))

    def project(self, x: Tensor) -> Tensor:
        return self.input(x)  # type: ignore[no-any-return]

    def step(self, inp: Tensor, state: Any) -> Any:
        return self.State(h=self.activation(inp + self.weight_hh * state.h))
