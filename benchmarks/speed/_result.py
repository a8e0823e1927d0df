"""What was measured, as it is written to JSON."""

from __future__ import annotations

from math import exp, log
from statistics import median
from typing import Any

from pydantic import BaseModel, ConfigDict

OURS = "elman"
YARDSTICK = "elman lstm"
"""elman's own LSTM at the same shape, which custom cells are held against."""

NEW_TENSORS = "elman, new tensors"
"""elman's stream where it returns a new tensor each step, beside its step in place."""

NOISY = 1.25  # a median this much above its minimum was disturbed
BUSY = 0.1  # of the processors' time to other processes: nothing measured meanwhile is a result


class Timing(BaseModel):
    """Seconds a call in each block, in order, and of the very first call."""

    blocks: list[float]
    first: float | None = None

    @property
    def median(self) -> float:
        return median(self.blocks)

    @property
    def minimum(self) -> float:
        return min(self.blocks)

    @property
    def noisy(self) -> bool:
        """Whether something else was running: the median is far above the minimum."""
        return self.median > NOISY * self.minimum


class Row(BaseModel):
    """One case, timed.

    Attributes:
        engine: the engine of elman that ran.
        broken: why its contract test failed, or how its results are wrong; None if all is well.
        timings: of each candidate, by name.
        left_out: the reason, by the name of each peer that is missing.
        calls: calls within one timing (steps of a stream); shown times are divided by it.
        floor: seconds that this machine needs at least, at the peak measured beside the row.
        others: the share of the processors' time that other processes took meanwhile.
        flops: of the matrix products; ``yardstick_flops`` are those of the LSTM beside it.
    """

    model_config = ConfigDict(frozen=True)

    mode: str
    training: bool
    shape: str
    cell: str
    threads: int
    engine: str
    broken: str | None
    timings: dict[str, Timing]
    left_out: dict[str, str]
    calls: int
    floor: float | None
    flops: float
    others: float | None = None
    yardstick_flops: float | None = None

    @property
    def title(self) -> str:
        """The table that the row stands in."""
        passes = (" training" if self.training else " inference") if self.mode == "ragged" else ""
        return f"{self.mode}{passes}, {counted(self.threads)}"

    @property
    def peers(self) -> list[str]:
        """The candidates that are not elman's own."""
        return [name for name in self.timings if name not in (OURS, YARDSTICK, NEW_TENSORS)]

    @property
    def best_peer(self) -> str | None:
        return min(self.peers, key=lambda name: self.timings[name].median, default=None)

    @property
    def busy(self) -> bool:
        """Whether other processes took a part of the processors."""
        return (self.others or 0.0) > BUSY

    @property
    def noisy(self) -> list[str]:
        """The candidates whose timing was disturbed."""
        return [name for name, timing in self.timings.items() if timing.noisy]

    def ratio(self, peer: str | None) -> float | None:
        """How many times faster elman is; None without a passed contract test, or the peer."""
        if self.broken is not None or peer not in self.timings:
            return None
        return self.timings[peer].median / self.timings[OURS].median

    @property
    def over_floor(self) -> float | None:
        if self.broken is not None or not self.floor:
            return None
        return self.timings[OURS].median / self.floor

    @property
    def over_yardstick(self) -> float | None:
        """Time per FLOP of the matrix products, over that of elman's LSTM."""
        ratio = self.ratio(YARDSTICK)
        if ratio is None or not self.yardstick_flops:
            return None
        return self.yardstick_flops / self.flops / ratio


class Memory(BaseModel):
    """Bytes above those held before the first step: at the peak, and grown after the first half."""

    peak: int
    growth: int
    steps: int


class MemoryRow(BaseModel):
    """Peak memory of training one case, each candidate in a process of its own."""

    shape: str
    cell: str
    threads: int
    engine: str
    candidates: dict[str, Memory]
    left_out: dict[str, str]

    def ratio(self, peer: str) -> float | None:
        """The peer's peak over elman's."""
        if peer not in self.candidates or OURS not in self.candidates:
            return None
        return self.candidates[peer].peak / max(1, self.candidates[OURS].peak)


class Machine(BaseModel):
    """What this machine can do at best on so many threads, measured in the run."""

    threads: int
    flops: float
    flops_by: str
    bandwidth: dict[int, float]


class Result(BaseModel):
    """A whole run; ``command``, ``plan`` and ``environment`` say how to repeat it."""

    command: str = ""
    plan: dict[str, Any]
    environment: dict[str, Any]
    machines: list[Machine] = []
    rows: list[Row] = []
    memory: list[MemoryRow] = []


def counted(threads: int) -> str:
    """The number of threads, in words.

    >>> counted(1), counted(2)
    ('1 thread', '2 threads')
    """
    return f"{threads} thread{'s' if threads > 1 else ''}"


def geometric_mean(values: list[float]) -> float:
    """The mean of factors.

    >>> round(geometric_mean([1.0, 4.0]), 6)
    2.0
    """
    return exp(sum(map(log, values)) / len(values))
