"""Streaming: one input at a time, for many independent rows."""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map, tree_structure, tree_unflatten

from elman._errors import ConfigError, DtypeError, ShapeError
from elman.layers import Layer
from elman.layers._drop_in import DropIn


class Stream:
    r"""Runs a model one input at a time and keeps the state of each row.

    .. math:: output_t, state_t = step(x_t, state_{t-1})

    The rows are independent streams: sensors, users, games. Their number is fixed, and so is the
    memory that a stream takes. It is for inference: dropout is off, and no graph is kept.

    **Weights are frozen.** A stream works with a copy of the model as it was when the stream was
    made, so that training cannot change one that runs; :meth:`refresh` takes a new copy.

    Args:
        model: a layer or a drop-in, or any module that has their ``step(x_t, state)`` and
            ``initial_state(batch_size)``.
        rows: how many streams run side by side.

    Shapes: x_t (rows, input_size) to output_t (rows, output_size).

    Errors: ConfigError for a layer that needs the end of the sequence first; DtypeError for a
    module that has no ``step``; ShapeError if an input does not have as many rows.

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

    def __init__(self, model: nn.Module, rows: int = 1) -> None:
        if not all(callable(getattr(model, name, None)) for name in ("step", "initial_state")):
            raise DtypeError(
                "expected a module with step(x_t, state) and initial_state(batch_size), as elman's "
                f"layers have them, got {type(model).__name__}"
            )
        if not isinstance(rows, int) or isinstance(rows, bool):
            raise DtypeError(f"expected rows as an int, got {type(rows).__name__}")
        if rows < 1:
            raise ConfigError(f"expected at least one row, got rows={rows}")
        self.model, self.rows = model, rows
        self._freeze()
        self._state = self._start
        if isinstance(model, Layer | DropIn):  # one that cannot step says so now
            x = tree_leaves(self._start)[0].new_zeros(rows, model.input_size)
            self._model.step(x, self._start)

    def _freeze(self) -> None:
        model: Any = copy.deepcopy(self.model).eval().requires_grad_(False)
        self._model, self._start = model, tree_map(torch.clone, model.initial_state(self.rows))

    def refresh(self) -> None:
        """Takes the model as it is now: weights, device and all else. The state stays."""
        self._freeze()
        self.state = self._state

    def __call__(self, x: Shaped[Tensor, "B ..."]) -> Shaped[Tensor, "B ..."]:
        """The output for each row's next input."""
        if not x.dim() or x.shape[0] != self.rows:
            raise ShapeError(
                f"expected x of shape ({self.rows}, ...), one input for each row, got "
                f"{tuple(x.shape)}"
            )
        with torch.inference_mode():
            output, self._state = self._model.step(x, self._state)
        # The output is often a state, into which nobody else shall write; and out here the clone is
        # a plain tensor, that may enter a graph.
        result: Tensor = output.clone()
        return result

    @torch.inference_mode()
    def reset(self, where: Bool[Tensor, "B"] | None = None) -> None:
        """Lets rows begin anew, from the model's initial state.

        Args:
            where: (rows,) boolean, True at those that do; all of them if None.

        Errors: DtypeError and ShapeError if ``where`` is something else.
        """
        if where is None:
            self._state = self._start
            return
        if not isinstance(where, Tensor) or where.dtype != torch.bool:
            got = where.dtype if isinstance(where, Tensor) else type(where).__name__
            raise DtypeError(f"expected where as a boolean tensor, got {got}")
        if tuple(where.shape) != (self.rows,):
            raise ShapeError(
                f"expected where of shape ({self.rows},), one for each row, got "
                f"{tuple(where.shape)}"
            )

        def chosen(start: Tensor, state: Tensor) -> Tensor:
            rows = where.to(state.device).view(-1, *[1] * (state.dim() - 1))
            return torch.where(rows, start, state)

        self._state = tree_map(chosen, self._start, self._state)

    @property
    def state(self) -> Any:
        """The state of every row, as ``model.initial_state(rows)`` is made.

        What is read is a copy, and what is set is copied: to save a stream, go back, or hand over.
        """
        return tree_map(torch.clone, self._state)

    @state.setter
    def state(self, state: Any) -> None:
        if _shapes(state) != _shapes(self._start):
            raise ShapeError(
                f"expected a state of shapes {_shapes(self._start)}, got {_shapes(state)}"
            )
        pairs = zip(tree_leaves(state), tree_leaves(self._start), strict=True)
        copies = [new.detach().to(like.device, like.dtype, copy=True) for new, like in pairs]
        self._state = tree_unflatten(copies, tree_structure(self._start))

    def __repr__(self) -> str:
        return f"Stream({self.model!r}, rows={self.rows})"


def _shapes(state: Any) -> Any:
    return tree_map(lambda t: tuple(t.shape) if isinstance(t, Tensor) else type(t).__name__, state)
