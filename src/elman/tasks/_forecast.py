"""Forecasting: the next steps of series in time, and how sure of them the network is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from copy import copy
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from elman._errors import DataError
from elman.data import Rows
from elman.pictures import Picture
from elman.tasks._base import Metrics, Table
from elman.tasks._forecast_config import ForecastData, ForecastNet
from elman.tasks._forecast_net import OUTPUTS, ForecastNetwork, Said
from elman.tasks._forecast_picture import Shown, picture
from elman.tasks._forecast_series import SeriesTask, columns
from elman.tasks._forecast_windows import Panel, Reader, Window
from elman.tasks._supervised import Part
from elman.tasks._table_config import FEEDFORWARD

GROUPS = 4
"""Of the steps ahead, each with its error in a table."""


class Forecast(SeriesTask):
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
    unit: ClassVar[str] = "loss"
    network: ForecastNetwork

    def __init__(self, data: ForecastData, model: ForecastNet) -> None:
        super().__init__(data, model)
        self.output = OUTPUTS[model.output](model.interval)

    def build(self) -> ForecastNetwork:
        known = 2 + len(self.data.known)
        inputs = known + len(self.data.past)
        steps = self.cut.context, self.cut.horizon
        return ForecastNetwork(self.model, inputs, known, *steps, self.output.size)

    def window(self, batch: Part) -> Window:
        """What the network reads of a batch, and what came then, on its device."""
        aligned = self.model.cell == FEEDFORWARD
        ahead = len(self.data.known)
        reader = Reader(self.cut, self.season, self.moments, ahead, self.model.scaling, aligned)
        taken = batch.of.take(batch.indices)
        window = reader.read(self.panel, taken["line"], taken["origin"])
        return Window(*(part.to(self.device) for part in window))

    def _losses(self, window: Window, raw: Tensor) -> Tensor:
        """Of each step (batch, horizon); 0 where nothing was measured."""
        there = window.target.isfinite()
        target = torch.where(there, window.target, window.middle)
        spread = window.middle, window.scale, self.network.get_buffer("widening")
        return self.output.loss(raw, target, *spread).where(there, 0.0)

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
        widening, floor = self.network.get_buffer("widening"), self.output.floor
        low = said.median - widening * (said.median - said.low).clamp(min=floor)
        high = said.median + widening * (said.high - said.median).clamp(min=floor)
        return said._replace(low=low.clamp(min=self.output.least), high=high)

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

    def tables(self, split: str) -> list[Table]:
        """Errors of each series; error and coverage of near steps and of far ones."""
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
            rmse, mae = (value - true).square().mean().sqrt(), (value - true).abs().mean()
            errors = float(rmse), float(mae), float(inside)
            found.append([f"{low + 1} to {high}", len(true), *errors])
        ahead = Table("by step ahead", ["steps", "values", "rmse", "mae", "coverage"], found)
        return [ahead, self._by_series(said.value, rows)]

    def pictures(self, split: str) -> list[Picture]:
        """The last forecast of each series: what was before it, its interval, and the truth."""
        rows = self.part(split)
        line, _ = columns(rows)
        last = torch.tensor([int((line == i).nonzero()[-1]) for i in sorted(set(line.tolist()))])
        some = Rows(rows.take(last))
        said, _ = self.forecasts(some)
        target = self.panel.targets(some, self.cut.horizon)
        shown = []
        for row, (i, origin) in enumerate(zip(*(c.tolist() for c in columns(some)), strict=True)):
            start = int(self.panel.starts[i])
            history = self.panel.values[max(start, origin - self.cut.context) : origin, 0]
            parts = (history, target[row], said.value[row], said.low[row], said.high[row])
            when = self.panel.place(i) + (origin - start) * self.grid.every
            arrays = (part.numpy() for part in parts)
            shown.append(Shown(self.panel.names[i], self.grid.time(when), *arrays))
        return [picture(shown, self.model.interval)]

    def answers(self, given: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The next steps of series, after the last target of each.

        Raises:
            DataError: what ``data.known`` names is not there for the first step to forecast.
        """
        other = copy(self)
        other.panel = Panel.of([values["line"] for values in given])
        said, _ = other.forecasts(other.panel.next_windows())
        return [other._answer(line, said) for line in range(len(other.panel.names))]

    def _answer(self, line: int, said: Said) -> dict[str, Any]:
        panel, name = self.panel, self.panel.names[line]
        names = self.data.known
        ahead = panel.values[panel.ends[line] : panel.stops[line], 1 : 1 + len(names)]
        known = int(ahead.isfinite().all(1).int().cumprod(0).sum())
        count = min(known, self.cut.horizon) if names else self.cut.horizon
        if not count:
            raise DataError(
                f"series {name!r}: {', '.join(names)} must be known of the steps to "
                f"forecast: add rows with them, and with an empty {self.data.target}"
            )
        begin = panel.place(line) + int(panel.ends[line] - panel.starts[line]) * self.grid.every
        times = [self.grid.time(begin + k * self.grid.every) for k in range(count)]
        each = zip(times, *(said[key][line, :count].tolist() for key in (0, 1, 3)), strict=True)
        keys = ("time", "value", "low", "high")
        return {"series": name, "steps": [dict(zip(keys, step, strict=True)) for step in each]}
