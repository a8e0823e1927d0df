"""Series in time: read, laid on a grid, divided in time; and the simple models of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman._errors import DataError
from elman.baselines import SeasonalNaive, find_season
from elman.data import BadValue, Column, Rows
from elman.data.series import Cut, Reading, lines
from elman.data.times import Grid, parse_time
from elman.tasks._features import Feature, finite
from elman.tasks._forecast_config import ForecastData
from elman.tasks._forecast_windows import Moments, Panel
from elman.tasks._source import RowSource
from elman.tasks._task import Metrics, Table

MOST_SERIES = 40
"""Series whose errors are shown one by one."""

EMPTY = {"", "na", "n/a", "nan", "none", "null"}


class Readings(Feature):
    """One step of a series: its time, its target, and the covariates.

    Args:
        data: the section of the configuration.
        counts: whether targets are counts: 0, 1 ...
    """

    def __init__(self, data: ForecastData, *, counts: bool) -> None:
        named = [data.series] if data.series else []
        self.columns = (data.time, *named, data.target, *data.known, *data.past)
        self.data, self.counts = data, counts

    def parse(self, values: Mapping[str, Any]) -> Reading:
        data = self.data
        try:
            time = parse_time(values[data.time])
        except (ValueError, OverflowError):
            raise BadValue(
                data.time, f"a date or a number was expected, got {values[data.time]!r:.80}"
            ) from None
        series = str(values[data.series] or "") if data.series else data.name or data.target
        if not series:
            raise BadValue(data.series or "", "the name of a series was expected, got none")
        target = values[data.target]
        empty = _is_empty(target)
        value = math.nan if empty else finite(data.target, target)
        known = [finite(name, values[name]) for name in data.known]
        # Of a step ahead nothing is measured yet.
        past = [
            math.nan if empty and _is_empty(values[name]) else finite(name, values[name])
            for name in data.past
        ]
        if self.counts and (value < 0 or value % 1 > 0):
            raise BadValue(
                data.target, f"negative-binomial has counts: 0, 1 ..., got {target!r:.80}"
            )
        return Reading("", series, time, (value, *known, *past))

    def encode(self, values: Sequence[Reading]) -> Column:
        raise NotImplementedError("readings become windows of a panel, see SeriesSet")


class SeriesSet:
    """Series on one grid in time, and what is learned of the steps before those held out.

    Attributes:
        cut: how long windows are, and which steps are held out.
        panel: the values of all series.
        grid: the times of the steps.
        season: the steps of a season; ``season_from`` says why.
        moments: mean and deviation of the covariates in training.
        holds_validation: whether the steps before the test are held out, too.
    """

    panel: Panel
    grid: Grid
    moments: Moments
    season: int
    season_from: str
    names: list[str]

    def __init__(self, data: ForecastData) -> None:
        held = data.valid_steps or 0, data.test_steps or 0
        self.data, self.holds_validation = data, True
        self.cut = Cut(data.horizon, data.context or 1, *held, data.stride)

    def fit(self, readings: Sequence[Reading], source: RowSource[Reading]) -> None:
        """Take grid, season and moments from the steps before those that are held out."""
        series: dict[str, list[Any]] = {}
        for reading in readings:
            series.setdefault(reading.series, []).append(reading.time)
        self.grid = Grid.of(list(series.values()))
        least = self.cut.least + sum(self.cut[2:4]) + self.cut.horizon
        self.panel = self.panel_of(readings, source, least)
        held = self.cut.valid + self.cut.test
        panel = self.panel
        ends = (panel.ends - held).tolist()
        parts = [panel.values[a:b] for a, b in zip(panel.starts.tolist(), ends, strict=True)]
        self._choose_season([part[:, 0].numpy() for part in parts])
        self.moments = Moments.of(torch.cat(parts)[:, 1:])

    def panel_of(
        self, readings: Sequence[Reading], source: RowSource[Reading], least: int
    ) -> Panel:
        """The series that have at least ``least`` steps."""
        options: Any = {"column": self.data.time, "gaps": self.data.missing}
        kept, first = [], {reading.series: reading.place for reading in reversed(readings)}
        for line in lines(readings, self.grid, source.bad, **options):
            with source.bad.place(f"{first[line.name]}: series {line.name!r}, which begins here"):
                if line.observed < least:
                    raise BadValue(
                        "",
                        f"has {line.observed} steps up to its last target, and {least} are needed "
                        f"with data.horizon = {self.data.horizon}",
                    )
                kept.append(line)
        if not kept:
            raise DataError(f"no series is left{source.why()}")
        return Panel.of(kept)

    def _choose_season(self, targets: Sequence[NDArray[np.float64]]) -> None:
        calendar = self.grid.seasons()
        season = self.data.season or find_season(targets, calendar=list(calendar))
        self.season, self.season_from = season, "autocorrelation"
        if self.data.season:
            self.season_from = "data.season"
        elif season == 1:
            self.season_from = "none stands out: name it with data.season"
        elif season in calendar:
            self.season_from = f"{calendar[season]}, as the autocorrelation has it"

    def state_dict(self) -> dict[str, Any]:
        """What `fit` computed, as JSON."""
        return {
            "grid": self.grid._asdict(),
            "moments": self.moments._asdict(),
            "season": self.season,
            "season_from": self.season_from,
            "series": self.panel.names,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Be as after `fit`, but for the panel."""
        self.grid, self.moments = Grid(**state["grid"]), Moments(**state["moments"])
        self.season, self.season_from = int(state["season"]), str(state["season_from"])
        self.names = list(state["series"])

    def facts(self) -> dict[str, Any]:
        """The series, the grid, and which steps the metrics are of."""
        panel, cut = self.panel, self.cut
        past = [panel.past(line) for line in range(len(panel.names))]
        before = f" (valid: the {cut.valid} before them)" if self.holds_validation else ""
        apart = f", each {cut.stride} after the other" if cut.stride > 1 else ""
        windows = f"in windows of {cut.horizon}{apart}"
        return {
            "series": len(past),
            "steps": sum(map(len, past)),
            "missing": sum(int(one.isnan().sum()) for one in past),
            "grid": str(self.grid),
            "season": self.season,
            "season_from": self.season_from,
            "measured": f"the last {cut.test} steps of each series alone{before}, {windows}",
        }

    def targets(self, rows: Rows) -> Tensor:
        """The true values of windows (windows, horizon)."""
        return self.panel.targets(rows, self.cut.horizon)

    def errors(self, value: Tensor, rows: Rows, naive: Tensor | None = None) -> Metrics:
        """Of one number for each step: in the data's unit, and mase in that of naive errors."""
        error = value - self.targets(rows)
        there = error.isfinite()
        naive = self._naive_errors() if naive is None else naive
        scaled = error.abs() / naive[columns(rows)[0]].unsqueeze(1)
        mse = float(error[there].square().mean())
        return {
            "rmse": math.sqrt(mse),
            "mae": float(error[there].abs().mean()),
            "mse": mse,
            "mase": float(scaled[scaled.isfinite()].mean()),
        }

    def by_series(self, value: Tensor, rows: Rows) -> Table:
        """Of each series, the worst first: which steps were measured, and the errors."""
        line, origin = columns(rows)
        naive = self._naive_errors()
        cells: list[list[str | float | int]] = []
        for i in sorted(set(line.tolist())):
            of = line == i
            some, at = rows.select(of.nonzero()[:, 0]), origin[of] - self.panel.starts[i]
            errors = self.errors(value[of], some, naive)
            first, last = (
                self.grid.time(self.panel.place(i) + int(step) * self.grid.every)
                for step in (at.min(), at.max() + self.cut.horizon - 1)
            )
            values = int(self.targets(some).isfinite().sum())
            kept = [errors[name] for name in ("rmse", "mae", "mase")]
            cells.append([self.panel.names[i], first, last, int(of.sum()), values, *kept])
        cells.sort(key=lambda row: -float(row[-1]) if math.isfinite(float(row[-1])) else math.inf)
        title = "by series"
        if len(cells) > MOST_SERIES:
            title = f"the {MOST_SERIES} of {len(cells):,} series with the largest mase"
        names = ["series", "from", "to", "windows", "values", "rmse", "mae", "mase"]
        return Table(title, names, cells[:MOST_SERIES])

    def _training(self) -> list[Tensor]:
        """The targets of each series before those that are held out."""
        held = self.cut.test + (self.cut.valid if self.holds_validation else 0)
        return [self.panel.past(line)[:-held] for line in range(len(self.panel.names))]

    def _naive_errors(self) -> Tensor:
        """The mean error of the seasonal naive forecast of each series in training; NaN if none."""
        changes = [(past[self.season :] - past[: -self.season]).abs() for past in self._training()]
        means = torch.stack([change.nanmean() for change in changes])
        return torch.where(means > 0, means, torch.nan)

    def baselines(self) -> dict[str, Callable[[Rows], Metrics]]:
        """The last value; that of one season ago; and that with the mean growth over a season."""
        models = {
            "naive": SeasonalNaive(1),
            "seasonal_naive": SeasonalNaive(self.season),
            "seasonal_drift": SeasonalNaive(self.season, drift=True),
        }
        return {name: partial(self._measured, model) for name, model in models.items()}

    def _measured(self, model: SeasonalNaive, rows: Rows) -> Metrics:
        return self.errors(self._simple(model, rows), rows)

    def _simple(self, model: SeasonalNaive, rows: Rows) -> Tensor:
        changes = [model.mean_change(past.numpy()) for past in self._training()]
        forecasts = []
        for line, origin in zip(*(column.tolist() for column in columns(rows)), strict=True):
            history = self.panel.values[self.panel.starts[line] : origin, 0].numpy()
            forecasts.append(model.forecast(history, self.cut.horizon, changes[line]))
        return torch.from_numpy(np.stack(forecasts))


def columns(rows: Rows) -> tuple[Tensor, Tensor]:
    """Of windows: which series, and where the first step to forecast is."""
    return rows.tensor("line"), rows.tensor("origin")


def _is_empty(value: Any) -> bool:
    return value is None or str(value).strip().lower() in EMPTY
