"""What a task is: its data, its network, its loss and its measures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol, Self, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from elman._errors import ConfigError
from elman.bptt import State
from elman.metrics import perplexity
from elman.pictures import Picture

Metrics: TypeAlias = dict[str, float]
"""Name to number."""

Reading: TypeAlias = Callable[[str, int, int], object]
"""Called while data are read: with what it is, the bytes done, and the bytes there are."""


Found = TypeVar("Found")


BY_LENGTH, MEASURE = "by length", 2
"""How the title begins of a table that tells short rows from long ones. Its columns are a group of
lengths, how many rows have them, and what a run is judged by; others may follow."""


class Table(NamedTuple):
    """More about a split than numbers by name: a confusion matrix, or single examples."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | int]]


class Excerpt(NamedTuple):
    """A few rows to look inside with; and what each step of the first one reads, if it has names.

    Such as the words of a sentence, by what the names of the layers that read them begin with, ""
    for all layers: ``{"encoder": source, "decoder": target}``. Of numbers there is nothing to say.
    """

    batch: Any
    words: Mapping[str, Sequence[str]] = MappingProxyType({})


class Batch(Protocol):
    """Rows of steps that are trained on together. A task adds what its own loss reads."""

    @property
    def rows(self) -> int: ...

    @property
    def steps(self) -> int:
        """How many steps the gradient policy may cut in time; 1 if the rows are one whole."""

    @property
    def continues(self) -> bool:
        """Whether its rows go on where the last batch's ended, so that state is carried over."""

    def count(self, start: int, stop: int) -> int:
        """How many terms the loss of those steps sums: tokens, or labeled rows."""


