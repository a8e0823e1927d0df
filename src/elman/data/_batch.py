"""From sequences to batches: the padding mask, padded batches, lanes through a long stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from elman._errors import ConfigError, DataError, DtypeError, ShapeError


def mask(
    lengths: Tensor, steps: int, *, device: torch.device | str | None = None
) -> Bool[Tensor, "*B T"]:
    """Which steps of a padded batch are real: ``mask[b, t] = t < lengths[b]``.

    Every padding mask in elman is made here. It never looks at the values, so it runs under
    ``torch.func.vmap`` and ``torch.compile`` and does not wait for a GPU.

    Args:
        lengths: integers (batch,), in any order and on any device; 0 is a row without steps.
        steps: the width of the padded batch.
        device: where the mask is wanted; where ``lengths`` is, unless given.

    Returns:
        Booleans (batch, steps), true where the step is real.

    Raises:
        DtypeError: ``lengths`` are not integers.
        ShapeError: ``lengths`` are not one number for each row.

    Example:
        >>> mask(torch.tensor([2, 0, 3]), 3).int()
        tensor([[1, 1, 0],
                [0, 0, 0],
                [1, 1, 1]], dtype=torch.int32)
    """
    if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
        raise DtypeError(f"lengths must be integers, got {lengths.dtype}: use lengths.long()")
    if lengths.dim() > 1:
        raise ShapeError(f"lengths must have shape (batch,), got {tuple(lengths.shape)}")
    lengths = lengths.to(device)
    return torch.arange(steps, device=lengths.device) < lengths.unsqueeze(-1)


def pad(sequences: Sequence[Tensor]) -> tuple[Tensor, Int[Tensor, "B"]]:
    """Stack sequences of unequal length, filled up with zeros on the right.

    Args:
        sequences: tensors (steps_b, ...), alike in all but ``steps_b``, which may be 0.

    Returns:
        The batch (batch, max steps, ...) and the lengths (batch,), int64, on the same device.

    Raises:
        ShapeError: there are no sequences, or their trailing sizes differ.

    Example:
        >>> pad([torch.tensor([1, 2]), torch.tensor([3])])
        (tensor([[1, 2],
                [3, 0]]), tensor([2, 1]))
    """
    if not sequences:
        raise ShapeError("pad needs at least one sequence, got an empty list")
    trailing = {tuple(sequence.shape[1:]) for sequence in sequences}
    if len(trailing) > 1:
        raise ShapeError(f"all sequences need one trailing shape, got {sorted(trailing)}")
    lengths = torch.tensor([len(sequence) for sequence in sequences], device=sequences[0].device)
    return pad_sequence(list(sequences), batch_first=True), lengths


class Lanes:
    """One token stream cut into contiguous lanes that are read side by side.

    Lane b predicts tokens ``b * steps + 1`` to ``(b + 1) * steps`` of the stream, each from the one
    before it, with ``steps = (len(tokens) - 1) // lanes``. No target is lost between two lanes; the
    ``dropped`` last tokens, fewer than ``lanes``, are never predicted. A recurrent state carried
    from window to window stays with its text. ``Lanes(tokens, 1)`` reads all of it in one lane.

    Args:
        tokens: a stream of integers (tokens,): a tensor, an array, or a memory map as `tokenise`
            returns it, of which only the windows asked for are read.
        lanes: how many, the batch size.

    Raises:
        DtypeError, ShapeError: the stream is not one row of integers.
        ConfigError: there is no lane.
        DataError: the stream is too short to fill one step of every lane.

    Example:
        >>> lanes = Lanes(torch.arange(10), 2)
        >>> lanes.steps, lanes.dropped
        (4, 1)
        >>> inputs, targets = lanes.window(0, 3)
        >>> inputs
        tensor([[0, 1, 2],
                [4, 5, 6]])
        >>> targets
        tensor([[1, 2, 3],
                [5, 6, 7]])

    References:
        Zaremba, Sutskever & Vinyals (2014), https://arxiv.org/abs/1409.2329
    """

    def __init__(self, tokens: Tensor | np.ndarray, lanes: int) -> None:
        stream = tokens.cpu().numpy() if isinstance(tokens, Tensor) else np.asarray(tokens)
        if stream.ndim != 1:
            raise ShapeError(f"a token stream has shape (tokens,), got {stream.shape}")
        if stream.dtype.kind not in "iu":
            raise DtypeError(f"a token stream holds integers, got {stream.dtype}")
        if lanes < 1:
            raise ConfigError(f"lanes must be at least 1, got {lanes}")
        if len(stream) <= lanes:
            raise DataError(
                f"{lanes} lanes need at least {lanes + 1} tokens, and the text has {len(stream)}: "
                "give more text, or fewer lanes (a smaller batch size)"
            )
        self.lanes = lanes
        self.steps = (len(stream) - 1) // lanes
        self.dropped = len(stream) - 1 - self.steps * lanes
        self._inputs = stream[: self.steps * lanes].reshape(lanes, self.steps)
        self._targets = stream[1 : self.steps * lanes + 1].reshape(lanes, self.steps)

    def window(self, start: int, stop: int) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
        """Inputs and their next tokens from step ``start`` on: two int64 (lanes, stop - start).

        Raises:
            ConfigError: the window does not lie within ``steps``, or is empty.
        """
        if not 0 <= start < stop <= self.steps:
            raise ConfigError(
                f"a window within {self.steps} steps was expected, got {start} to {stop}"
            )
        return _read(self._inputs[:, start:stop]), _read(self._targets[:, start:stop])

    def __repr__(self) -> str:
        return f"Lanes(lanes={self.lanes}, steps={self.steps}, dropped={self.dropped})"


def _read(view: np.ndarray) -> Tensor:
    """A copy in memory of a window on the stream."""
    return torch.from_numpy(np.array(view, dtype=np.int64, order="C"))
