"""From sequences to batches: padded batches, lanes through a long stream."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from elman._errors import ConfigError, DataError, DtypeError, ShapeError
from elman.scan import mask


def pad(sequences: Sequence[Tensor]) -> tuple[Tensor, Int[Tensor, "B"]]:
    """Stack sequences of unequal length, padded with zeros on the right.

    Args:
        sequences: tensors (steps_b, ...) that differ only in ``steps_b``, which may be 0.

    Returns:
        The batch (batch, max steps, ...) and the lengths (batch,), int64, on the same device.

    Raises:
        ShapeError: the list is empty, or trailing sizes differ.

    Example:
        >>> pad([torch.tensor([1, 2]), torch.tensor([3])])
        (tensor([[1, 2],
                [3, 0]]), tensor([2, 1]))
    """
    if not sequences:
        raise ShapeError("expected at least one sequence, got an empty list")
    trailing = {tuple(sequence.shape[1:]) for sequence in sequences}
    if len(trailing) > 1:
        raise ShapeError(f"all sequences must have the same trailing shape, got {sorted(trailing)}")
    lengths = torch.tensor([len(sequence) for sequence in sequences], device=sequences[0].device)
    return pad_sequence(list(sequences), batch_first=True), lengths


def crop(
    batch: Tensor, lengths: Tensor, most: int, *, tail: bool = False
) -> tuple[Tensor, Int[Tensor, "B"]]:
    """The first ``most`` steps of each row of a padded batch, or the last, and their lengths.

    Example:
        >>> crop(torch.tensor([[1, 2, 3], [4, 0, 0]]), torch.tensor([3, 1]), 2, tail=True)
        (tensor([[2, 3],
                [4, 0]]), tensor([2, 1]))
    """
    if batch.shape[1] <= most:
        return batch, lengths
    if tail:
        skipped = (lengths - most).clamp(min=0)
        index = skipped.unsqueeze(1) + torch.arange(most, device=batch.device)
        return batch[torch.arange(len(batch), device=batch.device).unsqueeze(1), index], (
            lengths - skipped
        )
    return batch[:, :most], lengths.clamp(max=most)


class Ragged:
    r"""Sequences of unequal length, laid end to end in one tensor: no padding until it is needed.

    Args:
        values: all steps of all rows, one row after the other (sum of lengths, ...).
        lengths: the steps of each row (rows,), zero allowed.

    Raises:
        DtypeError, ShapeError: the lengths are not integers (rows,), or do not add up to the steps.

    Example:
        >>> words = Ragged.of([[1, 2, 3], [], [4, 5]])
        >>> len(words), words[2]
        (3, tensor([4, 5]))
        >>> words.padded(torch.tensor([2, 1, 0]))
        (tensor([[4, 5, 0],
                [0, 0, 0],
                [1, 2, 3]]), tensor([2, 0, 3]))
    """

    def __init__(self, values: Tensor, lengths: Tensor) -> None:
        if lengths.is_floating_point() or lengths.dim() != 1:
            raise ShapeError(
                f"lengths must be integers (rows,), got {lengths.dtype} {tuple(lengths.shape)}"
            )
        if int(lengths.sum()) != len(values) or (lengths < 0).any():
            raise ShapeError(
                f"lengths must be at least 0 and add up to the {len(values)} steps of all rows, "
                f"got a sum of {int(lengths.sum())}"
            )
        self.values, self.lengths = values, lengths
        self._starts = lengths.cumsum(0) - lengths

    @classmethod
    def of(cls, sequences: Iterable[Any], dtype: torch.dtype | None = None) -> Ragged:
        """From sequences of integers, of numbers, or of equally long lists of numbers."""
        tensors = [torch.as_tensor(np.asarray(s), dtype=dtype) for s in sequences]
        full = [tensor for tensor in tensors if len(tensor)]
        if len({tuple(tensor.shape[1:]) for tensor in full}) > 1:
            raise ShapeError("the steps of all sequences must have the same shape")
        lengths = torch.tensor([len(tensor) for tensor in tensors], dtype=torch.long)
        return cls(torch.cat(full or [torch.empty(0, dtype=dtype or torch.long)]), lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> Tensor:
        start = int(self._starts[row])
        return self.values[start : start + int(self.lengths[row])]

    def unbind(self) -> tuple[Tensor, ...]:
        """The rows, one by one."""
        return torch.split(self.values, self.lengths.tolist())

    def select(self, rows: Int[Tensor, "B"]) -> Ragged:
        """Those rows, in that order."""
        parts = [self[row] for row in rows.tolist()]
        return Ragged(torch.cat([*parts, self.values[:0]]), self.lengths[rows])

    def padded(self, rows: Int[Tensor, "B"]) -> tuple[Tensor, Int[Tensor, "B"]]:
        """Those rows as a batch (batch, steps, ...), at least one step wide, and their lengths.

        Steps beyond a row's end are 0; integers become int64.
        """
        lengths = self.lengths[rows]
        steps = max(1, int(lengths.max())) if len(rows) else 1
        real = mask(lengths, steps)
        index = (self._starts[rows].unsqueeze(1) + torch.arange(steps))[real]
        dtype = self.values.dtype if self.values.is_floating_point() else torch.long
        batch = torch.zeros(*real.shape, *self.values.shape[1:], dtype=dtype)
        batch[real] = self.values[index].to(dtype)
        return batch, lengths


def buckets(
    lengths: Tensor, rows: int, generator: torch.Generator | None = None, pool: int = 50
) -> list[Tensor]:
    """Batches of rows of similar length, so that there is little padding.

    With a generator the rows are shuffled, sorted by length only within ``pool`` batches, and the
    batches shuffled again: the same state of the generator gives the same batches. Without one they
    are sorted once. Each row is in one batch, and only one batch may have fewer than ``rows``.

    Args:
        lengths: steps of each row (rows,).
        rows: rows of a batch.
        generator: where the order comes from; None for no shuffling.
        pool: batches that are sorted together.

    Returns:
        The row numbers of each batch.

    Example:
        >>> buckets(torch.tensor([5, 1, 4, 2]), 2)
        [tensor([1, 3]), tensor([2, 0])]
    """
    if rows < 1:
        raise ConfigError(f"rows of a batch must be at least 1, got {rows}")
    if generator is None:
        return list(torch.split(lengths.argsort(stable=True), rows))
    shuffled = torch.randperm(len(lengths), generator=generator)
    batches: list[Tensor] = []
    for part in torch.split(shuffled, rows * pool):
        batches += torch.split(part[lengths[part].argsort(stable=True)], rows)
    return [batches[i] for i in torch.randperm(len(batches), generator=generator)]


class Lanes:
    """One token stream cut into contiguous lanes that form the rows of a batch.

    Lane b predicts tokens ``b * steps + 1`` to ``(b + 1) * steps`` of the stream, each from the one
    before it, with ``steps = (len(tokens) - 1) // lanes``. No target is lost between two lanes; the
    ``dropped`` last tokens, fewer than ``lanes``, are never predicted. A recurrent state carried
    from window to window stays with its text. ``Lanes(tokens, 1)`` reads all of it in one lane.

    Args:
        tokens: a stream of integers (tokens,): a tensor, an array, or a memory map as `tokenize`
            returns it, of which only the requested windows are read.
        lanes: how many, the batch size.

    Raises:
        DtypeError, ShapeError: the stream is not one row of integers.
        ConfigError: ``lanes`` is less than 1.
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
            raise ShapeError(f"a token stream must have shape (tokens,), got {stream.shape}")
        if stream.dtype.kind not in "iu":
            raise DtypeError(f"a token stream must hold integers, got {stream.dtype}")
        if lanes < 1:
            raise ConfigError(f"lanes must be at least 1, got {lanes}")
        if len(stream) <= lanes:
            raise DataError(
                f"{lanes} lanes need at least {lanes + 1} tokens, got {len(stream)}: "
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
            raise ConfigError(f"expected a window within {self.steps} steps, got {start} to {stop}")
        return _read(self._inputs[:, start:stop]), _read(self._targets[:, start:stop])

    def __repr__(self) -> str:
        return f"Lanes(lanes={self.lanes}, steps={self.steps}, dropped={self.dropped})"


def _read(view: np.ndarray) -> Tensor:
    """A copy in memory of a window on the stream."""
    return torch.from_numpy(np.array(view, dtype=np.int64, order="C"))
