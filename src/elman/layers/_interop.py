"""Between elman and torch.nn: which class stands for which.

Our cells stack their gates as torch does (LSTM i, f, g, o; GRU r, z, n), so weights carry over as
they are.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from elman._errors import ConfigError
from elman.cells._base import check_module
from elman.layers._drop_in import GRU, LSTM, RNN

_OURS: Mapping[type[nn.Module], type[nn.Module]] = {nn.RNN: RNN, nn.LSTM: LSTM, nn.GRU: GRU}
_THEIRS: Mapping[type[nn.Module], type[nn.Module]] = {ours: torch for torch, ours in _OURS.items()}


def convert(model: nn.Module) -> nn.Module:
    """Replaces every torch.nn.RNN, LSTM and GRU inside ``model`` by elman's, with the same weights.

    The parameters are the same objects, so optimizers and sharing stay as they are; hooks, training
    flags and parametrizations come along, and nothing else in the model changes. A layer with
    dropout but nothing to drop between (one layer) keeps working, and a warning says so. Subclasses
    of torch's modules are left alone, and a warning says so.

    Args:
        model: any module; it is changed in place.

    Returns: ``model``, or the new layer if ``model`` itself is one of torch's.

    Example:
        >>> import torch, elman
        >>> model = torch.nn.Sequential(torch.nn.LSTM(3, 5))
        >>> type(elman.convert(model)[0]).__module__.split(".")[0]
        'elman'
    """
    return _replace(model, _OURS, _to_elman)


def to_torch(model: nn.Module) -> nn.Module:
    """Replaces every elman.RNN, LSTM and GRU inside ``model`` by torch.nn's: the way back.

    Args:
        model: any module; it is changed in place.

    Returns: ``model``, or the new layer if ``model`` itself is a drop-in.

    Raises:
        ConfigError: an RNN whose activation torch.nn.RNN does not have.

    Example:
        >>> import torch, elman
        >>> type(elman.to_torch(elman.GRU(3, 5)))
        <class 'torch.nn.modules.rnn.GRU'>
    """
    return _replace(model, _THEIRS, _to_torch)


def _replace(
    model: nn.Module,
    kinds: Mapping[type[nn.Module], type[nn.Module]],
    translate: Callable[[Any, Any], nn.Module],
) -> nn.Module:
    """Every module of a type in ``kinds`` becomes its translation, once, wherever it is used."""
    check_module(model)
    new: dict[nn.Module, nn.Module] = {}
    parts = list(model.modules())
    for part in parts:
        kind = _plain_type(part)
        if kind in kinds:
            new[part] = translate(part, kinds[kind])
        elif isinstance(part, tuple(kinds)):
            warnings.warn(
                f"{kind.__name__} is a subclass, which may compute something else: left as it is",
                stacklevel=3,
            )
    for part in parts:
        for name, child in part._modules.items():
            if child in new:
                part._modules[name] = new[child]
    return new.get(model, model)


def _plain_type(part: nn.Module) -> type[nn.Module]:
    """The class that was written: a parametrized module has one made from it."""
    return type(part).__mro__[1] if parametrize.is_parametrized(part) else type(part)


def _options(part: Any) -> dict[str, Any]:
    names = ["input_size", "hidden_size", "num_layers", "bias", "batch_first", "bidirectional"]
    names += ["proj_size"] if isinstance(part, (nn.LSTM, LSTM)) else []
    names += ["nonlinearity"] if isinstance(part, (nn.RNN, RNN)) else []
    return {name: getattr(part, name) for name in names} | {"device": "meta"}


def _to_elman(part: Any, ours: Any) -> nn.Module:
    between = part.num_layers > 1
    if part.dropout and not between:
        warnings.warn(
            f"{_plain_type(part).__name__} with num_layers=1 has dropout={part.dropout}, which "
            "torch.nn never applies; it is converted without dropout",
            stacklevel=4,
        )
    return _move(part, ours(**_options(part), dropout=part.dropout if between else 0.0))


def _to_torch(part: Any, theirs: Any) -> Any:
    if isinstance(part, RNN) and part.nonlinearity not in ("tanh", "relu"):
        raise ConfigError(
            f"torch.nn.RNN has only tanh and relu, got nonlinearity={part.nonlinearity!r}"
        )
    new: Any = _move(part, theirs(**_options(part), dropout=part.dropout))
    new._init_flat_weights()  # the list of its weights that torch.jit.script reads
    return new


def _move(old: nn.Module, new: nn.Module) -> nn.Module:
    """Hands over what every module has, the same objects: parameters, hooks, training flag ..."""
    for name in vars(nn.Module()):
        setattr(new, name, getattr(old, name))
    hook: Any
    for hook in new._load_state_dict_pre_hooks.values():
        if hook.with_module:
            hook.module = weakref.ref(new)
    for name, value in vars(old).items():
        if isinstance(value, Tensor):  # a weight that a hook computes: pruning, old weight_norm
            setattr(new, name, value)
    if parametrize.is_parametrized(old):  # its class has a property for each such weight
        new.__class__ = type(f"Parametrized{type(new).__name__}", (type(new),), {**vars(type(old))})
    return new
