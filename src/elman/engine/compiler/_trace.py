"""From a cell's Python to a program: its step is traced once, and so is the step's gradient."""

from __future__ import annotations

import gc
import types
from collections.abc import Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize
from torch.utils._python_dispatch import TorchDispatchMode

from elman.cells import Cell, LinearCell, PointwiseCell, watching
from elman.engine._lock import fork_safe_lock
from elman.engine.compiler._bytecode import walk_cell
from elman.engine.compiler._cache_key import AFFINE, Dependence, own_tensors
from elman.engine.compiler._codegen import Builder, TracedInput
from elman.engine.compiler._containers import changed, copied, entries
from elman.engine.compiler._lower import Untraceable
from elman.engine.compiler._once import has_only_first_derivatives
from elman.engine.compiler._origin import OriginMode, user_line, with_origin

aten = torch.ops.aten
# Two sizes of batch, neither of them a size of anything else: the program must be the same in both.
_BATCHES = (13, 17)
_one_at_a_time = fork_safe_lock()  # torch's tracer patches what all threads share


class Projection(NamedTuple):
    """What a cell's ``project`` returns.

    Attributes:
        form: None for a tensor, the type of a NamedTuple, or a tuple of such.
        gates: the size of each tensor in units.
        dtypes: of each tensor.
    """

    form: Any
    gates: tuple[int, ...]
    dtypes: tuple[torch.dtype, ...]

    def of(self, tensors: Sequence[Tensor]) -> Any:
        """The tensors in this form."""
        return _formed(self.form, iter(tensors))


def form_of(projected: Any) -> Any:
    """The form of what was projected; plain, since torch.compile takes it as a constant."""
    if isinstance(projected, Tensor):
        return None
    return tuple(map(form_of, projected)) if type(projected) is tuple else type(projected)


def _formed(form: Any, tensors: Iterator[Tensor]) -> Any:
    if form is None:
        return next(tensors)
    if isinstance(form, tuple):
        return tuple(_formed(part, tensors) for part in form)
    return form(*islice(tensors, len(form._fields)))


def _types_of(form: Any) -> Iterator[type]:
    if isinstance(form, tuple):
        for part in form:
            yield from _types_of(part)
    elif form is not None:
        yield form


class CellProgram(NamedTuple):
    """The program of a cell's step.

    Attributes:
        text: the program.
        parameters: the cell's parameters and buffers that it takes, by name, in its order; and
            whether the transpose is taken.
        watched: the names of the values that it returns to an observer.
        inputs: which of the projected tensors it takes.
        multiplies: whether the step has matrix products of its own.
    """

    text: str
    parameters: tuple[tuple[str, bool], ...]
    watched: tuple[str, ...] = ()
    inputs: tuple[int, ...] = ()
    multiplies: bool = False


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
    kinds = tuple(_types_of(form))
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


class _StepModule(nn.Module):
    """A step of a cell as a module, whose tensors ``functional_call`` can exchange."""

    def __init__(self, cell: Cell, projection: Projection | None) -> None:
        super().__init__()
        self.cell, self.projection = cell, projection

    def forward(self, inputs: list[Tensor], gates: list[Tensor], state: Any) -> tuple[Tensor, ...]:
        cell = self.cell
        if self.projection is None:
            assert isinstance(cell, PointwiseCell)
            inp, rec = map(cell._split, (*inputs, *gates))
            return tuple(cell.pointwise(inp, rec, cell.State(*state)))
        return tuple(cell.step(self.projection.of(inputs), cell.State(*state)))


class _LinearStepModule(_StepModule):
    """A step of the linear part of a linear cell."""

    def forward(self, inputs: list[Tensor], gates: list[Tensor], state: Any) -> tuple[Tensor, ...]:
        cell, projection = self.cell, self.projection
        assert isinstance(cell, LinearCell)
        assert projection is not None
        return cell.advance(cell.given(projection.of(inputs)), tuple(state))


class _Step:
    """Traces a cell's step on example tensors."""

    linear, module_of = False, _StepModule

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
        self.module, self.cell = self.module_of(_twin(cell), projection), cell
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

        def with_gradient(some: Any, fixed: Any, cotangents: Any) -> Any:
            with OriginMode() as self.origins:
                new, vjp, *_ = torch.func.vjp(lambda *tensors: self(*tensors, *fixed), *some)
                return new, vjp(tuple(cotangents))

        projected = self.projection is None
        try:
            outputs = self._check(tensors)
            cotangents = [torch.full_like(t, 0.5) for t in outputs]
            traces = make_fx(with_gradient, decomposition_table=_decompositions())
            module = self._traced_by_torch(traces, tensors[:count], tensors[count:], cotangents)
            builder = Builder(
                leaves,
                self.batch,
                self.units,
                self.dtype,
                projected=projected,
                watched=len(self.watched),
                linear=self.linear,
            )
            once = has_only_first_derivatives(module, tensors[:count], tensors[count:], cotangents)
            program, own = builder.build(module)
        except Untraceable as error:
            if error.node is None:
                raise
            raise Untraceable(with_origin(error)) from None
        names = tuple((self.names[n], transposed) for n, transposed in own if n >= 0)
        return CellProgram(
            str(replace(program, once=int(once))),
            names,
            self.watched,
            builder.taken,
            bool(program.matrices) and not projected,
        )

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
        kinds = tuple(_types_of(self.projection.form)) if self.projection else ()
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

    linear, module_of = True, _LinearStepModule

    def states_of(self, cell: Cell) -> int:
        return max(1, len(cell.states) - 1)

    def shown(self, gates: dict[str, Tensor], new: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return dict(zip(self.module.cell.states[2:], new[1:], strict=True))


def _twin(cell: Cell) -> Cell:
    """A copy of the cell whose tensors can be exchanged while other threads run the real one.

    Its parametrized tensors are what they are computed to be.
    """
    twins = {m: type(m).__new__(type(m)) for m in cell.modules()}
    for m, twin in twins.items():
        twin.__dict__.update({name: copied(value) for name, value in m.__dict__.items()})
        twin._parameters, twin._buffers = dict(m._parameters), dict(m._buffers)
        twin._modules = {name: child and twins[child] for name, child in m._modules.items()}
        for name, value in m.__dict__.items():
            if isinstance(value, types.MethodType) and isinstance(value.__self__, nn.Module):
                its = twins.get(value.__self__, value.__self__)
                twin.__dict__[name] = types.MethodType(value.__func__, its)
    for path, twin in list(twins[cell].named_modules()):
        if parametrize.is_parametrized(twin):
            _settle(twin, path)
    return twins[cell]  # type: ignore[return-value]


def _settle(module: nn.Module, path: str) -> None:
    """Replaces parametrizations by the tensors that they compute, which must not vary."""
    computed = module._modules.pop("parametrizations")
    assert isinstance(computed, nn.ModuleDict)
    for part in computed.modules():  # a twin's are those of the real one until here
        part._buffers = {name: b if b is None else b.clone() for name, b in part._buffers.items()}
    buffers = list(computed.buffers())
    before = [buffer._version for buffer in buffers]
    with torch.random.fork_rng([]), torch.no_grad():
        state = torch.get_rng_state()
        values = {name: computed[name]() for name in computed}
        drawn = not torch.equal(state, torch.get_rng_state())
    if drawn or before != [buffer._version for buffer in buffers]:
        raise Untraceable(
            f"a tensor of {path} is computed from random numbers, or from buffers that this "
            "changes: it would be another one at each step"
        )
    # The class has a property for each, and is the real one's too.
    module.__class__ = parametrize.type_before_parametrizations(module)
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value))


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
