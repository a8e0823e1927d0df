"""What a task is: its data, its network, its loss and its measures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, Self, TypeAlias

import torch
from torch import Tensor, nn

from elman._errors import ConfigError
from elman.bptt import State
from elman.metrics import Metric, perplexity
from elman.pictures import Picture

Metrics: TypeAlias = dict[str, float]
"""Name to number."""

Reading: TypeAlias = Callable[[str, int, int], object]
"""Called while data are read: with what it is, the bytes done, and the bytes there are."""


class Predictions(NamedTuple):
    """What a network predicts for a split. Most tasks have a type of their own instead.

    Attributes:
        split: the split.
        loss: the mean of the loss over what it counts.
    """

    split: str
    loss: float


class Table(NamedTuple):
    """More about a split than metrics: a confusion matrix, or single examples.

    Attributes:
        title: what the table has.
        columns: the heads.
        rows: the cells.
        by_length: whether each row is a group of sequences of similar length. Its columns are then
            the lengths, the number of sequences, and the metric of the task; others may follow.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | int]]
    by_length: bool = False

    @property
    def metric(self) -> str:
        """The name of the metric in a table by length."""
        return self.columns[2]


class Excerpt(NamedTuple):
    """A few rows to look inside with; and what each step of each row reads, if it has names.

    Such as the words of a sentence, by what the names of the layers that read them begin with, ""
    for all layers: ``{"encoder": source, "decoder": target}``. Of numbers there is nothing to say.
    """

    batch: Any
    words: Sequence[Mapping[str, Sequence[str]]] = ()

    @property
    def first(self) -> Mapping[str, Sequence[str]]:
        """What the steps of the first row read."""
        return self.words[0] if self.words else {}


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

    A subclass has `build`, `batches` and `loss`; `elman.training.fit` trains it. ``network`` is the
    network: a new one at first, the trained one after training. `predict` runs it over a split
    once; `metrics`, `tables` and `plots` are functions of what it returns.

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

    _network: nn.Module | None = None

    @property
    def network(self) -> Any:
        """The network; one that is not set is built, with new weights."""
        if self._network is None:
            self._network = self.build()
        return self._network

    @network.setter
    def network(self, network: Any) -> None:
        self._network = network

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

    @property
    def metric(self) -> Metric:
        """What models are compared by; every baseline has it."""
        return Metric("perplexity")

    @property
    def selection(self) -> Metric:
        """What the best checkpoint and early stopping go by: `metric`, unless a task says else."""
        return self.metric

    def predict(self, split: str) -> Any:
        """The network's predictions for a split, without dropout."""
        return Predictions(split, self.mean_loss(split))

    def mean_loss(self, split: str) -> float:
        """The loss of a split, averaged over what it counts; state is carried as in training."""
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
        return float(total) / count

    def evaluate(self, split: str) -> Metrics:
        """The metrics of the network's predictions for a split."""
        return self.metrics(self.predict(split))

    def eval_steps(self, batch: Any) -> int:
        """How many steps `evaluate` gives to `loss` at once."""
        steps: int = batch.steps
        return steps

    def metrics(self, predictions: Any) -> Metrics:
        """The metrics of predictions; `metric` is one of them."""
        return {"nats": predictions.loss, "perplexity": perplexity(predictions.loss)}

    def initial_state(self, rows: int) -> State:
        """A state with the structure that `loss` returns; needed where state is carried over."""
        return None

    def lengths(self) -> list[int]:
        """The steps of each training batch of the first epoch; later ones have as many batches."""
        return [batch.steps for batch in self.batches("train")]

    def calibrate(self) -> bool:
        """Finish the best weights before they are evaluated, as by fitting a temperature.

        Returns:
            Whether the network was changed, so that it has to be saved again.
        """
        return False

    def facts(self) -> Mapping[str, Any]:
        """What is worth knowing about the data: rows of each split, rows left out ... as JSON."""
        return {}

    def tables(self, predictions: Any) -> list[Table]:
        """Tables about predictions, besides their metrics."""
        return []

    def samples(self, predictions: Any) -> Table | None:
        """Some of the predictions, each beside its input and its target; None if none are shown."""
        return None

    def plots(self, predictions: Any) -> list[Picture]:
        """Pictures of predictions."""
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

    def save(self, folder: Path) -> None:  # noqa: B027 - some tasks have nothing to keep
        """Write what the task needs beside weights and configuration, such as a vocabulary."""

    def with_data(self, files: Sequence[Path] = (), rows: int | None = None) -> Self:
        """The same task and network, with other files as "test", or another batch size.

        Raises:
            ConfigError: the task reads no files.
        """
        if files or rows:
            raise ConfigError(f"{self.name} does not read files: leave out files and lanes")
        return self

    def generated(self, options: Any, folder: Path) -> Iterator[Mapping[str, Any]]:
        """What `elman generate` prints, an object a piece.

        Args:
            options: the section ``generate`` of the task's SECTIONS.
            folder: the run; files go there unless the options say where.
        """
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        device: torch.device = next(self.network.parameters()).device
        return device


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
