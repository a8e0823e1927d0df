"""Memory: how well a linear readout of a state recalls past inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman._errors import ConfigError
from elman.inspection._model import is_task, network_of
from elman.inspection._record import record_activations
from elman.inspection._recording import Track

ROWS, STEPS, TRAINED = 4, 4000, 0.7


class MemoryCapacity(NamedTuple):
    """What :func:`memory` measures of one layer.

    Attributes:
        layer: the name of the layer.
        delays: (delay,) the number of steps ago.
        recalled: (delay,) R^2, the share of the input's variance at that delay which the readout
            explains on held-out steps, averaged over features; about 0, or slightly negative, where
            nothing is recalled.
        capacity: the memory capacity: the sum of R^2 over delays and features. For independent
            inputs it is at most the number of units.
    """

    layer: str
    delays: Tensor
    recalled: Tensor
    capacity: float


def memory(
    model: Any,
    x: Any = None,
    *,
    delays: int | Sequence[int] = 50,
    seed: int = 0,
    **options: Any,
) -> tuple[MemoryCapacity, ...]:
    r"""How well a linear readout of each layer's state recalls the input of some steps ago.

    .. math:: C = \sum_k \sum_i R^2\big(x_{i, t-k} \mid h_t\big)

    A linear readout of h_t, the first state, is fitted by least squares on the first 70 % of the
    steps and measured on the rest. In a reversed layer delays follow the order of its scan.

    Args:
        model: a cell, a layer, a module that holds some, or a task with its network.
        x: what the model is called with, or a batch of the task: rows of one length, many more
            steps than delays and units. None, for a cell or a layer only, makes 4 rows of 4,000
            independent steps, uniform in [-1, 1].
        delays: the longest delay, or the delays to measure.
        seed: the seed of that noise.
        **options: what else the model is called with.

    Returns:
        A :class:`MemoryCapacity` for each layer, of the first layer's input.

    Raises:
        ConfigError: x is missing, has padding, or is too short; or no layer ran.

    Example:
        >>> import torch, elman
        >>> line = elman.Recurrent(elman.cells.Elman(1, 5, activation="identity", bias=False))
        >>> with torch.no_grad():  # what comes in moves on by one unit a step
        ...     _ = line.cell.weight_ih.copy_(torch.eye(5)[:, :1])
        ...     _ = line.cell.weight_hh.copy_(torch.eye(5).roll(1, 0).tril())
        >>> recall, = memory(line, delays=7)
        >>> (recall.recalled > 0.99).tolist(), round(recall.capacity, 1)
        ([True, True, True, True, True, False, False, False], 5.0)

    References:
        Jaeger 2001, "Short term memory in echo state networks".
    """
    chosen = torch.arange(delays + 1) if isinstance(delays, int) else torch.tensor(list(delays))
    if not len(chosen) or int(chosen.min()) < 0:
        raise ConfigError(f"delays must be 0 or more steps, got {delays}")
    x = _noise(model, seed) if x is None else x
    layers = record_activations(model, x, **options).layers()
    for track in layers.values():
        _refuse_padding(track)
    inputs = next(iter(layers.values())).x.double()
    return tuple(_memory(layer, inputs, track, chosen) for layer, track in layers.items())


def _noise(model: Any, seed: int) -> Tensor:
    module = None if is_task(model) else network_of(model)
    size = getattr(module, "input_size", None)
    like = None if module is None else next(module.parameters(), None)
    if size is None or like is None:
        raise ConfigError(
            f"{type(model).__name__} has no input_size: pass x=, rows of one length with many steps"
        )
    shape = (ROWS, STEPS) if getattr(module, "batch_first", False) else (STEPS, ROWS)
    draw = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, size, generator=draw) * 2 - 1).to(like)


def _refuse_padding(track: Track) -> None:
    if not bool(track.active.all()):
        raise ConfigError("expected rows of one length, got padding: leave out lengths=")


def _memory(layer: str, inputs: Tensor, track: Track, delays: Tensor) -> MemoryCapacity:
    states = track.activations[track.cell.states[0]].double()
    if track.reverse:  # in the order of its scan
        states, inputs = states.flip(0), inputs.flip(0)
    longest = int(delays.max())
    later = states[longest:]
    fitted = int(TRAINED * len(later))
    rows, units = states.shape[1], states.shape[2]
    if len(states) != len(inputs) or fitted * rows <= 2 * (units + 1):
        raise ConfigError(
            f"{layer}: expected more steps, got {len(states)} of {rows} rows: too few to fit a "
            f"readout of {units} units at delays up to {longest}"
        )
    readout = torch.cat([later, torch.ones_like(later[..., :1])], -1)
    before = torch.cat([inputs[longest - k : len(inputs) - k] for k in delays.tolist()], -1)
    weights = torch.linalg.lstsq(
        readout[:fitted].flatten(0, 1), before[:fitted].flatten(0, 1), driver="gelsd"
    ).solution
    past = before[fitted:].flatten(0, 1)
    error = (past - readout[fitted:].flatten(0, 1) @ weights).square().mean(0)
    r2 = (1 - error / past.var(0, correction=0)).view(len(delays), -1)
    return MemoryCapacity(layer, delays, r2.mean(1).float(), float(r2.sum()))
