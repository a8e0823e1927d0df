"""The parallel engine: linear cells, all time steps at once, on any device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from elman.cells import LinearCell, watching
from elman.engine._linear_scan import apply, linear_scan
from elman.engine._mode import recorder
from elman.engine._recurrence import Plan, Recurrence
from elman.scan import restarts

_COMPLEX = {torch.float32, torch.float64}
"""What torch computes complex numbers in; in other dtypes they are matrices."""


class ParallelPlan(Plan):
    """A scan of the cell's coefficients, and one call of its output."""

    def run(self) -> tuple[Tensor, Any]:
        r, cell, active = self.recurrence, self.recurrence.cell, self.recurrence.active
        assert isinstance(cell, LinearCell)
        given = cell.given(r.projected())
        s = _linear_states(r, cell, given, active)
        if r.observe is None:
            states = cell.emit(s, given)
        else:
            with watching() as watched:
                states = cell.emit(s, given)
        last = tuple(t[0 if r.reverse else -1] for t in s)
        output, final = whole(r, states[0], last)
        if r.observe is not None:
            if active is not None:
                watched = {n: t.masked_fill(~active[..., None], 0) for n, t in watched.items()}
            r.notify(watched | states._asdict(), final)
        return output, final


def plan(r: Recurrence) -> ParallelPlan | str:
    """How the scan runs it, or the reason why it cannot."""
    kind: Any = type(r.cell)
    if not isinstance(r.cell, LinearCell):
        return f"it runs linear cells (elman.cells.LinearCell), and {kind.__name__} is not one"
    if has_own_step(r.cell):
        return f"the step of {kind.__name__} does not follow from its coefficients: it has its own"
    if r.weights is not None or r.drawn:
        return f"the weights of {kind.__name__} are kept elsewhere, or drawn for each call"
    if not r.x.numel():
        return "there is nothing to compute"
    for t in (*r.state, *(r.start or ())):
        if (t.dtype, t.device) != (r.x.dtype, r.x.device):
            return f"x is {r.x.dtype} on {r.x.device}, and a state is {t.dtype} on {t.device}"
    return recorder() or ParallelPlan(r)


def has_own_step(cell: LinearCell) -> bool:
    """Whether a linear cell states its step anew, so that it may not follow from coefficients."""
    kind: Any = type(cell)
    same = (
        kind.step is LinearCell.step
        and kind.advance is LinearCell.advance
        and kind.emit is LinearCell.emit
    )
    return not same or "step" in vars(cell)


def whole(r: Recurrence, output: Tensor, s: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
    """The output of all steps, 0 at padding, and the final state with the linear part ``s``."""
    last, active = output[0 if r.reverse else -1], r.active
    if active is not None:
        last = _last_real(r, output)
        output = output.masked_fill(~active[..., None], 0)
    return output, r.cell.State(*(last, *s)[-len(r.cell.states) :])


def _linear_states(
    r: Recurrence, cell: LinearCell, given: Any, active: Tensor | None
) -> tuple[Tensor, ...]:
    """The linear state of all steps, in its real parts."""
    a, b = _coefficients(given[: cell.numbers(given)])
    state = _joined(r.state, a)
    if active is not None:  # at padding the state stays what it is
        one = a.new_ones(())
        if a.dim() > b.dim():
            one = torch.eye(2, dtype=a.dtype, device=a.device)[..., None]
        a = torch.where(active.view(*active.shape, *[1] * (a.dim() - 2)), a, one)
        b = torch.where(active.view(*active.shape, *[1] * (b.dim() - 2)), b, b.new_zeros(()))
    restart = None if r.reset is None else restarts(r.reset, active, r.reverse)
    if restart is not None and r.start is not None:
        start = _joined(r.start, a)
        b = torch.where(
            restart.view(*restart.shape, *[1] * (b.dim() - 2)), b + apply(a, start[None]), b
        )
    s = linear_scan(a, b, state, restart, r.reverse)
    if s.is_complex():
        return s.real, s.imag
    return s.unbind(-2) if a.dim() > s.dim() else (s,)


def _coefficients(numbers: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """A and b as the scan takes them: real, complex, or a as matrices of two by two."""
    if len(numbers) == 2:
        return numbers
    if len(numbers) == 4:
        re, im, *b = numbers
        if re.dtype in _COMPLEX:
            return _together(torch.complex, re, im), torch.complex(*b)
        numbers = (re, -im, im, re, *b)
    a = _together(lambda *t: torch.stack(t, -2).view(*t[0].shape[:-1], 2, 2, -1), *numbers[:4])
    return a, torch.stack(numbers[4:], -2)


def _together(function: Any, *numbers: Tensor) -> Tensor:
    """The function of numbers of all steps; of one step, where all are alike."""
    steps = len(numbers[0])
    if steps > 1 and all(t.stride(0) == 0 for t in numbers):
        one: Tensor = function(*(t[:1] for t in numbers))
        return one.expand(steps, *one.shape[1:])
    together: Tensor = function(*numbers)
    return together


def _joined(state: Any, a: Tensor) -> Tensor:
    """The linear part of a state, as the scan takes it."""
    one, *two = state[1:] or state
    if not two:
        return one  # type: ignore[no-any-return]
    return torch.complex(one, *two) if a.is_complex() else torch.stack((one, *two), -2)


def _last_real(r: Recurrence, output: Tensor) -> Tensor:
    """The output of each row's last real step; before it, where it has none."""
    assert r.lengths is not None
    lengths = r.lengths.to(output.device, torch.int64).clamp(0, len(output))
    rows = torch.arange(len(lengths), device=output.device)
    last = output[0] if r.reverse else output[(lengths - 1).clamp_min(0), rows]
    return torch.where(lengths[:, None] > 0, last, r.state[0])
