"""Where the first NaN or infinity arises."""

from __future__ import annotations

import linecache
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from elman import engine as engines
from elman._errors import ConfigError
from elman.cells import Cell, map_tensors
from elman.engine import Recurrence
from elman.inspection._model import is_task, network_of, run_model
from elman.inspection._recording import layer_name, module_names

_FILLS = ("empty", "new_empty", "full", "new_full", "fill", "masked_fill", "scalar_tensor")
_OURS, _TORCHS = Path(__file__).parents[1], Path(torch.__file__).parent
_VISIBLE = tuple(str(_OURS / part) for part in ("cells", "nn", "tasks"))
_HIDDEN = str(_OURS), str(_TORCHS)


@dataclass(frozen=True)
class Bad:
    """Where the first NaN or infinity arose; it prints as a sentence.

    Attributes:
        value: "nan" or "inf".
        source: "operation"; "weight" if a parameter or buffer had it before; "data" if it came in
            with the batch or with a carried state.
        name: the operation, as torch calls it, or the weight; of data, the operation that met it.
        layer: the layer, or the innermost module, where it is in the model; "" for the model.
        step: the time step; None outside of a scan, as in the input's projection.
        gate: the gate of a pointwise cell whose numbers these are, where they are one's.
        rows: the rows of the batch it arose in; empty where that cannot be told.
        index: where it is first in the tensor that has it.
        backward: whether it arose on the way back, in the gradient of the operation.
        line: the line of code.
    """

    value: str
    source: str
    name: str
    layer: str
    step: int | None
    gate: str | None
    rows: tuple[int, ...]
    index: tuple[int, ...]
    backward: bool
    line: str

    def __str__(self) -> str:
        value = {"nan": "NaN", "inf": "infinity"}[self.value]
        place = [self.layer or "the model itself"]
        place += [] if self.step is None else [f"step {self.step}"]
        place += [] if self.gate is None else [f"gate {self.gate}"]
        place += [f"row{'s' * (len(self.rows) > 1)} {_listed(self.rows)}"] if self.rows else []
        match self.source:
            case "weight":
                return f"{self.name} has a first {value} at {list(self.index)}"
            case "data":
                met = f"{self.name} of {', '.join(place)}"
                return f"what came in has a first {value} at {list(self.index)}, met by {met}"
        way = "in the gradient of" if self.backward else "in"
        where = f" ({self.line})" if self.line else ""
        return f"the first {value} arises {way} {self.name} of {', '.join(place)}{where}"


def first_bad(
    model: Any, batch: Any, loss: Callable[[Any], Tensor] | None = None, **options: Any
) -> Bad | None:
    """Where the first NaN or infinity arises that spoils the loss or a gradient.

    The model runs once forwards and once back on the reference, and every operation is looked at. A
    value that is not finite is followed to where it came from: infinities that a network makes on
    purpose and that vanish again, such as those of a mask before a softmax, are not reported.

    Args:
        model: a cell, a layer, a module that holds some, or a task with its network.
        batch: what the model is called with, or a batch of the task.
        loss: a function of the model's output alone to a scalar; its sum if None. A task has its
            own.
        **options: ``lengths=``, ``reset=`` ... of the layer.

    Returns: a :class:`Bad`; None if the loss and all gradients are finite.

    Raises:
        DtypeError, ConfigError: as `record`.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.Elman(3, 5, activation=torch.sqrt))
        >>> x = torch.ones(2, 7, 3)
        >>> with torch.no_grad():
        ...     _ = layer.cell.weight_ih.fill_(1), layer.cell.weight_hh.fill_(-1)
        >>> bad = first_bad(layer, x)
        >>> bad.value, bad.name, bad.step, bad.gate, bad.rows
        ('nan', 'sqrt', 1, 'z', (0, 1))
    """
    network = network_of(model)
    if loss is not None and is_task(model):
        raise ConfigError("a task has its own loss: leave out loss")
    of = loss or (lambda output: sum(t.sum() for t in tree_leaves(output)))
    return first_bad_of(network, lambda: of(run_model(model, network, batch, options)))


