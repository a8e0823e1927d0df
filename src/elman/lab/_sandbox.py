"""Asks of the sandbox: a probe of an untrained recurrence, and training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from elman.lab._lesson import Ask
from elman.lab._protocol import Event

if TYPE_CHECKING:
    from elman.lab._asks import Place

ROWS = 16


class ProbeSettings(BaseModel):
    """An untrained recurrence, whose input is noise."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    cell: str = Field("elman", max_length=300)
    activation: Literal["tanh", "relu", "identity"] = "tanh"
    init: Literal["torch", "orthogonal", "identity", "glorot", "forget_bias", "chrono"] = (
        "orthogonal"
    )
    radius: float = Field(1.0, gt=0, le=4)
    hidden: int = Field(32, ge=1, le=256)
    steps: int = Field(50, ge=2, le=256)
    seed: int = Field(0, ge=0, lt=2**31)


def asks(place: Place) -> tuple[Ask, ...]:
    """The asks of the sandbox."""
    return (Ask("sandbox.probe", ProbeSettings, probe),)


def probe(settings: ProbeSettings) -> Iterator[Event]:
    """The gradient at every step of a recurrence that has not learned yet."""
    import torch

    from elman import cells, init
    from elman.inspection import gradient_flow
    from elman.layers import Recurrent

    torch.manual_seed(settings.seed)
    kind = cells.by_name(settings.cell)
    options: dict[str, Any] = {}
    if kind is cells.Elman:
        options["activation"] = settings.activation
    layer = Recurrent(kind(1, settings.hidden, **options))
    init.initialize(layer, settings.init)
    with torch.no_grad():
        for _, weights in layer.cell.gated_weights():
            weights.hh.mul_(settings.radius)
    x = torch.randn(ROWS, settings.steps, 1)
    flow = gradient_flow(layer, x, lambda h: h[:, -1].square().sum())
    norm = flow.norm[0].tolist()
    value, low, high = (float(part[0]) for part in flow.half_life)
    ratio = norm[0] / norm[-1] if norm[-1] else 0.0
    verdict = "vanishes" if ratio < 0.1 else "explodes" if ratio > 10 else "survives"
    yield {
        "event": "probe",
        "gradient": norm,
        "ratio": ratio,
        "half_life": [value, low, high],
        "verdict": verdict,
    }
