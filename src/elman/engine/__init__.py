"""Engines: how a scan runs on this machine. ``ENGINES`` is the list of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.engine._recurrence import Recurrence
    from elman.engine._select import check_name, choose, run, step

ENGINES: tuple[tuple[str, str], ...] = (("reference", "elman.engine._reference"),)
"""Names and where to find them, in the order in which "auto" prefers them."""

__all__ = ["ENGINES", "Recurrence", "check_name", "choose", "run", "step"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "_recurrence" if name == "Recurrence" else "_select"
    return getattr(import_module(f"{__name__}.{home}"), name)
