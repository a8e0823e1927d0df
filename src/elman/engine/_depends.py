"""What a program depends on beside its tensors' values, so that a change is noticed."""

from __future__ import annotations

import inspect
import types
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from elman.engine._lower import Untraceable

AFFINE = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_MODULE_ATTRIBUTES = frozenset(nn.Module().__dict__) - {"training"}
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type, torch.dtype, torch.device)


def own_tensors(module: nn.Module, apart: Sequence[str] = ()) -> list[tuple[str, Tensor]]:
    """A module's parameters and buffers by name, but for those ``apart``."""
    named = (*module._parameters.items(), *module._buffers.items())
    own = [(name, tensor) for name, tensor in named if tensor is not None and name not in apart]
    for name, child in module._modules.items():
        if child is not None:
            own += [(f"{name}.{inner}", tensor) for inner, tensor in own_tensors(child)]
    return own


def frozen_attributes(module: nn.Module, path: str, apart: Sequence[str] = ()) -> Any:
    """Everything in a module that may be a number in its program, so that it can be compared.

    Tensors count by their shapes, but for those ``apart``.
    """
    # Lists, since at every call a generator takes twice as long.
    attributes = [
        (name, _frozen(value, path, name))
        for name, value in module.__dict__.items()
        if name not in _MODULE_ATTRIBUTES
    ]
    of_class = [
        (name, _frozen(value, path, name))
        for base in _own_classes(type(module))  # type: ignore[arg-type]
        for name, value in vars(base).items()
        if isinstance(value, (bool, int, float, types.FunctionType))
    ]
    shapes = [(name, tensor.shape, tensor.dtype) for name, tensor in own_tensors(module, apart)]
    # A parametrized tensor comes to a program as it is computed, whatever does that.
    children = [
        (name, frozen_attributes(m, f"{path}.{name}"))
        for name, m in module._modules.items()
        if m is not None and name != "parametrizations"
    ]
    return type(module), tuple(attributes), tuple(of_class), tuple(shapes), tuple(children)


@lru_cache(maxsize=256)
def _own_classes(kind: type) -> tuple[type, ...]:
    """The classes of a cell that its author may still be changing."""
    return tuple(
        base
        for base in kind.__mro__
        if base.__module__.partition(".")[0] not in ("torch", "elman", "builtins")
    )


def _frozen(value: Any, path: str, name: str = "") -> Any:  # noqa: PLR0911 - a return a type
    if isinstance(value, _PLAIN):
        return type(value), value
    path = f"{path}.{name}" if name else path
    if isinstance(value, (tuple, list)):
        return type(value), tuple(_frozen(v, path) for v in value)
    if isinstance(value, dict):
        return dict, tuple((k, _frozen(v, f"{path}[{k!r}]")) for k, v in value.items())
    if isinstance(value, nn.Module):
        return frozen_attributes(value, path)
    if isinstance(value, types.FunctionType):
        return _frozen_function(value, path)
    if isinstance(value, types.MethodType):
        return _frozen(value.__func__, path), id(value.__self__)
    if isinstance(value, (types.BuiltinFunctionType, types.MethodDescriptorType)):
        return id(value)
    if isinstance(value, Tensor):
        raise Untraceable(f"{path} is a tensor: register it as a parameter or a buffer")
    raise Untraceable(f"{path} is a {type(value).__name__}, whose changes could not be noticed")


def _frozen_function(function: types.FunctionType, path: str) -> Any:
    """Its code, and the numbers and functions that the code takes from around it."""
    if function.__module__.partition(".")[0] in ("torch", "elman"):
        return id(function)
    around = inspect.getclosurevars(function)
    names = {**around.nonlocals, **around.globals}
    taken = {
        name: value if isinstance(value, (bool, int, float)) else _frozen_function(value, path)
        for name, value in names.items()
        if isinstance(value, (bool, int, float))
        or (isinstance(value, types.FunctionType) and value is not function)
    }
    return function.__code__, tuple(sorted(taken.items())), _frozen(function.__defaults__, path)
