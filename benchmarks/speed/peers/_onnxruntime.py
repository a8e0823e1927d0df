"""onnxruntime: the recurrent operators of ONNX, in a graph built here, weights in ONNX's order."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from benchmarks.speed._plan import BUILT_IN, Case
from benchmarks.speed._problem import Problem
from benchmarks.speed.peers._base import Candidate, missing, only

_OPERATOR = {"lstm": "LSTM", "gru": "GRU", "tanh": "RNN", "relu": "RNN"}
# Where ONNX's gates stand among ours: i o f g of i f g o; z r n of r z n.
_ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "tanh": (0,), "relu": (0,)}
_OPTIONS: dict[str, dict[str, Any]] = {
    "lstm": {},
    "gru": {"linear_before_reset": 1},
    "tanh": {"activations": ["Tanh"]},
    "relu": {"activations": ["Relu"]},
}


def why_not(case: Case) -> str | None:
    if case.training:
        return "it has no training"
    modes = ("inference", "ragged", "streaming")
    if case.mode == "streaming" and case.shape.layers > 1:
        return "it streams one layer only"
    return only(case, modes=modes, cells=BUILT_IN) or missing("onnx", "onnxruntime")


def prepare(problem: Problem) -> dict[str, Candidate]:
    if problem.case.mode == "streaming":
        return {"onnxruntime": _stream(problem)}
    session = _session(problem, steps=problem.case.shape.steps)
    feed = {"x": problem.x.numpy()}
    call = Candidate(
        lambda: session.run(None, feed), lambda outputs: {"output": torch.from_numpy(outputs[0])}
    )
    return {"onnxruntime": call}


def _stream(problem: Problem) -> Candidate:
    """One step a run; what comes out as the state goes in as the state, without a copy."""
    shape = problem.case.shape
    states = _state_names(problem.case.cell)
    session = _session(problem, steps=1)
    zeros = np.zeros((1, shape.batch, shape.hidden_size), np.float32)
    steps = [x[None] for x in problem.x.numpy()]
    names = ["output", *(f"next_{name}" for name in states)]

    def stream() -> list[Any]:
        state, outputs = [zeros] * len(states), []
        for x in steps:
            output, *state = session.run(names, {"x": x, **dict(zip(states, state, strict=True))})
            outputs.append(output)
        return outputs

    return Candidate(stream, lambda outputs: {"output": torch.from_numpy(np.concatenate(outputs))})


def _state_names(cell: str) -> list[str]:
    return ["h", "c"] if cell == "lstm" else ["h"]


def _session(problem: Problem, steps: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = problem.case.threads
    options.inter_op_num_threads = 1
    model = _model(problem, steps).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _model(problem: Problem, steps: int) -> Any:
    """A graph x (steps, batch, input) to output (steps, batch, hidden), layer upon layer."""
    from onnx import TensorProto, helper, numpy_helper

    cell, (_, batch, _, inputs, hidden, layers, _) = problem.case.cell, problem.case.shape
    constants = [numpy_helper.from_array(np.array([1]), "directions")]
    nodes, below, carried = [], "x", _state_names(cell) if problem.case.mode == "streaming" else []
    lengths = ""
    if problem.lengths is not None:
        lengths = "lengths"
        constants.append(numpy_helper.from_array(problem.lengths.int().numpy(), lengths))
    for layer in range(layers):
        weights = [f"{name}{layer}" for name in ("W", "R", "B")]
        arrays = zip(_weights(problem, layer), weights, strict=True)
        constants += [numpy_helper.from_array(array, name) for array, name in arrays]
        output = "output" if layer == layers - 1 else f"output{layer}"
        nodes += [
            helper.make_node(
                _OPERATOR[cell],
                [below, *weights, lengths, *carried],
                [f"{output}_by_direction", *(f"next_{name}" for name in carried)],
                hidden_size=hidden,
                **_OPTIONS[cell],
            ),
            helper.make_node("Squeeze", [f"{output}_by_direction", "directions"], [output]),
        ]
        below = output

    def value(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    states = [value(name, 1, batch, hidden) for name in carried]
    after = [value(f"next_{name}", 1, batch, hidden) for name in carried]
    graph = helper.make_graph(
        nodes,
        "recurrence",
        [value("x", steps, batch, inputs), *states],
        [value("output", steps, batch, hidden), *after],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def _weights(problem: Problem, layer: int) -> list[Any]:
    """W, R and B of a layer, with ONNX's leading dimension of directions."""

    def ordered(name: str) -> Any:
        array = problem.parameters[f"{layer}.{name}"].detach().numpy()
        order = _ORDER[problem.case.cell]
        blocks = np.split(array, len(order))
        return np.concatenate([blocks[gate] for gate in order])

    biases = np.concatenate([ordered("bias_ih"), ordered("bias_hh")])
    return [ordered("weight_ih")[None], ordered("weight_hh")[None], biases[None]]
