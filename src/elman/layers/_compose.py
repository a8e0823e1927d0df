"""Layers made of layers: the same contract; the state is a tuple of the parts' states."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Unpack, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman._errors import ConfigError
from elman.cells import Cell
from elman.layers._base import Layer, Options
from elman.layers._recurrent import Recurrent
from elman.scan import mask


def _columns(results: Iterable[Any]) -> tuple[Any, ...]:
    """(output, state[, observed]) of each part, as a tuple of outputs, one of states, ..."""
    return tuple(zip(*results, strict=True))


def _check_layout(layers: Iterable[Layer]) -> bool:
    layouts = {layer.batch_first for layer in layers}
    if len(layouts) != 1:
        raise ConfigError("expected layers of one layout, got batch_first both True and False")
    return layouts.pop()


@final
class Stack(Layer):
    """Layers one above the other; the state is the tuple of their states.

    Args:
        layers: at least one; each layer's input_size must be the output_size of the one below.

    Raises:
        ConfigError: sizes or layouts do not fit.

    Example:
        >>> import torch, elman
        >>> from elman.cells import GRU
        >>> below, above = elman.Recurrent(GRU(3, 5)), elman.Recurrent(GRU(5, 5))
        >>> stack = elman.Stack(elman.Dropout(below, 0.5), elman.Residual(above))
        >>> output, (state_below, state_above) = stack(torch.randn(2, 7, 3))
        >>> output.shape
        torch.Size([2, 7, 5])
    """

    layers: Any

    def __init__(self, *layers: Layer) -> None:
        super().__init__()
        if not layers:
            raise ConfigError("expected at least one layer to stack")
        for below, above in pairwise(layers):
            if below.output_size != above.input_size:
                raise ConfigError(
                    f"expected a layer of input_size={below.output_size} above one of that "
                    f"output_size, got input_size={above.input_size}"
                )
        self.batch_first = _check_layout(layers)
        self.layers = nn.ModuleList(layers)
        self.input_size, self.output_size = layers[0].input_size, layers[-1].output_size

    def _states(self, state: Any) -> tuple[Any, ...]:
        if state is None:
            return (None,) * len(self.layers)
        if not isinstance(state, tuple) or len(state) != len(self.layers):
            raise ConfigError(f"expected a tuple of {len(self.layers)} states, one for each layer")
        return state

    def initial_state(self, batch_size: int) -> Any:
        return tuple(layer.initial_state(batch_size) for layer in self.layers)

    def forward(self, x: Tensor, state: Any = None, **options: Unpack[Options]) -> Any:
        results = []
        for layer, s in zip(self.layers, self._states(state), strict=True):
            results.append(layer(x, s, **options))
            x = results[-1][0]
        return (x, *_columns(results)[1:])

    def step(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        states = []
        for layer, s in zip(self.layers, self._states(state), strict=True):
            x, new = layer.step(x, s)
            states.append(new)
        return x, tuple(states)


@final
class Bidirectional(Layer):
    r"""One layer forwards and one backwards over the same input; their outputs are concatenated.

    .. math:: output_t = [\overrightarrow{h}_t ; \overleftarrow{h}_t]

    Args:
        forwards: a cell, or a Recurrent layer.
        backwards: a cell, or a Recurrent layer with ``reverse=True``.

    Raises:
        ConfigError: sizes, layouts or directions do not fit; from :meth:`step` always, since the
            backward layer needs the end of the sequence first.

    Example:
        >>> import torch, elman
        >>> layer = elman.Bidirectional(elman.cells.LSTM(3, 5), elman.cells.LSTM(3, 4))
        >>> layer(torch.randn(2, 7, 3))[0].shape
        torch.Size([2, 7, 9])

    References:
        M. Schuster and K. K. Paliwal, "Bidirectional recurrent neural networks", IEEE Transactions
        on Signal Processing 45, 1997.
    """

    directions: Any

    def __init__(self, forwards: Cell | Recurrent, backwards: Cell | Recurrent) -> None:
        super().__init__()
        for direction in (forwards, backwards):
            if not isinstance(direction, (Cell, Recurrent)):
                raise ConfigError(
                    f"expected a cell or a Recurrent layer, got {type(direction).__name__}; a "
                    "layer in torch's form, such as elman.LSTM, takes bidirectional=True"
                )
        ahead = Recurrent(forwards) if isinstance(forwards, Cell) else forwards
        if isinstance(backwards, Cell):
            backwards = Recurrent(backwards, batch_first=ahead.batch_first, reverse=True)
        if ahead.reverse or not backwards.reverse:
            raise ConfigError(
                "expected the first layer with reverse=False, the second with reverse=True"
            )
        if ahead.input_size != backwards.input_size:
            raise ConfigError(
                f"expected both directions to have one input_size, got {ahead.input_size} and "
                f"{backwards.input_size}"
            )
        self.batch_first = _check_layout((ahead, backwards))
        self.directions = nn.ModuleList((ahead, backwards))
        self.input_size = ahead.input_size
        self.output_size = ahead.output_size + backwards.output_size

    def initial_state(self, batch_size: int) -> Any:
        return tuple(layer.initial_state(batch_size) for layer in self.directions)

    def forward(self, x: Tensor, state: Any = None, **options: Unpack[Options]) -> Any:
        states = (None, None) if state is None else state
        both = [d(x, s, **options) for d, s in zip(self.directions, states, strict=True)]
        outputs, *rest = _columns(both)
        return (torch.cat(outputs, -1), *rest)

    def step(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        raise ConfigError(
            "a bidirectional layer cannot step: its backward layer needs the end of the sequence"
        )


class _Wrapper(Layer):
    """A layer around one other layer, whose state is that layer's."""

    layer: Layer

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
        self.input_size, self.output_size = layer.input_size, layer.output_size
        self.batch_first = layer.batch_first

    @abstractmethod
    def combine(self, x: Tensor, output: Tensor) -> Tensor:
        """The wrapper's output from the layer's input, 0 at padding, and output."""

    def initial_state(self, batch_size: int) -> Any:
        return self.layer.initial_state(batch_size)

    def forward(self, x: Tensor, state: Any = None, **options: Unpack[Options]) -> Any:
        output, *rest = self.layer(x, state, **options)
        lengths = options.get("lengths")
        if lengths is not None:
            active = mask(lengths, x.shape[1 if self.batch_first else 0], device=x.device)
            x = x.masked_fill(~(active if self.batch_first else active.T)[..., None], 0)
        return (self.combine(x, output), *rest)

    def step(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        output, state = self.layer.step(x, state)
        return self.combine(x, output), state


@final
class Residual(_Wrapper):
    r"""Adds a layer's input to its output.

    .. math:: output_t = x_t + layer(x)_t

    Args:
        layer: a layer with output_size equal to input_size.

    Raises:
        ConfigError: the sizes differ.

    Example:
        >>> import torch, elman
        >>> layer = elman.Residual(elman.Recurrent(elman.cells.GRU(5, 5)))
        >>> layer(torch.randn(2, 7, 5))[0].shape
        torch.Size([2, 7, 5])

    References:
        K. He et al., "Deep residual learning for image recognition", CVPR 2016.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        if layer.input_size != layer.output_size:
            raise ConfigError(
                f"expected output_size equal to input_size={layer.input_size} to add them, got "
                f"{layer.output_size}"
            )

    def combine(self, x: Tensor, output: Tensor) -> Tensor:
        return x + output


@final
class Dropout(_Wrapper):
    r"""Drops elements of a layer's output while training; between two layers of a stack, say.

    .. math::
        output_t = \frac{m_t}{1 - p} \odot layer(x)_t, \qquad m_t \sim \mathrm{Bernoulli}(1 - p)

    Only the way up is dropped, never the recurrence, so memory is left alone.

    Args:
        layer: the layer whose output is dropped.
        p: the probability that an element is dropped, 0 <= p < 1.

    Raises:
        ConfigError: p is out of range.

    Example:
        >>> import torch, elman
        >>> layer = elman.Dropout(elman.Recurrent(elman.cells.LSTM(3, 5)), 0.5).eval()
        >>> x = torch.randn(2, 7, 3)
        >>> torch.equal(layer(x)[0], layer.layer(x)[0])
        True

    References:
        W. Zaremba, I. Sutskever and O. Vinyals, "Recurrent neural network regularization", 2014.
    """

    def __init__(self, layer: Layer, p: float) -> None:
        super().__init__(layer)
        if not 0 <= p < 1:
            raise ConfigError(f"expected a dropout probability 0 <= p < 1, got {p}")
        self.p = p

    def combine(self, x: Tensor, output: Tensor) -> Tensor:
        return F.dropout(output, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
