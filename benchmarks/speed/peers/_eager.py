"""The loop that one writes by hand in torch: the input projected at once, then step by step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from benchmarks.speed._plan import Case
from benchmarks.speed._problem import Problem
from benchmarks.speed.peers._base import Candidate, by_autograd, only
from torch import Tensor
from torch.nn import functional as F

from elman.cells import Cell, PointwiseCell

DENSE = ("inference", "training", "custom", "memory")


def why_not(case: Case) -> str | None:
    return only(case, modes=DENSE)


def prepare(problem: Problem) -> dict[str, Candidate]:
    def forward(x: Tensor) -> Tensor:
        for cell in problem.cells:
            x = unroll(cell, cell.project(x), cell.initial_state(x.shape[1]))[0]
        return x

    return {"eager": by_autograd(problem, forward, problem.parameters)}


def unroll(cell: Cell, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
    """Outputs (time, batch, size) and the last state."""
    outputs = []
    step: Any = cell.step
    each: Iterable[Any] = inputs.unbind(0)
    if isinstance(cell, PointwiseCell):
        step, each = _written_out(cell, inputs)
    for inp in each:
        state = step(inp, state)
        outputs.append(state[0])
    return torch.stack(outputs), state


def _written_out(cell: PointwiseCell, inputs: Tensor) -> tuple[Any, Iterable[Any]]:
    """The step without the checks of ``cell.step``, and the inputs with their gates told apart."""
    gates, weight, bias = cell.Gates, cell.weight_hh, cell.bias_hh
    count = len(cell.gates)

    def step(inp: Any, state: Any) -> Any:
        rec = F.linear(state[0], weight, bias).chunk(count, -1)
        return cell.pointwise(inp, gates(*rec), state)

    split = (part.unbind(0) for part in inputs.chunk(count, -1))
    return step, [gates(*parts) for parts in zip(*split, strict=True)]