def first_bad_of(network: nn.Module, forward: Callable[[], Any]) -> Bad | None:
    """Like :func:`first_bad`, for any function that computes a loss with a network.

    Example:
        >>> import torch, elman
        >>> layer, x = elman.Recurrent(elman.cells.Elman(3, 5)), torch.full((2, 7, 3), torch.nan)
        >>> first_bad_of(layer, lambda: layer(x)[0].sum()).source
        'data'
    """
    tracer = _Tracer(network)
    parameters = [p for p in network.parameters() if p.requires_grad]
    with torch.enable_grad(), tracer.placing(network), engines.run_by(tracer.run), tracer:
        loss = forward()
        tracer.settle()
        if _bad(loss):
            return tracer.origin(loss)
        if not (loss.requires_grad and parameters):
            return None
        tracer.backward = True
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    spoiled = (tracer.origin(g) for g in gradients if g is not None and _bad(g))
    return min(spoiled, key=tracer.births.__getitem__, default=None)


class _Place(NamedTuple):
    """Where in the model, and in whose code, an operation is carried out."""

    layer: str = ""
    step: int | None = None
    cell: Cell | None = None
    rows: Tensor | None = None  # of the batch, that are computed; all of them if None
    line: tuple[str, int] = ("", 0)


class _Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Checks the operands and results of every operation."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.place, self.backward = _Place(), False
        self.births: dict[Bad, int] = {}  # in their order
        self._names = module_names(network)
        named = [*network.named_parameters(), *network.named_buffers()]
        self._weights = {_memory(t): name for name, t in named}
        self._origins: dict[int, Bad] = {}
        self._meant: set[int] = set()
        self._gates: dict[int, str] = {}  # of tensors of the current step
        self._pending: list[tuple[Tensor, _Place]] = []
        self._nodes: dict[Any, _Place] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operands = _tensors((args, kwargs))
        # In place, what went in is gone afterwards.
        spoiled = [t for t in operands if _bad(t)]
        name = str(func.overloadpacket).split(".", 1)[1]
        place = self._here()
        sources = [self._source(t, name, place) for t in spoiled]
        results = func(*args, **kwargs)
        scalars = [v for v in tree_leaves((args, kwargs)) if isinstance(v, float)]
        meant = name.strip("_").startswith(_FILLS) and not all(map(math.isfinite, scalars))
        for result in _tensors(results):
            gate = self._gate(operands, spoiled, result, place)
            if not self.backward:
                self._pending.append((result, place))
            if _bad(result):
                known = min(filter(None, sources), key=self.births.__getitem__, default=None)
                self._taint(result, known, name, place, gate, meant or name.startswith("empty"))
        return results

    def _taint(
        self, t: Tensor, known: Bad | None, name: str, place: _Place, gate: str | None, meant: bool
    ) -> None:
        key = _memory(t)
        if known is None and meant:
            self._meant.add(key)
            self._origins.pop(key, None)
        else:
            self._origins[key] = known or self._born(t, "operation", name, place, gate)
            self._meant.discard(key)

    def _source(self, t: Tensor, name: str, place: _Place) -> Bad | None:
        """Where a bad operand came from; None if it is an intended infinity."""
        key = _memory(t)
        if key not in self._origins and key not in self._meant:
            weight = self._weights.get(key)
            kind = "data" if weight is None else "weight"
            self._origins[key] = self._born(t, kind, weight or name, place, None)
        return self._origins.get(key)

    def _born(self, t: Tensor, source: str, name: str, place: _Place, gate: str | None) -> Bad:
        wrong = ~_values(t).isfinite()
        index = tuple(wrong.nonzero()[0].tolist())
        rows: list[int] = []
        if source == "operation" and place.step is not None and t.dim() == 2:
            bad_rows = wrong.any(1).nonzero().flatten()
            rows = (bad_rows if place.rows is None else place.rows[bad_rows]).tolist()
        file, number = place.line
        code = linecache.getline(file, number).strip()
        line = f"{Path(file).name}:{number}: {code}" if code else ""
        value = "nan" if bool(_values(t).isnan().any()) else "inf"
        where = place.layer, place.step, gate, tuple(rows), index
        bad = Bad(value, source, name, *where, self.backward, line)
        self.births.setdefault(bad, len(self.births))
        return bad

    def origin(self, t: Tensor) -> Bad:
        """Where a bad result came from."""
        return self._source(t, "the loss", self.place) or next(iter(self.births))

    def _here(self) -> _Place:
        if self.backward:
            node = torch._C._current_autograd_node()
            return self._nodes.get(node, _Place())
        return self.place._replace(line=_line())

    def _gate(
        self, operands: Sequence[Tensor], spoiled: Sequence[Tensor], result: Tensor, place: _Place
    ) -> str | None:
        """The gate that a result belongs to, if it belongs to a single one."""
        gates: Sequence[str] = getattr(place.cell, "gates", ())
        if place.step is None or not gates or self.backward:
            return None
        assert place.cell is not None
        units = place.cell.hidden_size
        if result.dim() and result.shape[-1] == len(gates) * units and len(gates) > 1:
            if not result.is_floating_point() or not _bad(result):
                return None
            wrong = (~result.isfinite()).flatten(0, -2).any(0).nonzero().flatten() // units
            own = {gates[k] for k in wrong.tolist()}
        else:
            own = {
                g for t in spoiled or operands if (g := self._gate_of(t, gates, units)) is not None
            }
        if len(own) == 1:
            self._gates[id(result)] = next(iter(own))
        return next(iter(own)) if len(own) == 1 else None

    def _gate_of(self, t: Tensor, gates: Sequence[str], units: int) -> str | None:
        """By the offset in the stacked gates, or by the operands that it was computed from."""
        if t.dim() != 2 or t.shape[1] != units:
            return None
        if len(gates) == 1:
            return gates[0]
        stacked = t._base  # whose rows may lie time first, or batch first
        if stacked is not None and stacked.shape[-1:] == (len(gates) * units,):
            return gates[t.storage_offset() % (len(gates) * units) // units]
        return self._gates.get(id(t))

    def run(self, r: Recurrence) -> tuple[Tensor, Any]:
        """A recurrence on the reference; the operations inside know where they are."""
        layer = layer_name(r, self._names)
        outer, self.place = self.place, _Place(layer, None, r.cell)
        steps = iter(range(len(r.x))[:: -1 if r.reverse else 1])

        active = r.active

        def step(inp: Any, state: Any) -> Any:
            self._gates.clear()
            t = next(steps)
            self.place = self.place._replace(step=t)
            if active is None:
                return r.step(inp, state)
            # Engines compute no padding, where a cell of no input and no state may have no value.
            rows = active[t].nonzero().flatten()
            self.place = self.place._replace(rows=rows)
            return _of_rows(rows, r.step, inp, state)

        try:
            return r.scan(step)
        finally:
            self.place = outer

    def settle(self) -> None:
        """Note which node of the graph belongs to which place."""
        for tensor, place in self._pending:
            if tensor.grad_fn is not None:
                self._nodes[tensor.grad_fn] = place
        self._pending = []

    @contextmanager
    def placing(self, network: nn.Module) -> Iterator[None]:
        """Inside, every module's operations bear its name."""
        outer: list[_Place] = []

        def enter(module: nn.Module, _: Any) -> None:
            outer.append(self.place)
            self.place = _Place(self._names[module])

        def leave(*_: Any) -> None:
            self.place = outer.pop()

        hooks = [m.register_forward_pre_hook(enter) for m in network.modules()]
        hooks += [m.register_forward_hook(leave, always_call=True) for m in network.modules()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _of_rows(rows: Tensor, step: Callable[[Any, Any], Any], inp: Any, state: Any) -> Any:
    """A step of some rows; the others' states stay."""
    if not len(rows):
        return state
    some = map_tensors(lambda i: i[rows], inp)
    new = step(some, type(state)(*(s[rows] for s in state)))
    pairs = zip(state, new, strict=True)
    return type(state)(*(s.index_copy(0, rows, n.to(s.dtype)) for s, n in pairs))


def _tensors(tree: Any) -> list[Tensor]:
    return [t for t in tree_leaves(tree) if isinstance(t, Tensor) and _memory(t)]


def _values(t: Tensor) -> Tensor:
    return t._values() if t.is_sparse else t


def _memory(t: Tensor) -> int:
    """What views of one tensor share."""
    return int(_values(t.detach()).untyped_storage()._cdata)


def _bad(t: Any) -> bool:
    if not isinstance(t, Tensor) or not (t.is_floating_point() or t.is_complex()):
        return False
    return not bool(_values(t.detach()).isfinite().all())


def _line() -> tuple[str, int]:
    """The innermost line of a cell, a task or the user's own code."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        hidden = file.startswith(_HIDDEN) or "<" in file or "/jaxtyping/" in file
        if file.startswith(_VISIBLE) or not hidden:
            return file, frame.f_lineno
        frame = frame.f_back
    return "", 0


def _listed(rows: Sequence[int], most: int = 5) -> str:
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return ", ".join(map(str, rows[:most])) + more
