"""The contracts of a cell: what happens in one time step, stated once."""

from __future__ import annotations

import copyreg
import math
import threading
from abc import ABC, abstractmethod
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from elman._errors import ConfigError, DtypeError, ShapeError

_named_tuples: dict[tuple[str, tuple[str, ...]], Any] = {}  # torch.compile follows no cache


def named_tuple(kind: str, names: tuple[str, ...]) -> Any:
    """The NamedTuple type with these fields: one type for one list of names, so that it pickles."""
    if (kind, names) not in _named_tuples:
        try:
            made: Any = namedtuple(kind, names)  # type: ignore[misc]  # noqa: PYI024
        except ValueError as error:
            message = f"{kind.lower()} names must be distinct identifiers: {error}"
            raise ConfigError(message) from None
        copyreg.pickle(made, _by_names)
        _named_tuples.setdefault((kind, names), made)
    return _named_tuples[kind, names]


def _by_names(value: Any) -> tuple[Any, tuple[Any, ...]]:
    return _rebuild, (type(value).__name__, value._fields, tuple(value))


def _rebuild(kind: str, names: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return named_tuple(kind, names)(*values)


def tensors_of(projected: Any) -> tuple[Tensor, ...]:
    """The tensors of what a cell projects: one, a NamedTuple of them, or a tuple of such."""
    if isinstance(projected, Tensor):
        return (projected,)
    return tuple(t for part in projected for t in tensors_of(part))


def map_tensors(function: Callable[[Tensor], Any], projected: Any) -> Any:
    """The same with ``function`` of each tensor in its place."""
    if isinstance(projected, Tensor):
        return function(projected)
    parts = [map_tensors(function, part) for part in projected]
    return tuple(parts) if type(projected) is tuple else type(projected)(*parts)


class Weights(NamedTuple):
    """The tensors of a pointwise cell's affine maps, wherever they are kept.

    ``ih`` (G*H, I) and ``b_ih`` (G*H,) act on the input, ``hh`` (G*H, R) and ``b_hh`` on the first
    state; the G gates are stacked in the order of ``cell.gates``. ``hr`` (R, H) is the projection
    of a :class:`Projected` cell.
    """

    ih: Tensor
    hh: Tensor
    b_ih: Tensor | None = None
    b_hh: Tensor | None = None
    hr: Tensor | None = None


WEIGHT_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
"""What torch.nn calls the fields of `Weights`, in their order."""


class _Watching(threading.local):
    """Who is looking at the cells of this thread; usually nobody."""

    sink: dict[str, Tensor] | None = None
    rows: int | None = None


_watching = _Watching()


@contextmanager
def watching(rows: int | None = None) -> Iterator[dict[str, Tensor]]:
    """Collects what cells pass to :meth:`Cell.watch` inside the block, by name.

    It must be (rows, units), if the number of rows is known.
    """
    sink: dict[str, Tensor] = {}
    outer = _watching.sink, _watching.rows
    _watching.sink, _watching.rows = sink, rows
    try:
        yield sink
    finally:
        _watching.sink, _watching.rows = outer


class Cell(nn.Module, ABC):
    """One time step: ``state_t = step(project(x)_t, state_{t-1})``.

    A subclass names its ``states`` (the first is the output) and gives :meth:`project`, all that
    needs no state and so can be done for the whole sequence at once, and :meth:`step`. State is
    always passed in and returned, never kept.

    Args:
        input_size: features of x_t.
        hidden_size: units of every state, unless :attr:`state_sizes` says otherwise.
    """

    states: ClassVar[tuple[str, ...]]
    State: ClassVar[Any]
    recurrence: ClassVar[Literal["dense", "elementwise", "linear"]] = "dense"
    """What a state makes of the last one: a matrix may mix its units, or each depends on itself
    alone ("elementwise"), or on itself and linearly ("linear")."""
    retention: ClassVar[str | None] = None
    """The watched value that the old state is multiplied by, if there is one: f in f * c + ..."""
    memory_gate: ClassVar[str | None] = None
    """The gate of a `PointwiseCell` whose bias, raised, retains the old state, if there is one.

    Often both are one gate, but not always: a cell may multiply its state by 1 - z, or by a product
    of gates."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "states" in cls.__dict__ and "State" not in cls.__dict__:
            cls.State = named_tuple("State", tuple(cls.states))

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if not isinstance(size, int) or isinstance(size, bool):
                raise DtypeError(f"{name} should be of type int, got: {type(size).__name__}")
            if size <= 0:
                raise ConfigError(f"{name} must be greater than zero, got {size}")
        self.input_size = input_size
        self.hidden_size = hidden_size

    @abstractmethod
    def project(self, x: Tensor) -> Any:
        """What x alone decides, from (..., input_size).

        A tensor, a NamedTuple of tensors, or a tuple of such.
        """

    @abstractmethod
    def step(self, inp: Any, state: Any) -> Any:
        """The next state from ``inp``, one time step of :meth:`project`, and the last state."""

    def draw(self) -> Mapping[str, Tensor]:
        """Random tensors that stand in for parameters of this cell during one call, by name."""
        return {}

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The number of units of each state."""
        return (self.hidden_size,) * len(self.states)

    @property
    def output_size(self) -> int:
        """The number of units of the first state, which is the output."""
        return self.state_sizes[0]

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Any:
        """Zeros, (batch, size) for each state; like the cell's parameters unless told otherwise."""
        like = next(self.parameters(), None)
        device = device or (like.device if like is not None else None)
        dtype = dtype or (like.dtype if like is not None else None)
        return self.State(
            *(
                torch.zeros(batch_size, size, device=device, dtype=dtype)
                for size in self.state_sizes
            )
        )

    def watch(self, **values: Tensor) -> None:
        """Names values for those who look (``observe=``); costs nothing when nobody does.

        Args:
            values: (batch, units) each.

        Raises:
            ShapeError: one has another shape, and somebody looks.
        """
        sink, rows = _watching.sink, _watching.rows
        if sink is None:
            return
        for name, value in values.items():
            if rows is not None and (value.dim() != 2 or len(value) != rows):
                raise ShapeError(
                    f"{type(self).__name__} watches {name!r} of shape {tuple(value.shape)}: "
                    f"expected (batch, units), here ({rows}, units); for one value for all rows, "
                    f"{name}.expand_as(state.{self.states[0]})"
                )
        sink.update(values)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class PointwiseCell(Cell):
    r"""A cell that is elementwise but for one matrix on the input and one on the first state.

    .. math::
        inp = W_{ih} x_t + b_{ih} \qquad rec = W_{hh} h_{t-1} + b_{hh} \qquad
        state_t = pointwise(inp, rec, state_{t-1})

    A subclass names its ``gates`` and ``states`` and gives :meth:`pointwise`, which gets the gates
    and states by name. It may have parameters and buffers of its own.

    Args:
        input_size: features of x_t.
        hidden_size: units of each gate and state.
        bias: whether there are b_ih and b_hh, as torch.nn has them.

    Example:
        >>> import torch, elman
        >>> class Leaky(elman.cells.PointwiseCell):
        ...     gates, states = ("z", "leak"), ("h",)
        ...     def pointwise(self, inp, rec, state):
        ...         leak = torch.sigmoid(inp.leak + rec.leak)
        ...         return self.State(h=(1 - leak) * state.h + leak * torch.tanh(inp.z + rec.z))
        >>> output, state = elman.Recurrent(Leaky(3, 5))(torch.randn(2, 7, 3))
        >>> output.shape
        torch.Size([2, 7, 5])
    """

    gates: ClassVar[tuple[str, ...]]
    Gates: ClassVar[Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "gates" in cls.__dict__:
            cls.Gates = named_tuple("Gates", tuple(cls.gates))

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        rows = len(self.gates) * hidden_size

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        self.weight_ih = parameter(rows, input_size)
        self.weight_hh = parameter(rows, hidden_size)
        self.bias_ih = parameter(rows) if bias else None
        self.bias_hh = parameter(rows) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in plus or minus 1/sqrt(hidden_size), as torch.nn does; see :mod:`elman.init`."""
        bound = 1 / math.sqrt(self.hidden_size)
        for tensor in self.weights:
            if tensor is not None:
                nn.init.uniform_(tensor, -bound, bound)

    @property
    def weights(self) -> Weights:
        """This cell's own tensors."""
        return Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def gated_weights(self) -> Iterator[tuple[PointwiseCell, Weights]]:
        """What :func:`elman.init.initialize` fills."""
        yield self, self.weights

    def project(
        self, x: Float[Tensor, "*batch I"], weights: Weights | None = None
    ) -> Float[Tensor, "*batch GH"]:
        """W_ih x + b_ih: (..., input_size) to (..., G*H); ``weights`` stand in for its own."""
        w = self.weights if weights is None else weights
        return F.linear(x, w.ih, w.b_ih)

    def step(self, inp: Float[Tensor, "B GH"], state: Any, weights: Weights | None = None) -> Any:
        """One step from ``inp`` (batch, G*H). ``weights`` stand in for the cell's own."""
        return self.combine(inp, self.project_state(state[0], weights), state)

    def project_state(
        self, h: Float[Tensor, "B R"], weights: Weights | None = None
    ) -> Float[Tensor, "B GH"]:
        """W_hh h + b_hh, of the first state or what a wrapper makes of it."""
        w = self.weights if weights is None else weights
        return F.linear(h, w.hh, w.b_hh)

    def combine(self, inp: Float[Tensor, "B GH"], rec: Float[Tensor, "B GH"], state: Any) -> Any:
        """The next state from what the input and the first state put into the gates."""
        new = self.pointwise(self._split(inp), self._split(rec), state)
        if not isinstance(new, self.State):
            raise DtypeError(
                f"expected {type(self).__name__}.pointwise to return "
                f"self.State({', '.join(self.states)}), got {type(new).__name__}"
            )
        return new

    def _split(self, stacked: Tensor) -> Any:
        return self.Gates(*stacked.chunk(len(self.gates), dim=-1))

    @abstractmethod
    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        """The next state, elementwise in the gates of ``inp`` and ``rec`` and in ``state``."""
