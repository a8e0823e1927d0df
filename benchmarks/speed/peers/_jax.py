"""JAX: lax.scan over each cell, jitted as a whole, float32; training with every gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from benchmarks.speed._plan import BUILT_IN, Case
from benchmarks.speed._problem import Problem
from benchmarks.speed.peers._base import Candidate, Results, missing, only


def why_not(case: Case) -> str | None:
    modes = ("inference", "training", "memory")
    return only(case, modes=modes, cells=BUILT_IN) or missing("jax")


def prepare(problem: Problem) -> dict[str, Candidate]:
    import jax

    weights: list[dict[str, Any]] = [{} for _ in problem.cells]
    for key, value in problem.parameters.items():
        layer, name = key.split(".")
        weights[int(layer)][name] = jax.numpy.asarray(value.detach().numpy())
    x = jax.numpy.asarray(problem.x.numpy())
    gradient = jax.numpy.asarray(problem.gradient.numpy())
    forward = _forward(problem.case.cell)
    if not problem.case.training:
        infer = jax.jit(forward)
        return {
            "jax": Candidate(
                lambda: jax.block_until_ready(infer(weights, x)),
                lambda output: {"output": _tensor(output)},
            )
        }
    train = jax.jit(_training(forward, problem.case.shape.input_gradient))
    return {
        "jax": Candidate(lambda: jax.block_until_ready(train(weights, x, gradient)), _gradients)
    }


def _forward(cell: str) -> Callable[[list[dict[str, Any]], Any], Any]:
    import jax
    import jax.numpy as jnp

    sigmoid, tanh = jax.nn.sigmoid, jnp.tanh

    def lstm(state: Any, inp: Any, rec: Any) -> Any:
        i, f, g, o = jnp.split(inp + rec, 4, axis=-1)
        c = sigmoid(f) * state[1] + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c

    def gru(state: Any, inp: Any, rec: Any) -> Any:
        (inp_r, inp_z, inp_n), (rec_r, rec_z, rec_n) = (
            jnp.split(a, 3, axis=-1) for a in (inp, rec)
        )
        n = tanh(inp_n + sigmoid(inp_r + rec_r) * rec_n)
        return (n + sigmoid(inp_z + rec_z) * (state[0] - n),)

    cells: dict[str, Any] = {
        "lstm": lstm,
        "gru": gru,
        "tanh": lambda _, inp, rec: (tanh(inp + rec),),
        "relu": lambda _, inp, rec: (jax.nn.relu(inp + rec),),
    }
    pointwise = cells[cell]

    def forward(weights: list[dict[str, Any]], x: Any) -> Any:
        for w in weights:
            inputs = x @ w["weight_ih"].T + w["bias_ih"]
            zeros = jnp.zeros((x.shape[1], w["weight_hh"].shape[1]), x.dtype)

            def step(state: Any, inp: Any, w: dict[str, Any] = w) -> Any:
                state = pointwise(state, inp, state[0] @ w["weight_hh"].T + w["bias_hh"])
                return state, state[0]

            x = jax.lax.scan(step, (zeros,) * (2 if cell == "lstm" else 1), inputs)[1]
        return x

    return forward


def _training(forward: Any, with_x: bool) -> Callable[..., Any]:
    import jax

    def train(weights: Any, x: Any, gradient: Any) -> Any:
        if with_x:
            output, pull = jax.vjp(forward, weights, x)
        else:
            output, pull = jax.vjp(lambda w: forward(w, x), weights)
        return output, pull(gradient)

    return train


def _gradients(returned: Any) -> Results:
    output, (weights, *of_x) = returned
    named = {f"{k}.{name}": _tensor(g) for k, w in enumerate(weights) for name, g in w.items()}
    return {"output": _tensor(output), **named, **({"x": _tensor(of_x[0])} if of_x else {})}


def _tensor(array: Any) -> torch.Tensor:
    import numpy as np

    return torch.from_numpy(np.array(array))
