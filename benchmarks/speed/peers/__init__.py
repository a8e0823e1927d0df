"""What elman is measured against, one a file. ``PEERS`` is the list of them."""

from __future__ import annotations

from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, cast

from elman._errors import ConfigError

if TYPE_CHECKING:
    from benchmarks.speed.peers._base import Peer

__all__ = ["PEERS", "SLOW", "by_name"]

PEERS: tuple[tuple[str, str], ...] = (
    ("elman", "benchmarks.speed.peers._elman"),
    ("torch", "benchmarks.speed.peers._torch"),
    ("onnxruntime", "benchmarks.speed.peers._onnxruntime"),
    ("jax", "benchmarks.speed.peers._jax"),
    ("eager", "benchmarks.speed.peers._eager"),
    ("compile", "benchmarks.speed.peers._compile"),
)
"""Names and where to find them, so that help can be printed without importing torch."""

SLOW = ("compile",)
"""Those that need minutes a row before the first timing, so that they must be asked for."""


def by_name(name: str) -> Peer:
    """The peer of this name; a path that ends in .py is a file that has what a peer has."""
    if not name.endswith(".py"):
        return cast("Peer", import_module(dict(PEERS)[name]))
    spec = spec_from_file_location(Path(name).stem, name)
    if spec is None or spec.loader is None or not Path(name).is_file():
        raise ConfigError(f"{name}: no such file; expected a Python file that is a peer")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Peer", module)


def __dir__() -> list[str]:
    return sorted(__all__)
