"""A cell whose step is one operation, by the native engine and by torch."""

from __future__ import annotations

import warnings
from collections import namedtuple
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from elman.cells import Cell
from elman.engine import Plan, Recurrence
from elman.engine._native import NativePlan
from elman.engine._reference import ReferencePlan
from elman.engine.compiler import _trace
from elman.engine.compiler._step import Projection
from unit.engine.operator_samples import ROWS, Sample


@dataclass(frozen=True)
class Verdict:
    """What came of a sample.

    "equal", "differs" or "refused" beside torch; "unfit" where torch itself has no such step;
    "no gradient" where it is refused, and torch has no gradient of it to train with.
    """

    kind: str
    reason: str = ""


@cache
def _gates(count: int) -> Any:
    return namedtuple("Gates", [f"g{i}" for i in range(count)])  # noqa: PYI024


class Applied(Cell):
    """A sample's operation, on what ``project`` gives and on the cell's own tensors."""

    states: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(self, sample: Sample) -> None:
        super().__init__(1, sample.units)
        self.sample, self.count = sample, len(sample.own)
        for number, t in enumerate(sample.own):
            if t.is_floating_point():
                self.register_parameter(f"own{number}", nn.Parameter(t.to(sample.dtype)))
            else:
                self.register_buffer(f"own{number}", t)

    def project(self, x: Tensor) -> Any:
        raise AssertionError("what it gives is the sample's")

    def step(self, inp: Any, state: Any) -> Any:
        own = [getattr(self, f"own{number}") for number in range(self.count)]
        result = self.sample.applied(inp, own)
        return self.State(as_state(result, state.h))


def as_state(result: Any, like: Tensor) -> Tensor:
    """Whatever an operation gives, as a state (batch, units): by moving, converting and adding."""
    if isinstance(result, (list, tuple)):
        total = as_state(result[0], like)
        for each in result[1:]:
            total = total + as_state(each, like)
        return total
    if not isinstance(result, Tensor):
        raise Unfit(f"it gives a {type(result).__name__}")
    if result.is_complex():
        result = torch.real(result)
    if result.dtype != like.dtype:
        result = result.to(like.dtype)
    return _in_shape(result, *like.shape)


class Unfit(Exception):
    """This makes no state."""


