"""From a cell's Python to a program: its step is traced once, and so is the step's gradient."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode

from elman.cells import Cell, PointwiseCell, watching
from elman.engine._lock import fork_safe_lock
from elman.engine.compiler._bytecode import walk_cell
from elman.engine.compiler._cache_key import AFFINE, Dependence, own_tensors
from elman.engine.compiler._codegen import Builder, TracedInput
from elman.engine.compiler._containers import changed, entries
from elman.engine.compiler._hoist import Hoisted, hoist, values_of
from elman.engine.compiler._lower import Untraceable
from elman.engine.compiler._once import has_only_first_derivatives
from elman.engine.compiler._origin import OriginMode, user_line, with_origin
from elman.engine.compiler._program import Program
from elman.engine.compiler._step import LinearStepModule, Projection, StepModule, twin_of, types_of

aten = torch.ops.aten
# Two sizes of batch, neither of them a size of anything else: the program must be the same in both.
_BATCHES = (13, 17)
_one_at_a_time = fork_safe_lock()  # torch's tracer patches what all threads share


class CellProgram(NamedTuple):
    """The program of a cell's step.

    Attributes:
        text: the program.
        parameters: the cell's parameters and buffers that it takes, by name, in its order; and
            whether the transpose is taken.
        watched: the names of the values that it returns to an observer.
        inputs: which of the projected tensors it takes.
        multiplies: whether the step has matrix products of its own.
        hoisted: what is computed once per call of the cell's own tensors, and is then among the
            parameters.
    """

    text: str
    parameters: tuple[tuple[str, bool], ...]
    watched: tuple[str, ...] = ()
    inputs: tuple[int, ...] = ()
    multiplies: bool = False
    hoisted: Hoisted = Hoisted()


_PROJECT, _STEP = PointwiseCell.project, PointwiseCell.step
_PARTS_OF_STEP = PointwiseCell.project_state, PointwiseCell.combine


def is_projected(cell: Cell) -> bool:
    """Whether this is a pointwise cell whose matrices are applied as its contract has it."""
    methods = ((cell.project, _PROJECT), (cell.step, _STEP))  # those of the cell alone, too
    if not all(getattr(method, "__func__", None) is its for method, its in methods):
        return False
    parts = cell.project_state, cell.combine
    pairs = zip(parts, _PARTS_OF_STEP, strict=True)
    return all(getattr(method, "__func__", None) is its for method, its in pairs)


class _CacheEntry(NamedTuple):
    """What a cell depended on at its last call, and its programs, or the reasons against them."""

    dependence: Dependence
    form: Any
    programs: dict[Any, CellProgram | str]


# Two caches: of each cell that is alive, by its id, where a hit compares a few leaves by identity;
# and of all cells that are alike, by content, so that the second layer of a stack is not traced.
_entries: dict[int, _CacheEntry] = {}
_programs: dict[Any, CellProgram | str] = {}
_changing: MutableMapping[type, str] = WeakKeyDictionary()  # by the class: why it has no program
_MOST_PROGRAMS = 256


def compile_cell(
    cell: Cell,
    dtype: torch.dtype,
    projection: Projection | None,
    *,
    watches: bool = False,
    linear: bool = False,
) -> CellProgram:
    """The program of this cell as it is now; traced when it, or what its step reads, is new.

    Args:
        cell: the cell.
        dtype: that it computes in.
        projection: what its ``project`` returns; None where :func:`is_projected`.
        watches: whether it also returns what the cell watches, and its states.
        linear: the linear part of a :class:`LinearCell` alone, whose state is the output; a second
            part is returned for all steps as a watched value.

    Raises:
        Untraceable: naming the operation, or what the step reads, and the line.
    """
    entry, form = _entries.get(id(cell)), projection.form if projection else None
    options = (dtype, projection, watches, linear, torch.get_default_dtype())
    if entry is None or entry.form != form or not entry.dependence.holds(cell):
        entry = _new_entry(cell, form, AFFINE if projection is None else ())
    program = entry.programs.get(options)
    if program is None:
        program = _look_up(cell, entry, options)
    if isinstance(program, str):
        raise Untraceable(program)
    return program


def reads_around(cell: Cell) -> bool:
    """Whether the step of a cell that was traced reads anything outside of the cell."""
    return _entries[id(cell)].dependence.reads_around


def unchanged(cell: Cell) -> bool:
    """Whether nothing has changed that the program of a traced cell depends on."""
    return _entries[id(cell)].dependence.holds(cell)


def _new_entry(cell: Cell, form: Any, apart: tuple[str, ...]) -> _CacheEntry:
    key, problem = id(cell), _changing.get(type(cell))
    if problem:
        raise Untraceable(problem)
    # The entry goes with the cell: another one may later have its id.
    kinds = tuple(types_of(form))
    dependence = Dependence(cell, apart, kinds, lambda _: _entries.pop(key, None))
    entry = _entries[key] = _CacheEntry(dependence, form, {})
    return entry


def _look_up(cell: Cell, entry: _CacheEntry, options: Any) -> CellProgram | str:
    """The program, or why there is none: that of an earlier cell if one was alike."""
    key = options, entry.dependence.key
    program = _programs.get(key) or _traced(cell, *options[:4])
    # Another thread may have changed it meanwhile: then nobody knows what the trace is of.
    if not entry.dependence.holds(cell):
        why = "what its step reads was changed while it was traced"
        return program if isinstance(program, str) else why
    _programs[key] = entry.programs[options] = program
    while len(_programs) > _MOST_PROGRAMS:
        _programs.pop(next(iter(_programs)), None)
    return program


def _traced(
    cell: Cell, dtype: torch.dtype, projection: Projection | None, watches: bool, linear: bool
) -> CellProgram | str:
    """Traces the step; the program, or the reason why there is none."""

    def trace(batch: int) -> CellProgram:
        # Imported when first needed: it takes longer than all of elman.
        from torch.fx.experimental.proxy_tensor import make_fx

        with _one_at_a_time, _swept():
            kind = _LinearStep if linear else _Step
            return kind(cell, dtype, projection, batch, watches).trace(make_fx)

    # In a thread of its own, where no hooks of a checkpoint, autocast or mode are in force.
    try:
        with ThreadPoolExecutor(1) as fresh:
            # Twice: where the batch enters a number, or a shape, the two programs differ.
            first, second = fresh.map(trace, _BATCHES)
    except Untraceable as error:
        return str(error)
    return first if first == second else "its step depends on the number of rows"


@contextmanager
def _swept() -> Iterator[None]:
    """Frees at the end what was made inside: a trace is full of cycles, and holds megabytes.

    All of it is in the youngest generation, since no collection ran meanwhile, and only that is
    looked through: the others take longer than the trace.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect(0)


