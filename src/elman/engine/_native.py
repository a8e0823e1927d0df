"""The native engine: a cell's step is traced to a program, which a library runs over sequences."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from elman.cells import PointwiseCell
from elman.engine._functions import recurrence
from elman.engine._library import missing
from elman.engine._lower import Untraceable
from elman.engine._recurrence import Recurrence
from elman.engine._trace import own_tensors, program_text, watching_program
from elman.scan import Observation

NAME = "native"


def why_not(r: Recurrence) -> str | None:  # noqa: PLR0911 - one return for each reason
    """Why this engine cannot run; None if it can."""
    cell, weights = r.cell, r.weights
    if not isinstance(cell, PointwiseCell):
        return f"{type(cell).__name__} is not a PointwiseCell"
    if type(cell).project is not PointwiseCell.project or type(cell).step is not PointwiseCell.step:
        return f"{type(cell).__name__} has a project() or step() of its own"
    weights = r.found["weights"] = cell.weights if weights is None else weights
    if weights.hr is not None or weights.hh.shape[1] != cell.hidden_size:
        return "its state is projected to another size"
    if r.x.device.type != "cpu" or weights.hh.device.type != "cpu":
        return f"it runs on the CPU, and this layer is on {r.x.device}"
    if r.x.dtype not in (torch.float32, torch.float64):
        return f"it computes in float32 and float64, and x is {r.x.dtype}"
    own = r.found["own"] = tuple(t for _, t in own_tensors(cell))
    given = [*weights[:4], *r.state, *(r.start or ()), *own]
    if any(t is not None and t.dtype != r.x.dtype for t in given):
        return f"x is {r.x.dtype}, and not every weight and state is"
    if 0 in r.x.shape[:2]:
        return "there is nothing to compute"
    reason = _around()
    if reason is None:
        looks = r.observe is not None
        r.found["program"], r.found["watched"], reason = _text(cell, r.x.dtype, looks)
    return reason or None


def _around() -> str | None:
    """What torch does around the call that is left to the reference."""
    if torch.compiler.is_exporting():
        return "an exported program must run where this library is not"
    if torch.compiler.is_compiling():
        return None
    # The rule for jvp opens a level of dual numbers, and torch refuses a second one.
    inside_func = torch._C._functorch.peek_interpreter_stack() is not None
    if forward_ad._current_level >= 0 and not inside_func:
        return "torch.autograd.forward_ad goes through the reference (torch.func.jvp does not)"
    return None


def _text(cell: PointwiseCell, dtype: torch.dtype, looks: bool) -> tuple[str, tuple[str, ...], str]:
    """The cell's program and the names of what it shows, or why there is none."""
    reason = missing()
    if reason is not None:
        return "", (), reason
    try:
        if looks:
            return *watching_program(cell, dtype), ""
        return program_text(cell, dtype), (), ""
    except Untraceable as error:
        return "", (), f"{type(cell).__name__} cannot be traced: {error}"


# torch.compile takes the result as it is, and does not look inside. (The decorator that says this,
# torch.compiler.assume_constant_result, imports all of the compiler.)
_text._dynamo_marked_constant = True  # type: ignore[attr-defined]


def run(r: Recurrence) -> tuple[Tensor, Any]:
    """Outputs (time, batch, size) and the final state."""
    text, weights, own = (r.found[name] for name in ("program", "weights", "own"))
    # Views, since torch.compile wants every tensor of a Function to be another one.
    start = () if r.start is None or r.reset is None else tuple(s.view_as(s) for s in r.start)
    tensors = (r.x, *weights[:4], *r.state, *start, *own)
    save = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    output, *rest = recurrence(
        text, r.reverse, save, len(r.state), len(start), r.lengths, r.reset, *tensors
    )
    final = r.cell.State(*rest[: len(r.state)])
    if r.observe is not None:
        _show(r, dict(zip(r.found["watched"], rest[len(r.state) :], strict=True)), final)
    return output, final


def _show(r: Recurrence, seen: dict[str, Tensor], final: Any) -> None:
    """Hands over what was watched; at padding a state is what it was last, or will be first."""
    if r.active is not None:
        for name, last, first in zip(r.cell.states, final, r.state, strict=True):
            seen[name] = torch.where(r.active[..., None], seen[name], first if r.reverse else last)
    if isinstance(r.observe, Observation):
        r.observe.see(seen)
        return
    assert r.observe is not None
    for t in range(len(r.x))[:: -1 if r.reverse else 1]:
        r.observe(t, {name: value[t] for name, value in seen.items()})