class Task(ABC):
    """Everything about a problem that a training loop need not know.

    A subclass gives `build`, `batches` and `loss`; `elman.training.fit` trains it. The trained
    network is in ``network``.

    Example:
        >>> from typing import NamedTuple
        >>> from torch.nn import functional as F
        >>> class Coins(NamedTuple):  # ten tosses, of which seven were heads
        ...     rows: int = 1
        ...     steps: int = 10
        ...     continues: bool = False
        ...     def count(self, start, stop):
        ...         return stop - start
        >>> class Bias(Task):
        ...     def build(self):
        ...         return nn.ParameterDict({"logit": nn.Parameter(torch.zeros(()))})
        ...     def batches(self, split, epoch=0):
        ...         return [Coins()]
        ...     def loss(self, batch, start, stop, state, with_loss=True):
        ...         heads = (torch.arange(start, stop) < 7).float()
        ...         logits = self.network["logit"].expand(stop - start)
        ...         return F.binary_cross_entropy_with_logits(logits, heads, reduction="sum"), None
        >>> task = Bias()
        >>> task.network = task.build()
        >>> round(task.evaluate("valid")["perplexity"], 6)  # of a fair coin
        2.0
    """

    name: ClassVar[str] = "custom"
    unit: ClassVar[str] = "nats"
    """What the loss is measured in; its name in the events of a run."""

    counted: ClassVar[str] = "tokens"
    """What the loss is averaged over, in the plural."""

    splits: tuple[str, ...] = ("train", "valid")
    seed: int = 0
    """Seed of the order of training data; the loop sets it to that of the run."""

    network: nn.Module
    _searched: dict[Hashable, Any] | None = None

    @abstractmethod
    def build(self) -> nn.Module:
        """A new network with its initial weights, drawn from torch's generator."""

    @abstractmethod
    def batches(self, split: str, epoch: int = 0) -> Iterable[Batch]:
        """The batches of a split; the same epoch gives the same ones, so that a run can resume."""

    @abstractmethod
    def loss(
        self, batch: Any, start: int, stop: int, state: State, with_loss: bool = True
    ) -> tuple[Tensor, State]:
        """The loss, summed over rows and the steps ``start`` to ``stop``, and the state.

        ``state`` is what this method returned at ``start``, or None to begin anew. Without
        ``with_loss`` only the state is wanted, and the loss may be any tensor.
        """

    def evaluate(self, split: str) -> Metrics:
        """The metrics of a split. Dropout is off, and state is carried as in training."""
        total = torch.zeros((), dtype=torch.float64)
        count, state = 0, None
        with evaluating(self.network):
            for batch in self.batches(split):
                state = state if batch.continues else None
                size = self.eval_steps(batch)
                for start in range(0, batch.steps, size):
                    stop = min(start + size, batch.steps)
                    loss, state = self.loss(batch, start, stop, state)
                    total = total.to(loss.device) + loss
                count += batch.count(0, batch.steps)
        return self.metrics(float(total) / count, split)

    def eval_steps(self, batch: Any) -> int:
        """How many steps `evaluate` gives to `loss` at once."""
        steps: int = batch.steps
        return steps

    def metrics(self, nats: float, split: str) -> Metrics:
        """What is reported for a split with that mean loss."""
        return {"nats": nats, "perplexity": perplexity(nats)}

    def score(self, metrics: Metrics) -> float:
        """What the best checkpoint and early stopping go by; lower is better."""
        return metrics["nats"]

    def initial_state(self, rows: int) -> State:
        """A state with the structure that `loss` returns; needed where state is carried over."""
        return None

    def lengths(self) -> list[int]:
        """The steps of each training batch of the first epoch; later ones have as many batches."""
        return [batch.steps for batch in self.batches("train")]

    def settle(self) -> bool:
        """Finish the best weights before they are measured, as by calibrating them.

        Returns:
            Whether the network was changed, so that it has to be saved again.
        """
        return False

    def facts(self) -> Mapping[str, Any]:
        """What is worth knowing about the data: rows of each split, rows left out ... as JSON."""
        return {}

    def tables(self, split: str) -> list[Table]:
        """What a report on a split shows besides its metrics."""
        return []

    def pictures(self, split: str) -> list[Picture]:
        """What a report on a split shows as pictures; drawn only if they are wanted."""
        return []

    def excerpt(self, rows: int, text: str | None = None) -> Excerpt:
        """A few validation rows to look inside with, or a text as a row of its own.

        Args:
            rows: at most so many, where the task chooses them itself.
            text: what to read instead.

        Raises:
            ConfigError: the task reads no texts.
        """
        if text is not None:
            raise ConfigError(f"{self.name} reads no texts here: leave the text out")
        return Excerpt(next(iter(self.batches("valid"))))

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """The metrics of simple models: ``{name: {split: metrics}}``."""
        return {}

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Within, weights and data stay as they are, and what `once` found is kept.

        So the translations of a split are made once for its metrics, tables and pictures.
        """
        self._searched = {}
        try:
            yield
        finally:
            self._searched = None

    def once(self, key: Hashable, find: Callable[[], Found]) -> Found:
        """What ``find`` finds; within `unchanged` it is asked only once for a key."""
        if self._searched is None:
            return find()
        if key not in self._searched:
            self._searched[key] = find()
        found: Found = self._searched[key]
        return found

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device


class NamedTask(Task):
    """A task that a configuration describes, so that it can be trained and loaded by name."""

    @classmethod
    @abstractmethod
    def prepare(
        cls, data: Any, model: Any, folder: Path | None = None, reading: Reading | None = None
    ) -> Self:
        """The task of these sections, its data read; files that it needs go to ``folder``."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what the task needs beside weights and configuration, such as a vocabulary."""

    @abstractmethod
    def on(self, files: Sequence[Path] = (), rows: int | None = None) -> Self:
        """The same task and network, with other files as "test", or other rows in a batch."""

    def generated(self, asked: Any, folder: Path) -> Iterator[Mapping[str, Any]]:
        """What `elman generate` gives, an object a piece; its section is ``generate`` of SECTIONS.

        Files go where they are asked for, or else to ``folder``, that of the run.
        """
        raise NotImplementedError

    @classmethod
    @abstractmethod
    def restore(cls, folder: Path, data: Any, model: Any) -> Self:
        """The task again, from the folder that `save` wrote."""


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Without dropout and without gradients; the network is in its mode again afterwards."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(training)