def _with_gradient(
    step: Callable[..., tuple[Tensor, ...]], on_origins: Callable[[OriginMode], Any] | None = None
) -> Callable[[Any, Any, Any], Any]:
    """The step with its gradient by the first tensors that it takes."""

    def with_gradient(some: Any, fixed: Any, cotangents: Any) -> Any:
        with OriginMode() as origins:
            if on_origins is not None:
                on_origins(origins)
            new, vjp, *_ = torch.func.vjp(lambda *tensors: step(*tensors, *fixed), *some)
            return new, vjp(tuple(cotangents))

    return with_gradient


class _Step:
    """Traces a cell's step on example tensors."""

    linear, module_of = False, StepModule
    origins: OriginMode

    def __init__(
        self,
        cell: Cell,
        dtype: torch.dtype,
        projection: Projection | None,
        batch: int,
        watches: bool,
    ) -> None:
        self.units, self.states = cell.hidden_size, self.states_of(cell)
        self.dtype, self.watches = dtype, watches
        self.watched: tuple[str, ...] = ()
        # A batch that is a multiple of the units could be taken for gates.
        while batch % self.units == 0 and self.units > 1:
            batch += 2
        self.batch, self.projection = batch, projection
        self.module, self.cell = self.module_of(twin_of(cell), projection), cell
        apart = () if projection else AFFINE
        self.names = [name for name, _ in own_tensors(self.module.cell, apart)]
        leaves = list(self._leaves(cell, dtype))
        # A gradient is only taken of those that can have one, which come first.
        self.leaves = sorted(leaves, key=lambda leaf: leaf[0].fixed)

    def _leaves(self, cell: Cell, dtype: torch.dtype) -> Iterator[tuple[TracedInput, Tensor]]:
        def rows(kind: str, number: int, gates: int, own_dtype: torch.dtype = dtype) -> Any:
            shape = (self.batch, gates * self.units)
            fixed = own_dtype != dtype
            example = torch.full(shape, 1 if fixed else 0.5, dtype=own_dtype)
            return TracedInput(kind, number, shape, fixed), example

        if self.projection is None:
            assert isinstance(cell, PointwiseCell)
            yield from (rows(kind, 0, len(cell.gates)) for kind in ("input", "recurrent"))
        else:
            _, gates, dtypes = self.projection
            yield from map(rows, ["input"] * len(gates), range(len(gates)), gates, dtypes)
        yield from (rows("state", i, 1) for i in range(self.states))
        tensors = dict(own_tensors(self.module.cell))
        for number, name in enumerate(self.names):
            t, real = tensors[name].detach(), tensors[name].is_floating_point()
            leaf = TracedInput("own", number, tuple(t.shape), not real)
            yield leaf, t.to("cpu", dtype if real else t.dtype)

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The new states and the watched values, whose names :attr:`watched` gets."""
        by_kind: dict[str, list[Tensor]] = {k: [] for k in ("input", "recurrent", "state", "own")}
        pairs = zip((leaf for leaf, _ in self.leaves), tensors, strict=True)
        for leaf, tensor in sorted(pairs, key=lambda pair: pair[0].number):
            by_kind[leaf.kind].append(tensor)
        own = {f"cell.{n}": t for n, t in zip(self.names, by_kind.pop("own"), strict=True)}
        with watching() as gates:
            new: tuple[Tensor, ...] = torch.func.functional_call(
                self.module, own, tuple(by_kind.values())
            )
        watched = self.shown(gates, new)
        self.watched = tuple(watched)
        return (*new, *watched.values())

    def states_of(self, cell: Cell) -> int:
        """How many states the traced step has."""
        return len(cell.states)

    def shown(self, gates: dict[str, Tensor], new: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """What is returned of each step beside the states."""
        if not self.watches:
            return {}
        return gates | dict(zip(self.module.cell.states, new, strict=False))

    def trace(self, make_fx: Any) -> CellProgram:
        """The program of the step and its gradient."""
        leaves, tensors = [leaf for leaf, _ in self.leaves], [t for _, t in self.leaves]
        count = sum(not leaf.fixed for leaf in leaves)
        try:
            outputs = self._check(tensors)
            cotangents = [torch.full_like(t, 0.5) for t in outputs]
            some, fixed = tensors[:count], tensors[count:]
            with_gradient = _with_gradient(self, lambda mode: setattr(self, "origins", mode))
            traces = make_fx(with_gradient, decomposition_table=_decompositions())
            module = self._traced_by_torch(traces, some, fixed, cotangents)
            once = has_only_first_derivatives(module, some, fixed, cotangents)
            program = self._built(module, leaves, self.names, once)
        except Untraceable as error:
            if error.node is None:
                raise
            raise Untraceable(with_origin(error)) from None
        if once or not Program.parse(program.text).slots:
            return program
        return self._hoisted(make_fx, some, fixed, cotangents) or program

    def _built(
        self,
        module: fx.GraphModule,
        leaves: Sequence[TracedInput],
        names: Sequence[str],
        once: bool,
    ) -> CellProgram:
        projected = self.projection is None
        builder = Builder(
            leaves,
            self.batch,
            self.units,
            self.dtype,
            projected=projected,
            watched=len(self.watched),
            linear=self.linear,
        )
        program, own = builder.build(module)
        return CellProgram(
            str(replace(program, once=int(once))),
            tuple((names[n], transposed) for n, transposed in own if n >= 0),
            self.watched,
            builder.taken,
            bool(program.matrices) and not projected,
        )

    def _hoisted(
        self, make_fx: Any, some: list[Tensor], fixed: list[Tensor], cotangents: list[Tensor]
    ) -> CellProgram | None:
        """The program without what depends on the cell's own numbers alone; None if all does not.

        The gradient is traced of the traced step, which has no lines of the user's and cuts no
        gradient (``once``). That step is made of torch's own operations, each with its gradient: of
        what softplus decomposes to, the gradient would be 0 times infinity where exp overflows.
        """
        leaves = [leaf for leaf, _ in self.leaves]
        step = make_fx(self)(*some, *fixed)
        own = {
            i: self.names[leaf.number]
            for i, leaf in enumerate(leaves)
            if leaf.kind == "own" and not leaf.fixed
        }
        hoisted = hoist(step, own, self.units, self.dtype)
        if hoisted is None:
            return None
        by_name = {self.names[leaf.number]: t for leaf, t in self.leaves if leaf.kind == "own"}
        values = list(values_of(hoisted, by_name).values())
        extra = [
            TracedInput("own", len(self.names) + k, tuple(t.shape)) for k, t in enumerate(values)
        ]
        count, ends = len(some), len(some) + len(values)

        def in_order(*tensors: Tensor) -> tuple[Tensor, ...]:
            return tuple(step(*tensors[:count], *tensors[ends:], *tensors[count:ends]))

        names = [*self.names, *hoisted.names]
        traces = make_fx(_with_gradient(in_order), decomposition_table=_decompositions())
        try:
            module = traces([*some, *values], fixed, cotangents)
            program = self._built(module, [*leaves[:count], *extra, *leaves[count:]], names, False)
        except (Untraceable, RuntimeError):
            # It would only be another form of the program that there is. An operation that a
            # Function of the user's has inside may have no gradient of its own.
            return None
        return program._replace(hoisted=hoisted)

    def _traced_by_torch(self, traces: Any, *arguments: Any) -> fx.GraphModule:
        try:
            module: fx.GraphModule = traces(*arguments)
        except RuntimeError as error:  # the step itself ran: its gradient does not
            text = str(error).partition("\n")[0]
            operation, place = self.origins.of(error)
            inside = f", in {operation}" if operation and operation not in text else ""
            raise Untraceable(f"torch says of its gradient: {text}{inside}{place}") from None
        return module

    def _check(self, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        """Runs the step once for what it does beside computing, and checks what it returns.

        make_fx itself would keep the one branch that these examples take, without a word.
        """
        kinds = tuple(types_of(self.projection.form)) if self.projection else ()
        containers = walk_cell(self.module.cell, kinds, self.cell).containers
        with torch.no_grad(), _Refusing():  # type: ignore[no-untyped-call]
            outputs = self(*tensors)
            if changed(containers):  # it may have been another thread
                containers = [(name, held, entries(held)) for name, held, _ in containers]
                self(*tensors)
        name = changed(containers)
        if name:
            why = f"its step changes {name}, which a program does not; self.watch() shows values"
            _changing[type(self.cell)] = why
            raise Untraceable(why)
        count = len(outputs) - len(self.watched)
        new, watched = outputs[:count], outputs[count:]
        if len(new) != self.states:
            raise Untraceable(f"it returns {len(new)} states, expected {self.states}")
        for name, gate in zip(self.watched, watched, strict=True):
            if tuple(gate.shape) != (self.batch, self.units) or gate.dtype != self.dtype:
                raise Untraceable(
                    f"it watches {name!r} of shape {tuple(gate.shape)} in {gate.dtype}: "
                    f"expected (batch, {self.units}) in {self.dtype}"
                )
        for state in new:
            if tuple(state.shape) != (self.batch, self.units):
                raise Untraceable(
                    f"it returns a state of shape {tuple(state.shape)}, "
                    f"expected (batch, {self.units})"
                )
        return outputs


class _LinearStep(_Step):
    """Traces the linear part of a linear cell's step."""

    linear, module_of = True, LinearStepModule

    def states_of(self, cell: Cell) -> int:
        return max(1, len(cell.states) - 1)

    def shown(self, gates: dict[str, Tensor], new: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return dict(zip(self.module.cell.states[2:], new[1:], strict=True))


class _Refusing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses random numbers, tensors read as Python numbers, and changes in place."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise Untraceable(f"{func} draws random numbers{user_line()}; draw masks in project()")
        if func._schema.is_mutable:
            name = str(func.overloadpacket).removeprefix("aten.")
            raise Untraceable(f"{name} changes a tensor in place{user_line()}")
        if func is aten._local_scalar_dense.default:
            raise Untraceable(f"a tensor is read as a Python number or condition{user_line()}")
        return func(*args, **(kwargs or {}))


@lru_cache(maxsize=1)
def _decompositions() -> dict[Any, Any]:
    from torch._decomp import core_aten_decompositions, get_decompositions

    table = dict(core_aten_decompositions())
    table.update(get_decompositions([
        aten.native_layer_norm, aten.native_layer_norm_backward, aten.gelu, aten.gelu_backward,
        aten.softplus, aten.softplus_backward, aten.softshrink_backward, aten.hardshrink_backward,
        aten.linalg_vector_norm,
    ]))  # fmt: skip
    for kept in (aten.sigmoid_backward.default, aten.tanh_backward.default):
        table.pop(kept, None)
    return table
