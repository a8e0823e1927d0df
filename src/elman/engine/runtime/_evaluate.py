"""A program carried out by torch: differentiable any number of times, and the library's measure.

The native engine's second derivatives and forward-mode derivatives come from here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from elman.engine.compiler._program import REDUCTIONS, Block, Instruction, Product, Program, Routine
from elman.scan import scan


def _truth(
    compare: Callable[[Tensor, Tensor | float], Tensor],
) -> Callable[[Tensor, Tensor | float], Tensor]:
    return lambda a, b: compare(a, b).to(a.dtype)


# A value, where an operation takes one, comes last.
TORCH: dict[str, Callable[..., Tensor]] = {
    **{name: getattr(torch, name) for name in (
        "sub", "mul", "div", "neg", "maximum", "minimum", "relu", "abs", "sign", "sqrt", "rsqrt",
        "exp", "expm1", "log", "log1p", "sin", "cos", "erf", "pow", "sigmoid", "tanh", "add",
        "copysign", "floor", "ceil", "round", "trunc", "fmod", "atan2", "hypot", "log2", "log10",
        "exp2", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "erfc",
        "lgamma",
    )},
    "fma": lambda a, b, c: a * b + c,
    "fnma": lambda a, b, c: c - a * b,
    "add_value": operator.add,
    "mul_value": operator.mul,
    "sub_from": lambda a, value: value - a,
    "div_into": lambda a, value: value / a,
    "copy": lambda a: a,
    "narrow": lambda a: a.float().to(a.dtype),
    **{name: _truth(getattr(torch, name)) for name in ("lt", "le", "eq", "ne")},
    **{
        f"{name}_value": _truth(getattr(torch, name))
        for name in ("lt", "le", "gt", "ge", "eq", "ne")
    },
    "where": lambda a, b, c: torch.where(a != 0, b, c),
    "sigmoid_backward": lambda a, b: a * b * (1 - b),
    "tanh_backward": lambda a, b: a * (1 - b * b),
    "row_sum": lambda a: a.sum(-1, keepdim=True),
    "row_max": lambda a: a.amax(-1, keepdim=True),
}  # fmt: skip


class ScanTensors(NamedTuple):
    """The tensors of one scan of a program, time first."""

    inputs: tuple[Tensor | None, ...]
    state: tuple[Tensor, ...]
    start: tuple[Tensor, ...]
    own: tuple[Tensor, ...]


def evaluate(
    program: Program, a: ScanTensors, active: Tensor | None, reset: Tensor | None, reverse: bool
) -> tuple[Tensor, ...]:
    """The output, the final states and the watched values of a scan."""
    units = a.state[0].shape[1]
    count = len(program.matrices)
    weights = Parameters(dict(_blocks(a.own[:count], units)), list(_slots(a.own[count:], units)))
    inputs, bias = a.inputs, None
    if program.projected:
        x, weight, bias_ih, bias = a.inputs
        assert x is not None
        assert weight is not None
        # Padding may hold NaN, and 0 * NaN would reach the gradient of the weight.
        x = x if active is None else x.masked_fill(~active[..., None], 0)
        inputs = (F.linear(x, weight, bias_ih),)

    watched: list[Tensor] = []  # step by step, all watched values stacked

    def step(inp: Any, state: States) -> States:
        gates = (gate for t, n in zip(inp, program.inputs, strict=True) for gate in t.chunk(n, -1))
        memory = {f"i{i}": gate for i, gate in enumerate(gates)}
        memory |= {f"p{i}": s for i, s in enumerate(state)}
        run_routine(program.inference, memory, weights, state[0], bias)
        if program.watched:
            watched.append(torch.stack([memory[f"o{i}"] for i in range(program.watched)]))
        return States(*(memory[f"n{i}"] for i in range(program.states)))

    output, final = scan(
        step,
        States(*(t for t in inputs if t is not None)),
        States(*a.state),
        active=active,
        reset=reset,
        start=States(*a.start) if a.start else None,
        reverse=reverse,
    )
    if not watched:
        return output, *final
    values = torch.stack(watched[::-1] if reverse else watched, 1)
    if active is not None:
        values = values.masked_fill(~active[..., None], 0)
    return output, *final, *values.unbind(0)


def _blocks(matrices: Sequence[Tensor], units: int) -> Iterator[tuple[Block, Tensor]]:
    for number, matrix in enumerate(matrices):
        for i, rows in enumerate(matrix.chunk(len(matrix) // units)):
            for j, block in enumerate(rows.chunk(rows.shape[1] // units, -1)):
                yield Block(number, i, j), block


def _slots(own: Sequence[Tensor], units: int) -> Iterator[Tensor]:
    for t in own:
        yield from t.reshape(-1).chunk(max(1, t.numel() // units))


class Parameters(NamedTuple):
    """The cell's own tensors in pieces: blocks of matrices, and numbers per unit or single ones."""

    blocks: Mapping[Block, Tensor]
    slots: Sequence[Tensor]


class States(tuple[Tensor, ...]):
    """States as :func:`elman.scan.scan` takes them: made from their tensors, one by one."""

    __slots__ = ()

    def __new__(cls, *tensors: Tensor) -> Self:
        return super().__new__(cls, tensors)


def run_routine(
    routine: Routine,
    memory: dict[str, Tensor],
    weights: Parameters,
    tile: Tensor,
    bias: Tensor | None = None,
) -> None:
    """Runs instructions on ``memory``, a tensor for each operand; ``tile`` has the shape of one.

    ``bias`` is that of the products of matrix 0, by row.
    """
    for phase in routine:
        for product in phase.products:
            _multiply(product, memory, weights, bias)
        for line in (*phase.rows, *phase.tiles):
            _run(line, memory, weights.slots, tile)


def _multiply(
    product: Product, memory: dict[str, Tensor], weights: Parameters, bias: Tensor | None
) -> None:
    terms = [memory[product.start]] if product.start else []
    for block, source in zip(product.blocks, product.sources, strict=True):
        matrix = weights.blocks[block]
        terms.append(F.linear(memory[source], matrix.T if product.transposed else matrix))
        # b_hh belongs to the products of W_hh, which is matrix 0: a reset gate multiplies both.
        if bias is not None and block.matrix == 0:
            terms.append(bias.chunk(len(bias) // len(matrix))[block.row])
    memory[product.out] = reduce(torch.add, terms)


def _run(
    line: Instruction, memory: dict[str, Tensor], slots: Sequence[Tensor], tile: Tensor
) -> None:
    if line.op == "constant":
        memory[line.out] = (
            torch.full_like(tile, line.value)
            if line.out[0] != "q"
            else tile.new_full((tile.shape[0], 1), line.value)
        )
    elif line.op == "expand":
        memory[line.out] = memory[line.inputs[0]].expand(tile.shape)
    elif line.op in ("unit", "scalar"):
        width = tile.shape[1] if line.op == "unit" else 1
        memory[line.out] = slots[line.slot].reshape(1, width).expand(tile.shape[0], width)
    else:
        inputs = [memory[name] for name in line.inputs]
        values = (
            [line.value]
            if line.op.endswith("_value") or line.op in ("sub_from", "div_into")
            else []
        )
        # A reduction names the row that it accumulates to by its slot.
        out = f"q{line.slot}" if line.op in REDUCTIONS else line.out
        memory[out] = TORCH[line.op](*inputs, *values)
