"""Steps that nobody wrote: expressions drawn at random from operations, gates and states."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.cells import PointwiseCell
from elman.testing._probes import Kind

Tree = tuple[Any, ...]
"""The name of a leaf, or of an operation, followed by its operands."""

LEAVES = ("inp.a", "inp.b", "rec.a", "rec.b", "state.h", "state.c", "gain", "level", "half")

UNARY: Mapping[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "bell": lambda a: torch.exp(-a * a),
    "softplus": F.softplus,
    "erf": torch.erf,
    "gelu": F.gelu,
    "root": lambda a: torch.sqrt(1 + a * a),
    "log": lambda a: torch.log1p(a * a),
    "negative": torch.neg,
    "detached": lambda a: a.detach(),
    "mean": lambda a: a - a.mean(-1, keepdim=True),
    "sum": lambda a: 0.2 * a.sum(-1, keepdim=True),
    "turned": lambda a: torch.cat([a, a.cos()], -1).chunk(2, -1)[1],
}

BINARY: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: torch.sub(a, b, alpha=0.5),
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / (1 + b * b),
    "blend": lambda a, b: torch.lerp(a, b, 0.3),
}

KINKED: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "where": lambda a, b: torch.where(a > b, a, 0.5 * b),
    "maximum": torch.maximum,
    "floor": lambda a, b: torch.where(b <= 0, a.relu(), a.clamp(-0.5, 0.5)),
}

OPERATIONS: Mapping[str, Callable[..., Tensor]] = {**UNARY, **BINARY, **KINKED}


class Composed(PointwiseCell):
    """A step drawn by ``seed``; ``kinked`` ones have comparisons too."""

    gates, states = ("a", "b"), ("h", "c")
    level: Tensor

    def __init__(self, input_size: int, hidden_size: int, seed: int, kinked: bool) -> None:
        super().__init__(input_size, hidden_size)
        dice = random.Random(seed)
        self.trees = tuple(_tree(dice, dice.randint(1, 4), kinked) for _ in self.states)
        self.gain = nn.Parameter(torch.linspace(-0.97, 1.03, hidden_size))
        self.register_buffer("level", torch.arange(hidden_size) % 3)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        leaves = {
            **{f"inp.{name}": tile for name, tile in inp._asdict().items()},
            **{f"rec.{name}": tile for name, tile in rec._asdict().items()},
            **{f"state.{name}": tile for name, tile in state._asdict().items()},
            "gain": self.gain.expand_as(inp.a),
            "level": self.level.to(inp.a.dtype).expand_as(inp.a),
            "half": torch.full_like(inp.a, 0.5),
        }
        # One that is a single number a row is spread over the units.
        spread = torch.zeros_like(inp.a)
        return self.State(*(torch.tanh(_value(tree, leaves) + spread) for tree in self.trees))


def _value(tree: Tree, leaves: Mapping[str, Tensor]) -> Tensor:
    name, *operands = tree
    if not operands:
        return leaves[name]
    function: Callable[..., Tensor] = OPERATIONS[name]
    return function(*(_value(operand, leaves) for operand in operands))


def _tree(dice: random.Random, depth: int, kinked: bool) -> Tree:
    if depth == 0 or dice.random() < 0.1:
        return (dice.choice(LEAVES),)
    if dice.random() < 0.5:
        return (dice.choice(sorted(UNARY)), _tree(dice, depth - 1, kinked))
    names = sorted({**BINARY, **KINKED}) if kinked else sorted(BINARY)
    return (dice.choice(names), *(_tree(dice, depth - 1, kinked) for _ in range(2)))


def composed(seeds: range) -> dict[str, Kind]:
    """A kind of cell for each seed, every other one kinked; few sizes, as each is a program."""
    return {
        f"composed {seed}": Kind(
            partial(Composed, seed=seed, kinked=bool(seed % 2)),
            kinked=bool(seed % 2),
            most=1,
            weight=3 / len(seeds),
            rounding=20,
        )
        for seed in seeds
    }
