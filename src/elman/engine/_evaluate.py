"""A program carried out by torch: differentiable any number of times, and the library's measure.

The native engine's second derivatives and forward-mode derivatives come from here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from elman.engine._program import Instruction, Program, Routine
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
    )},
    "fma": lambda a, b, c: a * b + c,
    "fnma": lambda a, b, c: c - a * b,
    "add_value": operator.add,
    "mul_value": operator.mul,
    "sub_from": lambda a, value: value - a,
    "div_into": lambda a, value: value / a,
    "copy": lambda a: a,
    **{name: _truth(getattr(torch, name)) for name in ("lt", "le", "eq")},
    **{f"{name}_value": _truth(getattr(torch, name)) for name in ("lt", "le", "gt", "ge", "eq")},
    "where": lambda a, b, c: torch.where(a != 0, b, c),
    "sigmoid_backward": lambda a, b: a * b * (1 - b),
    "tanh_backward": lambda a, b: a * (1 - b * b),
    "expand": lambda a: a,
    "row_sum": lambda a: a.sum(-1, keepdim=True),
}  # fmt: skip


class Arguments(NamedTuple):
    """What one scan of a program takes, time first."""

    x: Tensor
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    state: tuple[Tensor, ...]
    start: tuple[Tensor, ...]
    own: tuple[Tensor, ...]


def evaluate(
    program: Program, a: Arguments, active: Tensor | None, reset: Tensor | None, reverse: bool
) -> tuple[Tensor, ...]:
    """The output, the final states and the watched values of a scan."""
    slots = [
        part
        for t in a.own
        for part in (
            t.reshape(-1).chunk(t.numel() // a.weight_hh.shape[1]) if t.numel() > 1 else (t,)
        )
    ]

    seen: list[Tensor] = []  # step by step, all watched values side by side

    def step(inp: Tensor, state: States) -> States:
        gates = inp.chunk(program.gates, -1)
        recurrent = F.linear(state[0], a.weight_hh, a.bias_hh).chunk(program.gates, -1)
        memory = {f"i{i}": g for i, g in enumerate(gates)}
        memory |= {
            f"r{i}": r + g if fused else r
            for i, (r, g, fused) in enumerate(zip(recurrent, gates, program.fused, strict=True))
        }
        memory |= {f"p{i}": s for i, s in enumerate(state)}
        run_routine(
            program.inference, memory, slots, inp.new_zeros(inp.shape[0], a.weight_hh.shape[1])
        )
        if program.watched:
            seen.append(torch.stack([memory[f"o{i}"] for i in range(program.watched)]))
        return States(*(memory[f"n{i}"] for i in range(program.states)))

    x = a.x if active is None else a.x.masked_fill(~active[..., None], 0)
    start = States(*a.start) if a.start else None
    output, final = scan(
        step,
        F.linear(x, a.weight_ih, a.bias_ih),
        States(*a.state),
        active=active,
        reset=reset,
        start=start,
        reverse=reverse,
    )
    if not seen:
        return output, *final
    watched = torch.stack(seen[::-1] if reverse else seen, 1)
    if active is not None:
        watched = watched.masked_fill(~active[..., None], 0)
    return output, *final, *watched.unbind(0)


class States(tuple[Tensor, ...]):
    """States as :func:`elman.scan.scan` takes them: made from their tensors, one by one."""

    __slots__ = ()

    def __new__(cls, *tensors: Tensor) -> Self:
        return super().__new__(cls, tensors)


def run_routine(
    routine: Routine, memory: dict[str, Tensor], slots: Sequence[Tensor], tile: Tensor
) -> None:
    """Carries out instructions on ``memory``, a tensor for each operand; ``tile`` gives shape."""
    for phase in routine:
        for line in (*phase.rows, *phase.tiles):
            _run(line, memory, slots, tile)


def _run(
    line: Instruction, memory: dict[str, Tensor], slots: Sequence[Tensor], tile: Tensor
) -> None:
    if line.op == "constant":
        memory[line.out] = (
            torch.full_like(tile, line.value)
            if line.out[0] != "q"
            else tile.new_full((tile.shape[0], 1), line.value)
        )
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
        out = f"q{line.slot}" if line.op == "row_sum" else line.out
        memory[out] = TORCH[line.op](*inputs, *values)
