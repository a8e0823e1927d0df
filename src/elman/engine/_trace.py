"""From a cell's Python to a program: its step is traced once, and so is the step's gradient."""

from __future__ import annotations

import inspect
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode

from elman.cells import PointwiseCell
from elman.cells._base import watching
from elman.engine._expression import Graph
from elman.engine._lock import fork_safe_lock
from elman.engine._lower import Lowering, Untraceable, Value
from elman.engine._program import Program
from elman.engine._schedule import Effect, Scheduler, choose_saved

aten = torch.ops.aten
AFFINE = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
# Two sizes of batch, neither of them a size of anything else: the program must be the same in both.
_BATCHES = (13, 17)
_one_at_a_time = fork_safe_lock()  # torch's tracer patches what all threads share


def own_tensors(cell: nn.Module) -> list[tuple[str, Tensor]]:
    """The cell's parameters and buffers beside its affine maps, by name."""
    named = (*cell._parameters.items(), *cell._buffers.items())
    own = [(name, tensor) for name, tensor in named if tensor is not None and name not in AFFINE]
    for name, child in cell._modules.items():
        if child is not None:
            own += [(f"{name}.{inner}", tensor) for inner, tensor in own_tensors(child)]
    return own


def program_text(cell: PointwiseCell, dtype: torch.dtype) -> str:
    """The program of this cell as it is now; traced when it, or a number in it, is new.

    Raises:
        Untraceable: naming the operation, or the attribute, and the line.
    """
    return _program(cell, dtype, watches=False)[0]


def watching_program(cell: PointwiseCell, dtype: torch.dtype) -> tuple[str, tuple[str, ...]]:
    """The same, which also shows what the cell watches and its states; and their names."""
    return _program(cell, dtype, watches=True)


def _program(cell: PointwiseCell, dtype: torch.dtype, watches: bool) -> tuple[str, tuple[str, ...]]:
    frozen = _frozen_attributes(cell, type(cell).__name__)
    return _traced(_Key((dtype, frozen, watches), cell))


class _Key:
    """Compares by ``key`` alone; carries the cell along for the one time it is traced."""

    def __init__(self, key: Any, cell: PointwiseCell) -> None:
        self.key, self.cell = key, cell

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.key == other.key


@lru_cache(maxsize=256)
def _traced(key: _Key) -> tuple[str, tuple[str, ...]]:
    cell, key.cell = key.cell, None  # type: ignore[assignment]
    dtype, _, watches = key.key

    def trace(batch: int) -> tuple[str, tuple[str, ...]]:
        with _one_at_a_time:
            return _trace(cell, dtype, batch, watches)

    # In a thread of its own, where no hooks of a checkpoint, autocast or mode are in force.
    with ThreadPoolExecutor(1) as fresh:
        first, second = fresh.map(trace, _BATCHES)
    if first != second:
        raise Untraceable("its step depends on the number of rows")
    return first


# ---- what a program depends on ----

_MODULE_ATTRIBUTES = frozenset(nn.Module().__dict__) - {"training"}
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type, torch.dtype, torch.device)


def _frozen_attributes(module: nn.Module, path: str) -> Any:
    """Everything in a module that may be a number in its program, so that it can be compared."""
    attributes = tuple(
        (name, _frozen(value, f"{path}.{name}"))
        for name, value in module.__dict__.items()
        if name not in _MODULE_ATTRIBUTES
    )
    of_class = tuple(
        (name, _frozen(value, f"{path}.{name}"))
        for base in _own_classes(type(module))  # type: ignore[arg-type]
        for name, value in vars(base).items()
        if isinstance(value, (bool, int, float, types.FunctionType))
    )
    shapes = tuple((name, tensor.shape, tensor.dtype) for name, tensor in own_tensors(module))
    children = tuple(
        (name, _frozen_attributes(m, f"{path}.{name}")) for name, m in module._modules.items() if m
    )
    return type(module), attributes, of_class, shapes, children


