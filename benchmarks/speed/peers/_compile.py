"""The eager loop under torch.compile: step by step, ten steps a graph, and the loop as a whole."""

from __future__ import annotations

import shutil
from functools import partial
from typing import Any

import torch
from benchmarks.speed._plan import Case
from benchmarks.speed._problem import Problem
from benchmarks.speed.peers._base import Candidate, by_autograd, only
from benchmarks.speed.peers._eager import DENSE, unroll
from torch import Tensor

CHUNK = 10
MOST_STEPS = 100  # of all layers together; an unrolled graph of more takes many minutes to compile


def why_not(case: Case) -> str | None:
    if shutil.which("c++") is None and shutil.which("g++") is None:
        return "torch.compile needs a C++ compiler, and there is none on the PATH"
    return only(case, modes=tuple(mode for mode in DENSE if mode != "memory"))


def prepare(problem: Problem) -> dict[str, Candidate]:
    torch.compiler.reset()
    torch._dynamo.config.recompile_limit = 64  # every layer and chunk is a graph of its own
    shape = problem.case.shape
    chunks = {"compile step": 1}
    if shape.steps > CHUNK:
        chunks[f"compile {CHUNK} steps"] = CHUNK
    if shape.steps * shape.layers <= MOST_STEPS:
        chunks["compile loop"] = shape.steps
    return {
        name: by_autograd(problem, _forward(problem, chunk), problem.parameters)
        for name, chunk in chunks.items()
    }


def _forward(problem: Problem, chunk: int) -> Any:
    compiled = [
        torch.compile(partial(unroll, cell), fullgraph=True, dynamic=False)
        for cell in problem.cells
    ]

    def forward(x: Tensor) -> Tensor:
        for cell, part in zip(problem.cells, compiled, strict=True):
            state, outputs = cell.initial_state(x.shape[1]), []
            for inputs in cell.project(x).split(chunk):
                output, state = part(inputs, state)
                outputs.append(output)
            x = torch.cat(outputs)
        return x

    return forward
