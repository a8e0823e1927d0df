"""Lesson 4: the loss over time, and its gradient back through time, term by term."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from elman.lab._lesson import Ask, Lesson

__all__ = ["LESSON"]

if TYPE_CHECKING:
    from torch import Tensor

    from elman.inspection import Factors


class Walk(BaseModel):
    """A small network, and the step whose loss is followed back; 0 is the last one."""

    model_config = ConfigDict(extra="forbid")

    hidden: Literal[1, 4] = 1
    steps: int = Field(8, ge=2, le=12)
    w_hh: float = Field(0.9, ge=0, le=2.5)
    s_h: Literal["tanh", "relu", "identity"] = "tanh"
    t: int = Field(0, ge=0, le=12)
    seed: int = Field(0, ge=0, le=9999)


def walk(asked: Walk) -> Iterator[dict[str, object]]:
    """The losses, the walk back from one of them, and the sum of all terms beside autograd's."""
    import torch

    from elman.inspection import factors
    from elman.lab.lessons.bptt._network import INPUTS, OneNumber

    torch.manual_seed(asked.seed)
    network = OneNumber(asked.hidden, asked.s_h, asked.w_hh).double()
    x = torch.randn(1, asked.steps, INPUTS).double()
    targets = torch.randn(1, asked.steps).double()

    def losses(y: Tensor) -> Tensor:
        return (y - targets).square() / 2

    with torch.no_grad():
        states, y = network.states(x)[0], network(x)
    yield {
        "event": "losses",
        "h": [size(h) for h in states],
        "y": y[0].tolist(),
        "target": targets[0].tolist(),
        "losses": losses(y)[0].tolist(),
        "total": float(losses(y).sum()),
    }
    apart = factors(network, x, lambda y: losses(y).sum())
    terms = [[apart.term(t, k) for k in range(t + 1)] for t in range(asked.steps)]
    total = sum((term for row in terms for term in row), torch.zeros_like(apart.autograd))
    yield {
        "event": "sum",
        "terms": sum(map(len, terms)),
        "sum": size(total),
        "autograd": size(apart.autograd),
        "difference": float((total - apart.autograd).abs().max()),
        "table": [padded([size(term) for term in row], asked.steps) for row in terms],
    }
    t = min(asked.t or asked.steps, asked.steps) - 1
    yield {"event": "walk", "t": t + 1, "steps": list(back(apart, t, terms[t]))}


def back(apart: Factors, t: int, terms: Sequence[Tensor]) -> Iterator[dict[str, object]]:
    """From the loss of step t back to the first step: what each of them multiplies, and a term."""
    for k in range(t, -1, -1):
        yield {
            "k": k + 1,
            "factor": stretch(apart.product(k + 1, k)) if k < t else None,
            "product": stretch(apart.product(t, k)),
            "loss_state": size(apart.loss_state[t]),
            "state_weight": size(apart.state_weight(k)),
            "term": size(terms[k]),
        }


def size(tensor: Tensor) -> float:
    """The number itself if there is one alone, else the norm of all."""
    return tensor.item() if tensor.numel() == 1 else float(tensor.norm())


def stretch(jacobian: Tensor) -> float:
    """The number itself if there is one alone, else the spectral norm of the only row's matrix."""
    import torch

    if jacobian.numel() == 1:
        return jacobian.item()
    return float(torch.linalg.matrix_norm(jacobian[0], 2))


def padded(row: list[float], width: int) -> list[float | None]:
    """A row of the triangle of terms, as wide as the last one."""
    return [*row, *[None] * (width - len(row))]


LESSON = Lesson(
    slug="bptt",
    number=4,
    title="Loss over time, and back through it",
    minutes=7,
    question="How many factors stand between the loss of step 8 and the state of step 1?",
    asks=(
        Ask(
            "bptt.walk",
            Walk,
            walk,
            tuple(
                {"hidden": hidden, "steps": 8, "w_hh": w, "s_h": s_h, "t": t, "seed": 0}
                for hidden, w, s_h, t in product(
                    (1, 4),
                    (0.1, 0.5, 0.9, 1.0, 1.2, 2.0),
                    ("tanh", "identity"),
                    (1, 2, 3, 4, 5, 6, 7, 8),
                )
            ),
        ),
    ),
)


def __dir__() -> list[str]:
    return sorted(__all__)
