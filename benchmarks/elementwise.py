"""Elementwise and linear cells beside the least time that they could take, at two shapes.

    python -m benchmarks.elementwise [--threads 2] [--repeats 7] [--only NAME] [--json FILE]

The least is what torch takes for the cell's matrix products in the same run, and the bytes between
them moved once, divided by the bandwidth: forward, what the products made is read and the output
written; in training both are read again, with the gradient of the output, and the gradient of what
the products made is written. The second shape is one long row, with no other rows and few
units to share among threads: there an eager loop, the engine "parallel" and an associative scan in
JAX (`pip install jax`) run beside it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from benchmarks.speed._machine import bandwidth, environment
from torch import Tensor
from torch.nn import functional as F

import elman
from elman.cells import CELLS, by_name
from elman.testing import interleave

UNITS = 256
WIDE = (32, 784)
"""Rows and steps of the first shape."""

LONG = (1, 131_072)
LONG_CELLS = ("mingru", "lru")
SHORT = (1, 4096)
"""Where the scan on the CPU is measured against a Python loop."""


def cells() -> list[str]:
    """The names of those whose states have no matrix."""
    return [n for n, _ in CELLS if by_name(n).recurrence in ("elementwise", "linear")]


def products(cell: Any, x: Tensor) -> tuple[list[tuple[Tensor, Tensor]], int]:
    """Inputs and weights of the cell's matrix products, and how many numbers those of x make."""
    pairs, made = [], 0
    for weight in cell.parameters():
        if weight.dim() == 2:
            of_x = weight.shape[1] == x.shape[-1]
            shape = (*x.shape[:-1], weight.shape[1])
            pairs.append((x if of_x else torch.randn(shape), weight.detach().clone()))
            made += of_x * weight.shape[0] * x.shape[0] * x.shape[1]
    return pairs, made


def multiply(pairs: list[tuple[Tensor, Tensor]], *, training: bool) -> Callable[[], None]:
    """The products by torch, with all gradients in training."""
    leaves = [[t.clone().requires_grad_(training) for t in pair] for pair in pairs]
    gradients = [torch.randn(*x.shape[:-1], len(w)) for x, w in pairs]

    def call() -> None:
        for (x, w), gradient in zip(leaves, gradients, strict=True):
            y = F.linear(x, w)
            if training:
                torch.autograd.grad(y, (x, w), gradient)

    return call


def forward(layer: Any, x: Tensor) -> Callable[[], None]:
    def call() -> None:
        with torch.no_grad():
            layer(x)

    return call


def training(layer: Any, x: Tensor) -> Callable[[], None]:
    x = x.clone().requires_grad_()
    leaves, gradient = [x, *layer.parameters()], torch.randn(*x.shape[:-1], UNITS)

    def call() -> None:
        torch.autograd.grad(layer(x)[0], leaves, gradient, allow_unused=True)

    return call


def wide(name: str, repeats: int) -> dict[str, Any]:
    """Our layer and torch's products, forward and in training; seconds that the bytes take."""
    torch.manual_seed(0)
    layer = elman.Recurrent(by_name(name)(UNITS, UNITS), batch_first=False)
    x = torch.randn(WIDE[1], WIDE[0], UNITS)
    pairs, made = products(layer.cell, x)
    calls = {
        "forward": forward(layer, x),
        "training": training(layer, x),
        "products forward": multiply(pairs, training=False),
        "products training": multiply(pairs, training=True),
    }
    moved = {"forward": 4 * (made + x.numel()), "training": 4 * (3 * made + 3 * x.numel())}
    return {
        "engine": sorted(elman.explain(layer, x).engines),
        "times": milliseconds(calls, repeats),
        "moving": {key: 1e3 * size / bandwidth(size) for key, size in moved.items()},
    }


