"""Which engine runs, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from elman._errors import ConfigError, EngineError, nearest
from elman.engine import ENGINES
from elman.engine._recurrence import Recurrence

_ENGINES = {name: import_module(where) for name, where in ENGINES}


def check_name(engine: str) -> str:
    """``engine`` if there is one of this name, or "auto"; a ConfigError with the nearest if not."""
    names = ["auto", *_ENGINES]
    if engine not in names:
        raise ConfigError(f"unknown engine {engine!r}: {nearest(str(engine), names)}")
    return engine


def choose(r: Recurrence, engine: str = "auto") -> str:
    """The name of the engine that will run. One asked for by name runs, or raises the reason."""
    check_name(engine)
    for name, module in _ENGINES.items():
        if engine in ("auto", name):
            reason = module.why_not(r)
            if reason is None:
                return name
            if engine == name:
                raise EngineError(f"engine {name!r} cannot run this layer: {reason}")
    raise AssertionError("the reference runs everything")


def run(r: Recurrence, engine: str = "auto") -> tuple[Tensor, Any]:
    """Outputs (time, batch, size) and the final state, by the chosen engine.

    Under autocast it computes, and returns, in the dtype of the weights: a recurrence multiplies
    its rounding errors, so float32 stays float32.
    """
    result: tuple[Tensor, Any] = _outside_autocast(r, lambda r: _ENGINES[choose(r, engine)].run(r))
    return result


def step(r: Recurrence) -> Any:
    """The state after one time step, ``r.x`` being (batch, input_size); precision is as in run."""
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
