"""Series end to end in one tensor, and the windows that a network reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from elman.data import Ragged, Rows
from elman.data.series import Cut, Line


class Moments(NamedTuple):
    """Mean and deviation of each column but the target in the training steps: lists of numbers."""

    mean: list[float]
    deviation: list[float]

    @classmethod
    def of(cls, steps: Tensor) -> Self:
        """Of (steps, columns); NaN does not count, and what never varies has deviation 1."""
        there = steps.isfinite()
        count = there.sum(0).clamp(min=1)
        mean = steps.nan_to_num().sum(0) / count
        square = ((steps - mean).nan_to_num() ** 2).sum(0) / count
        deviation = torch.where(square > 0, square.sqrt(), 1.0)
        return cls(mean.tolist(), deviation.tolist())


class ForecastWindow(NamedTuple):
    """What a network reads and what came then; B windows of C steps, H steps ahead.

    ``middle`` and ``scale`` (B, 1) are those of the window; ``target`` (B, H) is NaN where nothing
    was measured.
    """

    x: Tensor  # (B, C, 2 + known + past)
    lengths: Tensor
    known: Tensor  # (B, H, 2 + known)
    middle: Tensor
    scale: Tensor
    target: Tensor


class Panel:
    """All series: their values end to end (steps, columns), and where each ends.

    Column 0 is the target; then come those that are known ahead, and those of the past alone.

    Args:
        names: of the series.
        rows: for each series its "values", float64 and NaN where there is none, how many steps are
            "observed", and the "place" of the first on the grid.
    """

    def __init__(self, names: Sequence[str], rows: Rows) -> None:
        self.names, self.rows = list(names), rows
        column, observed = rows.sequences("values"), rows.tensor("observed")
        self.values = column.values
        self.stops = column.lengths.cumsum(0)
        self.starts = self.stops - column.lengths
        self.ends = self.starts + observed

    @classmethod
    def of(cls, lines: Sequence[Line]) -> Self:
        observed = torch.tensor([line.observed for line in lines])
        place = torch.tensor([line.start for line in lines], dtype=torch.float64)
        values = Ragged.of([line.values for line in lines], torch.float64)
        names = [line.name for line in lines]
        return cls(names, Rows({"values": values, "observed": observed, "place": place}))

    def place(self, line: int) -> float:
        """Where a series begins on the grid."""
        return float(self.rows["place"][line])

    def line(self, line: int) -> Line:
        """One of the series again."""
        start, stop, end = (int(at[line]) for at in (self.starts, self.stops, self.ends))
        values = self.values[start:stop].numpy()
        return Line(self.names[line], self.place(line), values, end - start)

    def past(self, line: int) -> Tensor:
        """The targets of a series as far as they were measured (steps,)."""
        return self.values[self.starts[line] : self.ends[line], 0]

    def windows(self, cut: Cut, split: str) -> Rows:
        """The windows of a split that have something to forecast: of which series, from where."""
        windows = [
            (line, int(self.starts[line]) + origin)
            for line in range(len(self.names))
            for origin in cut.origins(len(self.past(line)), split)
        ]
        line, origin = torch.tensor(windows, dtype=torch.long).reshape(-1, 2).unbind(1)
        ahead = origin.unsqueeze(1) + torch.arange(cut.horizon)
        some = self.values[ahead, 0].isfinite().any(1)
        return Rows({"line": line[some], "origin": origin[some]})

    def next_windows(self) -> Rows:
        """One window for each series, from the end of what was measured."""
        return Rows({"line": torch.arange(len(self.names)), "origin": self.ends})

    def targets(self, rows: Rows, horizon: int) -> Tensor:
        """What came in each window (rows, horizon); NaN where nothing was measured."""
        line, origin = rows.tensor("line"), rows.tensor("origin")
        return self._values(origin, horizon, self.starts[line], self.stops[line])[..., 0]

    def _values(self, first: Tensor, steps: int, low: Tensor, high: Tensor) -> Tensor:
        """Steps from ``first`` on (rows, steps, columns); NaN outside of ``low`` to ``high``."""
        at = first.unsqueeze(1) + torch.arange(steps)
        inside = (at >= low.unsqueeze(1)) & (at < high.unsqueeze(1))
        taken = self.values[at.clamp(0, len(self.values) - 1)]
        return taken.masked_fill(~inside.unsqueeze(-1), torch.nan)


class Reader(NamedTuple):
    """How windows are read out of a panel.

    ``season`` is that of the value which is known of each step ahead, ``ahead`` how many of the
    columns are known there, too; ``aligned`` puts short windows at the end of the context's places,
    for a network whose places mean something.
    """

    cut: Cut
    season: int
    moments: Moments
    ahead: int
    scaling: str
    aligned: bool

    def read(self, panel: Panel, line: Tensor, origin: Tensor) -> ForecastWindow:
        """The windows that begin to forecast at ``origin`` (batch,) of series ``line``."""
        context, horizon = self.cut.context, self.cut.horizon
        start, stop = panel.starts[line], panel.stops[line]
        lengths = (origin - start).clamp(max=context)
        first = origin - (context if self.aligned else lengths)
        past = panel._values(first, context, start, origin)
        middle, scale = self._scale(past[..., 0])
        ahead = panel._values(origin, horizon, start, stop)
        seasons = torch.arange(horizon) // self.season + 1
        before = panel._values(origin - self.season, self.season, start, origin)[..., 0]
        before = before.repeat(1, int(seasons[-1]))[:, :horizon]
        target, columns = ahead[..., 0], ahead[..., 1 : 1 + self.ahead]
        known = torch.cat([before.unsqueeze(-1), columns], -1)
        if self.aligned:
            lengths = torch.full_like(lengths, context)
        scaled = middle, scale
        return ForecastWindow(
            self._inputs(past, *scaled), lengths, self._inputs(known, *scaled), *scaled, target
        )

    def _scale(self, past: Tensor) -> tuple[Tensor, Tensor]:
        """What is taken away from a window and by what it is divided: (batch, 1) each."""
        there = past.isfinite()
        count = there.sum(1, keepdim=True).clamp(min=1)
        if self.scaling == "mean":
            size = past.nan_to_num().abs().sum(1, keepdim=True) / count
            return torch.zeros_like(size), 1 + size
        middle = past.nan_to_num().sum(1, keepdim=True) / count
        square = (past - middle).nan_to_num().square().sum(1, keepdim=True) / count
        deviation = square.sqrt()
        flat = deviation <= 1e-9 * middle.abs()
        return middle, torch.where(flat, 1.0, deviation)

    def _inputs(self, steps: Tensor, middle: Tensor, scale: Tensor) -> Tensor:
        """A value as the network sees it, whether it is missing, and other columns: float32."""
        value = (steps[..., 0] - middle) / scale
        others = steps[..., 1:]
        mean, deviation = (
            torch.tensor(moment[: others.shape[-1]], dtype=torch.float64) for moment in self.moments
        )
        columns = [value.unsqueeze(-1), value.isnan().unsqueeze(-1), (others - mean) / deviation]
        return torch.cat([s.nan_to_num().double() for s in columns], -1).float()