@lru_cache(maxsize=256)
def _own_classes(kind: type) -> tuple[type, ...]:
    """The classes of a cell that its author may still be changing."""
    return tuple(
        base
        for base in kind.__mro__
        if base.__module__.partition(".")[0] not in ("torch", "elman", "builtins")
    )


def _frozen(value: Any, path: str) -> Any:  # noqa: PLR0911 - one return for each type
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, (tuple, list)):
        return type(value), tuple(_frozen(v, path) for v in value)
    if isinstance(value, dict):
        return dict, tuple((k, _frozen(v, f"{path}[{k!r}]")) for k, v in value.items())
    if isinstance(value, nn.Module):
        return _frozen_attributes(value, path)
    if isinstance(value, types.FunctionType):
        return _frozen_function(value, path)
    if isinstance(value, types.MethodType):
        return _frozen(value.__func__, path), id(value.__self__)
    if isinstance(value, (types.BuiltinFunctionType, types.MethodDescriptorType)):
        return id(value)
    if isinstance(value, Tensor):
        raise Untraceable(f"{path} is a tensor: register it as a parameter or a buffer")
    raise Untraceable(f"{path} is a {type(value).__name__}, whose changes could not be noticed")


def _frozen_function(function: types.FunctionType, path: str) -> Any:
    """Its code, and the numbers and functions that the code takes from around it."""
    if function.__module__.partition(".")[0] in ("torch", "elman"):
        return id(function)
    around = inspect.getclosurevars(function)
    names = {**around.nonlocals, **around.globals}
    taken = {
        name: value if isinstance(value, (bool, int, float)) else _frozen_function(value, path)
        for name, value in names.items()
        if isinstance(value, (bool, int, float))
        or (isinstance(value, types.FunctionType) and value is not function)
    }
    return function.__code__, tuple(sorted(taken.items())), _frozen(function.__defaults__, path)


# ---- tracing ----


class _Signature(NamedTuple):
    """How the flat inputs of a traced step are divided."""

    gates: int
    states: int
    watched: int
    own: tuple[tuple[int, ...], ...]  # shapes of the cell's own tensors


class _Pointwise(nn.Module):
    def __init__(self, cell: PointwiseCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, inp: Any, rec: Any, state: Any) -> tuple[Tensor, ...]:
        cell = self.cell
        return tuple(cell.pointwise(cell.Gates(*inp), cell.Gates(*rec), cell.State(*state)))


