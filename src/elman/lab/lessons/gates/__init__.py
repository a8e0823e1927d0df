"""Lesson 7: the gates of an LSTM, its cell as a tank, and how a GRU merges them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field

from elman.lab._lesson import Ask, Lesson

__all__ = ["LESSON"]

if TYPE_CHECKING:
    from torch import Tensor

    from elman.layers import Recurrent

STEPS = 20
"""Time steps of the tank."""

CLOSED, OPEN = 0.001, 0.999
"""What the digits 0 and 9 mean: a sigmoid comes close to 0 and 1, and never reaches them."""

CELLS = {"lstm": "LSTM", "tied": "CIFG", "gru": "GRU"}
"""The LSTM; with i = 1 - f; with c and h merged, too."""

FORMULAS = {
    "lstm": {"f": "forget", "i": "store", "g": "value", "o": "output"},
    "tied": {"f": "forget", "g": "value", "o": "output"},
    "gru": {"z": "forget", "n": "value"},
}
"""The gates of each cell that the tank's handles set, and which handle sets them."""

Digits = Annotated[str, Field(pattern=rf"^[0-9]{{{STEPS}}}$")]
SignedDigits = Annotated[str, Field(pattern=rf"^[0-9a-i]{{{STEPS}}}$")]


class Tank(BaseModel, extra="forbid"):
    """The gates at each step, as a digit each: 0 is closed and 9 is open."""

    cell: Literal["lstm", "tied", "gru"] = "lstm"
    forget: Digits = Field("9" * STEPS, description="share of the tank that is kept")
    store: Digits = Field("0900" + "0" * (STEPS - 4), description="how far the inflow is open")
    value: SignedDigits = Field(
        "9" * STEPS, description="what flows in: 0 to 9 is 0 to 1, a to i is -1/9 to -1"
    )
    output: Digits = Field("9" * STEPS, description="how far the outflow is open")


class HalfLife(BaseModel, extra="forbid", allow_inf_nan=False):
    """An LSTM whose forget gates begin with one bias."""

    bias: float = Field(1.0, ge=-4, le=8, description="bias of the forget gates, b_f")
    scale: float = Field(0.0, ge=0, le=1, description="share of the weights that torch begins with")
    steps: int = Field(100, ge=10, le=200)
    hidden: int = Field(32, ge=1, le=256)
    seed: int = Field(0, ge=0, le=2**31 - 1)


def fraction(digit: str) -> float:
    """What a digit says: 0 to 9 is 0 to 1, and a to i is -1/9 to -1, short of the ends.

    >>> fraction("0"), fraction("9"), round(fraction("3"), 3), round(fraction("c"), 3)
    (0.001, 0.999, 0.333, -0.333)
    """
    number = int(digit) if digit.isdigit() else -(ord(digit) - ord("a") + 1)
    return max(-OPEN, min(OPEN, number / 9)) or CLOSED


def tank(settings: Tank) -> Iterator[dict[str, object]]:
    """One unit whose gates are as they were set, run by elman's own cell."""
    import torch

    from elman.inspection import gradient_flow

    layer, x = one_unit(settings)
    with torch.no_grad():
        _, _, seen = layer(x, observe=True)
    kept = layer.cell.states[-1]
    flow = gradient_flow(layer, x, loss=lambda output: output[:, -1].sum())
    gates = {
        handle: _gate(settings, gate, seen) for gate, handle in FORMULAS[settings.cell].items()
    }
    if settings.cell != "lstm":
        gates["store"] = [1 - f for f in gates["forget"]]
    yield {
        "event": "tank",
        "gates": gates,
        "c": _numbers(seen[kept][0, :, 0]),
        "h": _numbers(seen["h"][0, :, 0]),
        "gradient": _numbers(flow.states[kept].norm[0]),
    }


