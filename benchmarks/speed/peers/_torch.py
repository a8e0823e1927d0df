"""torch.nn: its layers on whole batches, padded or packed; layers and cells in streams."""

from __future__ import annotations

from typing import Any

import torch
from benchmarks.speed._plan import BUILT_IN, MODES, Case
from benchmarks.speed._problem import Problem
from benchmarks.speed.peers._base import Candidate, by_autograd, only, stepping
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from elman.scan import mask

_LAYERS: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU, "tanh": nn.RNN, "relu": nn.RNN}
_CELLS: dict[str, Any] = {
    "lstm": nn.LSTMCell,
    "gru": nn.GRUCell,
    "tanh": nn.RNNCell,
    "relu": nn.RNNCell,
}


def why_not(case: Case) -> str | None:
    return only(case, modes=tuple(MODES), cells=BUILT_IN)


def prepare(problem: Problem) -> dict[str, Candidate]:
    layer, parameters = _layer(problem)
    if problem.case.mode == "streaming":
        return _streams(problem, layer)
    if problem.lengths is None:
        return {"torch": by_autograd(problem, lambda x: layer(x)[0], parameters)}
    return _ragged(problem, problem.lengths, layer, parameters)


def _options(problem: Problem) -> dict[str, Any]:
    cell = problem.case.cell
    return {"nonlinearity": cell} if cell in ("tanh", "relu") else {}


def _layer(problem: Problem) -> tuple[nn.Module, dict[str, Tensor]]:
    """The layer with the problem's weights, and its parameters by the problem's names."""
    _, _, _, inputs, hidden, layers, _ = problem.case.shape
    made = _LAYERS[problem.case.cell](inputs, hidden, layers, **_options(problem))
    parameters = {}
    for key, value in problem.parameters.items():
        layer, name = key.split(".")
        parameters[key] = getattr(made, f"{name}_l{layer}")
        parameters[key].data.copy_(value.data)
    return made, parameters


def _ragged(
    problem: Problem, lengths: Tensor, layer: nn.Module, parameters: dict[str, Tensor]
) -> dict[str, Candidate]:
    """Packing is timed, since every batch needs it; unpacking is not: some losses do without."""
    steps = problem.case.shape.steps
    packed_gradient = pack_padded_sequence(problem.gradient, lengths)
    inside = mask(lengths, steps).T[..., None]

    def packed(x: Tensor) -> Tensor:
        output: PackedSequence = layer(pack_padded_sequence(x, lengths))[0]
        return output.data

    def unpacked(data: Tensor) -> Tensor:
        return pad_packed_sequence(packed_gradient._replace(data=data), total_length=steps)[0]

    return {
        "torch packed": by_autograd(
            problem, packed, parameters, gradient=packed_gradient.data, laid_out=unpacked
        ),
        "torch padded": by_autograd(
            problem,
            lambda x: layer(x)[0],
            parameters,
            laid_out=lambda output: output.masked_fill(~inside, 0),
        ),
    }


def _streams(problem: Problem, layer: nn.Module) -> dict[str, Candidate]:
    def layer_step(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        output, state = layer(x[None], state)
        return output[0], state

    streams = {"torch layer": stepping(problem, layer_step)}
    if problem.case.shape.layers == 1:
        streams["torch cell"] = stepping(problem, _cell_step(problem))
    return streams


def _cell_step(problem: Problem) -> Any:
    shape = problem.case.shape
    cell = _CELLS[problem.case.cell](shape.input_size, shape.hidden_size, **_options(problem))
    with torch.no_grad():
        for key, value in problem.parameters.items():
            getattr(cell, key.split(".")[1]).copy_(value)

    def step(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        state = cell(x, state)
        return (state[0] if isinstance(state, tuple) else state), state

    return step
