"""The position of a run: what a checkpoint stores besides tensors."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class RunningMeans:
    """Sums since the previous log entry, for the means of the next one."""

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
    """The position in the data, counted from 0, and the counters of early stopping."""

    epoch: int = 0
    batch: int = 0
    window: int = 0
    update: int = 0
    validated: int = -1  # the update of the last validation
    best: float | None = None
    stale: int = 0  # validations since the best
    seconds: float = 0.0
    tally: RunningMeans = field(default_factory=RunningMeans)
    norms: list[float] = field(default_factory=list)  # gradient norms since the last watch event
    clipped: int = 0  # how many of them were clipped

    @property
    def epochs(self) -> int:
        """The number of epochs that have begun, for display."""
        return self.epoch + (self.batch + self.window > 0)

    def packed(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def unpacked(cls, values: dict[str, Any]) -> Progress:
        """The progress from its JSON."""
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        return cls(**{**known, "tally": RunningMeans(**values["tally"])})
