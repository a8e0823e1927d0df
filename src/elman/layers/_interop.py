"""Between elman and torch.nn: a layer changes its class and stays the same object.

Our cells stack their gates as torch does (LSTM i, f, g, o; GRU r, z, n), so weights stay as they
are.
"""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from elman._checks import check_module
from elman._errors import ConfigError
from elman.layers._drop_in import GRU, LSTM, RNN

_OURS: dict[type[nn.Module], type[nn.Module]] = {nn.RNN: RNN, nn.LSTM: LSTM, nn.GRU: GRU}
_THEIRS: dict[type[nn.Module], type[nn.Module]] = {ours: torch for torch, ours in _OURS.items()}


def convert(model: nn.Module) -> nn.Module:
    """Makes every torch.nn.RNN, LSTM and GRU inside ``model`` elman's: it changes their class.

    The layers and their parameters are the same objects, so optimizers, sharing, hooks, training
    flags and parametrizations stay as they are, and nothing else in the model changes. A layer with
    dropout but nothing to drop between (one layer) keeps working, and a warning says so. Subclasses
    of torch's modules are left alone, and a warning says so.

    Args:
        model: any module; it is changed in place.

    Returns: ``model``.

    Example:
        >>> import torch, elman
        >>> model = torch.nn.Sequential(torch.nn.LSTM(3, 5))
        >>> type(elman.convert(model)[0]).__module__.split(".")[0]
        'elman'
    """
    check_module(model)
    for layer in model.modules():
        kind = _plain_type(layer)
        if kind in _OURS:
            _to_elman(layer, kind)
        elif isinstance(layer, tuple(_OURS)):
            warnings.warn(
                f"{kind.__name__} is a subclass, which may compute something else: left as it is",
                stacklevel=2,
            )
    return model


def to_torch(model: nn.Module) -> nn.Module:
    """Makes every elman.RNN, LSTM and GRU inside ``model`` torch.nn's: the way back.

    Args:
        model: any module; it is changed in place.

    Returns: ``model``.

    Raises:
        ConfigError: an RNN whose activation torch.nn.RNN does not have; no layer is changed then.

    Example:
        >>> import torch, elman
        >>> type(elman.to_torch(elman.GRU(3, 5)))
        <class 'torch.nn.modules.rnn.GRU'>
    """
    check_module(model)
    layers: list[Any] = [layer for layer in model.modules() if _plain_type(layer) in _THEIRS]
    for layer in layers:
        if isinstance(layer, RNN) and layer.nonlinearity not in ("tanh", "relu"):
            raise ConfigError(
                f"torch.nn.RNN has only tanh and relu, got nonlinearity={layer.nonlinearity!r}"
            )
    for layer in layers:
        _change_class(layer, _THEIRS[_plain_type(layer)])
        del layer.engine, layer._parts
        layer._init_flat_weights()  # the list of its weights that torch's forward reads
    return model


def _to_elman(layer: Any, kind: type[nn.Module]) -> None:
    if layer.dropout and layer.num_layers == 1:
        warnings.warn(
            f"{kind.__name__} with num_layers=1 has dropout={layer.dropout}, which torch.nn never "
            "applies; it is converted without dropout",
            stacklevel=3,
        )
        layer.dropout = 0.0
    vars(layer).pop("_flat_weights", None)  # computed, and not kept, from here on
    _change_class(layer, _OURS[kind])
    layer._prepare("auto")


def _plain_type(layer: nn.Module) -> type[nn.Module]:
    """The class that was written: a parametrized module has one made from it."""
    return type(layer).__mro__[1] if parametrize.is_parametrized(layer) else type(layer)


def _change_class(layer: nn.Module, kind: type[nn.Module]) -> None:
    """Where a layer is parametrized, its class has a property for each such weight."""
    if parametrize.is_parametrized(layer):
        kind = type(f"Parametrized{kind.__name__}", (kind,), {**vars(type(layer))})
    layer.__class__ = kind
