"""The native engine: a cell's step is traced to a program, which a library runs over sequences."""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from elman.cells import Cell, Weights
from elman.engine._recurrence import Recurrence
from elman.engine.compiler._cache_key import AFFINE, own_tensors
from elman.engine.compiler._kinds import is_integer
from elman.engine.compiler._lower import Untraceable
from elman.engine.compiler._trace import Projection, Traced, is_projected, traced
from elman.engine.runtime._functions import recurrence
from elman.engine.runtime._library import encoded, missing
from elman.scan import Observation

NAME = "native"
_DTYPES = (torch.float32, torch.float64)


def why_not(r: Recurrence) -> str | None:
    """Why this engine cannot run; None if it can."""
    inherited = is_projected(r.cell)
    reason = _of_sizes(r, inherited) or _of_tensors(r, inherited) or _around()
    if reason is not None:
        return reason
    projection = None if inherited else _projection(r)
    if isinstance(projection, str):
        return projection
    r.found["program"], reason = _program(r.cell, r.x.dtype, projection, r.observe is not None)
    if not reason and torch.compiler.is_compiling():
        _step_unseen(r)
    return reason or None


def _step_unseen(r: Recurrence) -> None:
    """One step whose result goes nowhere, so that torch.compile notes all that it reads.

    It compiles anew then when something of that has changed; nothing of it stays in the graph.
    """
    if "affine" not in r.found:
        inputs = r.projected()
        first = inputs[0] if isinstance(inputs, Tensor) else type(inputs)(*(t[0] for t in inputs))
        r.cell.step(first, r.state)
        return
    cell: Any = r.cell
    gates = cell._split(r.state[0].new_zeros(len(r.state[0]), len(cell.gates) * cell.hidden_size))
    cell.pointwise(gates, gates, r.state)


def _of_sizes(r: Recurrence, inherited: bool) -> str | None:
    cell = r.cell
    if set(cell.state_sizes) != {cell.hidden_size}:
        return f"its states have {cell.state_sizes} units, and hidden_size is {cell.hidden_size}"
    if r.weights is not None and not inherited:
        return f"the weights of {type(cell).__name__} are kept elsewhere"
    if not r.x.numel():
        return "there is nothing to compute"
    return None


def _of_tensors(r: Recurrence, inherited: bool) -> str | None:
    affine: tuple[Tensor | None, ...] = ()
    if inherited:
        weights: Weights = r.cell.weights if r.weights is None else r.weights  # type: ignore[assignment]
        affine = r.found["affine"] = weights[:4]
    own = own_tensors(r.cell, AFFINE if inherited else ())
    floats = [t for _, t in own if t.is_floating_point()] if own else []
    tensors = [t for t in (r.x, *affine, *r.state, *(r.start or ()), *floats) if t is not None]
    dtype = r.x.dtype
    elsewhere = [t.device for t in tensors if not t.is_cpu]
    elsewhere += [t.device for _, t in own if not t.is_cpu]
    if elsewhere:
        return f"it runs on the CPU, and this layer is on {elsewhere[0]}"
    if r.lengths is not None and not r.lengths.is_cpu:
        return f"it runs on the CPU, and lengths is on {r.lengths.device}"
    if r.reset is not None and not r.reset.is_cpu:
        return f"it runs on the CPU, and reset is on {r.reset.device}"
    if dtype not in _DTYPES:
        return f"it computes in float32 and float64, and x is {dtype}"
    if [t for t in tensors if t.dtype is not dtype]:
        real = [(name, t) for name, t in own if t.is_floating_point()]
        others = [f": {name} is {t.dtype}" for name, t in real if t.dtype is not dtype]
        return f"x is {dtype}, and not every weight and state is{''.join(others[:1])}"
    return None


