"""Initialization schemes, each with its paper; by name in layers and configurations.

A scheme changes the weights of a cell in place, gate by gate. Schemes that are about gates a cell
does not have raise, rather than do nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from elman._errors import ConfigError, nearest

__all__ = [
    "chrono",
    "forget_bias",
    "glorot",
    "identity",
    "initialize",
    "orthogonal",
    "torch_default",
]

Scheme = Callable[[Any, Any], None]


def _gates(cell: Any, matrix: Tensor) -> tuple[Tensor, ...]:
    """The block of each gate, in the order of ``cell.gates``."""
    return matrix.chunk(len(cell.gates))


def _zero_biases(weights: Any) -> None:
    for bias in (weights.b_ih, weights.b_hh):
        if bias is not None:
            nn.init.zeros_(bias)


def _memory_gate(cell: Any, weights: Any, scheme: str) -> int:
    """The index of the gate whose opening keeps the old state."""
    if cell.memory_gate is None:
        raise ConfigError(
            f"init {scheme!r} needs a gate that keeps the old state (memory_gate), "
            f"got {type(cell).__name__} with gates {cell.gates}"
        )
    if weights.b_ih is None:
        raise ConfigError(f"init {scheme!r} sets biases, got a cell with bias=False")
    index: int = cell.gates.index(cell.memory_gate)
    return index


def torch_default(cell: Any, weights: Any) -> None:
    r"""U(-1/sqrt(H), 1/sqrt(H)) for every tensor, as torch.nn does."""
    bound = 1 / math.sqrt(weights.hh.shape[0] // len(cell.gates))
    for tensor in weights:
        if tensor is not None:
            nn.init.uniform_(tensor, -bound, bound)


def identity(cell: Any, weights: Any) -> None:
    r"""The recurrent matrix of every gate is the identity, biases are zero, inputs N(0, 0.001^2).

    .. math:: W_{hh} = I, \qquad b = 0

    With a relu this is the IRNN: at first the state is simply carried along, and so is its
    gradient.

    References:
        Q. V. Le, N. Jaitly and G. E. Hinton, "A simple way to initialize recurrent networks of
        rectified linear units", 2015.
    """
    for block in _gates(cell, weights.hh):
        nn.init.eye_(block)
    nn.init.normal_(weights.ih, std=0.001)
    _zero_biases(weights)


def orthogonal(cell: Any, weights: Any) -> None:
    r"""The recurrent matrix of every gate is orthogonal, inputs Glorot uniform, biases zero.

    References:
        A. M. Saxe, J. L. McClelland and S. Ganguli, "Exact solutions to the nonlinear dynamics of
        learning in deep linear neural networks", ICLR 2014.
    """
    glorot(cell, weights)
    for block in _gates(cell, weights.hh):
        nn.init.orthogonal_(block)


def glorot(cell: Any, weights: Any) -> None:
    r"""U(-b, b) with b = sqrt(6 / (fan_in + fan_out)) for the matrices of every gate, biases zero.

    References:
        X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", AISTATS 2010.
    """
    for matrix in (weights.ih, weights.hh):
        for block in _gates(cell, matrix):
            nn.init.xavier_uniform_(block)
    if weights.hr is not None:
        nn.init.xavier_uniform_(weights.hr)
    _zero_biases(weights)


def forget_bias(cell: Any, weights: Any, value: float = 1.0) -> None:
    r"""As torch, but the forget (LSTM) or update (GRU) gate's bias is ``value``: remember at first.

    .. math:: b_{if} + b_{hf} = value

    References: F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to forget", 2000; R.
    Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of recurrent network
    architectures", 2015.
    """
    gate = _memory_gate(cell, weights, "forget_bias")
    torch_default(cell, weights)
    nn.init.constant_(_gates(cell, weights.b_ih)[gate], value)
    nn.init.zeros_(_gates(cell, weights.b_hh)[gate])


def chrono(cell: Any, weights: Any, longest: float = 100.0) -> None:
    r"""As torch, but forget biases cover memories of 1 to ``longest`` steps.

    .. math:: b_f \sim \log(\mathcal{U}[1, T_{max} - 1]), \qquad b_i = -b_f

    References:
        C. Tallec and Y. Ollivier, "Can recurrent neural networks warp time?", ICLR 2018.
    """
    if longest <= 2:
        raise ConfigError(f"expected longest > 2 steps, got {longest}")
    gate = _memory_gate(cell, weights, "chrono")
    torch_default(cell, weights)
    _zero_biases(weights)
    biases = _gates(cell, weights.b_ih)
    with torch.no_grad():
        biases[gate].uniform_(1, longest - 1).log_()
        if "i" in cell.gates:
            biases[cell.gates.index("i")].copy_(-biases[gate])


SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        "torch": torch_default,
        "identity": identity,
        "orthogonal": orthogonal,
        "glorot": glorot,
        "forget_bias": forget_bias,
        "chrono": chrono,
    }
)


def initialize(module: nn.Module, scheme: str | Scheme) -> nn.Module:
    """Applies a scheme, by name or as a function, to every cell inside ``module``, in place.

    Args:
        module: a cell, a layer, a drop-in, or any module that holds some.
        scheme: a name of :data:`SCHEMES`, or a function of (cell, weights), such as
            ``functools.partial(elman.init.chrono, longest=784)``.

    Returns: ``module``.

    Raises:
        ConfigError: an unknown name, or a scheme that does not fit the cell.

    Example:
        >>> import torch, elman
        >>> cell = elman.cells.Elman(3, 5, activation="relu")
        >>> _ = elman.init.initialize(cell, "identity")
        >>> torch.equal(cell.weight_hh, torch.eye(5))
        True
    """
    if isinstance(scheme, str):
        if scheme not in SCHEMES:
            raise ConfigError(f"unknown init {scheme!r}: {nearest(scheme, SCHEMES)}")
        scheme = SCHEMES[scheme]
    weight_ids: set[int] = set()
    for part in module.modules():
        for cell, weights in getattr(part, "gated_weights", tuple)():
            if id(weights.hh) not in weight_ids:
                _check_leaves(cell, weights)
                scheme(cell, weights)
                weight_ids.add(id(weights.hh))
    if not weight_ids:
        raise ConfigError(f"found no cell with gates to initialize in {type(module).__name__}")
    return module


def _check_leaves(cell: Any, weights: Any) -> None:
    if not all(tensor is None or isinstance(tensor, nn.Parameter) for tensor in weights):
        raise ConfigError(
            f"a weight of {type(cell).__name__} is computed by a parametrization: initialize the "
            "cell before it is parametrized"
        )


def __dir__() -> list[str]:
    return sorted(__all__)
