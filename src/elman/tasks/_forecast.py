"""Forecasting: the next steps of series in time, and how sure of them the network is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from elman._errors import DataError
from elman.data import Rows, records
from elman.layers import FeedForward
from elman.metrics import Metric
from elman.pictures import Picture
from elman.tasks._forecast_config import ForecastData, ForecastNet
from elman.tasks._forecast_net import OUTPUTS, ForecastNetwork, Interval
from elman.tasks._forecast_picture import Curves, picture
from elman.tasks._forecast_series import Readings, SeriesSet, columns
from elman.tasks._forecast_windows import ForecastWindow, Panel, Reader
from elman.tasks._source import SPLITS, Labeled
from elman.tasks._supervised import Part, Supervised
from elman.tasks._task import Metrics, Table

SERIES = "series.safetensors"
"""The file of the series in a run folder, beside the windows of each split."""

GROUPS = 4
"""Of the steps ahead, each with its error in a table."""


class Forecasts(NamedTuple):
    """The network's predictions for a split.

    Attributes:
        rows: the windows.
        interval: the forecast of each step, (windows, horizon) each.
        losses: the loss of each step (windows, horizon), 0 where nothing was measured.
        target: the true values (windows, horizon), NaN where nothing was measured.
    """

    rows: Rows
    interval: Interval
    losses: Tensor
    target: Tensor


class Forecast(Supervised):
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
        >>> from pathlib import Path
        >>> file = Path(tempfile.mkdtemp(), "waves.csv")
        >>> wave = [f"{t},{10 + math.sin(t * math.pi / 3):.4f}" for t in range(60)]
        >>> _ = file.write_text("\n".join(["time,value", *wave]))
        >>> data = ForecastData(train=[file], horizon=6)
        >>> task = Forecast.prepare(data, ForecastNet(hidden=4))
        >>> [answer] = task.answers(task.continuation())
        >>> task.series.season, [step["time"] for step in answer["steps"]]
        (6, ['60', '61', '62', '63', '64', '65'])

    References:
        Wen et al. 2017, "A multi-horizon quantile recurrent forecaster";
        Salinas et al. 2020, "DeepAR: probabilistic forecasting with autoregressive recurrent
        networks", for counts and for a scale of each window;
        Romano, Patterson & Candès 2019, "Conformalized quantile regression", for the intervals.
    """

    name: ClassVar[str] = "forecast"
    unit: ClassVar[str] = "loss"
    counted: ClassVar[str] = "steps"
    metric = Metric("rmse")
    data: ForecastData
    network: ForecastNetwork

    def __init__(self, data: ForecastData, model: ForecastNet) -> None:
        readings = Readings(data, counts=model.output == "negative-binomial")
        super().__init__(data, model, inputs={"line": readings}, targets={})
        self.series = SeriesSet(data)
        self.output = OUTPUTS[model.output](model.interval)

    def rows_by_split(self) -> dict[str, Rows]:
        """The windows of the series, which are divided in time."""
        source, series, name = self.source, self.series, self.data.name
        named = name and source.parsed(records(name, self.name))
        series.fit(self.held_out(named or source.from_files(self.data.train)), source)
        parts = {split: series.panel.windows(series.cut, split) for split in SPLITS}
        for split, rows in parts.items():
            if not len(rows):
                place = name or ", ".join(map(str, self.data.train))
                raise DataError(
                    f"{place}: no {split} step has a target: hold out more, or other steps"
                )
        return parts

    def parse(self, values: Mapping[str, Any]) -> Any:
        return self.inputs["line"].parse(values)

    def held_out(self, examples: Sequence[Labeled[Any]]) -> list[Any]:
        """The readings, each with the place of its row."""
        return [each.example._replace(place=each.place) for each in examples]

    def encode(self, examples: Sequence[Any]) -> Rows:
        """The test windows of other series, which are put into the panel."""
        series = self.series = copy(self.series)
        series.holds_validation = False
        series.panel = series.panel_of(examples, self.source, series.cut.least + series.cut.horizon)
        return series.panel.windows(series.cut, "test")

    def save(self, folder: Path) -> None:
        super().save(folder)
        self.series.panel.rows.save(folder / "rows" / SERIES)

    def state_dict(self) -> dict[str, Any]:
        return self.series.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.series.load_state_dict(state)

    @classmethod
    def restore(cls, folder: Path, data: Any, model: Any) -> Self:
        task = super().restore(folder, data, model)
        series = Rows.load(folder / "rows" / SERIES)
        task.series.panel = Panel(task.series.names, series)
        return task

    def facts(self) -> dict[str, Any]:
        windows = {split: len(rows) for split, rows in self.parts.items()}
        return {"windows": windows, **self.series.facts(), **self.source.facts()}

    def build(self) -> ForecastNetwork:
        known = 2 + len(self.data.known)
        inputs = known + len(self.data.past)
        steps = self.series.cut.context, self.series.cut.horizon
        return ForecastNetwork(self.model, inputs, known, *steps, self.output.size)

    def terms(self, rows: Rows, indices: Tensor) -> int:
        return int(self.series.targets(rows.select(indices)).isfinite().sum())

    def window(self, batch: Part) -> ForecastWindow:
        """What the network reads of a batch, and what came then, on its device."""
        series = self.series
        aligned = isinstance(self.network.recurrent, FeedForward)  # its places have a meaning
        ahead = len(self.data.known)
        reader = Reader(
            series.cut, series.season, series.moments, ahead, self.model.scaling, aligned
        )
        taken = batch.of.take(batch.indices)
        window = reader.read(series.panel, taken["line"], taken["origin"])
        return ForecastWindow(*(part.to(self.device) for part in window))

    def _losses(self, window: ForecastWindow, raw: Tensor) -> Tensor:
        """Of each step (batch, horizon); 0 where nothing was measured."""
        there = window.target.isfinite()
        target = torch.where(there, window.target, window.middle)
        spread = window.middle, window.scale, self.network.get_buffer("widening")
        return self.output.loss(raw, target, *spread).where(there, 0.0)

    def criterion(self, batch: Part) -> Tensor:
        window = self.window(batch)
        losses = self._losses(window, self.network(window.x, window.lengths, window.known))
        return (losses / window.scale if self.output.loss_name == "pinball" else losses).sum()

    def forecasts(self, rows: Rows) -> Forecasts:
        """The forecast of each window, and its losses, on the CPU."""

        def run(batch: Part) -> list[Tensor]:
            window = self.window(batch)
            raw = self.network(window.x, window.lengths, window.known)
            interval = self._widened(self.output.interval(raw, window.middle, window.scale))
            return list(torch.stack([*interval, self._losses(window, raw)], 1).cpu())

        *interval, losses = torch.stack(self.in_order(rows, run)).unbind(1)
        target = self.series.targets(rows)
        return Forecasts(rows, Interval(*interval), losses, target)

    def _widened(self, interval: Interval) -> Interval:
        widening, floor = self.network.get_buffer("widening"), self.output.floor
        low = interval.median - widening * (interval.median - interval.low).clamp(min=floor)
        high = interval.median + widening * (interval.high - interval.median).clamp(min=floor)
        return interval._replace(low=low.clamp(min=self.output.least), high=high)

    def calibrate(self) -> bool:
        """Fit the widening on the validation windows."""
        rows = self.parts["valid"]
        widening = self.network.get_buffer("widening").fill_(1.0)
        _, interval, _, target = self.forecasts(rows)
        over = target - interval.median
        above, below = interval.high - interval.median, interval.median - interval.low
        half = torch.where(over > 0, above, below)
        needed = (over.abs() / half.clamp(min=self.output.floor))[target.isfinite()].sort().values
        rank = math.ceil((len(needed) + 1) * self.model.interval)
        widening.fill_(float(needed[min(rank, len(needed)) - 1]))
        return True

    @property
    def selection(self) -> Metric:
        """The loss, which rewards a good interval as well as a good value."""
        return Metric(self.output.loss_name)

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """Seasonal naive forecasts, see `SeriesSet.baselines`."""
        return self.baseline_metrics(self.series.baselines())

    def predict(self, split: str) -> Forecasts:
        return self.forecasts(self.part(split))

    def metrics(self, predictions: Forecasts) -> Metrics:
        rows, interval, losses, target = predictions
        there = target.isfinite()
        inside = ((interval.low <= target) & (target <= interval.high))[there]
        return {
            **self.series.errors(interval.value, rows),
            "coverage": float(inside.double().mean()),
            "width": float((interval.high - interval.low)[there].mean()),
            self.output.loss_name: float(losses.sum() / there.sum()),
        }

    def tables(self, predictions: Forecasts) -> list[Table]:
        """Errors of each series; error and coverage of near steps and of far ones."""
        rows, interval, _, target = predictions
        cuts = sorted(
            {round(h) for h in torch.linspace(0, self.series.cut.horizon, GROUPS + 1).tolist()}
        )
        groups: list[list[str | float | int]] = []
        for low, high in pairwise(cuts):
            some = [part[:, low:high] for part in (*interval, target)]
            there = some[-1].isfinite()
            value, lower, _, upper, true = (part[there] for part in some)
            inside = ((lower <= true) & (true <= upper)).double().mean()
            rmse, mae = (value - true).square().mean().sqrt(), (value - true).abs().mean()
            errors = float(rmse), float(mae), float(inside)
            groups.append([f"{low + 1} to {high}", len(true), *errors])
        ahead = Table("by step ahead", ["steps", "values", "rmse", "mae", "coverage"], groups)
        return [ahead, self.series.by_series(interval.value, rows)]

    def plots(self, predictions: Forecasts) -> list[Picture]:
        """The last forecast of each series: the steps before it, its interval, and the truth."""
        series = self.series
        line, origins = columns(predictions.rows)
        value, low, _, high = predictions.interval
        panels = []
        for i in sorted(set(line.tolist())):
            last = int((line == i).nonzero()[-1])
            start, origin = int(series.panel.starts[i]), int(origins[last])
            history = series.panel.values[max(start, origin - self.series.cut.context) : origin, 0]
            ahead = (part[last] for part in (predictions.target, value, low, high))
            when = series.panel.place(i) + (origin - start) * self.series.grid.every
            arrays = (part.numpy() for part in (history, *ahead))
            panels.append(Curves(series.panel.names[i], self.series.grid.time(when), *arrays))
        return [picture(panels, self.model.interval)]

    def continuation(self) -> Iterator[Mapping[str, Any]]:
        """The series that the task has, to be continued."""
        panel = self.series.panel
        return ({"line": panel.line(i)} for i in range(len(panel.names)))

    def rows_of(self, path: Path) -> Iterator[Mapping[str, Any]]:
        readings = self.held_out(self.source.from_files([path]))
        panel = self.series.panel_of(readings, self.source, self.series.cut.least)
        return ({"line": panel.line(i)} for i in range(len(panel.names)))

    def answers(self, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The next steps of series, after the last target of each.

        Raises:
            DataError: what ``data.known`` names is not there for the first step to forecast.
        """
        other = copy(self)
        other.series = copy(self.series)
        panel = other.series.panel = Panel.of([values["line"] for values in rows])
        interval = other.forecasts(panel.next_windows()).interval
        return [other._answer(line, interval) for line in range(len(panel.names))]

    def _answer(self, line: int, interval: Interval) -> dict[str, Any]:
        panel, name = self.series.panel, self.series.panel.names[line]
        names = self.data.known
        ahead = panel.values[panel.ends[line] : panel.stops[line], 1 : 1 + len(names)]
        known = int(ahead.isfinite().all(1).int().cumprod(0).sum())
        count = min(known, self.series.cut.horizon) if names else self.series.cut.horizon
        if not count:
            raise DataError(
                f"series {name!r}: {', '.join(names)} must be known of the steps to "
                f"forecast: add rows with them, and with an empty {self.data.target}"
            )
        begin = (
            panel.place(line) + int(panel.ends[line] - panel.starts[line]) * self.series.grid.every
        )
        times = [self.series.grid.time(begin + k * self.series.grid.every) for k in range(count)]
        each = zip(times, *(interval[key][line, :count].tolist() for key in (0, 1, 3)), strict=True)
        keys = ("time", "value", "low", "high")
        return {"series": name, "steps": [dict(zip(keys, step, strict=True)) for step in each]}
