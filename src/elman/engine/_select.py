"""Which engine runs, and why."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from elman._errors import ConfigError, EngineError, nearest
from elman.engine import ENGINES
from elman.engine._recurrence import Plan, Recurrence

_ENGINES = {name: import_module(where) for name, where in ENGINES}


class _Context(threading.local):
    """What holds for the calling thread.

    Attributes:
        engine: the name of the engine of every layer that does not name one itself.
        on_choice: chooses in place of :func:`choose`; how :func:`elman.explain` looks on.
        override: runs every recurrence in place of an engine; see :func:`run_by`.
    """

    # Set here, not on the class: torch.compile would not notice that a block later hides them.
    def __init__(self) -> None:
        self.engine = "auto"
        self.on_choice: Callable[[Recurrence, str], tuple[str, Plan]] | None = None
        self.override: Callable[[Recurrence], tuple[Tensor, Any]] | None = None


_context = _Context()


def check_name(engine: str) -> str:
    """``engine`` if there is one of this name, or "auto"; a ConfigError with the nearest if not."""
    names = ["auto", *_ENGINES]
    if engine not in names:
        raise ConfigError(f"unknown engine {engine!r}: {nearest(str(engine), names)}")
    return engine


@contextmanager
def use_engine(engine: str) -> Iterator[None]:
    """The engine of every layer inside the block that does not name one itself.

    A layer made with ``engine="native"``, say, keeps it: the more specific wins. Blocks nest, hold
    for the calling thread only, and end when they are left, by an error too. Also a decorator.

    Args:
        engine: the name of an engine, which then runs or raises the reason; or "auto".

    Raises:
        ConfigError: an unknown name.
        EngineError: a layer that the engine cannot run.

    Example:
        >>> import torch, elman
        >>> layer, x = elman.Recurrent(elman.cells.GRU(3, 5)), torch.randn(2, 7, 3)
        >>> with elman.use_engine("reference"):
        ...     output, state = layer(x)
        ...     print(elman.explain(layer, x).engines)
        {'reference'}
    """
    outer, _context.engine = _context.engine, check_name(engine)
    try:
        yield
    finally:
        _context.engine = outer


@contextmanager
def run_by(run: Callable[[Recurrence], tuple[Tensor, Any]] | None) -> Iterator[None]:
    """Every recurrence inside the block is run by ``run``, for the calling thread only.

    Engines run again inside a block of None. A single step comes as a sequence of one. This is how
    measures see the states inside a scan.
    """
    outer, _context.override = _context.override, run
    try:
        yield
    finally:
        _context.override = outer


def effective_engine(engine: str) -> str:
    """What a layer's ``engine`` amounts to here: its own, or else that of :func:`use_engine`."""
    return _context.engine if engine == "auto" else engine


def choose(r: Recurrence, engine: str = "auto") -> tuple[str, Plan]:
    """The first engine that can run, by name, and its plan.

    Raises:
        EngineError: with the reason, where an engine was asked for by name that cannot run.
    """
    engine = effective_engine(check_name(engine))
    for name, module in _ENGINES.items():
        if engine in ("auto", name):
            plan: Plan | str = module.plan(r)
            if not isinstance(plan, str):
                return name, plan
            if engine == name:
                raise EngineError(f"engine {name!r} cannot run this layer: {plan}")
    raise AssertionError("the reference runs everything")


def run(r: Recurrence, engine: str = "auto") -> tuple[Tensor, Any]:
    """Outputs (time, batch, size) and the final state, by the chosen engine.

    Under autocast it computes, and returns, in the dtype of the weights: a recurrence multiplies
    its rounding errors, so float32 stays float32.
    """

    def compute(r: Recurrence) -> Any:
        if _context.override is not None:
            return _context.override(r)
        _, plan = (_context.on_choice or choose)(r, engine)
        return plan.run()

    output_and_state: tuple[Tensor, Any] = _outside_autocast(r, compute)
    return output_and_state


def step(r: Recurrence) -> Any:
    """The state after one time step, ``r.x`` being (batch, input_size); precision is as in run.

    It is the cell's own step: engines run whole sequences.
    """
    if _context.on_choice is not None:
        _context.on_choice(r, "reference")
    if _context.override is not None:
        _, state = _outside_autocast(replace(r, x=r.x[None]), _context.override)
        return state
    return _outside_autocast(r, lambda r: r.step(r.project(r.x), r.state))


def _outside_autocast(r: Recurrence, compute: Callable[[Recurrence], Any]) -> Any:
    kind = r.x.device.type
    if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
        return compute(r)
    with torch.autocast(kind, enabled=False):
        return compute(_in_dtype_of_weights(r))


def _in_dtype_of_weights(r: Recurrence) -> Recurrence:
    dtype = (r.weights.hh if r.weights is not None else next(r.cell.parameters(), r.x)).dtype
    cast = r.cell.State._make
    start = None if r.start is None else cast(s.to(dtype) for s in r.start)
    return replace(r, x=r.x.to(dtype), state=cast(s.to(dtype) for s in r.state), start=start)
