"""A convolution over time that never looks ahead."""

from __future__ import annotations

from typing import Any, Unpack, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman._checks import check_tensor
from elman._errors import ConfigError, ShapeError
from elman.layers._base import Layer, Options, check_lengths, check_reset, check_sequences
from elman.scan import mask


@final
class CausalConv1d(Layer):
    r"""A causal convolution: each output sees the last few inputs, of this call and of the last.

    .. math:: y_t = b + \sum_{j=0}^{k-1} W_j x_{t-k+1+j}

    It is the window over time below a :class:`elman.cells.QRNN`, and with ``groups=input_size``,
    one filter for each feature, below an :class:`elman.cells.RGLRU`. Its state is the last k - 1
    inputs, zeros at first and after a reset, so it streams and is cut into chunks like any layer.

    Args:
        input_size: features of x_t.
        output_size: features of y_t.
        kernel_size: k, how many steps an output sees.
        groups: as in :class:`torch.nn.Conv1d`: features of one group see those of one group.
        bias: whether there is b.
        batch_first: whether x is (batch, time, features), the default, or (time, batch, features).
        factory: device and dtype.

    Shapes: ``weight`` (output_size, input_size / groups, k); state (batch, k - 1, input_size).

    Raises:
        ConfigError: a size below one, or sizes that the groups do not divide.
        ShapeError: a state of another shape.

    Example:
        >>> import torch, elman
        >>> layer = elman.layers.CausalConv1d(3, 5, kernel_size=2)
        >>> x = torch.randn(2, 7, 3)
        >>> output, state = layer(x)
        >>> output.shape, torch.equal(state, x[:, -1:])
        (torch.Size([2, 7, 5]), True)
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        kernel_size: int,
        *,
        groups: int = 1,
        bias: bool = True,
        batch_first: bool = True,
        **factory: Any,
    ) -> None:
        super().__init__()
        for name, size in (("kernel_size", kernel_size), ("groups", groups)):
            if size < 1:
                raise ConfigError(f"{name} must be at least 1, got {size}")
        if input_size % groups or output_size % groups:
            raise ConfigError(
                f"groups must divide input_size = {input_size} and output_size = {output_size}, "
                f"got {groups}"
            )
        self.input_size, self.output_size, self.batch_first = input_size, output_size, batch_first
        self.kernel_size, self.groups = kernel_size, groups
        inputs = input_size // groups
        self.weight = nn.Parameter(torch.empty(output_size, inputs, kernel_size, **factory))
        self.bias = nn.Parameter(torch.empty(output_size, **factory)) if bias else None
        bound = (inputs * kernel_size) ** -0.5  # as torch.nn.Conv1d has it
        for tensor in self.parameters():
            nn.init.uniform_(tensor, -bound, bound)

    def initial_state(self, batch_size: int) -> Tensor:
        """Zeros (batch, k - 1, input_size): inputs that there were not."""
        return self.weight.new_zeros(batch_size, self.kernel_size - 1, self.input_size)

    def forward(self, x: Tensor, state: Any = None, **options: Unpack[Options]) -> Any:
        batch = check_sequences(self, x)
        lengths, reset = options.get("lengths"), options.get("reset")
        if lengths is not None:
            lengths = check_lengths(lengths, batch, x.shape[1 if self.batch_first else 0], x)
        if reset is not None:
            reset = check_reset(reset, x, self.batch_first)
            reset = reset if self.batch_first else reset.T
        output, state = self._convolved(
            x if self.batch_first else x.transpose(0, 1),
            self._checked(state, batch),
            lengths,
            reset,
        )
        output = output if self.batch_first else output.transpose(0, 1)
        return (output, state, {}) if options.get("observe") else (output, state)

    def step(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        check_tensor("x", x)
        if x.dim() != 2 or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"expected x of shape (batch, {self.input_size}), got {tuple(x.shape)}"
            )
        inputs = torch.cat([self._checked(state, len(x)), x[:, None]], 1)
        return self._filtered(inputs)[:, 0], inputs[:, 1:]

    def _checked(self, state: Any, batch: int) -> Tensor:
        if state is None:
            return self.initial_state(batch)
        check_tensor("state", state)
        shape = (batch, self.kernel_size - 1, self.input_size)
        if tuple(state.shape) != shape:
            raise ShapeError(f"expected state of shape {shape}, got {tuple(state.shape)}")
        return state  # type: ignore[no-any-return]

    def _convolved(
        self, x: Tensor, state: Tensor, lengths: Tensor | None, reset: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Batch first: the outputs, and the last inputs of each row."""
        (batch, steps, _), before = x.shape, self.kernel_size - 1
        active = None if lengths is None else mask(lengths, steps, device=x.device)
        if active is not None:  # not even a NaN at padding may reach a weight
            x = x.masked_fill(~active[..., None], 0)
        inputs = torch.cat([state, x], 1)
        # The places of the last inputs: those that end with a row's last real step.
        last = torch.arange(before, device=x.device).expand(batch, before)
        last = last + (steps if lengths is None else lengths.to(x.device).clamp(0, steps)[:, None])
        rows = torch.arange(batch, device=x.device)[:, None]
        after = inputs[rows, last]
        if reset is None:
            output = self._filtered(inputs)
        else:
            real = reset if active is None else reset & active
            segment = F.pad(real.cumsum(1), (before, 0))  # how many resets there were
            windows, segments = inputs.unfold(1, before + 1, 1), segment.unfold(1, before + 1, 1)
            same_segment = (segments == segments[..., -1:])[:, :, None]
            windows = windows.masked_fill(~same_segment, 0).flatten(0, 1)
            output = self._filtered(windows.transpose(1, 2)).view(batch, steps, -1)
            here = segment[rows, last] == segment[:, -1:]
            after = after.masked_fill(~here[..., None], 0)
        if active is not None:
            output = output.masked_fill(~active[..., None], 0)
        return output, after

    def _filtered(self, inputs: Tensor) -> Tensor:
        """(batch, time + k - 1, features) to (batch, time, features)."""
        filtered = F.conv1d(inputs.transpose(1, 2), self.weight, self.bias, groups=self.groups)
        return filtered.transpose(1, 2)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.output_size}, kernel_size={self.kernel_size}"
