"""Streaming: one input at a time, for many independent rows."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map, tree_structure, tree_unflatten

from elman._checks import check_tensor
from elman._errors import ConfigError, DtypeError, EngineError, ShapeError, nearest
from elman.engine import Recurrence
from elman.engine.stack import (
    CutSteps,
    NativeSteps,
    StackedRecurrence,
    StackPlan,
    native_steps,
    plan,
)
from elman.layers import DropIn, Dropout, Layer, Recurrent, Residual, Stack

__all__ = ["Stream"]

_ENGINES = ("auto", "native", "reference")


class Stream:
    r"""Runs a model one input at a time and keeps the state of each row.

    .. math:: output_t, state_t = step(x_t, state_{t-1})

    The rows are independent streams: sensors, users, games. Their number is fixed, and so is the
    memory that a stream takes. It is for inference: dropout is off, and no graph is kept.

    There are two ways to step. ``stream(x_t)`` returns a new tensor. For the least time a step,
    write into :attr:`input`, call :meth:`step` and read :attr:`output`: nothing is made then.

    **Weights are frozen.** A stream works with a copy of the model as it was when the stream was
    made, so that training cannot change one that runs; :meth:`refresh` takes a new copy. (What a
    cell's step reads outside of the cell, such as a global number, is no part of the model: a step
    takes it as it is then, by either engine.)

    Several threads may use one stream: each call takes effect as a whole. (Those that write into
    :attr:`input` must agree among each other who does.)

    Args:
        model: a layer or a drop-in, or any module that has their ``step(x_t, state)`` and
            ``initial_state(batch_size)``, such as the ``network`` of a trained language model,
            which takes tokens (rows,) and gives scores (rows, vocabulary).
        rows: how many streams run side by side.
        engine: "native" to raise the reason if that cannot step this model, "reference" for the
            model's own step in torch; "auto" takes the first of them that can, see :attr:`engine`.

    Shapes: x_t (rows, input_size) to output_t (rows, output_size).

    Raises:
        ConfigError: a layer that needs the end of the sequence first.
        DtypeError: a module that has no ``step``.
        ShapeError: an input does not have as many rows.
        EngineError: the model, or one of its layers, names the native engine, which cannot step it.

    Example:
        >>> import torch, elman
        >>> layer, x = elman.Recurrent(elman.cells.GRU(3, 5)), torch.randn(2, 7, 3)
        >>> stream = elman.Stream(layer, rows=2)
        >>> for x_t in x.unbind(1):
        ...     output_t = stream(x_t)
        >>> torch.allclose(output_t, layer(x)[0][:, -1], atol=1e-6)
        True
        >>> stream.reset(torch.tensor([False, True]))  # the second row begins anew
        >>> stream.state.h[1]
        tensor([0., 0., 0., 0., 0.])
    """

    def __init__(self, model: nn.Module, rows: int = 1, *, engine: str = "auto") -> None:
        if not all(callable(getattr(model, name, None)) for name in ("step", "initial_state")):
            trained = isinstance(getattr(model, "network", None), nn.Module)
            hint = ": a trained task's network is its .network" if trained else ""
            raise DtypeError(
                "expected a module with step(x_t, state) and initial_state(batch_size), as elman's "
                f"layers have them, got {type(model).__name__}{hint}"
            )
        if not isinstance(rows, int) or isinstance(rows, bool):
            raise DtypeError(f"expected rows as an int, got {type(rows).__name__}")
        if rows < 1:
            raise ConfigError(f"expected at least one row, got rows={rows}")
        if engine not in _ENGINES:
            raise ConfigError(f"unknown engine of a stream {engine!r}: {nearest(engine, _ENGINES)}")
        self.model, self.rows, self._engine = model, rows, engine
        self._lock = threading.Lock()
        self._freeze(_frozen(model))

    def _freeze(self, frozen: Any, buffers: tuple[Tensor, Tensor] | None = None) -> None:
        start = tree_map(torch.clone, frozen.initial_state(self.rows))
        example = buffers
        if example is None:  # one that cannot step says so now
            example = _example(frozen, start, self.rows)
        stack = _plan(frozen, start, self._engine)
        if isinstance(stack, str):
            self._steps: Any = _TorchSteps(frozen, start, self.rows, example)
        elif isinstance(frozen, Layer | DropIn):
            self._steps = native_steps(stack, buffers)
        else:
            assert example is not None
            self._steps = _FramedSteps(frozen, native_steps(stack), example)
        self._frozen, self._start = frozen, start
        self._why_not_native = stack if isinstance(stack, str) else None

    def refresh(self) -> None:
        """Takes the model as it is now: weights, device and all else. The state stays."""
        with self._lock:
            self._renew(_frozen(self.model))

    def _renew(self, frozen: Any, buffers: tuple[Tensor, Tensor] | None = None) -> None:
        before = self._read()
        self._freeze(frozen, buffers)
        self._steps.write(self._like_start(before))

    def _keep_up(self) -> None:
        """Traces anew where a global, say, that a step reads has changed: torch would read it."""
        if self._steps.watched and not self._steps.hold():
            self._renew(self._frozen, (self._steps.input, self._steps.output))

    def __call__(self, x: Shaped[Tensor, "B ..."]) -> Shaped[Tensor, "B ..."]:
        """The output for each row's next input, a tensor of its own."""
        with self._lock:
            self._keep_up()
            output: Tensor = self._steps(x)
        return output

    def step(self) -> None:
        """Steps every row from :attr:`input` to :attr:`output`; makes no tensor.

        Example:
            >>> import elman
            >>> stream = elman.Stream(elman.Recurrent(elman.cells.GRU(3, 5)))
            >>> sensors, outputs = stream.input.numpy(), stream.output.numpy()
            >>> for reading in ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]):
            ...     sensors[0] = reading
            ...     stream.step()
            >>> outputs.shape
            (1, 5)
        """
        with self._lock:
            self._keep_up()
            wrong = self._steps.step()
        if wrong is not None:
            raise EngineError(f"the native engine failed: {wrong.decode()}")

    @property
    def input(self) -> Shaped[Tensor, "B ..."]:
        """What :meth:`step` reads, (rows, input_size): write into it. It is the stream's own.

        Raises:
            ConfigError: a module that is no layer, so that its input is not known.
        """
        tensor: Tensor = self._steps.input
        return tensor

    @property
    def output(self) -> Shaped[Tensor, "B ..."]:
        """What the last :meth:`step` wrote, (rows, output_size), until the next one."""
        tensor: Tensor = self._steps.output
        return tensor

    @property
    def engine(self) -> str:
        """What steps: "native", or "reference" for the model's own step in torch operations."""
        return "reference" if self._why_not_native else "native"

    @property
    def why_not_native(self) -> str | None:
        """Why the native engine does not step this model; None if it does."""
        return self._why_not_native

    @torch.inference_mode()
    def reset(self, where: Bool[Tensor, "B"] | None = None) -> None:
        """Lets rows begin anew, from the model's initial state.

        Args:
            where: (rows,) boolean, True at those that do; all of them if None.

        Raises:
            DtypeError, ShapeError: ``where`` is something else.
        """
        if where is not None:
            self._check_where(where)
        with self._lock:
            self._steps.write(tree_leaves(self._start), where)

    def _check_where(self, where: Any) -> None:
        if not isinstance(where, Tensor) or where.dtype != torch.bool:
            got = where.dtype if isinstance(where, Tensor) else type(where).__name__
            raise DtypeError(f"expected where as a boolean tensor, got {got}")
        if tuple(where.shape) != (self.rows,):
            raise ShapeError(
                f"expected where of shape ({self.rows},), one for each row, got "
                f"{tuple(where.shape)}"
            )

    @property
    def state(self) -> Any:
        """The state of every row, as ``model.initial_state(rows)`` is made.

        What is read is a copy, and what is set is copied: to save a stream, go back, or hand over.
        """
        with self._lock:
            return self._read()

    @state.setter
    def state(self, state: Any) -> None:
        leaves = self._like_start(state)
        with self._lock:
            self._steps.write(leaves)

    def _read(self) -> Any:
        return tree_unflatten(self._steps.read(), tree_structure(self._start))

    def _like_start(self, state: Any) -> list[Tensor]:
        if _shapes(state) != _shapes(self._start):
            raise ShapeError(
                f"expected a state of shapes {_shapes(self._start)}, got {_shapes(state)}"
            )
        pairs = zip(tree_leaves(state), tree_leaves(self._start), strict=True)
        return [new.detach().to(like.device, like.dtype) for new, like in pairs]

    def __getstate__(self) -> dict[str, Any]:
        """What a copy, or a pickle, is made of: the frozen model and the states."""
        kept = {name: getattr(self, name) for name in ("model", "rows", "_engine", "_frozen")}
        return kept | {"state": self.state}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        state = kept.pop("state")
        self.__dict__.update(kept)
        self._lock = threading.Lock()
        self._freeze(self._frozen)
        self.state = state

    def __repr__(self) -> str:
        return f"Stream({self.model!r}, rows={self.rows})"


