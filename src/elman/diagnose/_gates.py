"""Gates: how far they are open, how often they are stuck, and how long what they guard lasts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LOW, HIGH = 0.1, 0.9
"""Below and above which a gate counts as saturated, as in Karpathy, Johnson & Fei-Fei (2015)."""


def shares(pieces: Sequence[tuple[Tensor, Tensor | None]], *, state: bool) -> dict[str, float]:
    """What (time, row, unit) values come to, at real steps only.

    Of a gate, a value in [0, 1] throughout: the shares that are ``low`` and ``high``. Of a state:
    the share that is ``saturated``, beyond 0.9 in size, and of ``dead`` units, 0 at every step.
    """
    real = torch.cat([v.flatten(0, 1) if on is None else v[on] for v, on in pieces])
    if not real.numel():
        return {}
    found = {"mean": real.mean(), "rms": real.square().mean().sqrt()}
    if state:
        found["saturated"] = (real.abs() > HIGH).float().mean()
        found["dead"] = (real == 0).all(0).float().mean()
    elif bool((real >= 0).all() & (real <= 1).all()):
        found["low"], found["high"] = (real < LOW).float().mean(), (real > HIGH).float().mean()
    return dict(zip(found, torch.stack([v.float() for v in found.values()]).tolist(), strict=True))
