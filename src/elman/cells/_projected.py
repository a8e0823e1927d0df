"""A wrapper that makes the recurrent state smaller than the cell."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, final

from torch import Tensor, nn
from torch.nn import functional as F

from elman._errors import ConfigError
from elman.cells._base import Cell, PointwiseCell, Weights


@final
class Projected(Cell):
    r"""A pointwise cell whose first state is projected: it is put out, and fed back, smaller.

    .. math::
        h_t = W_{hr} \tilde h_t \qquad (\tilde h_t, c_t) = cell(x_t, (h_{t-1}, c_{t-1}))

    The wrapped cell's W_hh then multiplies the projected state, so it is made anew as (G*H, size).
    The cell must not use its first state elementwise (a GRU does, an LSTM does not).

    Args:
        cell: the cell to wrap; it belongs to the wrapper from then on.
        size: units of the projected state, smaller than the cell's.

    Raises:
        ConfigError: ``size`` is out of range, or the cell cannot be projected.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.Projected(elman.cells.LSTM(3, 8), 2))
        >>> output, state = layer(torch.randn(4, 6, 3))
        >>> output.shape, state.c.shape
        (torch.Size([4, 6, 2]), torch.Size([4, 8]))

    References:
        H. Sak, A. Senior and F. Beaufays, "Long short-term memory recurrent neural network
        architectures for large scale acoustic modeling", Interspeech 2014.
    """

    def __init__(self, cell: PointwiseCell, size: int) -> None:
        if not 0 < size < cell.hidden_size:
            raise ConfigError(
                f"expected a projection of at least 1 and smaller than "
                f"hidden_size={cell.hidden_size}, got {size}"
            )
        super().__init__(cell.input_size, cell.hidden_size)
        self.states, self.retention = cell.states, cell.retention  # type: ignore[misc]
        like, bound = cell.weight_hh, 1 / math.sqrt(cell.hidden_size)
        cell.weight_hh = nn.Parameter(like.new_empty(like.shape[0], size).uniform_(-bound, bound))
        self.cell = cell
        self.weight_hr = nn.Parameter(
            like.new_empty(size, cell.hidden_size).uniform_(-bound, bound)
        )
        self._check_elementwise()

    def _check_elementwise(self) -> None:
        like = self.weight_hr
        state = self.State(*(like.new_zeros(1, size) for size in self.state_sizes))
        gates = self.cell.Gates(*(like.new_zeros(1, self.hidden_size) for _ in self.cell.gates))
        try:
            self.cell.pointwise(gates, gates, state)
        except RuntimeError as error:
            raise ConfigError(
                f"{type(self.cell).__name__} uses its state {self.states[0]!r} elementwise, "
                f"so it cannot be projected to another size ({error})"
            ) from None

    @property
    def State(self) -> Any:  # noqa: N802 - not kept: types do not pickle
        """The wrapped cell's."""
        return self.cell.State

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return (self.weight_hr.shape[0], *self.cell.state_sizes[1:])

    @property
    def gates(self) -> tuple[str, ...]:
        """The wrapped cell's gates."""
        return self.cell.gates

    @property
    def weights(self) -> Weights:
        """The wrapped cell's tensors and the projection."""
        return self.cell.weights._replace(hr=self.weight_hr)

    def gated_weights(self) -> Iterator[tuple[PointwiseCell, Weights]]:
        """What :func:`elman.init.initialize` fills."""
        yield self.cell, self.weights

    def project(self, x: Tensor, weights: Weights | None = None) -> Tensor:
        return self.cell.project(x, weights)

    def step(self, inp: Tensor, state: Any, weights: Weights | None = None) -> Any:
        w = self.weights if weights is None else weights
        new = self.cell.step(inp, state, w)
        assert w.hr is not None
        return self.State(F.linear(new[0], w.hr), *new[1:])
