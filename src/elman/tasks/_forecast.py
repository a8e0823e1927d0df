"""Forecasting: the next steps of series in time, and how sure of them the network is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from elman._errors import DataError
from elman.baselines import SeasonalNaive, find_season
from elman.data import BadValue, Record, Rows, records
from elman.data._series import Cut, Reading, lines
from elman.data._times import Grid, parse_time
from elman.pictures import Picture
from elman.tasks._base import Metrics, Table
from elman.tasks._base import Reading as Report
from elman.tasks._forecast_config import ForecastData, ForecastNet
from elman.tasks._forecast_net import OUTPUTS, ForecastNetwork, Said
from elman.tasks._forecast_picture import Shown, picture
from elman.tasks._forecast_windows import Moments, Panel, Reader, Window
from elman.tasks._supervised import Part
from elman.tasks._table import TableTask
from elman.tasks._table_config import FEEDFORWARD

GROUPS = 4
"""Of the steps ahead, each with its error in a table."""

EMPTY = {"", "na", "n/a", "nan", "none", "null"}


class Forecast(TableTask):
    r"""Series in time: all of the next H steps at once, each with an interval.

    .. math:: L = \frac1N \sum_{b,k} \ell(z_{b,t+k}, o_k(z_{b,t-C+1..t}))

    over the steps that were measured. :math:`\ell` is the negative log-likelihood of a Gaussian or
    a negative binomial, or the mean pinball loss of quantiles in units of the window's scale.

    All steps come at once from the state after the window, not one by one from sampled paths: no
    error is fed back, the three outputs are treated alike, and nothing is drawn at random.
    Series are divided in time, see `Cut`. After training the spreads are multiplied by the factor
    with which the intervals of the validation windows hold as many values as they should.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "waves.csv")
        >>> wave = [f"{t},{10 + math.sin(t * math.pi / 3):.4f}" for t in range(60)]
        >>> _ = file.write_text("\n".join(["time,value", *wave]))
        >>> data = ForecastData(train=[file], horizon=6)
        >>> task = Forecast.prepare(data, ForecastNet(hidden=4))
        >>> task.network = task.build()
        >>> task.season, [step["time"] for step in task.answers(task.upcoming())[0]["steps"]]
        (6, ['60', '61', '62', '63', '64', '65'])

    References:
        Wen et al. 2017, "A multi-horizon quantile recurrent forecaster";
        Salinas et al. 2020, "DeepAR: probabilistic forecasting with autoregressive recurrent
        networks", for counts and for a scale of each window;
        Romano, Patterson & Candès 2019, "Conformalized quantile regression", for the intervals.
    """

    name: ClassVar[str] = "forecast"
    suits: ClassVar[str] = "forecast"
    unit: ClassVar[str] = "loss"
    counted: ClassVar[str] = "steps"
    data: ForecastData
    network: ForecastNetwork
    panel: Panel

    def __init__(self, data: ForecastData, model: ForecastNet) -> None:
        super().__init__(data, model)
        self.model: ForecastNet = model
        self.output = OUTPUTS[model.output](model.interval)
        held = data.valid_steps or 0, data.test_steps or 0
        self.cut = Cut(data.horizon, data.context or 1, *held, data.stride)

    def wanted(self) -> list[str]:
        named = [self.data.series] if self.data.series else []
        return [self.data.time, *named, self.data.target, *self.data.covariates]

    def parse(self, values: Mapping[str, Any]) -> Reading:
        data = self.data
        try:
            time = parse_time(values[data.time])
        except ValueError:
            raise BadValue(
                data.time, f"a date or a number was expected, got {values[data.time]!r}"
            ) from None
        series = str(values[data.series]) if data.series else data.name or data.target
        target = values[data.target]
        empty = target is None or str(target).strip().lower() in EMPTY
        known = [_number(name, values[name]) for name in data.covariates]
        value = math.nan if empty else _number(data.target, target)
        if self.model.output == "negative-binomial" and (value < 0 or value % 1 > 0):
            raise BadValue(data.target, f"negative-binomial has counts: 0, 1 ..., got {target!r}")
        return Reading("", series, time, (value, *known))

    def _parsed(self, rows: Iterable[Record]) -> list[tuple[Reading, None]]:
        parsed: list[tuple[Reading, None]] = []
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
        kept = []
        for line in lines(readings, self.grid, self.bad, **options):
            with self.bad.caught(f"series {line.name!r}"):
                if line.observed < least:
                    raise BadValue(
                        "", f"has {line.observed} steps up to its last target, and needs {least}"
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
        found = find_season([part[:, 0].numpy() for part in parts])
        self.season = self.data.season or found
        self.moments = Moments.of(torch.cat(parts)[:, 1:])

    def encode(self, examples: Sequence[Reading]) -> Rows:
        """The test windows of other series, which are kept in ``panel``."""
        self.panel = self._panel(examples, self.cut.least + self.cut.horizon)
        return self.panel.windows(self.cut, "test")

    def learned(self) -> dict[str, Any]:
        found = {"grid": self.grid._asdict(), "moments": self.moments._asdict()}
        return {**found, "season": self.season, "series": self.panel.names}

    def recall(self, learned: Mapping[str, Any]) -> None:
        self.grid, self.moments = Grid(**learned["grid"]), Moments(**learned["moments"])
        self.season, self.names = int(learned["season"]), list(learned["series"])

    def save(self, folder: Path) -> None:
        super().save(folder)
        self.panel.rows.save(folder / "rows" / "series.safetensors")

    @classmethod
    def restore(cls, folder: Path, data: Any, model: Any) -> Self:
        task = super().restore(folder, data, model)
        task.panel = Panel(task.names, Rows.load(folder / "rows" / "series.safetensors"))
        return task

    def build(self) -> ForecastNetwork:
        inputs = 2 + len(self.data.covariates)
        steps = self.cut.context, self.cut.horizon
        return ForecastNetwork(self.model, inputs, inputs, *steps, self.output.size)

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
        }
        more = {k: v for k, v in super().facts().items() if k != "rows"}
        return {**facts, **more}

    def terms(self, rows: Rows, indices: Tensor) -> int:
        some = Rows(rows.take(indices))
        return int(self.panel.targets(some, self.cut.horizon).isfinite().sum())

    def window(self, batch: Part) -> Window:
        """What the network reads of a batch, and what came then, on its device."""
        aligned = self.model.cell == FEEDFORWARD
        reader = Reader(self.cut, self.season, self.moments, self.model.scaling, aligned)
        taken = batch.of.take(batch.indices)
        window = reader.read(self.panel, taken["line"], taken["origin"])
        return Window(*(part.to(self.device) for part in window))

    def _losses(self, window: Window, raw: Tensor) -> Tensor:
        """Of each step (batch, horizon); 0 where nothing was measured."""
        there = window.target.isfinite()
        target = torch.where(there, window.target, window.middle)
        scaled = window.middle, window.scale
        return self.output.loss(raw, target, *scaled, self.network.widening).where(there, 0.0)

    def criterion(self, batch: Part) -> Tensor:
        window = self.window(batch)
        losses = self._losses(window, self.network(window.x, window.lengths, window.known))
        return (losses / window.scale if self.output.loss_name == "pinball" else losses).sum()

    def forecasts(self, rows: Rows) -> tuple[Said, Tensor]:
        """What is said of each window's steps, and the losses: each (rows, horizon), on the CPU."""

        def run(batch: Part) -> list[Tensor]:
            window = self.window(batch)
            raw = self.network(window.x, window.lengths, window.known)
            said = self._widened(self.output.said(raw, window.middle, window.scale))
            return list(torch.stack([*said, self._losses(window, raw)], 1).cpu())

        *said, losses = torch.stack(self.in_order(rows, run)).unbind(1)
        return Said(*said), losses

    def _widened(self, said: Said) -> Said:
        low, high = (
            said.median
            + sign
            * self.network.widening
            * (sign * (end - said.median)).clamp(min=self.output.floor)
            for sign, end in ((-1, said.low), (1, said.high))
        )
        if self.model.output == "negative-binomial":
            low = low.clamp(min=0)
        return said._replace(low=low, high=high)

    def settle(self) -> bool:
        """Fit the widening on the validation windows."""
        rows = self.parts["valid"]
        widening = self.network.get_buffer("widening").fill_(1.0)
        said, _ = self.forecasts(rows)
        target = self.panel.targets(rows, self.cut.horizon)
        over = target - said.median
        half = torch.where(over > 0, said.high - said.median, said.median - said.low)
        needed = (over.abs() / half.clamp(min=self.output.floor))[target.isfinite()].sort().values
        rank = math.ceil((len(needed) + 1) * self.model.interval)
        widening.fill_(float(needed[min(rank, len(needed)) - 1]))
        return True

    def evaluate(self, split: str) -> Metrics:
        rows = self.part(split)
        said, losses = self.forecasts(rows)
        target = self.panel.targets(rows, self.cut.horizon)
        there = target.isfinite()
        inside = ((said.low <= target) & (target <= said.high))[there]
        return {
            **self._errors(said.value, rows),
            "coverage": float(inside.double().mean()),
            "width": float((said.high - said.low)[there].mean()),
            self.output.loss_name: float(losses.sum() / there.sum()),
        }

    def score(self, metrics: Metrics) -> float:
        return metrics[self.output.loss_name]

    def _errors(self, value: Tensor, rows: Rows) -> Metrics:
        """Of one number for each step: rmse in the data's unit, mase in that of naive errors."""
        error = value - self.panel.targets(rows, self.cut.horizon)
        there = error.isfinite()
        scaled = error.abs() / self._naive_errors()[rows["line"]].unsqueeze(1)
        known = scaled.isfinite()
        return {
            "rmse": float(error[there].square().mean().sqrt()),
            "mase": float(scaled[known].mean()),
        }

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
        for line, origin in zip(*(rows[key].tolist() for key in ("line", "origin")), strict=True):
            history = self.panel.values[self.panel.starts[line] : origin, 0].numpy()
            found.append(model.forecast(history, self.cut.horizon, changes[line]))
        return torch.from_numpy(np.stack(found))

    def tables(self, split: str) -> list[Table]:
        """Error and coverage of near steps and of far ones."""
        rows = self.part(split)
        said, _ = self.forecasts(rows)
        target = self.panel.targets(rows, self.cut.horizon)
        cuts = sorted({round(h) for h in torch.linspace(0, self.cut.horizon, GROUPS + 1).tolist()})
        found: list[list[str | float | int]] = []
        for low, high in pairwise(cuts):
            some = [part[:, low:high] for part in (*said, target)]
            there = some[-1].isfinite()
            value, lower, _, upper, true = (part[there] for part in some)
            inside = ((lower <= true) & (true <= upper)).double().mean()
            rmse = (value - true).square().mean().sqrt()
            found.append([f"{low + 1} to {high}", len(true), float(rmse), float(inside)])
        return [Table("by step ahead", ["steps", "values", "rmse", "coverage"], found)]

    def pictures(self, split: str) -> list[Picture]:
        """The last forecast of each series: what was before it, its interval, and the truth."""
        rows = self.part(split)
        line, origin = rows["line"], rows["origin"]
        assert isinstance(line, Tensor)
        assert isinstance(origin, Tensor)
        last = [int((line == i).nonzero()[-1]) for i in line.unique().tolist()]
        some = Rows(rows.take(torch.tensor(last)))
        said, _ = self.forecasts(some)
        target = self.panel.targets(some, self.cut.horizon)
        shown = []
        for row, at in enumerate(last):
            i, first = int(line[at]), int(origin[at])
            start = int(self.panel.starts[i])
            history = self.panel.values[max(start, first - self.cut.context) : first, 0]
            when = self.grid.time(self.panel.place(i) + (first - start) * self.grid.every)
            parts = (history, target[row], said.value[row], said.low[row], said.high[row])
            shown.append(Shown(self.panel.names[i], when, *(part.numpy() for part in parts)))
        return [picture(shown, self.model.interval)]

    def upcoming(self) -> Iterator[Mapping[str, Any]]:
        """The series that the task has, to be continued."""
        return ({"line": self.panel.line(i)} for i in range(len(self.panel.names)))

    def rows_of(self, path: Path) -> Iterator[Mapping[str, Any]]:
        panel = self._panel(self.examples([path]), self.cut.least)
        return ({"line": panel.line(i)} for i in range(len(panel.names)))

    def answers(self, given: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The next steps of series, after the last target of each.

        Raises:
            DataError: covariates of the first step to forecast are not there.
        """
        other = copy(self)
        other.panel = Panel.of([values["line"] for values in given])
        said, _ = other.forecasts(other.panel.next_windows())
        return [other._answer(line, said) for line in range(len(other.panel.names))]

    def _answer(self, line: int, said: Said) -> dict[str, Any]:
        panel, name = self.panel, self.panel.names[line]
        ahead = panel.values[panel.ends[line] : panel.stops[line], 1:]
        known = int(ahead.isfinite().all(1).int().cumprod(0).sum())
        count = min(known, self.cut.horizon) if self.data.covariates else self.cut.horizon
        if not count:
            raise DataError(
                f"series {name!r}: {', '.join(self.data.covariates)} must be known of the steps to "
                f"forecast: add rows with them, and with an empty {self.data.target}"
            )
        past = int(panel.ends[line] - panel.starts[line])
        steps = []
        for ahead_, (value, low, _, high) in enumerate(
            zip(*(p[line, :count].tolist() for p in said), strict=True)
        ):
            place = panel.place(line) + (past + ahead_) * self.grid.every
            steps.append({"time": self.grid.time(place), "value": value, "low": low, "high": high})
        return {"series": name, "steps": steps}


def _number(column: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise BadValue(column, f"a finite number was expected, got {value!r}")
    return number
