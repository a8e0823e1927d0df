"""The Lyapunov exponents of a layer that is driven by its input."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from elman._errors import ConfigError
from elman.inspection._estimate import RESAMPLES, blocks, bounds
from elman.inspection._record import record
from elman.inspection._steps import Steps


@dataclass(frozen=True)
class Lyapunov:
    """What :func:`lyapunov` returns, in nats a step, float64.

    Attributes:
        exponents: (k,), the largest first: the mean over rows and steps; -inf where a direction
            vanishes in a single step.
        interval: (k, 2): 95 % confidence intervals, by a bootstrap of blocks of steps.
        growth: (time, row, k): the logarithm of the growth in each step, in the order of the layer;
            nan in steps that are not counted.
    """

    exponents: Tensor
    interval: Tensor
    growth: Tensor = field(repr=False)


def lyapunov(
    model: Any,
    x: Any,
    k: int = 1,
    *,
    warm_up: int | None = None,
    layer: str | int | None = None,
    **options: Any,
) -> Lyapunov:
    r"""The k largest Lyapunov exponents along a sequence.

    .. math:: Q_t R_t = J_t Q_{t-1}, \qquad \lambda_i = \frac1T \sum_t \ln |R_{t,ii}|

    J_t is the Jacobian of all states, and Q_t has k orthonormal columns. The largest exponent is
    the rate at which a small change of the state grows; below 0 it is forgotten, and gradients
    vanish at that rate; above 0 the layer is chaotic, and they explode.

    Args:
        model: a cell, a layer, a module that holds some, or a task with its network.
        x: what the model is called with, or a batch of the task.
        k: the number of exponents, up to the units of all states.
        warm_up: first steps that align the columns and are not counted; a tenth of them if None.
        layer: its name or number, if there are several.
        **options: what else the model is called with: ``lengths=`` ...

    Returns: :class:`Lyapunov`.

    Raises:
        ConfigError: k or warm_up is out of range, or a reset cuts the sequence.

    Example:
        >>> import torch, elman
        >>> cell = elman.cells.Elman(3, 8, activation="identity")
        >>> layer = elman.Recurrent(cell, init="orthogonal")
        >>> with torch.no_grad():
        ...     _ = cell.weight_hh.mul_(0.9)
        >>> exponents = lyapunov(layer, torch.randn(2, 50, 3), k=8).exponents
        >>> torch.allclose(exponents.exp(), torch.tensor(0.9).double())
        True

    References:
        Benettin et al. 1980, "Lyapunov characteriztic exponents for smooth dynamical systems";
        Vogt et al. 2022, "On Lyapunov exponents for RNNs"; Künsch 1989, for the blocks.
    """
    with torch.no_grad():
        steps = Steps(record(model, x, **options).track(layer))
    if not 0 < k <= steps.size:
        raise ConfigError(f"k must be from 1 to {steps.size}, the units of all states, got {k}")
    warm_up = len(steps) // 10 if warm_up is None else warm_up
    if not 0 <= warm_up < len(steps):
        raise ConfigError(f"warm_up must be from 0 to {len(steps) - 1} steps, got {warm_up}")
    if bool(steps.track.restarted.any()):
        raise ConfigError("a reset cuts the product of Jacobians: measure between resets")
    growth = _growth(steps, k)
    growth[:warm_up] = math.nan
    counted = growth[~growth.isnan().any(-1)]
    if not len(counted):
        raise ConfigError("warm_up must be shorter than the longest row: no step is left to count")
    # The QR decomposition gives them in this order only in the long run.
    exponents, order = counted.mean(0).sort(descending=True)
    growth = growth[..., order]
    return Lyapunov(exponents, _interval(growth), growth)


def _growth(steps: Steps, k: int) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    # All rows begin with the same columns, so that none depends on the others.
    q = torch.linalg.qr(torch.randn(steps.size, k, generator=draw, dtype=torch.float64))[0]
    q, growth = q.to(steps.device).expand(steps.track.rows, -1, -1), []
    for t in steps.track.order:
        q, r = torch.linalg.qr(steps.ahead(t, q.permute(2, 0, 1)).permute(1, 2, 0))
        real = steps.track.active[t][:, None]
        grown = r.diagonal(dim1=-2, dim2=-1).abs().log()
        growth.append(grown.masked_fill(~real, math.nan))
    return torch.stack(growth).cpu()


def _interval(growth: Tensor) -> Tensor:
    """Resamples rows and blocks of steps: there are few rows, and neighboring steps correlate."""
    draw = torch.Generator().manual_seed(0)
    means = []
    for _ in range(RESAMPLES):
        rows = torch.randint(growth.shape[1], (growth.shape[1],), generator=draw)
        some = growth[blocks(len(growth), draw)][:, rows]
        there = ~some.isnan()
        means.append(torch.where(there, some, 0).sum((0, 1)) / there.sum((0, 1)))
    kept = torch.stack(means)
    return torch.stack(bounds(kept[~kept.isnan().any(-1)]), -1)