def _step_of(cell: PointwiseCell, own: Mapping[str, Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    module, names = _Pointwise(cell), [f"cell.{name}" for name in own]

    def step(inp: Any, rec: Any, state: Any, tensors: Any) -> tuple[Tensor, ...]:
        given = dict(zip(names, tensors, strict=True))
        result: tuple[Tensor, ...] = torch.func.functional_call(module, given, (inp, rec, state))
        return result

    return step


def _twin(cell: PointwiseCell) -> PointwiseCell:
    """The same cell for whom tensors can be exchanged while other threads run the real one."""
    twins = {m: type(m).__new__(type(m)) for m in cell.modules()}
    for m, twin in twins.items():
        twin.__dict__.update(m.__dict__)
        twin._parameters, twin._buffers = dict(m._parameters), dict(m._buffers)
        twin._modules = {name: child and twins[child] for name, child in m._modules.items()}
        for name, value in m.__dict__.items():
            if isinstance(value, types.MethodType) and isinstance(value.__self__, nn.Module):
                its = twins.get(value.__self__, value.__self__)
                twin.__dict__[name] = types.MethodType(value.__func__, its)
    return twins[cell]  # type: ignore[return-value]


def _showing(
    step: Callable[..., tuple[Tensor, ...]], states: Sequence[str], seen: dict[str, Tensor]
) -> Callable[..., tuple[Tensor, ...]]:
    """The step with what it shows behind its states; ``seen`` gets it by name."""

    def shown(*arguments: Any) -> tuple[Tensor, ...]:
        seen.clear()
        with watching() as values:
            new = step(*arguments)
        seen.update(values | dict(zip(states, new, strict=True)))
        return (*new, *seen.values())

    return shown


def _trace(
    cell: PointwiseCell, dtype: torch.dtype, batch: int, watches: bool
) -> tuple[str, tuple[str, ...]]:
    own = dict(own_tensors(cell))
    step, seen = _step_of(_twin(cell), own), dict[str, Tensor]()
    if watches:
        step = _showing(step, cell.states, seen)
    units = cell.hidden_size
    while batch % units == 0 and units > 1:
        batch += 2

    def rows(n: int) -> list[Tensor]:
        return [torch.full((batch, units), 0.5, dtype=dtype) for _ in range(n)]

    gates, states = len(cell.gates), len(cell.states)
    tensors = [
        t.detach().to("cpu", dtype if t.is_floating_point() else t.dtype) for t in own.values()
    ]
    arguments = (rows(gates), rows(gates), rows(states), tensors)

    def with_gradient(inp: Any, rec: Any, state: Any, tensors: Any, cotangent: Any) -> Any:
        new, vjp, *_ = torch.func.vjp(step, inp, rec, state, tensors)
        return new, vjp(tuple(cotangent))

    # Imported when first needed: it takes longer than all of elman.
    from torch.fx.experimental.proxy_tensor import make_fx

    try:
        _check_step(step, arguments, batch, units, seen)
        names = tuple(seen)
        module = make_fx(with_gradient, decomposition_table=_decompositions())(
            *arguments, rows(states + len(names))
        )
        shapes = tuple(tuple(t.shape) for t in tensors)
        signature = _Signature(gates, states, len(names), shapes)
        return str(_Builder(signature, batch, units).build(module)), names
    except Untraceable as error:
        if error.node is None:
            raise
        raise Untraceable(f"{error}{_where(step, arguments, error.node)}") from None


def _check_step(
    step: Callable[..., Any], arguments: Any, batch: int, units: int, seen: Mapping[str, Tensor]
) -> None:
    with torch.no_grad(), _Refusing():  # type: ignore[no-untyped-call]
        new = step(*arguments)
    for name, value in seen.items():
        if tuple(value.shape) != (batch, units) or value.dtype != arguments[0][0].dtype:
            raise Untraceable(
                f"it watches {name!r} of shape {tuple(value.shape)} in {value.dtype}: expected "
                f"(batch, {units}) in {arguments[0][0].dtype}"
            )
    for value in new[: len(new) - len(seen)]:
        if tuple(value.shape) != (batch, units):
            raise Untraceable(
                f"it returns a state of shape {tuple(value.shape)}, expected (batch, {units})"
            )


class _Refusing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses random numbers, tensors read as Python numbers, and changes in place."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise Untraceable(f"{func} draws random numbers{_user_line()}; draw masks in project()")
        if func._schema.is_mutable:
            name = str(func.overloadpacket).removeprefix("aten.")
            raise Untraceable(f"{name} changes a tensor in place{_user_line()}")
        if func is aten._local_scalar_dense.default:
            raise Untraceable(f"a tensor is read as a Python number or condition{_user_line()}")
        return func(*args, **(kwargs or {}))


@lru_cache(maxsize=1)
def _decompositions() -> dict[Any, Any]:
    from torch._decomp import core_aten_decompositions, get_decompositions

    table = dict(core_aten_decompositions())
    table.update(get_decompositions([
        aten.native_layer_norm, aten.native_layer_norm_backward, aten.gelu, aten.gelu_backward,
        aten.softplus, aten.softplus_backward,
    ]))  # fmt: skip
    for kept in (aten.sigmoid_backward.default, aten.tanh_backward.default):
        table.pop(kept, None)
    return table


def _user_line() -> str:
    """Where in the user's own code we are."""
    for frame in reversed(traceback.extract_stack()):
        if (
            "/torch/" not in frame.filename
            and "/elman/engine/" not in frame.filename
            and "contextlib" not in frame.filename
            and "/jaxtyping/" not in frame.filename
        ):
            return f" ({frame.filename}:{frame.lineno}: {frame.line})"
    return ""


def _where(step: Callable[..., Any], arguments: Any, node: fx.Node) -> str:
    """The user's line that ran this operation; found by running the step again."""

    class Looking(TorchDispatchMode):  # type: ignore[no-untyped-call]
        line = ""

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if (
                getattr(func, "overloadpacket", None)
                is getattr(node.target, "overloadpacket", func)
                and not self.line
            ):
                self.line = _user_line()
            return func(*args, **(kwargs or {}))

    with Looking() as looking, torch.no_grad():  # type: ignore[no-untyped-call]
        step(*arguments)
    return str(looking.line)


class _Builder:
    """From a traced step with its gradient to a program."""

    def __init__(self, signature: _Signature, batch: int, units: int) -> None:
        self.sig, self.batch, self.units = signature, batch, units
        self.graph = Graph()
        self.scalars: list[int] = []
        self.slots: list[tuple[int, ...]] = []

    def build(self, module: fx.GraphModule) -> Program:
        g, sig = self.graph, self.sig
        tiles = {name: [g.add(name, slot=i) for i in range(n)] for name, n in (
            ("input", sig.gates), ("recurrent", sig.gates),
            ("previous", sig.states), ("cotangent", sig.states + sig.watched),
        )}  # fmt: skip
        own = [self._own(shape) for shape in sig.own]
        leaves = [Value((n,)) for name in ("input", "recurrent", "previous") for n in tiles[name]]
        leaves += own + [Value((n,)) for n in tiles["cotangent"]]
        values = Lowering(g, self.batch, self.units).run(module, leaves, sig.states + sig.watched)
        flat = iter(values)
        new = [self._tile(next(flat)) for _ in range(sig.states)]
        seen = [self._tile(next(flat)) for _ in range(sig.watched)]
        d_input, d_recurrent = (
            [self._tile(next(flat)) for _ in range(sig.gates)] for _ in range(2)
        )
        d_state = [self._tile(next(flat)) for _ in range(sig.states)]
        effects = [e for slots in self.slots for e in self._effects(slots, next(flat))]
        return self._assemble(tiles, new, seen, d_input, d_recurrent, d_state, effects)

    def _own(self, shape: tuple[int, ...]) -> Value:
        """Loads of a tensor of the cell's own: one number, or some per unit."""
        size = 1
        for n in shape:
            size *= n
        per_unit = bool(shape) and shape[-1] % self.units == 0 and size == shape[-1]
        if not per_unit and size != 1:
            raise Untraceable(
                f"it has a tensor of shape {shape}: expected one number per unit, or one number"
            )
        count = size // self.units if per_unit else 1
        slots = tuple(range(len(self.scalars), len(self.scalars) + count))
        self.slots.append(slots)
        self.scalars.extend([int(not per_unit)] * count)
        op = "unit" if per_unit else "scalar"
        return Value(tuple(self.graph.add(op, slot=slot, row=not per_unit) for slot in slots))

    def _tile(self, value: Value) -> int:
        return self.graph.as_tile(value.parts[0])

    def _effects(self, slots: tuple[int, ...], value: Value) -> Iterator[Effect]:
        parts = value.parts * len(slots) if len(value.parts) == 1 else value.parts
        for slot, part in zip(slots, parts, strict=True):
            if self.graph.known(part) == 0:
                continue
            if self.scalars[slot]:
                yield Effect(slot, part if self.graph.nodes[part].row else self.graph.row_sum(part))
            else:
                yield Effect(slot, self.graph.as_tile(part))

    def _assemble(
        self,
        tiles: dict[str, list[int]],
        new: list[int],
        seen: list[int],
        d_input: list[int],
        d_recurrent: list[int],
        d_state: list[int],
        effects: list[Effect],
    ) -> Program:
        g = self.graph
        next_states = [(f"n{i}", n) for i, n in enumerate(new)]
        kinds = self._kinds(d_input, d_recurrent)
        gradients = [(f"g{i}", n) for i, n in enumerate(d_state)] + [
            (f"z{k}", n) for k, (n, _, _) in enumerate(kinds)
        ]
        shown = [(f"o{i}", n) for i, n in enumerate(seen)]
        summed = self._fused(tiles, new + seen, gradients, effects)
        given = {tiles["previous"][i]: f"p{i}" for i in range(self.sig.states)}
        before = dict(given)
        before.update({n: f"i{i}" for i, n in enumerate(tiles["input"])})
        before.update({n: f"r{i}" for i, n in enumerate(tiles["recurrent"])})
        before.update({n: f"r{i}" for i, n in summed.items()})
        after = given | {n: f"d{i}" for i, n in enumerate(tiles["cotangent"][: self.sig.states])}
        after |= {n: f"e{i}" for i, n in enumerate(tiles["cotangent"][self.sig.states :])}
        # Where two states are one value, or a state is what it was, any of its places will do.
        after = {n: f"n{i}" for i, n in enumerate(new) if n not in before} | after
        wanted = [n for _, n in gradients] + [e.node for e in effects]
        saved = self._saved(wanted, set(after), new + seen, before)
        after |= {n: f"s{i}" for i, n in enumerate(saved)}
        kept = [(f"s{i}", n) for i, n in enumerate(saved)]
        return Program(
            gates=self.sig.gates,
            states=self.sig.states,
            saved=len(saved),
            fused=tuple(int(i in summed) for i in range(self.sig.gates)),
            scalars=tuple(self.scalars),
            input_gate=tuple(i for _, i, _ in kinds),
            recurrent_gate=tuple(r for _, _, r in kinds),
            forward=Scheduler(g, before, next_states + kept + shown).routine(),
            inference=Scheduler(g, before, next_states + shown).routine(),
            backward=Scheduler(g, after, gradients, effects).routine(),
            watched=self.sig.watched,
        )

    def _kinds(self, d_input: list[int], d_recurrent: list[int]) -> list[tuple[int, int, int]]:
        """(node, input gate, recurrent gate): first what only W_ih gets, last only W_hh."""
        ih = [(n, i) for i, n in enumerate(d_input) if self.graph.known(n) != 0]
        hh = [(n, i) for i, n in enumerate(d_recurrent) if self.graph.known(n) != 0]
        both = []
        for n, i in list(ih):
            partner = next(((m, r) for m, r in hh if m == n), None)
            if partner is not None:
                both.append((n, i, partner[1]))
                ih.remove((n, i))
                hh.remove(partner)
        return [(n, i, -1) for n, i in ih] + both + [(n, -1, r) for n, r in hh]

    def _fused(
        self,
        tiles: dict[str, list[int]],
        new: list[int],
        gradients: list[tuple[str, int]],
        effects: list[Effect],
    ) -> dict[int, int]:
        """Gates of which only the sum of both halves is used, with that sum."""
        g, result = self.graph, {}
        wanted = {*new, *(n for _, n in gradients), *(e.node for e in effects)}
        alive = g.closure(wanted)
        for gate, (i, r) in enumerate(zip(tiles["input"], tiles["recurrent"], strict=True)):
            users = {n for n in alive if {i, r} & set(g.nodes[n].inputs)}
            if len(users) == 1 and not {i, r} & wanted:
                (user,) = users
                if g.nodes[user].op == "add" and set(g.nodes[user].inputs) == {i, r}:
                    result[gate] = user
        return result

    def _saved(
        self, wanted: list[int], free: set[int], new: list[int], before: dict[int, str]
    ) -> tuple[int, ...]:
        """A gate's sum counts as a leaf, in memory beforehand and gone afterwards."""
        return choose_saved(
            self.graph, wanted, free, before, self.graph.closure(new, before) | set(before)
        )