def _projection(r: Recurrence) -> tuple[Any, ...] | str:
    """What the cell's own ``project`` gives, or why it cannot be taken."""
    given, units = r.projected(), r.cell.hidden_size
    tensors = _tensors(given)
    for t in tensors:
        if t.dim() != 3 or t.shape[:2] != r.x.shape[:2] or t.shape[2] % units:
            return (
                f"{type(r.cell).__name__}.project() gives a tensor of shape {tuple(t.shape)}, "
                f"expected (time, batch, a multiple of the {units} units)"
            )
        if t.dtype not in (r.x.dtype, torch.bool) and not is_integer(t.dtype):
            return f"{type(r.cell).__name__}.project() gives {t.dtype}, and x is {r.x.dtype}"
    return (  # plain, since torch.compile hands no NamedTuple that it has made to _program
        None if isinstance(given, Tensor) else type(given),
        tuple(t.shape[2] // units for t in tensors),
        tuple(t.dtype for t in tensors),
    )


def _tensors(given: Any) -> tuple[Tensor, ...]:
    return (given,) if isinstance(given, Tensor) else tuple(given)


def _around() -> str | None:
    """What torch does around the call that is left to the reference."""
    if torch.compiler.is_exporting():
        return "an exported program must run where this library is not"
    if torch.compiler.is_compiling():
        return None
    if torch._C._is_tracing():
        return (
            "torch.jit.trace, with which torch.onnx.export(dynamo=False) begins, records the "
            "operations of torch alone"
        )
    # The rule for jvp opens a level of dual numbers, and torch refuses a second one.
    inside_func = torch._C._functorch.peek_interpreter_stack() is not None
    if forward_ad._current_level >= 0 and not inside_func:
        return "torch.autograd.forward_ad goes through the reference (torch.func.jvp does not)"
    return None


def _program(
    cell: Cell, dtype: torch.dtype, projection: tuple[Any, ...] | None, watches: bool
) -> tuple[Traced | None, str]:
    """The cell's program, or why there is none."""
    reason = missing()
    if reason is not None:
        return None, reason
    try:
        given = None if projection is None else Projection(*projection)
        return traced(cell, dtype, given, watches=watches), ""
    except Untraceable as error:
        return None, f"{type(cell).__name__} cannot be traced: {error}"


# torch.compile takes the result as it is, and does not look inside. (The decorator that says this,
# torch.compiler.assume_constant_result, imports all of the compiler.)
_program._dynamo_marked_constant = True  # type: ignore[attr-defined]


def program_of(r: Recurrence) -> str:
    """The program of what can run, with the names of the tensors that it takes."""
    program: Traced = r.found["program"]
    names = ["weight_hh"] * ("affine" in r.found)
    names += [f"{name} transposed" if turned else name for name, turned in program.own]
    count = len(encoded(program.text).matrices)
    lines = [f"W{i} is {name}" for i, name in enumerate(names[:count])]
    if names[count:]:
        lines.append(f"@0 and on are {', '.join(names[count:])}")
    return "\n".join([*lines, program.text])


def run(r: Recurrence) -> tuple[Tensor, Any]:
    """Outputs (time, batch, size) and the final state."""
    program = r.found["program"]
    # Views, since torch.compile wants every tensor of a Function to be another one.
    start = () if r.start is None or r.reset is None else tuple(s.view_as(s) for s in r.start)
    incoming, own = arguments(r)
    tensors = (*incoming, *r.state, *start, *own)
    save = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    output, *rest = recurrence(
        program.text, r.reverse, save, len(r.state), len(start), r.lengths, r.reset, *tensors
    )
    final = r.cell.State(*rest[: len(r.state)])
    if r.observe is not None:
        _show(r, dict(zip(program.watched, rest[len(r.state) :], strict=True)), final)
    return output, final


def arguments(r: Recurrence) -> tuple[tuple[Tensor | None, ...], list[Any]]:
    """What comes in, and the cell's own tensors, in the order of the program."""
    program: Traced = r.found["program"]
    # What is parametrized is computed here, once.
    named: dict[str, Any] = {
        name: reduce(getattr, name.split("."), r.cell) for name, _ in program.own
    }
    # The library computes in one type: booleans and integers come to it as torch promotes them.
    named = {n: t if t.is_floating_point() else t.to(r.x.dtype) for n, t in named.items()}
    own: list[Any] = [named[name].t() if turned else named[name] for name, turned in program.own]
    if "affine" in r.found:
        ih, hh, b_ih, b_hh = r.found["affine"]
        return (r.x, ih, b_ih, b_hh), [hh, *own]
    return tuple(t.to(r.x.dtype) for t in _tensors(r.projected())), own


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