class _TorchSteps:
    """The model's own step, in torch operations; states are the leaves of its state."""

    watched = ()  # it reads all at each step

    def __init__(
        self, model: Any, start: Any, rows: int, example: tuple[Tensor, Tensor] | None
    ) -> None:
        self._model, self._state, self._rows, self._buffers = model, start, rows, example

    def __call__(self, x: Tensor) -> Tensor:
        _check_rows(x, self._rows)
        with torch.inference_mode():
            output, self._state = self._model.step(x, self._state)
        # The output is often a state, into which nobody else shall write; and out here the clone is
        # a plain tensor, that may enter a graph.
        result: Tensor = output.clone()
        return result

    def step(self) -> None:
        self.output.copy_(self(self.input))

    @property
    def input(self) -> Tensor:
        return self._buffer(0)

    @property
    def output(self) -> Tensor:
        return self._buffer(1)

    def _buffer(self, number: int) -> Tensor:
        if self._buffers is None:
            raise ConfigError(
                f"{type(self._model).__name__} is no layer of elman, so what goes in and comes out "
                "is not known beforehand: call stream(x)"
            )
        return self._buffers[number]

    def read(self) -> list[Tensor]:
        return [s.clone() for s in tree_leaves(self._state)]

    def write(self, states: Iterable[Tensor], where: Tensor | None = None) -> None:
        def chosen(new: Tensor, old: Tensor) -> Tensor:
            if where is None:
                return new.clone()
            rows = where.to(old.device).view(-1, *[1] * (old.dim() - 1))
            return torch.where(rows, new, old)

        leaves = map(chosen, states, tree_leaves(self._state))
        self._state = tree_unflatten(list(leaves), tree_structure(self._state))


