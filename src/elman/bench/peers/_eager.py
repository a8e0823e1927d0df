"""The loop that one writes by hand in torch: the input projected at once, then step by step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from elman.bench._plan import Case
from elman.bench._problem import Problem
from elman.bench.peers._base import Candidate, by_autograd, only
from elman.cells import Cell

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
    for inp in inputs.unbind(0):
        state = cell.step(inp, state)
        outputs.append(state[0])
    return torch.stack(outputs), state
