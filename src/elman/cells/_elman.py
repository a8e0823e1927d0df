"""The simple recurrent network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, final

import torch
from torch import Tensor, nn

from elman._errors import ConfigError, nearest
from elman.cells._base import PointwiseCell

Activation = Callable[[Tensor], Tensor]
"""An elementwise function."""

ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        "tanh": torch.tanh,
        "relu": torch.relu,
        "identity": nn.Identity(),
        "sigmoid": torch.sigmoid,
        "gelu": nn.functional.gelu,
    }
)


def activation_by_name(activation: str | Activation) -> Activation:
    """The activation of this name; a callable is its own activation."""
    if callable(activation):
        return activation
    if activation not in ACTIVATIONS:
        raise ConfigError(
            f"unknown activation {activation!r}: {nearest(str(activation), ACTIVATIONS)}, "
            "or pass a callable"
        )
    return ACTIVATIONS[activation]


@final
class Elman(PointwiseCell):
    r"""The simple recurrent cell.

    .. math::
        z_t = W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh} \qquad h_t = s_h(z_t)

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        activation: s_h, a name (tanh, relu, identity, sigmoid, gelu) or any elementwise callable.

    Shapes: x_t (batch, input_size), h (batch, hidden_size).

    Raises:
        ConfigError: an unknown activation or a size below one.

    Example:
        >>> import torch, elman
        >>> cell = elman.cells.Elman(3, 5, activation="relu")
        >>> state = cell.step(cell.project(torch.randn(2, 3)), cell.initial_state(2))
        >>> state.h.shape
        torch.Size([2, 5])

    References:
        J. L. Elman, "Finding structure in time", Cognitive Science 14, 1990.
    """

    gates, states = ("z",), ("h",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        activation: str | Activation = "tanh",
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.activation = activation_by_name(activation)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=self.activation(inp.z + rec.z))