def one_unit(settings: Tank) -> tuple[Recurrent, Tensor]:
    """A layer of one unit, and the input (1, T, gates) that opens its gates as the digits say.

    W_hh and b are 0 and W_hx is the identity, so that a gate is the sigmoid of its own input.
    """
    import torch

    from elman import Recurrent, cells

    kind = getattr(cells, CELLS[settings.cell])
    cell = kind(input_size=len(kind.gates), hidden_size=1)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.zero_()
        cell.weights.ih.copy_(torch.eye(len(kind.gates)))
    x = torch.zeros(1, STEPS, len(kind.gates))
    for gate, handle in FORMULAS[settings.cell].items():
        wanted = torch.tensor([fraction(digit) for digit in getattr(settings, handle)])
        column = wanted.atanh() if handle == "value" else wanted.logit()
        x[0, :, cell.gates.index(gate)] = column
    return Recurrent(cell, engine="reference"), x


def _gate(settings: Tank, gate: str, seen: Mapping[str, Tensor]) -> list[float]:
    """What the cell itself says of a gate; its candidate is not watched, and is what was set."""
    names = {"f": "forget", "i": "store", "o": "output", "z": "update"}
    if gate in names:
        return _numbers(seen[names[gate]][0, :, 0])
    return [fraction(digit) for digit in settings.value]


def half_life(settings: HalfLife) -> Iterator[dict[str, object]]:
    """The gradient of c by steps back, beside f to that power, and both half-lives."""
    import torch

    from elman import Recurrent, cells
    from elman.init import forget_bias
    from elman.inspection import gradient_flow

    generator = torch.Generator().manual_seed(settings.seed)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(settings.seed)
        cell = cells.LSTM(8, settings.hidden)
        forget_bias(cell, cell.weights, settings.bias)
    layer = Recurrent(cell, engine="reference")
    with torch.no_grad():
        cell.weights.ih.mul_(settings.scale)
        cell.weights.hh.mul_(settings.scale)
    x = torch.randn(8, settings.steps, 8, generator=generator)
    flow = gradient_flow(layer, x, loss=lambda output: output[:, -1].sum())
    fall = flow.states["c"].fall(0)
    forget = 1 / (1 + math.exp(-settings.bias))
    measured = float(flow.states["c"].half_life.value[0])
    yield {
        "event": "half_life",
        "forget": forget,
        "formula": [forget**lag for lag in range(len(fall))],
        "measured": _numbers(fall),
        "half_life_formula": math.log(2) / -math.log(forget),
        "half_life_measured": measured if math.isfinite(measured) else None,
    }


def _numbers(tensor: Tensor) -> list[Any]:
    return [value if math.isfinite(value) else None for value in tensor.tolist()]


def _pattern(steps: Sequence[int], value: str = "9", other: str = "0") -> str:
    return "".join(value if step in steps else other for step in range(1, STEPS + 1))


PATTERNS: Mapping[str, Mapping[str, str]] = {
    "open": {"forget": _pattern(range(1, 21)), "store": _pattern([2]), "output": "9" * STEPS},
    "leak": {"forget": "6" * STEPS, "store": _pattern([2]), "output": "9" * STEPS},
    "hold": {
        "forget": _pattern(range(1, 21)),
        "store": _pattern([2]),
        "output": _pattern([18]),
    },
    "replace": {
        "forget": _pattern([2, 11], "0", "9"),
        "store": _pattern([2, 11]),
        "value": _pattern([11], "f", "9"),
        "output": _pattern([10, 18]),
    },
}
"""What the buttons of the stage set, and an export has: the stage's copy is compared in a test."""

LESSON = Lesson(
    slug="gates",
    number=7,
    title="The gates of an LSTM, and the GRU",
    minutes=6,
    question="The forget gate stands at 0.9. How much of c is left after 20 steps?",
    asks=(
        Ask(
            "gates.tank",
            Tank,
            tank,
            tuple({"cell": cell, **pattern} for pattern in PATTERNS.values() for cell in CELLS),
        ),
        Ask(
            "gates.half_life",
            HalfLife,
            half_life,
            tuple(
                {"bias": float(bias), "scale": scale}
                for bias in range(-2, 9)
                for scale in (0.0, 1.0)
            ),
        ),
    ),
)


def __dir__() -> list[str]:
    return sorted(__all__)
