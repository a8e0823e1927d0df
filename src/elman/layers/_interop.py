"""Between elman and torch.nn: the only file that knows torch's names, modes and gate order.

Our cells stack their gates as torch does (LSTM i, f, g, o; GRU r, z, n), so weights carry over as they
are; what is written here is which class stands for which.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from elman._errors import ConfigError
from elman.layers._drop_in import GRU, LSTM, RNN, DropIn

_PAIRS: tuple[tuple[type[nn.RNNBase], type[DropIn]], ...] = (
    (nn.RNN, RNN),
    (nn.LSTM, LSTM),
    (nn.GRU, GRU),
)
_HOOKS = tuple(
    name
    for name in vars(nn.Module())
    if name.endswith(("_hooks", "_hook", "_with_kwargs", "_always_called"))
)


def convert(model: nn.Module) -> nn.Module:
    """Replaces every torch.nn.RNN, LSTM and GRU inside ``model`` by elman's, with the same weights.

    The parameters are the same objects, so optimisers and sharing stay as they are; hooks, training
    flags and parametrizations come along, and nothing else in the model changes. A layer with dropout
    but nothing to drop between (one layer) keeps working, and a warning says so. Subclasses of torch's
    modules are left alone, and a warning says so.

    Args:
        model: any module; it is changed in place.

    Returns: ``model``, or the new layer if ``model`` itself is one of torch's.

    Example:
        >>> import torch, elman
        >>> model = torch.nn.Sequential(torch.nn.LSTM(3, 5))
        >>> type(elman.convert(model)[0]).__module__.split(".")[0]
        'elman'
    """
    return _replace(model, dict(_PAIRS), _to_elman)


def to_torch(model: nn.Module) -> nn.Module:
    """Replaces every elman.RNN, LSTM and GRU inside ``model`` by torch.nn's: the way back.

    Args:
        model: any module; it is changed in place.

    Returns: ``model``, or the new layer if ``model`` itself is a drop-in.

    Errors: ConfigError for an RNN whose activation torch.nn.RNN does not have.

    Example:
        >>> import torch, elman
        >>> type(elman.to_torch(elman.GRU(3, 5)))
        <class 'torch.nn.modules.rnn.GRU'>
    """
    return _replace(model, {ours: theirs for theirs, ours in _PAIRS}, _to_torch)


def _replace(model: nn.Module, pairs: Any, translate: Any) -> nn.Module:
    """Every module of a type in ``pairs`` becomes its translation, once, wherever it is used."""
    new: dict[int, nn.Module] = {}
    parts = [model, *(part for part in model.modules() if part is not model)]
    for part in parts:
        plain = _plain_type(part)
        if plain in pairs:
            new[id(part)] = translate(part, pairs[plain])
        elif isinstance(part, tuple(pairs)):
            warnings.warn(
                f"{type(part).__name__} is a subclass of {plain.__mro__[1].__name__}: left as it is",
                stacklevel=3,
            )
    for part in parts:
        for name, child in part._modules.items():
            if id(child) in new:
                part._modules[name] = new[id(child)]
    return new.get(id(model), model)


def _plain_type(part: nn.Module) -> type[nn.Module]:
    """The class that was written: a parametrized module has one made from it."""
    return type(part).__mro__[1] if parametrize.is_parametrized(part) else type(part)


def _options(part: Any) -> dict[str, Any]:
    names = ["input_size", "hidden_size", "num_layers", "bias", "batch_first", "bidirectional"]
    options = {name: getattr(part, name) for name in names}
    if getattr(part, "proj_size", 0):
        options["proj_size"] = part.proj_size
    return options | {"device": "meta"}


def _to_elman(part: Any, ours: type[DropIn]) -> nn.Module:
    options = _options(part)
    if isinstance(part, nn.RNN):
        options["nonlinearity"] = part.nonlinearity
    if part.dropout and part.num_layers == 1:
        warnings.warn(
            f"{type(part).__name__} with num_layers=1 has dropout={part.dropout}, which torch.nn never "
            "applies; it is converted without dropout",
            stacklevel=5,
        )
    else:
        options["dropout"] = part.dropout
    return _move(part, ours(**options))


def _to_torch(part: Any, theirs: type[nn.RNNBase]) -> nn.Module:
    options = _options(part) | {"dropout": part.dropout}
    if isinstance(part, RNN):
        if part.nonlinearity not in ("tanh", "relu"):
            raise ConfigError(
                f"torch.nn.RNN has only tanh and relu, got nonlinearity={part.nonlinearity!r}"
            )
        options["nonlinearity"] = part.nonlinearity
    new = theirs(**options)
    _move(part, new)
    new._init_flat_weights()  # torch's own list of its weights
    return new


def _move(old: nn.Module, new: nn.Module) -> nn.Module:
    """Parameters, parametrizations, hooks and the training flag of ``old``, the same objects."""
    new._parameters.update(old._parameters)
    for name in _HOOKS:
        setattr(new, name, getattr(old, name))
    if parametrize.is_parametrized(old):
        parametrize.transfer_parametrizations_and_params(old, new)
    new.training = old.training
    return new