def _in_shape(t: Tensor, batch: int, units: int) -> Tensor:
    shape = list(t.shape)
    while shape and shape[0] == 1 and len(shape) > 1:
        shape = shape[1:]
    if shape in ([], [1], [units]):  # the same for every row
        return t.reshape(1, -1).expand(batch, units)
    if shape[0] != batch:
        raise Unfit(f"it gives shape {tuple(t.shape)}, which has no rows")
    rest = t.numel() // batch
    if rest == 1:
        return t.reshape(batch, 1).expand(batch, units)
    t = t.reshape(batch, rest)
    if rest == units:
        return t
    if rest % units == 0:
        first, *others = t.chunk(rest // units, -1)
        return sum(others, first)
    return t.sum(-1, keepdim=True).expand(batch, units)


# ---- what comes of it ----


def judged(sample: Sample) -> Verdict:
    """The native engine beside torch; unfit where torch itself has no such step."""
    cell = Applied(sample)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reason = why_no_step(cell)
        if reason is not None:
            return Verdict("unfit", reason)
        program = program_of(cell)
        if isinstance(program, str):
            return Verdict("refused" if has_gradient(cell) else "no gradient", program)
        reason = difference(cell, program)
    return Verdict("equal") if reason is None else Verdict("differs", reason)


def why_no_step(cell: Applied) -> str | None:
    """Whether torch computes this, row by row; what it says where it does not."""
    sample = cell.sample

    def step(rows: slice) -> Tensor:
        torch.manual_seed(3)
        gates = [g[0, rows].clone() for g in sample.gates]
        state = torch.zeros(ROWS, sample.units, dtype=sample.dtype)[rows]
        own = [t.clone() for t in sample.own]
        return as_state(sample.applied(gates, own), state)

    try:
        whole, some = step(slice(None)), step(slice(2, 4))
    except (Unfit, Exception) as error:  # noqa: BLE001 - torch refuses in many ways
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    if not torch.allclose(whole[2:4], some, rtol=1e-4, atol=1e-5, equal_nan=True):
        return "its rows depend on each other"
    return None


def has_gradient(cell: Applied) -> bool:
    """Whether torch can train through this step; of what is no number, nobody can."""
    sample, like = cell.sample, torch.zeros(ROWS, cell.sample.units, dtype=cell.sample.dtype)
    gates = [g[0].clone().requires_grad_(g.is_floating_point()) for g in sample.gates]
    try:
        result = sample.applied(gates, sample.own)
        results(ReferencePlan(recurrence(cell)), cell)
    except (RuntimeError, NotImplementedError):
        return False
    reals = [t for t in tree_leaves(result) if isinstance(t, Tensor) and t.is_floating_point()]
    differentiable = any(g.requires_grad for g in gates)
    return not (differentiable and reals) or as_state(result, like).requires_grad


def program_of(cell: Applied) -> Any:
    """The program of this cell, or why there is none."""
    sample = cell.sample
    kind = _gates(len(sample.gates))
    widths = tuple(g.shape[-1] // sample.units for g in sample.gates)
    projection = Projection(kind, widths, tuple(g.dtype for g in sample.gates))
    # What it reads, all that a sample consists of, is no matter here: it is traced once.
    nothing = SimpleNamespace(containers=[])
    with patch.object(_trace, "walk_cell", lambda *_: nothing):
        return _trace._traced(cell, sample.dtype, projection, False, False)


def recurrence(cell: Applied) -> Recurrence:
    """Three steps, the projection given."""
    sample = cell.sample
    dtype = sample.dtype
    state = cell.State(torch.zeros(ROWS, sample.units, dtype=dtype))
    r = Recurrence(cell, torch.zeros(3, ROWS, 1, dtype=dtype), state)
    gates = [g.clone().requires_grad_(g.is_floating_point()) for g in sample.gates]
    r.projection = _gates(len(gates))(*gates)
    return r


def results(plan: Plan, cell: Applied) -> tuple[Tensor, list[Tensor]]:
    """The output, and the gradients of gates and parameters."""
    r = plan.recurrence
    output, _ = plan.run()
    inputs = [t for t in (*r.projected(), *cell.parameters()) if t.requires_grad]
    if not inputs or not output.requires_grad:
        return output, [torch.zeros_like(t) for t in inputs]
    weights = torch.linspace(0.5, 1.5, output.numel(), dtype=output.dtype).view_as(output)
    # Of what is not finite there is no gradient to speak of, and in a sum it hides all else.
    weights = weights * output.detach().isfinite()
    found = torch.autograd.grad(output, inputs, weights, allow_unused=True)
    finite = torch.stack([g.detach().double().isfinite() for g in r.projected()]).all(0)
    return output, [
        torch.zeros_like(t) if g is None else g.where(finite, 0.0) if t.dim() == 3 else g
        for g, t in zip(found, inputs, strict=True)
    ]


# Where torch's own decomposition has another sign of zero than its kernel.
_EITHER_ZERO = ("native_dropout_backward",)


def difference(cell: Applied, program: Any) -> str | None:
    """Where native and torch differ by more than torch allows itself; None where they do not."""
    ours, our_gradients = results(NativePlan(recurrence(cell), program, None), cell)
    theirs, their_gradients = results(ReferencePlan(recurrence(cell)), cell)
    relative, absolute = cell.sample.tolerance
    pairs = [(ours, theirs), *zip(our_gradients, their_gradients, strict=True)]
    for number, (a, b) in enumerate(pairs):
        what = "output" if not number else f"gradient {number - 1}"
        try:
            torch.testing.assert_close(a, b, rtol=relative, atol=absolute, equal_nan=True)
        except AssertionError as error:
            at = (~torch.isclose(a, b, rtol=relative, atol=absolute, equal_nan=True)).nonzero()[0]
            where = tuple(at.tolist())
            return f"{what} {a[where].item()!r} for {b[where].item()!r} at {where}: {error}"
    if cell.sample.operator in _EITHER_ZERO:
        return None
    wrong = (theirs == 0) & (ours == 0) & (theirs.signbit() != ours.signbit())
    if wrong.any():
        where = tuple(wrong.nonzero()[0].tolist())
        return f"sign of zero at {where}"
    return None
