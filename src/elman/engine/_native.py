"""The native engine: a cell's step is traced to a program, which a library runs over sequences."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from elman.cells import Cell, LinearCell, Weights, map_tensors, tensors_of
from elman.engine._mode import recorder
from elman.engine._parallel import has_own_step, whole
from elman.engine._recurrence import Plan, Recurrence
from elman.engine.compiler._cache_key import AFFINE, own_tensors
from elman.engine.compiler._hoist import shown, values_of
from elman.engine.compiler._kinds import is_integer
from elman.engine.compiler._lower import Untraceable
from elman.engine.compiler._step import Projection, form_of
from elman.engine.compiler._trace import CellProgram, compile_cell, is_projected
from elman.engine.runtime._functions import recurrence
from elman.engine.runtime._library import encoded, missing
from elman.engine.runtime._operators import ScanSpec

_DTYPES = (torch.float32, torch.float64)

# The affine maps that the library computes itself: weight_ih, weight_hh, bias_ih, bias_hh.
Affine = tuple[Tensor | None, ...]


@dataclass(eq=False)
class NativePlan(Plan):
    """A program of the library, and where its tensors come from.

    Attributes:
        recurrence: what it runs.
        program: one step of the cell.
        affine: the cell's affine maps, where the library projects the input; None where the cell
            does.
    """

    program: CellProgram
    affine: Affine | None

    def run(self) -> tuple[Tensor, Any]:
        r = self.recurrence
        output, last, watched = self.scanned(r.state, r.start)
        final = r.cell.State(*last)
        if r.observe is not None:
            r.notify(dict(zip(self.program.watched, watched, strict=True)), final)
        return output, final

    def scanned(self, state: Any, start: Any) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The first state of all steps, the final states, and what is watched."""
        r, program = self.recurrence, self.program
        # Views, since torch.compile wants every tensor of a Function to be another one.
        start = () if start is None or r.reset is None else tuple(s.view_as(s) for s in start)
        inputs, parameters = self.arguments()
        tensors = (*inputs, *state, *start, *parameters)
        save = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
        spec = ScanSpec(program.text, r.reverse, len(state), len(start), r.lengths, r.reset)
        output, *rest = recurrence(spec, save, *tensors)
        return output, rest[: len(state)], rest[len(state) :]

    def arguments(self) -> tuple[tuple[Tensor | None, ...], list[Any]]:
        """The inputs of the program and its parameters, in its order."""
        r, parameters = self.recurrence, self.program.parameters
        # Where a parametrization computes a tensor, this is the one time that it does.
        hoisted = self.program.hoisted
        names = [name for name, _ in parameters if name not in hoisted.names]
        by_name: dict[str, Any] = {
            name: reduce(getattr, name.split("."), r.cell) for name in (*names, *hoisted.parameters)
        }
        by_name |= {name: t for name, t in r.drawn.items() if name in by_name}
        # The library computes in one type: booleans and integers come to it as torch promotes them.
        by_name = {n: t if t.is_floating_point() else t.to(r.x.dtype) for n, t in by_name.items()}
        by_name |= values_of(hoisted, by_name)
        own: list[Any] = [
            by_name[n].t() if transposed else by_name[n] for n, transposed in parameters
        ]
        if self.affine is not None:
            ih, hh, b_ih, b_hh = self.affine
            return (r.x, ih, b_ih, b_hh), [hh, *own]
        projected = tensors_of(r.projected())
        return tuple(projected[i].to(r.x.dtype) for i in self.program.inputs), own

    def listing(self) -> str:
        names = ["weight_hh"] * (self.affine is not None)
        names += [
            f"{n} transposed" if transposed else n for n, transposed in self.program.parameters
        ]
        count = len(encoded(self.program.text).matrices)
        lines = [f"W{i} is {name}" for i, name in enumerate(names[:count])]
        if names[count:]:
            lines.append(f"@0 and on are {', '.join(names[count:])}")
        if self.program.hoisted.results:
            lines.append(shown(self.program.hoisted))
        return "\n".join([*lines, self.program.text])


@dataclass(eq=False)
class NativeLinearPlan(NativePlan):
    """A program of a linear cell without its output, which has matrices: applied to all steps."""

    def run(self) -> tuple[Tensor, Any]:
        r, cell = self.recurrence, self.recurrence.cell
        assert isinstance(cell, LinearCell)
        one, last, others = self.scanned(r.state[1:], None if r.start is None else r.start[1:])
        s, active = [one, *others], r.active
        if active is not None:  # at padding the state stays what it is, as in a scan
            s = [torch.where(active[..., None], *pair) for pair in zip(s, last, strict=True)]
        return whole(r, cell.output(*s, *self._rest(cell)), tuple(last))

    def _rest(self, cell: LinearCell) -> tuple[Tensor, ...]:
        """What the output takes beside the state: of all steps, without their coefficients."""
        projected = self.recurrence.projected()
        first = map_tensors(lambda t: t[:1], projected)
        with torch.no_grad():
            given = cell.given(first)
        rest = given[cell.numbers(given) :]
        pairs = list(zip(tensors_of(first), tensors_of(projected), strict=True))
        # In most cells they are projections as they are.
        found = [[t for one, t in pairs if one is each] for each in rest]
        if all(found):
            return tuple(t[0] for t in found)
        given = cell.given(projected)
        return tuple(given[cell.numbers(given) :])


