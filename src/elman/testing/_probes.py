"""Cells with what engines are most easily wrong about: buffers of every type, masks, options."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.cells import CELLS, Cell, PointwiseCell, by_name

MakeSized = Callable[[int, int], Cell]

BUFFERS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, None)
"""The types of a buffer that a step reads; None is the type that the cell computes in."""


class Buffered(PointwiseCell):
    """Reads a buffer of small whole numbers as a condition, and as numbers."""

    gates, states = ("a", "b"), ("h",)

    def __init__(self, input_size: int, hidden_size: int, dtype: torch.dtype | None = None) -> None:
        super().__init__(input_size, hidden_size)
        numbers = torch.arange(hidden_size) % 3
        self.register_buffer("level", numbers.to(dtype or torch.get_default_dtype()))

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        level: Any = self.level
        chosen = torch.where(level > 0, torch.tanh(inp.a + rec.a), torch.sigmoid(inp.b + rec.b))
        return self.State(h=0.5 * state.h + 0.2 * chosen * level.to(chosen.dtype))


class Scaled(PointwiseCell):
    """Multiplies by a buffer of whole numbers as it is, without a conversion of its own."""

    gates, states = ("a",), ("h",)

    def __init__(self, input_size: int, hidden_size: int, dtype: torch.dtype) -> None:
        super().__init__(input_size, hidden_size)
        self.register_buffer("level", (torch.arange(hidden_size) % 4).to(dtype))

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        self.watch(scaled=inp.a * self.level)
        return self.State(h=torch.tanh(0.3 * inp.a * self.level + rec.a) - 0.1 * state.h)


class Kept(NamedTuple):
    """What :class:`Masked` projects."""

    gates: Tensor
    keep: Tensor


class Masked(Cell):
    """Projects a mask beside its gates, as recurrent dropout does."""

    states = ("h",)

    def __init__(self, input_size: int, hidden_size: int, dtype: torch.dtype) -> None:
        super().__init__(input_size, hidden_size)
        self.of_x = nn.Linear(input_size, hidden_size)
        self.of_h = nn.Linear(hidden_size, hidden_size, bias=False)
        self.dtype = dtype

    def project(self, x: Tensor) -> Kept:
        keep = (x[..., :1] > 0).expand(*x.shape[:-1], self.hidden_size)
        return Kept(self.of_x(x), keep.to(self.dtype))

    def step(self, inp: Kept, state: Any) -> Any:
        new = torch.tanh(inp.gates + self.of_h(state.h))
        return self.State(h=torch.where(inp.keep != 0, new, 0.9 * state.h))


class Optioned(PointwiseCell):
    """Operations whose options change what they give."""

    gates, states = ("a", "b"), ("h",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        a = torch.sub(inp.a, rec.a, alpha=3)
        b = torch.add(inp.b, rec.b, alpha=0.5)
        both = torch.rsub(torch.sigmoid(a), 2, alpha=0.5) * F.softplus(b, beta=2.0, threshold=5.0)
        return self.State(h=torch.tanh(torch.addcmul(both, inp.a, rec.b, value=0.5)))


CONSTANTS = {"sharpness": 1.0}


class Changeable(PointwiseCell):
    """Numbers that its step reads: of the cell, of its class, and of a dictionary around it."""

    gates, states = ("a",), ("h",)
    gains: ClassVar[tuple[float, ...]] = (1.0,)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.leak = 0.1

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        a = torch.tanh(CONSTANTS["sharpness"] * (inp.a + rec.a)) * self.gains[0]
        return self.State(h=self.leak * state.h + a)


OPERATIONS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add, mul": lambda a, b: 0.5 * a + a * b,
    "sub, neg": lambda a, b: -a - 2 * b,
    "div": lambda a, b: a / (2 + b * b),
    "sigmoid": lambda a, b: torch.sigmoid(3 * a) * b,
    "tanh": lambda a, b: torch.tanh(a * b),
    "exp": lambda a, b: torch.exp(-a * a) * b,
    "log1p, abs": lambda a, b: torch.log1p(a.abs()) - b,
    "sqrt": lambda a, b: torch.sqrt(1 + a * a) - b,
    "sin, cos": lambda a, b: torch.sin(a) * torch.cos(b),
    "erf": lambda a, b: torch.erf(a) - b,
    "softplus": lambda a, b: F.softplus(a) - b,
    "gelu": lambda a, b: F.gelu(a) + b,
    "maximum, minimum": lambda a, b: torch.maximum(a, b) - torch.minimum(a, 2 * b),
    "where": lambda a, b: torch.where(a > b, a, 0.5 * b),
    "clamp": lambda a, b: a.clamp(-0.3, 0.3) * b,
    "sum, mean": lambda a, b: a - b.mean(-1, keepdim=True) + 0.1 * b.sum(-1, keepdim=True),
    "layer norm": lambda a, b: F.layer_norm(a, a.shape[-1:]) * b,
    "cat, split": lambda a, b: torch.cat([a, b], -1).sigmoid().chunk(2, -1)[1] * a,
}
"""By name, what :func:`elman.testing.selftest` has a step compute."""


class Operated(PointwiseCell):
    """One operation on what the input and the state put in."""

    gates, states = ("a",), ("h",)

    def __init__(self, input_size: int, hidden_size: int, operation: str) -> None:
        super().__init__(input_size, hidden_size)
        self.operation = operation

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=torch.tanh(OPERATIONS[self.operation](inp.a, rec.a)))


class Kind(NamedTuple):
    """A cell that configurations draw.

    Attributes:
        make: the cell from its two sizes.
        kinked: has comparisons, where rounding in float32 may take the other branch.
        smallest: the fewest units that make sense.
        most: how many of the sizes are drawn; each is a program of its own.
        drop_in: the name of the layer in torch's form that has it.
        weight: how often it is drawn, beside the others.
        rounding: by how much its step may enlarge a rounding error of float32.
    """

    make: MakeSized
    kinked: bool = False
    smallest: int = 1
    most: int = 5
    drop_in: str = ""
    weight: float = 1.0
    rounding: float = 1.0


DROP_INS = {"elman": "RNN", "lstm": "LSTM", "gru": "GRU"}
"""The cells that have layers in torch's form, which are never left out, and those layers."""

KINDS: Mapping[str, Kind] = {
    **{name: Kind(by_name(name), drop_in=layer) for name, layer in DROP_INS.items()},
    "optioned": Kind(Optioned),
    **{
        f"buffer of {str(dtype or 'floats').removeprefix('torch.')}": Kind(
            partial(Buffered, dtype=dtype), most=2, weight=0.2
        )
        for dtype in BUFFERS
    },
    **{
        f"scaled by {str(dtype).removeprefix('torch.')}": Kind(
            partial(Scaled, dtype=dtype), most=1, weight=0.1
        )
        for dtype in BUFFERS
        if dtype is not None
    },
    **{
        f"mask of {str(dtype).removeprefix('torch.')}": Kind(
            partial(Masked, dtype=dtype), most=2, weight=0.3
        )
        for dtype in (torch.bool, torch.uint8, torch.int64)
    },
}
"""By name, what :func:`elman.testing.check_configurations` draws unless it is told otherwise."""


def published(seed: int, count: int) -> dict[str, Kind]:
    """By name, as many of the other cells of `elman.cells.CELLS`, drawn by the seed."""
    others = [name for name, _ in CELLS if name not in DROP_INS]
    names = random.Random(seed).sample(others, min(count, len(others)))
    return {name: Kind(by_name(name), kinked=True, most=2) for name in names}
