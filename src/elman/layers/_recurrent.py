"""One cell over sequences."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn

from elman import engine as engines
from elman import init as schemes
from elman._checks import check_state, check_tensor
from elman._errors import ConfigError, DtypeError, ShapeError
from elman.cells import Cell
from elman.layers._base import Layer, check_lengths, check_reset, check_sequences
from elman.scan import Observation


@final
class Recurrent(Layer):
    """Repeats a cell over time.

    Args:
        cell: any cell, of this library or your own.
        batch_first: whether x is (batch, time, features), the default, or (time, batch, features).
        reverse: run from the last real step to the first.
        learn_initial_state: make the initial state a parameter; zeros otherwise.
        init: the name of a scheme of :mod:`elman.init`; None leaves the cell as it is.
        engine: "auto", or the name of an engine, which then runs or raises the reason.

    See :class:`Layer` for how it is called. The state is ``cell.State``.

    Raises:
        ShapeError, DtypeError, ConfigError: name the argument, what was expected and what came.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.GRU(3, 5))
        >>> x, lengths = torch.randn(2, 7, 3), torch.tensor([7, 4])
        >>> output, state, observed = layer(x, lengths=lengths, observe=True)
        >>> torch.equal(output[1, 3], state.h[1]), sorted(observed), observed["update"].shape
        (True, ['h', 'reset', 'update'], torch.Size([2, 7, 5]))
    """

    def __init__(
        self,
        cell: Cell,
        *,
        batch_first: bool = True,
        reverse: bool = False,
        learn_initial_state: bool = False,
        init: str | None = None,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        if not isinstance(cell, Cell):
            raise DtypeError(f"expected an elman.cells.Cell, got {type(cell).__name__}")
        self.cell = cell
        self.batch_first = batch_first
        self.reverse = reverse
        self.engine = engines.check_name(engine)
        self.input_size, self.output_size = cell.input_size, cell.output_size
        self.initial: nn.ParameterDict | None = None
        if learn_initial_state:
            start = cell.initial_state(1)._asdict()
            self.initial = nn.ParameterDict({n: s[0].detach().clone() for n, s in start.items()})
        if init is not None:
            schemes.initialize(self, init)

    def initial_state(self, batch_size: int) -> Any:
        """Zeros, or the learned initial state, for every row."""
        if self.initial is None:
            return self.cell.initial_state(batch_size)
        rows = (self.initial[name].expand(batch_size, -1) for name in self.cell.states)
        return self.cell.State(*rows)

    def forward(
        self,
        x: Tensor,
        state: Any = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        observe: bool = False,
    ) -> Any:
        batch = check_sequences(self, x)
        start = self.initial_state(batch)
        state = start if state is None else check_state(self.cell, state, x, batch)
        if lengths is not None:
            lengths = check_lengths(lengths, batch, x.shape[1 if self.batch_first else 0], x)
        if reset is not None:
            reset = check_reset(reset, x, self.batch_first)
        observation = Observation() if observe else None
        output, final_state = engines.run(
            engines.Recurrence(
                self.cell,
                self._time_first(x),
                state,
                lengths=lengths,
                reset=None if reset is None else self._time_first(reset),
                start=start,
                reverse=self.reverse,
                observe=observation,
                layer=self,
            ),
            self.engine,
        )
        output = self._time_first(output)
        if observation is None:
            return output, final_state
        return output, final_state, observation.stacked(1 if self.batch_first else 0)

    def _time_first(self, x: Tensor) -> Tensor:
        return x.transpose(0, 1) if self.batch_first else x

    def step(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """One time step with the same weights.

        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.LSTM(3, 5))
        >>> x, state = torch.randn(2, 7, 3), None
        >>> for x_t in x.unbind(1):
        ...     output_t, state = layer.step(x_t, state)
        >>> torch.allclose(output_t, layer(x)[0][:, -1], atol=1e-6)
        True
        """
        if self.reverse:
            raise ConfigError(
                "a reversed layer cannot step: it needs the end of the sequence first"
            )
        check_tensor("x", x)
        if x.dim() != 2 or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"expected x of shape (batch, {self.input_size}), got {tuple(x.shape)}"
            )
        batch = x.shape[0]
        state = (
            self.initial_state(batch) if state is None else check_state(self.cell, state, x, batch)
        )
        state = engines.step(engines.Recurrence(self.cell, x, state, layer=self))
        return state[0], state

    def extra_repr(self) -> str:
        flags = ("batch_first", self.batch_first, True), ("reverse", self.reverse, False)
        options = [f"{name}={value}" for name, value, usual in flags if value is not usual]
        return ", ".join(options + ([f"engine={self.engine!r}"] if self.engine != "auto" else []))