def plan(r: Recurrence) -> NativePlan | str:
    """How the library runs it, or the reason why it cannot."""
    step = plan_step(r)
    if isinstance(step, str) or not step.program.multiplies or not _has_output_apart(r):
        return step
    projection = _projection(r)
    assert not isinstance(projection, str)
    program = _program(r.cell, r.x.dtype, projection, False, linear=True)
    return step if isinstance(program, str) else NativeLinearPlan(r, program, None)


def _has_output_apart(r: Recurrence) -> bool:
    """Whether the output can be made of the states of all steps at once."""
    linear = isinstance(r.cell, LinearCell) and len(r.cell.states) > 1 and not has_own_step(r.cell)
    return linear and r.observe is None and r.weights is None and not r.drawn


def plan_step(r: Recurrence) -> NativePlan | str:
    """The same by a program of the cell's whole step, as a stream takes it."""
    affine: Affine | None = None
    if is_projected(r.cell):
        weights: Weights = r.cell.weights if r.weights is None else r.weights  # type: ignore[assignment]
        affine = weights[:4]
    reason = _wrong_sizes(r, affine) or _wrong_tensors(r, affine) or _wrong_mode()
    if reason is not None:
        return reason
    projection = None if affine is not None else _projection(r)
    if isinstance(projection, str):
        return projection
    program = _program(r.cell, r.x.dtype, projection, r.observe is not None)
    if isinstance(program, str):
        return program
    if torch.compiler.is_compiling():
        _show_step_to_dynamo(r, affine)
    return NativePlan(r, program, affine)


def _show_step_to_dynamo(r: Recurrence, affine: Affine | None) -> None:
    """Runs one step whose result is dropped, so that torch.compile guards on all that it reads.

    The program was traced out of dynamo's sight. Without these guards a compiled graph would keep
    it when a number that the step reads has changed. Nothing of the step stays in the graph.
    """
    if affine is None:
        inputs = r.projected()
        r.step(map_tensors(lambda t: t[0], inputs), r.state)
        return
    cell: Any = r.cell
    gates = cell._split(r.state[0].new_zeros(len(r.state[0]), len(cell.gates) * cell.hidden_size))
    cell.pointwise(gates, gates, r.state)


def _wrong_sizes(r: Recurrence, affine: Affine | None) -> str | None:
    cell = r.cell
    if set(cell.state_sizes) != {cell.hidden_size}:
        return f"its states have {cell.state_sizes} units, and hidden_size is {cell.hidden_size}"
    if r.weights is not None and affine is None:
        return f"the weights of {type(cell).__name__} are kept elsewhere"
    if not r.x.numel():
        return "there is nothing to compute"
    return None


def _wrong_tensors(r: Recurrence, affine: Affine | None) -> str | None:
    own = own_tensors(r.cell, () if affine is None else AFFINE)
    floats = [t for _, t in own if t.is_floating_point()] if own else []
    every = (r.x, *(affine or ()), *r.state, *(r.start or ()), *floats)
    tensors = [t for t in every if t is not None]
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
    """What the cell's own ``project`` returns, or why no program takes that."""
    inputs, units = r.projected(), r.cell.hidden_size
    tensors = tensors_of(inputs)
    for t in tensors:
        if t.dim() != 3 or t.shape[:2] != r.x.shape[:2] or t.shape[2] % units:
            return (
                f"{type(r.cell).__name__}.project() gives a tensor of shape {tuple(t.shape)}, "
                f"expected (time, batch, a multiple of the {units} units)"
            )
        if t.dtype not in (r.x.dtype, torch.bool) and not is_integer(t.dtype):
            return f"{type(r.cell).__name__}.project() gives {t.dtype}, and x is {r.x.dtype}"
    return (  # plain, since torch.compile hands no NamedTuple that it has made to _program
        form_of(inputs),
        tuple(t.shape[2] // units for t in tensors),
        tuple(t.dtype for t in tensors),
    )


def _wrong_mode() -> str | None:
    """Which mode or transform of torch is left to the reference."""
    reason = recorder()
    if reason is not None or torch.compiler.is_compiling():
        return reason
    # The rule for jvp opens a level of dual numbers, and torch refuses a second one.
    inside_func = torch._C._functorch.peek_interpreter_stack() is not None
    if forward_ad._current_level >= 0 and not inside_func:
        return "torch.autograd.forward_ad goes through the reference (torch.func.jvp does not)"
    return None


def _program(
    cell: Cell,
    dtype: torch.dtype,
    projection: tuple[Any, ...] | None,
    watches: bool,
    *,
    linear: bool = False,
) -> CellProgram | str:
    """The cell's program, or why there is none."""
    reason = missing()
    if reason is not None:
        return reason
    try:
        inputs = None if projection is None else Projection(*projection)
        return compile_cell(cell, dtype, inputs, watches=watches, linear=linear)
    except Untraceable as error:
        return f"{type(cell).__name__} cannot be traced: {error}"


# torch.compile takes the program as a constant, and does not look into the trace. (The decorator
# that says this, torch.compiler.assume_constant_result, imports all of the compiler.)
_program._dynamo_marked_constant = True  # type: ignore[attr-defined]
