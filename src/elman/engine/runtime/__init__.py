"""The native library: programs and tensors handed over, operators of torch around them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.engine.runtime._library import library, missing
    from elman.engine.runtime._operators import division

__all__ = ["division", "library", "missing"]

_HOMES = {"division": "_operators", "library": "_library", "missing": "_library"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
