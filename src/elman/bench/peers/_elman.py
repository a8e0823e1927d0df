"""elman itself, on the engine that it chooses or that the plan names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from elman._errors import EngineError
from elman.bench._plan import Case
from elman.bench._problem import Problem
from elman.bench._result import OURS
from elman.bench.peers._base import Candidate, by_autograd, stepping
from elman.engine import explain
from elman.layers import Layer
from elman.stream import Stream


def why_not(_: Case) -> str | None:
    return None


def prepare(problem: Problem, engine: str = "auto") -> dict[str, Candidate]:
    layers, lengths = problem.layers(engine), problem.lengths
    if problem.case.mode == "streaming":
        return {OURS: _stream(problem, layers)}
    forward = by_autograd(problem, lambda x: layers(x, lengths=lengths)[0], problem.parameters)
    return {OURS: forward}


def _stream(problem: Problem, layers: Layer) -> Candidate:
    stream = Stream(layers, rows=problem.case.shape.batch)

    def step(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        if state is None:
            stream.reset()
        return stream(x), stream

    return stepping(problem, step)


class _Step(nn.Module):
    """One step of a layer as a module, which ``explain`` asks for."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        return self.layer.step(x)


def engine_of(problem: Problem, engine: str = "auto") -> str:
    """The name of the engine that runs this problem, as ``explain`` has it; "+" between several.

    Errors: EngineError if the engine asked for cannot run it.
    """
    layers = problem.layers(engine)
    with torch.set_grad_enabled(problem.case.training):
        if problem.case.mode == "streaming":
            explanation = explain(_Step(layers), problem.x[0])
        else:
            explanation = explain(layers, problem.x, lengths=problem.lengths)
    if None in explanation.engines:
        raise EngineError(str(explanation))
    return "+".join(sorted(filter(None, explanation.engines)))
