"""Where a run stands: what a checkpoint keeps beside tensors, to go on as if never stopped."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class RunningMeans:
    """Sums since the last line of progress, from which its means are made."""

    loss: float = 0.0
    terms: int = 0
    norm: float = 0.0
    clipped: float = 0.0
    updates: int = 0
    seconds: float = 0.0

    def add(self, loss: float, terms: int, norm: float, clipped: float, seconds: float) -> None:
        self.loss += loss
        self.terms += terms
        self.norm += norm
        self.clipped += clipped
        self.updates += 1
        self.seconds += seconds

    def means(self, unit: str, counted: str) -> dict[str, float]:
        return {
            unit: self.loss / max(1, self.terms),
            "norm": self.norm / max(1, self.updates),
            "clipped": self.clipped / max(1, self.updates),
            f"{counted}_per_second": self.terms / max(1e-9, self.seconds),
        }


@dataclass
class Progress:
    """The position in the data, counted from 0, and what early stopping counts."""

    epoch: int = 0
    batch: int = 0
    window: int = 0
    update: int = 0
    validated: int = -1  # the update after which the last validation was
    best: float | None = None
    stale: int = 0  # validations since the best
    seconds: float = 0.0
    tally: RunningMeans = field(default_factory=RunningMeans)
    norms: list[float] = field(default_factory=list)  # of the gradients since the last watch
    clipped: int = 0  # how many of them were clipped

    @property
    def epochs(self) -> int:
        """Epochs that have begun: the number to show."""
        return self.epoch + (self.batch + self.window > 0)

    def packed(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def unpacked(cls, values: dict[str, Any]) -> Progress:
        """From JSON that `packed` made."""
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        return cls(**{**known, "tally": RunningMeans(**values["tally"])})
