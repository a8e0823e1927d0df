"""A network without recurrence, called as a recurrent layer is."""

from __future__ import annotations

from typing import Literal, Unpack, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman._errors import ConfigError, nearest
from elman.layers._base import Layer, Options, check_lengths, check_sequences
from elman.scan import mask

WINDOWS = ("past", "around", "row")


@final
class FeedForward(Layer):
    r"""A multilayer perceptron over ``steps`` steps laid side by side, in the place of recurrence.

    .. math:: output_t = \mathrm{relu}(W_2\, \mathrm{relu}(W_1 [x_i; \dots; x_{i+n-1}] + b_1) + b_2)

    ======  =======================  =============================================================
    window  first step :math:`i`     state
    ======  =======================  =============================================================
    past    :math:`t - n + 1`        the last n - 1 steps (batch, n - 1, I)
    around  :math:`t - \lfloor n/2   empty: a step waits for those after it
            \rfloor`
    row     1                        empty: the output of every step is that of the first n of them
    ======  =======================  =============================================================

    It has a weight for every place of its window, outside of which it sees nothing: this is the
    baseline that recurrence is measured against. Zeros stand before the first step and after the
    last real one. Time comes first, and there is neither ``reset`` nor ``observe``.

    Args:
        input_size: features of a step (I).
        steps: length of the window (n); the first layer has ``steps * input_size * hidden``
            weights.
        hidden: units of each layer (H).
        layers: how many.
        window: where the window lies.

    Shapes: x (time, batch, I) to outputs (time, batch, H).

    Raises:
        ConfigError: a size is less than 1; from :meth:`step`, unless the window lies in the past.

    Example:
        >>> network = FeedForward(3, steps=4, hidden=5)
        >>> x = torch.randn(7, 2, 3)
        >>> output, state = network(x)
        >>> first, state = network(x[:6])
        >>> last, state = network.step(x[6], state)
        >>> output.shape, torch.allclose(output[6], last, atol=1e-6)
        (torch.Size([7, 2, 5]), True)
        >>> sum(p.numel() for p in network.parameters())  # 4 * 3 * 5 + 5
        65

    References:
        Waibel et al. 1989, "Phoneme recognition using time-delay neural networks", for windows that
        move along.
    """

    batch_first = False

    def __init__(
        self,
        input_size: int,
        steps: int,
        hidden: int,
        layers: int = 1,
        window: Literal["past", "around", "row"] = "past",
    ) -> None:
        super().__init__()
        for name, size in {"input_size": input_size, "steps": steps, "hidden": hidden}.items():
            if size < 1:
                raise ConfigError(f"{name} must be at least 1, got {size}")
        if window not in WINDOWS:
            raise ConfigError(f"unknown window {window!r}: {nearest(window, WINDOWS)}")
        self.input_size, self.steps, self.output_size = input_size, steps, hidden
        self.window = window
        sizes = [steps * input_size, *[hidden] * layers]
        self.layers = nn.ModuleList(map(nn.Linear, sizes, sizes[1:]))

    def initial_state(self, batch_size: int) -> Tensor:
        carried = self.steps - 1 if self.window == "past" else 0
        return next(self.parameters()).new_zeros(batch_size, carried, self.input_size)

    def forward(
        self, x: Tensor, state: Tensor | None = None, **options: Unpack[Options]
    ) -> tuple[Tensor, Tensor]:
        batch, time, lengths = check_sequences(self, x), len(x), options.get("lengths")
        if options.get("reset") is not None or options.get("observe"):
            raise ConfigError("a feed-forward layer has no gates or memory: no reset, no observe")
        padding = None
        if lengths is not None:
            lengths = check_lengths(lengths, batch, time, x).to(x.device)
            padding = ~mask(lengths, time, device=x.device).T.unsqueeze(-1)
            x = x.masked_fill(padding, 0)
        if self.window == "row":
            first = F.pad(x[: self.steps], (0, 0, 0, 0, 0, max(0, self.steps - time)))
            flat = first.transpose(0, 1).flatten(1).contiguous()
            output = self._perceptron(flat).expand(time, -1, -1)
        else:
            x = self._extended(x, state)
            windows = x.unfold(0, self.steps, 1).transpose(2, 3)
            flat = windows.reshape(-1, self.steps * self.input_size)
            output = self._perceptron(flat).view(time, batch, self.output_size)
        state = self._last(x, lengths) if self.window == "past" else self.initial_state(batch)
        return output if padding is None else output.masked_fill(padding, 0), state

    def _perceptron(self, hidden: Tensor) -> Tensor:
        for layer in self.layers:
            hidden = torch.relu(layer(hidden))
        return hidden

    def _extended(self, x: Tensor, state: Tensor | None) -> Tensor:
        """The steps and those around them, so that there is a window for each."""
        if self.window == "around":
            ahead = (self.steps - 1) // 2
            return F.pad(x, (0, 0, 0, 0, self.steps - 1 - ahead, ahead))
        if state is None:
            state = x.new_zeros(x.shape[1], self.steps - 1, self.input_size)
        return torch.cat([state.transpose(0, 1), x])

    def _last(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """The last n - 1 real steps (batch, n - 1, I) of x, which has as many before its first."""
        rows = x.transpose(0, 1)
        if lengths is None:
            return rows[:, x.shape[0] - self.steps + 1 :]
        places = lengths.unsqueeze(1) + torch.arange(self.steps - 1, device=x.device)
        return rows[torch.arange(len(rows), device=x.device).unsqueeze(1), places]

    def step(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One time step: its input and the last n - 1."""
        if self.window != "past":
            raise ConfigError(
                f"a layer with window={self.window!r} cannot step: it needs the steps after it"
            )
        output, state = self(x.unsqueeze(0), state)
        return output[0], state

    def extra_repr(self) -> str:
        return f"steps={self.steps}, window={self.window!r}"