class _FramedSteps:
    """Native steps of a recurrent layer between an embedding and an output layer in torch."""

    def __init__(
        self, model: Any, steps: NativeSteps | CutSteps, example: tuple[Tensor, Tensor]
    ) -> None:
        self._model, self._steps = model, steps
        self.input, self.output = example
        self.watched, self.hold, self.read, self.write = (
            steps.watched,
            steps.hold,
            steps.read,
            steps.write,
        )

    def __call__(self, x: Tensor) -> Tensor:
        _check_rows(x, len(self.input))
        with torch.inference_mode():
            output = self._model.output(self._steps(self._model.embedding(x)))
        result: Tensor = output.clone()  # out here, so that it may enter a graph
        return result

    def step(self) -> None:
        self.output.copy_(self(self.input))


def _is_framed(model: Any) -> bool:
    """Whether this is a recurrent layer between an embedding and an output layer."""
    ends = all(
        isinstance(getattr(model, name, None), nn.Module) for name in ("embedding", "output")
    )
    return ends and isinstance(getattr(model, "recurrent", None), Layer | DropIn)


def _example(model: Any, start: Any, rows: int) -> tuple[Tensor, Tensor] | None:
    """An input of zeros and what comes out; None where it is not known what goes in."""
    like = tree_leaves(start)[0]
    if isinstance(model, Layer | DropIn):
        x = like.new_zeros(rows, model.input_size)
    elif _is_framed(model):
        x = like.new_zeros(rows, dtype=torch.long)
    else:
        return None
    return x, model.step(x, start)[0].clone()


