"""elman itself, on the engine that it chooses or that the plan names."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from benchmarks.speed._plan import Case
from benchmarks.speed._problem import Problem
from benchmarks.speed._result import NEW_TENSORS, OURS
from benchmarks.speed.peers._base import Candidate, by_autograd, stepping
from torch import Tensor

from elman._errors import EngineError
from elman.engine import explain
from elman.layers import Layer
from elman.stream import Stream


def why_not(_: Case) -> str | None:
    return None


def prepare(problem: Problem, engine: str = "auto") -> dict[str, Candidate]:
    layers, lengths = problem.layers(engine), problem.lengths
    if problem.case.mode == "streaming":
        return _streams(problem, layers, engine)
    forward = by_autograd(problem, lambda x: layers(x, lengths=lengths)[0], problem.parameters)
    return {OURS: forward}


def _streams(problem: Problem, layers: Layer, engine: str) -> dict[str, Candidate]:
    """The two ways to step: with memory of the stream's own, and with a new tensor a step."""
    called, own = (Stream(layers, problem.case.shape.batch, engine=engine) for _ in range(2))

    def call(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        if state is None:
            called.reset()
        return called(x), called

    steps = problem.x.numpy()
    outputs = np.empty((*steps.shape[:2], layers.output_size), np.float32)
    reading, output = own.input.numpy(), own.output.numpy()

    def step() -> Any:
        own.reset()
        for t, x in enumerate(steps):
            reading[:] = x
            own.step()
            outputs[t] = output
        return outputs

    in_place = Candidate(step, lambda outputs: {"output": torch.from_numpy(outputs.copy())})
    return {OURS: in_place, NEW_TENSORS: stepping(problem, call)}


def engine_of(problem: Problem, engine: str = "auto") -> str:
    """The name of the engine that runs this problem, as ``explain`` has it; "+" between several.

    Raises:
        EngineError: the engine asked for cannot run it.
    """
    layers = problem.layers(engine)
    if problem.case.mode == "streaming":
        return Stream(layers, problem.case.shape.batch, engine=engine).engine
    with torch.set_grad_enabled(problem.case.training):
        explanation = explain(layers, problem.x, lengths=problem.lengths)
    if None in explanation.engines:
        raise EngineError(str(explanation))
    return "+".join(sorted(filter(None, explanation.engines)))
