"""Gates: how far they are open, how often they are saturated, and their time constants."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman._errors import ConfigError
from elman.inspection._record import record_activations
from elman.inspection._summary import HIGH, LOW

STUCK = 0.9
"""A unit is saturated where at least this share of its values is."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 20


class Gate(NamedTuple):
    """One gate of a layer, over the real steps of all rows.

    Watched values that leave [0, 1] are included; their ``low`` and ``high`` mean nothing.

    Attributes:
        layer, name: the layer, and the gate's name.
        mean, low, high: (time,) its mean and the shares of values below 0.1 and above 0.9 at each
            step; NaN where no row is real.
        quantiles: (time, 5) the 5, 25, 50, 75 and 95 % quantiles of its values at each step.
        histogram: (20,) the share of all values in each twentieth of [0, 1].
        unit_mean, unit_low, unit_high: (units,) the same means and shares for each unit.
        time_constant: (units,) 1 / (1 - mean), about the steps in which the state decays by a
            factor of e; None unless it is the gate that the old state is multiplied by.
    """

    layer: str
    name: str
    mean: Tensor
    low: Tensor
    high: Tensor
    quantiles: Tensor
    histogram: Tensor
    unit_mean: Tensor
    unit_low: Tensor
    unit_high: Tensor
    time_constant: Tensor | None

    @property
    def saturated(self) -> Tensor:
        """(units,): whether a unit is open, or closed, at a share of ``STUCK`` of its values."""
        return (self.unit_low >= STUCK) | (self.unit_high >= STUCK)


class StateUse(NamedTuple):
    """How the units of a state are used, over the real steps of all rows.

    Attributes:
        layer, name: the layer, and the state's name.
        rms: (time,) the root of the mean square at each step.
        saturated: (time,) the share of values beyond 0.9 in size.
        dead: (units,) whether a unit is 0 at every step of every row, as relu units can be.
    """

    layer: str
    name: str
    rms: Tensor
    saturated: Tensor
    dead: Tensor


class Gates(NamedTuple):
    """What :func:`gates` returns: every gate and every state of every layer."""

    gates: tuple[Gate, ...]
    states: tuple[StateUse, ...]

    def gate(self, name: str, layer: str | None = None) -> Gate:
        """The gate of this name, of this layer if several have one.

        Raises:
            ConfigError: there is no such gate, or more than one.
        """
        matches = [g for g in self.gates if g.name == name and layer in (None, g.layer)]
        if len(matches) != 1:
            there = ", ".join(f"{g.layer}: {g.name}" for g in self.gates) or "none"
            raise ConfigError(
                f"expected one gate {name!r}, got {len(matches)}: choose from {there}"
            )
        return matches[0]


def gates(model: Any, x: Any, *, retention: str | None = None, **options: Any) -> Gates:
    r"""How every gate of every layer behaves on some data.

    .. math:: \tau = \frac{1}{1 - \bar f}

    Args:
        model: a cell, a layer, a module that holds some, or a task with its network.
        x: what the model is called with, or a batch of the task.
        retention: the watched value that the old state is multiplied by; unless given, the one that
            the cell's class names (``retention = "forget"``).
        **options: ``lengths=``, ``reset=`` ... of the layer.

    Raises:
        DtypeError, ConfigError: as `record`.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.LSTM(3, 5))
        >>> with torch.no_grad():
        ...     _ = layer.cell.bias_ih[5:10].fill_(3)  # of the forget gate
        >>> usage = gates(layer, torch.randn(8, 20, 3))
        >>> [gate.name for gate in usage.gates]
        ['store', 'forget', 'output']
        >>> 10 < float(usage.gate("forget").time_constant.mean()) < 40  # steps
        True

    References:
        Karpathy, Johnson & Fei-Fei 2015, "Visualizing and understanding recurrent networks", for
        the shares below 0.1 and above 0.9.
        Tallec & Ollivier 2018, "Can recurrent neural networks warp time?", for the time constant.
    """
    gate_uses: list[Gate] = []
    states: list[StateUse] = []
    for layer, track in record_activations(model, x, **options).layers().items():
        cell = track.cell
        for name, values in track.activations.items():
            if values.dim() != 3:
                continue
            if name in cell.states:
                states.append(_state(layer, name, values.float(), track.active))
            else:
                kept = name == (retention or cell.retention)
                gate_uses.append(_gate(layer, name, values.float(), track.active, kept))
    return Gates(tuple(gate_uses), tuple(states))


def _gate(layer: str, name: str, values: Tensor, real: Tensor, retained: bool) -> Gate:
    of_steps = [values[t, on] for t, on in enumerate(real)]
    whole = values[real]
    edges = torch.linspace(0, 1, BINS + 1)
    counts = torch.histogram(whole.cpu(), edges).hist if len(whole) else torch.zeros(BINS)
    unit_mean = whole.mean(0)
    return Gate(
        layer,
        name,
        torch.stack([v.mean() for v in of_steps]),
        torch.stack([_low(v) for v in of_steps]),
        torch.stack([_high(v) for v in of_steps]),
        torch.stack([_quantiles(v) for v in of_steps]),
        counts / max(1, whole.numel()),
        unit_mean,
        (whole < LOW).float().mean(0),
        (whole > HIGH).float().mean(0),
        1 / (1 - unit_mean) if retained else None,
    )


def _state(layer: str, name: str, values: Tensor, real: Tensor) -> StateUse:
    of_steps = [values[t, on] for t, on in enumerate(real)]
    return StateUse(
        layer,
        name,
        torch.stack([v.square().mean().sqrt() for v in of_steps]),
        torch.stack([_high(v.abs()) for v in of_steps]),
        (values[real] == 0).all(0) & real.any(),
    )


def _low(values: Tensor) -> Tensor:
    return (values < LOW).float().mean()


def _high(values: Tensor) -> Tensor:
    return (values > HIGH).float().mean()


def _quantiles(values: Tensor) -> Tensor:
    if not values.numel():
        return values.new_full((len(QUANTILES),), torch.nan)
    return values.flatten().quantile(values.new_tensor(QUANTILES))
