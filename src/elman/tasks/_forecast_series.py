"""Series in time: read, laid on a grid, divided in time; and the simple models of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman._errors import DataError
from elman.baselines import SeasonalNaive, find_season
from elman.data import BadValue, Record, Rows, records
from elman.data._series import Cut, Reading, lines
from elman.data._times import Grid, parse_time
from elman.tasks._base import Metrics, Table
from elman.tasks._base import Reading as Report
from elman.tasks._forecast_config import ForecastData, ForecastNet
from elman.tasks._forecast_windows import Moments, Panel
from elman.tasks._table import TableTask

MOST_SERIES = 40
"""Series whose errors are shown one by one."""

EMPTY = {"", "na", "n/a", "nan", "none", "null"}


class SeriesTask(TableTask):
    """Series are read, laid on a grid, and divided in time; what is learned of them is left to say.

    A row of a split is a window: of which series it is, and at which step of ``panel`` what is to
    be forecast begins. The run folder keeps the series in ``rows/series.safetensors``.
    """

    suits: ClassVar[str] = "forecast"
    counted: ClassVar[str] = "steps"
    data: ForecastData
    panel: Panel

    def __init__(self, data: ForecastData, model: ForecastNet) -> None:
        super().__init__(data, model)
        self.model: ForecastNet = model
        held = data.valid_steps or 0, data.test_steps or 0
        self.cut = Cut(data.horizon, data.context or 1, *held, data.stride)

    def wanted(self) -> list[str]:
        named = [self.data.series] if self.data.series else []
        return [self.data.time, *named, self.data.target, *self.data.known, *self.data.past]

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
        value = math.nan if empty else _number(data.target, target)
        known = [_number(name, values[name]) for name in data.known]
        # Of a step ahead nothing is measured yet.
        past = [
            math.nan if empty and _is_empty(values[name]) else _number(name, values[name])
            for name in data.past
        ]
        if self.model.output == "negative-binomial" and (value < 0 or value % 1 > 0):
            raise BadValue(
                data.target, f"negative-binomial has counts: 0, 1 ..., got {target!r:.80}"
            )
        return Reading("", series, time, (value, *known, *past))

    def _parsed(self, rows: Iterable[Record]) -> list[tuple[Reading, str | None]]:
        parsed: list[tuple[Reading, str | None]] = []
        for place, values in rows:
            with self.bad.caught(place):
                parsed.append((self.parse(values)._replace(place=place), None))
        return parsed

    @classmethod
    def prepare(
        cls,
        data: Any,
        model: Any,
        folder: Path | None = None,  # noqa: ARG003 - all is kept in memory, and saved later
        reading: Report | None = None,
    ) -> Self:
        """Read the series and divide them in time.

        Raises:
            DataError: a file, a row or a series cannot be used.
        """
        task = cls(data, model)
        named = data.name and [r for r, _ in task._parsed(records(data.name, cls.suits))]
        readings = named or task.examples(data.train)
        task.learn(readings)
        task.panel = task._panel(readings, task.cut.least + sum(task.cut[2:4]) + data.horizon)
        task.known = True
        task._learn_from_training()
        for split in ("train", "valid", "test"):
            task.parts[split] = task.panel.windows(task.cut, split)
            if not len(task.parts[split]):
                raise DataError(f"no {split} step has a target: hold out more, or other steps")
            if reading:
                reading(split, len(task.parts[split]), len(task.parts[split]))
        return task

    def learn(self, examples: Sequence[Reading]) -> None:
        """The grid on which the times lie."""
        series: dict[str, list[Any]] = {}
        for reading in examples:
            series.setdefault(reading.series, []).append(reading.time)
        self.grid = Grid.of(list(series.values()))

    def _panel(self, readings: Sequence[Reading], least: int) -> Panel:
        """The series that have at least so many steps."""
        options: Any = {"column": self.data.time, "gaps": self.data.missing}
        kept, first = [], {reading.series: reading.place for reading in reversed(readings)}
        for line in lines(readings, self.grid, self.bad, **options):
            with self.bad.caught(f"{first[line.name]}: series {line.name!r}, which begins here"):
                if line.observed < least:
                    raise BadValue(
                        "",
                        f"has {line.observed} steps up to its last target, and {least} are needed "
                        f"with data.horizon = {self.data.horizon}",
                    )
                kept.append(line)
        if not kept:
            raise DataError(f"no series is left{self._why()}")
        return Panel.of(kept)

    def _learn_from_training(self) -> None:
        """Season and moments of the covariates, from the steps before those that are held out."""
        held = self.cut.valid + self.cut.test
        panel = self.panel
        ends = (panel.ends - held).tolist()
        parts = [panel.values[a:b] for a, b in zip(panel.starts.tolist(), ends, strict=True)]
        self._choose_season([part[:, 0].numpy() for part in parts])
        self.moments = Moments.of(torch.cat(parts)[:, 1:])

    def _choose_season(self, targets: Sequence[NDArray[np.float64]]) -> None:
        calendar = self.grid.seasons()
        found = self.data.season or find_season(targets, calendar=list(calendar))
        self.season, self.season_from = found, "autocorrelation"
        if self.data.season:
            self.season_from = "data.season"
        elif found == 1:
            self.season_from = "none stands out: name it with data.season"
        elif found in calendar:
            self.season_from = f"{calendar[found]}, as the autocorrelation has it"

    def encode(self, examples: Sequence[Reading]) -> Rows:
        """The test windows of other series, which are kept in ``panel``."""
        self.panel = self._panel(examples, self.cut.least + self.cut.horizon)
        return self.panel.windows(self.cut, "test")

    def learned(self) -> dict[str, Any]:
        return {
            "grid": self.grid._asdict(),
            "moments": self.moments._asdict(),
            "season": self.season,
            "season_from": self.season_from,
            "series": self.panel.names,
        }

    def recall(self, learned: Mapping[str, Any]) -> None:
        self.grid, self.moments = Grid(**learned["grid"]), Moments(**learned["moments"])
        self.season, self.names = int(learned["season"]), list(learned["series"])
        self.season_from = str(learned.get("season_from", ""))  # of an older run it is not known

    def save(self, folder: Path) -> None:
        super().save(folder)
        self.panel.rows.save(folder / "rows" / "series.safetensors")

    @classmethod
    def restore(cls, folder: Path, data: Any, model: Any) -> Self:
        task = super().restore(folder, data, model)
        task.panel = Panel(task.names, Rows.load(folder / "rows" / "series.safetensors"))
        return task

    def facts(self) -> dict[str, Any]:
        panel = self.panel
        past = [panel.past(line) for line in range(len(panel.names))]
        facts = {
            "windows": super().facts().pop("rows"),
            "series": len(past),
            "steps": sum(map(len, past)),
            "missing": sum(int(one.isnan().sum()) for one in past),
            "grid": str(self.grid),
            "season": self.season,
            "season_from": self.season_from,
            "measured": self._measured(),
        }
        more = {k: v for k, v in super().facts().items() if k != "rows"}
        return {**facts, **more}

    def _measured(self) -> str:
        """Which steps the metrics are of."""
        cut = self.cut
        before = f" (valid: the {cut.valid} before them)" if "valid" in self.parts else ""
        apart = f", each {cut.stride} after the other" if cut.stride > 1 else ""
        windows = f"in windows of {cut.horizon}{apart}"
        return f"the last {cut.test} steps of each series alone{before}, {windows}"

    def terms(self, rows: Rows, indices: Tensor) -> int:
        some = Rows(rows.take(indices))
        return int(self.panel.targets(some, self.cut.horizon).isfinite().sum())

    def _errors(self, value: Tensor, rows: Rows, naive: Tensor | None = None) -> Metrics:
        """Of one number for each step: in the data's unit, and mase in that of naive errors."""
        error = value - self.panel.targets(rows, self.cut.horizon)
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

    def _by_series(self, value: Tensor, rows: Rows) -> Table:
        """Of each series, the worst first: which steps were measured, and the errors."""
        line, origin = columns(rows)
        naive = self._naive_errors()
        found: list[list[str | float | int]] = []
        for i in sorted(set(line.tolist())):
            of = line == i
            some, at = rows.select(of.nonzero()[:, 0]), origin[of] - self.panel.starts[i]
            errors = self._errors(value[of], some, naive)
            first, last = (
                self.grid.time(self.panel.place(i) + int(step) * self.grid.every)
                for step in (at.min(), at.max() + self.cut.horizon - 1)
            )
            values = int(self.panel.targets(some, self.cut.horizon).isfinite().sum())
            kept = [errors[name] for name in ("rmse", "mae", "mase")]
            found.append([self.panel.names[i], first, last, int(of.sum()), values, *kept])
        found.sort(key=lambda row: -float(row[-1]) if math.isfinite(float(row[-1])) else math.inf)
        title = "by series"
        if len(found) > MOST_SERIES:
            title = f"the {MOST_SERIES} of {len(found):,} series with the largest mase"
        names = ["series", "from", "to", "windows", "values", "rmse", "mae", "mase"]
        return Table(title, names, found[:MOST_SERIES])

    def _training(self) -> list[Tensor]:
        """The targets of each series before those that are held out."""
        held = self.cut.test + (self.cut.valid if "train" in self.parts else 0)
        return [self.panel.past(line)[:-held] for line in range(len(self.panel.names))]

    def _naive_errors(self) -> Tensor:
        """The mean error of the seasonal naive forecast of each series in training; NaN if none."""
        changes = [(past[self.season :] - past[: -self.season]).abs() for past in self._training()]
        means = torch.stack([change.nanmean() for change in changes])
        return torch.where(means > 0, means, torch.nan)

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """The last value; that of one season ago; and that with the mean growth over a season."""
        models = {
            "naive": SeasonalNaive(1),
            "seasonal_naive": SeasonalNaive(self.season),
            "seasonal_drift": SeasonalNaive(self.season, drift=True),
        }
        return {
            name: {
                split: self._errors(self._simple(model, rows), rows)
                for split, rows in self.parts.items()
                if split != "train"
            }
            for name, model in models.items()
        }

    def _simple(self, model: SeasonalNaive, rows: Rows) -> Tensor:
        changes = [model.mean_change(past.numpy()) for past in self._training()]
        found = []
        for line, origin in zip(*(column.tolist() for column in columns(rows)), strict=True):
            history = self.panel.values[self.panel.starts[line] : origin, 0].numpy()
            found.append(model.forecast(history, self.cut.horizon, changes[line]))
        return torch.from_numpy(np.stack(found))

    def upcoming(self) -> Iterator[Mapping[str, Any]]:
        """The series that the task has, to be continued."""
        return ({"line": self.panel.line(i)} for i in range(len(self.panel.names)))

    def rows_of(self, path: Path) -> Iterator[Mapping[str, Any]]:
        panel = self._panel(self.examples([path]), self.cut.least)
        return ({"line": panel.line(i)} for i in range(len(panel.names)))


def columns(rows: Rows) -> tuple[Tensor, Tensor]:
    """Of windows: which series, and where the first step to forecast is."""
    line, origin = rows["line"], rows["origin"]
    assert isinstance(line, Tensor)
    assert isinstance(origin, Tensor)
    return line, origin


def _is_empty(value: Any) -> bool:
    return value is None or str(value).strip().lower() in EMPTY


def _number(column: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise BadValue(column, f"a finite number was expected, got {value!r}")
    return number