def _why_not_framed(model: Any, start: Any) -> str | None:
    """Why its step is not that of its parts in turn; tried, since its code may do anything."""
    x = tree_leaves(start)[0].new_zeros(len(tree_leaves(start)[0]), dtype=torch.long)
    state = tree_map(lambda s: torch.full_like(s, 0.25), start)
    whole, after = model.step(x, state)
    hidden, states = model.recurrent.step(model.embedding(x), state)
    pairs = zip(
        tree_leaves((whole, after)), tree_leaves((model.output(hidden), states)), strict=True
    )
    if all(a.shape == b.shape and torch.allclose(a, b) for a, b in pairs):
        return None
    return f"the step of {type(model).__name__} is not its embedding, recurrent and output in turn"


def _check_rows(x: Any, rows: int) -> None:
    check_tensor("x", x)
    if not x.dim() or x.shape[0] != rows:
        raise ShapeError(
            f"expected x of shape ({rows}, ...), one input for each row, got {tuple(x.shape)}"
        )


def _frozen(model: nn.Module) -> Any:
    return copy.deepcopy(model).eval().requires_grad_(False)


def _plan(model: Any, start: Any, engine: str) -> StackPlan | str:
    """How the model's recurrences step natively, or the reason why they do not."""
    names = {module: name or "the model itself" for name, module in model.named_modules()}
    stack: list[StackedRecurrence] = []
    try:
        framed = _is_framed(model)
        stack += _stack(model.recurrent if framed else model, start, names, 0)
        steps = f"{engine!r} was asked for" if engine == "reference" else plan(stack)
        if framed and not isinstance(steps, str):
            steps = _why_not_framed(model, start) or steps
    except EngineError as error:
        steps = str(error)
    if isinstance(steps, str) and "native" in (engine, *(level.engine for level in stack)):
        raise EngineError(f"engine 'native' cannot step this model: {steps}")
    return steps


def _stack(
    model: Any, state: Any, names: dict[Any, str], first: int
) -> Iterator[StackedRecurrence]:
    """The recurrences from below to above; the lowest has the number ``first``."""
    match model:
        case Recurrent():
            yield _level(model, Recurrence(model.cell, _zeros(state, model.cell), state), names)
        case Dropout():  # the stream is in eval mode
            yield from _stack(model.layer, state, names, first)
        case Residual():
            *below, top = _stack(model.layer, state, names, first)
            yield from below
            yield replace(top, residuals=(*top.residuals, first))
        case Stack():
            for layer, s in zip(model.layers, state, strict=True):
                inner = list(_stack(layer, s, names, first))
                first += len(inner)
                yield from inner
        case DropIn():
            for (cell, weights, part), s in zip(model.parts(), state, strict=True):
                r = Recurrence(cell, _zeros(s, cell), s, weights)
                yield _level(model, r, names, f" {part}")
        case _:
            raise EngineError(f"{names[model]}: {type(model).__name__} is no layer of elman")


def _zeros(state: Any, cell: Any) -> Tensor:
    zeros: Tensor = state[0].new_zeros(1, state[0].shape[0], cell.input_size)
    return zeros


def _level(layer: Any, r: Recurrence, names: dict[Any, str], suffix: str = "") -> StackedRecurrence:
    return StackedRecurrence(r, layer.engine, f"{names[layer]}{suffix}")


def _shapes(state: Any) -> Any:
    return tree_map(lambda t: tuple(t.shape) if isinstance(t, Tensor) else type(t).__name__, state)


def __dir__() -> list[str]:
    return sorted(__all__)