def long(name: str, repeats: int) -> dict[str, Any]:
    """One long row, forward: our default, its peers, and torch's products."""
    torch.manual_seed(0)
    cell = by_name(name)(UNITS, UNITS)
    layer = elman.Recurrent(cell, batch_first=False)
    x = torch.randn(LONG[1], LONG[0], UNITS)
    calls = {
        "auto": forward(layer, x),
        "parallel": forward(elman.Recurrent(cell, batch_first=False, engine="parallel"), x),
        "products": multiply(products(cell, x)[0], training=False),
    }
    if importlib.util.find_spec("jax"):
        calls["jax.lax.associative_scan"] = associative_scan(cell, x)
    times = milliseconds(calls, repeats)
    loop = forward(elman.Recurrent(cell, batch_first=False, engine="reference"), x)
    times |= milliseconds({"loop": loop}, 1)
    return {"engine": sorted(elman.explain(layer, x).engines), "times": times}


def short(name: str, repeats: int) -> dict[str, Any]:
    """One row of a few thousand steps: the scan in torch beside the loop in Python."""
    torch.manual_seed(0)
    cell = by_name(name)(UNITS, UNITS)
    x = torch.randn(SHORT[1], SHORT[0], UNITS)
    calls = {
        engine: forward(elman.Recurrent(cell, batch_first=False, engine=engine), x)
        for engine in ("parallel", "reference", "auto")
    }
    return {"times": milliseconds(calls, repeats)}


def associative_scan(cell: Any, x: Tensor) -> Callable[[], None]:
    """The same layer in JAX, compiled, at its usual setting: the numbers of `coefficients`."""
    import jax
    from jax import numpy as jnp

    names = [name for name, weight in cell.named_parameters()]
    weights = {name: jnp.asarray(cell.get_parameter(name).detach().numpy()) for name in names}
    given = jnp.asarray(x[:, 0].numpy())

    def combine(first: Any, second: Any) -> Any:
        return first[0] * second[0], second[0] * first[1] + second[1]

    def mingru(w: Any, x: Any) -> Any:
        z, candidate = jnp.split(x @ w["input.weight"].T + w["input.bias"], 2, -1)
        z = jax.nn.sigmoid(z)
        return jax.lax.associative_scan(combine, (1 - z, z * candidate))[1]

    def lru(w: Any, x: Any) -> Any:
        a = jnp.exp(-jnp.exp(w["nu"]) + 1j * jnp.exp(w["theta"]))
        re, im = jnp.split(x @ w["weight_b"].T, 2, -1)
        b = jnp.exp(w["gamma"]) * (re + 1j * im)
        s = jax.lax.associative_scan(combine, (jnp.broadcast_to(a, b.shape), b))[1]
        both = jnp.concatenate([s.real, s.imag], -1)
        return both @ w["weight_c"].T + x @ w["weight_d"].T

    run = jax.jit({"MinGRU": mingru, "LRU": lru}[type(cell).__name__])
    with torch.no_grad():
        expected = elman.Recurrent(cell, batch_first=False)(x)[0][:, 0].numpy()
    error = float(abs(run(weights, given) - expected).max() / abs(expected).max())
    if error > 1e-3:
        raise RuntimeError(f"JAX computes something else: {error:.1e} of the largest output off")
    return lambda: run(weights, given).block_until_ready()


def milliseconds(calls: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    for call in calls.values():
        call()
    times = interleave(calls, repeats)
    return {key: [1e3 * seconds for seconds in blocks] for key, blocks in times.items()}


def rows(only: str | None, repeats: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name in cells():
        if only in (None, name):
            yield "wide", name, wide(name, repeats)
    for name in LONG_CELLS:
        if only in (None, name):
            yield "short", name, short(name, repeats)
            yield "long", name, long(name, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", choices=cells(), help="the cell of this name")
    parser.add_argument("--json", type=Path, help="where the figures go, too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    command = shlex.join(["python", "-m", "benchmarks.elementwise", *sys.argv[1:]])
    kept: dict[str, Any] = {"command": command, "environment": environment()}
    if importlib.util.find_spec("jax"):
        kept["environment"]["packages"]["jax"] = version("jax")
    for kind, name, row in rows(args.only, args.repeats):
        kept.setdefault(kind, {})[name] = row
        print(json.dumps({kind: {name: row}}), flush=True)
    if args.json:
        args.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
