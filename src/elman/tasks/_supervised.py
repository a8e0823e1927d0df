"""Tasks over rows: whole sequences of any length, each with what is to be learned from it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from elman._errors import ConfigError, DataError
from elman.bptt import State
from elman.data import Rows, buckets
from elman.tasks._base import Excerpt, Task, evaluating

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Part:
    """Some rows of a table as a batch, padded when it is looked into.

    It is one whole: a label at the end or a network of both directions leaves nothing to cut, so
    the gradient is exact whatever the policy. ``terms`` is what its loss sums over.
    """

    of: Rows
    indices: Tensor
    terms: int
    device: torch.device
    continues: ClassVar[bool] = False

    @property
    def steps(self) -> int:
        return 1

    @property
    def rows(self) -> int:
        return len(self.indices)

    def count(self, start: int, stop: int) -> int:
        return self.terms

    def columns(self) -> dict[str, Tensor]:
        """Every column's rows; sequences padded, and their lengths as NAME_lengths."""
        taken = self.of.take(self.indices)
        return {name: column.to(self.device) for name, column in taken.items()}


class Supervised(Task):
    r"""Learning from rows: batches of about equally long ones, each epoch in another order.

    A subclass puts its rows into ``parts``, by split, and gives `build` and `criterion`. It may
    also say by the length of which column rows are sorted (``sort_by``), how many make a batch
    (``batch_rows``), and over what the loss is averaged (`terms`; over rows unless it says).

    .. math:: L = \frac{1}{N} \sum_{b} \ell(f(x_b), y_b)

    Example:
        >>> from elman.data import Ragged
        >>> from elman.cells import GRU
        >>> from elman.layers import Recurrent
        >>> class Sum(Supervised):  # of numbers, however many
        ...     unit, sort_by = "mse", "x"
        ...     def build(self):
        ...         return torch.nn.ModuleList([Recurrent(GRU(1, 8)), torch.nn.Linear(8, 1)])
        ...     def criterion(self, batch):
        ...         rows = batch.columns()
        ...         recurrent, output = self.network
        ...         _, state = recurrent(rows["x"], lengths=rows["x_lengths"])
        ...         return (output(state.h)[:, 0] - rows["y"]).square().sum()
        ...     def metrics(self, loss, split):
        ...         return {"mse": loss}
        >>> task = Sum()
        >>> x = [torch.rand(n, 1).tolist() for n in (3, 1, 2, 5)]
        >>> y = torch.tensor([sum(v for v, in row) for row in x])
        >>> task.parts = {"valid": Rows({"x": Ragged.of(x, torch.float32), "y": y})}
        >>> task.network = task.build()
        >>> list(task.evaluate("valid"))
        ['mse']
    """

    counted: ClassVar[str] = "rows"
    parts: dict[str, Rows]
    sort_by: str = ""
    batch_rows: int = 32

    @abstractmethod
    def criterion(self, batch: Part) -> Tensor:
        """The loss of a batch, summed over what `terms` counts."""

    def terms(self, rows: Rows, indices: Tensor) -> int:
        """What the loss of those rows sums over: the rows themselves, or all their real steps."""
        return len(indices)

    @property
    def splits(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(self.parts)

    def part(self, split: str) -> Rows:
        """The rows of a split.

        Raises:
            DataError: there is no such split.
        """
        if split not in self.parts:
            raise DataError(
                f"there are no {split} rows here, only: {', '.join(self.parts) or 'none'}; "
                "give files to measure on"
            )
        return self.parts[split]

    def batches(self, split: str, epoch: int = 0) -> list[Part]:
        # Large and odd, so that no two seeds share their epochs' orders.
        seed = (self.seed * 0x9E3779B97F4A7C15 + epoch) % 2**63
        generator = torch.Generator().manual_seed(seed) if split == "train" else None
        return self.batched(self.part(split), generator)

    def batched(self, rows: Rows, generator: torch.Generator | None = None) -> list[Part]:
        """Any rows in batches: sorted by length, or shuffled where there is a generator."""
        order = buckets(self._lengths(rows), self.batch_rows, generator)
        return [self.some(rows, indices) for indices in order]

    def some(self, rows: Rows, indices: Tensor) -> Part:
        """Those of the rows as a batch."""
        return Part(rows, indices, self.terms(rows, indices), self.device)

    def longest_rows(self, split: str, count: int) -> Part:
        """The longest rows of a split as a batch, the longest first."""
        rows = self.part(split)
        order = self._lengths(rows).argsort(descending=True, stable=True)
        return self.some(rows, order[:count])

    def excerpt(self, rows: int, text: str | None = None) -> Excerpt:
        table = self.part("valid") if text is None else self.text_rows(text)
        batch = self.some(table, torch.arange(min(rows, len(table))))
        return Excerpt(batch, self.words_of(table))

    def text_rows(self, text: str) -> Rows:
        """A text as a row; its target may be any, since only what is read is looked at."""
        raise ConfigError(f"{self.name} reads no texts here: leave the text out")

    def words_of(self, rows: Rows) -> Mapping[str, Sequence[str]]:
        """What each step of the first row reads, if it has a name; see `Excerpt`."""
        return {}

    def _lengths(self, rows: Rows) -> Tensor:
        return rows.lengths(self.sort_by) if self.sort_by else torch.ones(len(rows))

    def lengths(self) -> list[int]:
        return [1] * -(-len(self.part("train")) // self.batch_rows)

    def loss(
        self, batch: Part, start: int, stop: int, state: State, with_loss: bool = True
    ) -> tuple[Tensor, State]:
        return self.criterion(batch), None

    def in_order(self, rows: Rows, answers: Callable[[Part], Sequence[Answer]]) -> list[Answer]:
        """What a function of a batch says of each row, in the order of the rows.

        It runs without dropout and gradients, and nobody sees that rows were sorted.
        """
        found: dict[int, Answer] = {}
        with evaluating(self.network):
            for batch in self.batched(rows):
                found |= zip(batch.indices.tolist(), answers(batch), strict=True)
        return [found[row] for row in range(len(rows))]


def counted(values: Sequence[Any]) -> str:
    """How many, for messages: "1 row", "3 rows".

    >>> counted([7])
    '1 row'
    """
    return f"{len(values):,} row{'s' * (len(values) != 1)}"
