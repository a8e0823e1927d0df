"""Forecasting: windows that see no future, missing values, three outputs, and intervals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import mean_pinball_loss

import elman
from elman import DataError
from elman._errors import ConfigError
from elman.tasks import Forecast, ForecastData, ForecastNet
from elman.tasks._forecast_net import Counts, Gaussian, Quantiles
from elman.tasks._forecast_series import columns
from elman.training import config_class, train

SEASON = 6


def values(steps: int, *, noise: float = 0.3, seed: int = 0) -> np.ndarray:
    t = np.arange(steps)
    draw = np.random.default_rng(seed)
    return 20 + 5 * np.sin(2 * math.pi * t / SEASON) + noise * draw.standard_normal(steps)


def written(path: Path, series: dict[str, Any], header: str = "series,time,value") -> Path:
    rows = [f"{name},{t},{'' if np.isnan(v) else v}" for name, vs in series.items() for t, v in vs]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def two(tmp_path: Path) -> Path:
    series = {
        "a": list(enumerate(values(70))),
        "b": list(enumerate(1000 * values(60, seed=1), start=100)),
    }
    return written(tmp_path / "two.csv", series)


def prepared(file: Path, model: dict[str, Any] | None = None, **data: Any) -> Forecast:
    settings = {"train": [file], "series": "series", "horizon": SEASON, **data}
    task = Forecast.prepare(
        ForecastData.parse(settings), ForecastNet.parse({"hidden": 4, **(model or {})})
    )
    torch.manual_seed(0)
    task.network = task.build()
    return task


def test_every_series_is_divided_in_time(two: Path) -> None:
    task = prepared(two, valid_steps=8, test_steps=7)
    assert (task.series.season, str(task.series.grid)) == (SEASON, "1")
    assert task.facts() == {
        "windows": {"train": 44 + 34, "valid": 2 * 3, "test": 2 * 2},
        "series": 2, "steps": 130, "missing": 0, "grid": "1", "season": 6,
        "season_from": "autocorrelation",
        "measured": "the last 7 steps of each series alone (valid: the 8 before them), "
        "in windows of 6",
    }  # fmt: skip
    ends = task.series.panel.ends.tolist()
    for split, (low, high) in {"test": (7, 0), "valid": (15, 7), "train": (99, 15)}.items():
        lines, origins = columns(task.parts[split])
        for line, origin in zip(lines.tolist(), origins.tolist(), strict=True):
            assert ends[line] - low <= origin <= ends[line] - high - SEASON


@pytest.mark.parametrize("cell", ["gru", "feedforward"])
def test_a_forecast_sees_nothing_from_its_origin_on(two: Path, cell: str) -> None:
    task = prepared(two, {"cell": cell})
    rows = task.part("test")
    interval = task.forecasts(rows).interval
    before = task.evaluate("valid"), task.baselines()
    panel = task.series.panel
    kept = panel.values.clone()
    for line, origin in zip(*(c.tolist() for c in columns(rows)), strict=True):
        panel.values[origin : panel.stops[line]] += 1e4
    assert torch.equal(task.forecasts(rows).interval.high, interval.high)
    assert task.evaluate("valid") == before[0]
    assert task.baselines()["seasonal_drift"]["valid"] == before[1]["seasonal_drift"]["valid"]
    panel.values[:] = kept
    panel.values[columns(rows)[1][0] - 1] += 1  # the last step that may be seen
    assert not torch.equal(task.forecasts(rows).interval.value[0], interval.value[0])


@pytest.mark.parametrize("output", ["gaussian", "quantiles"])
def test_what_is_said_of_a_window_moves_and_grows_with_it(two: Path, output: str) -> None:
    task = prepared(two, {"output": output, "scale": "standard"})
    interval = task.forecasts(task.part("test")).interval
    task.series.panel.values[:, 0] = 7 + 3 * task.series.panel.values[:, 0]
    other = task.forecasts(task.part("test")).interval
    for a, b in zip(interval, other, strict=True):
        torch.testing.assert_close(7 + 3 * a, b, rtol=1e-5, atol=1e-3)


def test_short_windows_in_a_batch_are_what_they_are_alone(two: Path) -> None:
    for cell in ("lstm", "feedforward"):
        task = prepared(two, {"cell": cell}, context=20)
        rows = task.part("train")
        together = task.forecasts(rows).interval.value
        one = type(rows)(rows.take(torch.tensor([0])))
        assert int(columns(one)[1][0]) == SEASON  # fewer steps than the context
        torch.testing.assert_close(task.forecasts(one).interval.value[0], together[0])


def test_missing_values_are_flagged_masked_and_counted(tmp_path: Path) -> None:
    series = values(60)
    series[[20, 50, 58]] = np.nan
    rows = [(t, v) for t, v in enumerate(series) if t != 30]  # and a step is left out
    task = prepared(written(tmp_path / "a.csv", {"a": rows}))
    assert task.facts()["missing"] == 4
    (batch,) = [b for b in task.batches("test") if b.rows]
    assert batch.count(0, 1) == SEASON - 1
    window = task.window(batch)
    assert window.x[0, :, 1].tolist() == [float(t == 50) for t in range(42, 54)]
    assert (window.x[0, window.x[0, :, 1] == 1, 0] == 0).all()
    loss = task.criterion(batch)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in task.network.parameters())
    task.series.panel.values[58] = 1e6
    assert task.criterion(batch) > loss
    assert all(math.isfinite(v) for v in task.evaluate("valid").values())


BAD_ROWS = {
    "a,70,inf": "line 132, column 'value': a finite number was expected, got 'inf'",
    "a,70,much": "line 132, column 'value': a finite number was expected, got 'much'",
    "a,soon,5": "line 132, column 'time': a date or a number was expected, got 'soon'",
    "a,2020-01-01,5": "line 132, column 'time': 2020-01-01 00:00:00 of series 'a' is not a whole",
    "a,69,5": "line 132, column 'time': 69 of series 'a' is repeated, first at",
    ",0,5": "line 132, column 'series': the name of a series was expected, got none",
    "c,0,5": "line 132: series 'c', which begins here: has 1 steps up to its last target, and 24",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_bad_row_is_named_or_left_out(two: Path, row: str) -> None:
    with two.open("a") as file:
        file.write(row + "\n")
    with pytest.raises(DataError) as caught:
        prepared(two)
    assert BAD_ROWS[row] in str(caught.value)
    task = prepared(two, on_bad_row="skip")
    assert task.facts()["bad_rows"] == 1
    assert task.facts()["steps"] == 130


def test_an_empty_target_where_none_may_be(two: Path) -> None:
    text = two.read_text().splitlines()
    text[9] = "a,8,NaN"
    two.write_text("\n".join(text))
    assert prepared(two).facts()["missing"] == 1
    with pytest.raises(DataError, match=r"two.csv, line 10: expected a target, got none at 8"):
        prepared(two, missing=False)


def test_counts_are_whole_and_not_negative(tmp_path: Path) -> None:
    model = {"output": "negative-binomial"}
    for value in (-1.0, 2.5):
        rows = {"a": [*enumerate(values(60).round()), (60, value)]}
        with pytest.raises(DataError, match=r"line 62, column 'value': negative-binomial has coun"):
            prepared(written(tmp_path / "a.csv", rows), model)
    task = prepared(written(tmp_path / "a.csv", {"a": list(enumerate(values(60).round()))}), model)
    task.calibrate()
    interval = task.forecasts(task.part("test")).interval
    assert (interval.low >= 0).all()
    assert (interval.value > 0).all()
    with pytest.raises(ConfigError, match="counts stay positive"):
        ForecastNet.parse({**model, "scale": "standard"})


def test_outputs_are_those_of_scipy_and_scikit_learn() -> None:
    torch.manual_seed(0)
    raw = torch.randn(7, 3, 5)
    middle, scale = torch.randn(7, 1).double(), torch.rand(7, 1).double() * 20 + 1
    one, wide = torch.ones(()).double(), torch.tensor(1.5).double()
    target = torch.randint(0, 40, (7, 3)).double()

    mean, deviation = Gaussian._moments(raw[..., :2], middle, scale)
    gaussian = Gaussian(0.9)
    expected = -stats.norm.logpdf(target, mean, 1.5 * deviation)
    loss = gaussian.loss(raw[..., :2], target, middle, scale, wide)
    np.testing.assert_allclose(loss, expected)
    interval = gaussian.interval(raw[..., :2], middle, scale)
    np.testing.assert_allclose(interval.high, stats.norm.ppf(0.95, mean, deviation))

    mean, shape = Counts._moments(raw[..., :2], scale)
    size, p = 1 / shape, 1 / (1 + mean * shape)
    counts = Counts(0.9)
    loss = counts.loss(raw[..., :2], target, middle, scale, one)
    np.testing.assert_allclose(loss, -stats.nbinom.logpmf(target, size, p), rtol=1e-9)
    interval = counts.interval(raw[..., :2], middle, scale)
    reached = stats.nbinom.cdf(interval.high, size, p)
    assert (reached > 0.93).all()
    assert (stats.nbinom.cdf(interval.high - 1, size, p) < 0.97).all()
    np.testing.assert_allclose(interval.value, mean)

    quantiles = Quantiles(0.9)
    assert quantiles.levels == pytest.approx([0.05, 0.25, 0.5, 0.75, 0.95])
    found = middle[..., None] + scale[..., None] * raw.double().sort(-1).values
    loss = quantiles.loss(raw, target, middle, scale, one)
    expected = [
        mean_pinball_loss(target.flatten(), found[..., i].flatten(), alpha=level)
        for i, level in enumerate(quantiles.levels)
    ]
    assert float(loss.mean()) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("output", ["gaussian", "negative-binomial", "quantiles"])
def test_intervals_are_widened_until_they_hold_on_validation(two: Path, output: str) -> None:
    text = two.read_text().splitlines()
    whole = [",".join([*row.split(",")[:2], f"{float(row.split(',')[2]):.0f}"]) for row in text[1:]]
    two.write_text("\n".join([text[0], *whole]))
    task = prepared(two, {"output": output}, valid_steps=20)
    before = task.evaluate("test")
    assert task.calibrate()
    valid = task.evaluate("valid")
    assert 0.9 <= valid["coverage"] < 0.95
    assert task.evaluate("test")["rmse"] == before["rmse"]
    assert float(task.network.widening) != 1


def test_measures_are_what_they_say(two: Path) -> None:
    task = prepared(two, test_steps=9)
    interval = task.forecasts(task.part("test")).interval
    found = task.evaluate("test")
    errors, scaled, inside = [], [], []
    for row, (line, origin) in enumerate(
        zip(*(c.tolist() for c in columns(task.part("test"))), strict=True)
    ):
        true = task.series.panel.values[origin : origin + SEASON, 0]
        training = task.series.panel.past(line)[:-15]
        naive = (training[SEASON:] - training[:-SEASON]).abs().mean()
        errors.append((interval.value[row] - true) ** 2)
        scaled.append((interval.value[row] - true).abs() / naive)
        inside.append((interval.low[row] <= true) & (true <= interval.high[row]))
    assert found["rmse"] == pytest.approx(float(torch.cat(errors).mean().sqrt()))
    assert found["mase"] == pytest.approx(float(torch.cat(scaled).mean()))
    assert found["coverage"] == pytest.approx(float(torch.cat(inside).double().mean()))
    simple = task.baselines()["seasonal_naive"]["test"]
    line, origin = (c[0] for c in columns(task.part("test")))
    assert simple["mase"] == pytest.approx(1, abs=0.3)
    assert torch.equal(
        task.series._simple(elman.baselines.SeasonalNaive(SEASON), task.part("test"))[0],
        task.series.panel.values[origin - SEASON : origin, 0],
    )
    assert int(line) == 0
    assert found["mse"] == pytest.approx(found["rmse"] ** 2)
    off = interval.value - task.series.panel.targets(task.part("test"), SEASON)
    assert found["mae"] == pytest.approx(float(off.abs().mean()))
    ahead, by_series = task.tables(task.predict("test"))
    assert [row[0] for row in ahead.rows] == ["1 to 2", "3 to 3", "4 to 4", "5 to 6"]
    assert by_series.columns == [
        "series", "from", "to", "windows", "values", "rmse", "mae", "mase",
    ]  # fmt: skip
    by_name = {row[0]: row[1:] for row in by_series.rows}
    assert by_name["a"][:4] == ["61", "69", 4, 24]
    assert by_name["b"][:4] == ["151", "159", 4, 24]
    squares = [by_name[name][4] ** 2 for name in "ab"]
    assert sum(squares) / 2 == pytest.approx(found["mse"])
    assert by_name["b"][4] > 100 * by_name["a"][4]  # what is pooled is that of the larger one alone
    assert (by_name["a"][6] + by_name["b"][6]) / 2 == pytest.approx(found["mase"])
    assert by_series.rows[0][7] >= by_series.rows[1][7]


def test_covariates_of_the_future_are_needed_and_used(tmp_path: Path) -> None:
    sale = np.arange(60) % 7 == 0
    rows = [f"{t},{v + 9 * s},{int(s)}" for t, (v, s) in enumerate(zip(values(60), sale))]  # noqa: B905
    file = tmp_path / "sales.csv"
    file.write_text("\n".join(["time,value,sale", *rows]))
    chosen = {"series": None, "known": ["sale"]}
    task = prepared(file, **chosen)
    with pytest.raises(DataError, match="sale must be known of the steps to forecast: add rows"):
        task.answers(task.continuation())
    file.write_text("\n".join(["time,value,sale", *rows, "60,,0", "61,,0", "62,,1"]))
    again = prepared(file, **chosen)
    assert again.evaluate("test") == pytest.approx(task.evaluate("test"))  # rows ahead are no past
    (answer,) = again.answers(again.continuation())
    assert [step["time"] for step in answer["steps"]] == ["60", "61", "62"]
    again.series.panel.values[61, 1] = 1
    (other,) = again.answers(again.continuation())
    assert other["steps"][1]["value"] != answer["steps"][1]["value"]
    file.write_text("\n".join(["time,value,sale", *rows[:30], "30,20,", *rows[31:]]))
    with pytest.raises(DataError, match=r"line 32, column 'sale': a finite number was expected"):
        prepared(file, **chosen)


@pytest.mark.parametrize("cell", ["gru", "feedforward"])
def test_columns_of_the_past_are_read_up_to_the_origin_and_never_after(
    tmp_path: Path, cell: str
) -> None:
    draw = np.random.default_rng(2)
    lead = draw.standard_normal(60)
    rows = [f"{t},{v + 9 * s},{s}" for t, (v, s) in enumerate(zip(values(60), lead))]  # noqa: B905
    file = tmp_path / "lead.csv"
    file.write_text("\n".join(["time,value,lead", *rows]))
    task = prepared(file, {"cell": cell}, series=None, past=["lead"])
    window = task.window(task.batches("train")[0])
    assert (window.x.shape[-1], window.known.shape[-1]) == (3, 2)
    for split in task.parts:
        rows_of = task.part(split)
        interval = task.forecasts(rows_of).interval
        origins = columns(rows_of)[1]
        kept = task.series.panel.values.clone()
        for row, origin in enumerate(origins.tolist()):
            ahead = task.series.panel.values[origin:, 1]
            ahead[:] = ahead[torch.randperm(len(ahead))] + 1e3  # the future of that column alone
            one = type(rows_of)(rows_of.take(torch.tensor([row])))
            for before, now in zip(interval, task.forecasts(one).interval, strict=True):
                torch.testing.assert_close(now[0], before[row], rtol=1e-4, atol=1e-4)
            task.series.panel.values[:] = kept
        task.series.panel.values[int(origins[0]) - 1, 1] += 3  # the last step that may be seen
        assert not torch.equal(task.forecasts(rows_of).interval.value[0], interval.value[0])
        task.series.panel.values[:] = kept


def test_columns_of_the_past_need_nothing_ahead(tmp_path: Path) -> None:
    rows = [f"{t},{v},{t % 3},{t % 7}" for t, v in enumerate(values(60))]
    file = tmp_path / "both.csv"
    head = "time,value,lead,day"
    file.write_text("\n".join([head, *rows, "60,,,4", "61,,,5"]))
    task = prepared(file, series=None, past=["lead"], known=["day"])
    (answer,) = task.answers(task.continuation())
    assert [step["time"] for step in answer["steps"]] == ["60", "61"]
    window = task.window(task.batches("test")[0])
    assert (window.x.shape[-1], window.known.shape[-1]) == (4, 3)
    (mean, _), deviation = task.series.moments.mean, task.series.moments.deviation[0]
    held = [t % 7 for t in range(54, 60)]  # the first of the columns is that which is known ahead
    expected = (torch.tensor(held) - mean) / deviation
    torch.testing.assert_close(window.known[-1, :, 2], expected.float())
    file.write_text("\n".join([head, *rows[:30], "30,20,,1", *rows[31:]]))
    with pytest.raises(DataError, match=r"line 32, column 'lead': a finite number was expected"):
        prepared(file, series=None, past=["lead"], known=["day"])


def test_a_column_is_interval_to_be_known_ahead_or_not() -> None:
    with pytest.raises(ConfigError, match="covariates: unknown key; did you mean 'past'"):
        ForecastData.parse({"covariates": ["HUFL", "day"]})
    with pytest.raises(ConfigError, match="one part to play, and day has two"):
        ForecastData.parse({"known": ["day"], "past": ["day"]})
    with pytest.raises(ConfigError, match="one part to play, and value has two"):
        ForecastData.parse({"known": ["value"]})


def hourly(steps: int, *, day: float, seed: int = 0) -> list[tuple[str, float]]:
    """A daily cycle that is small beside what wanders slowly, as a transformer's oil has it."""
    draw = np.random.default_rng(seed)
    t = np.arange(steps)
    slow = np.convolve(draw.standard_normal(steps + 199), np.ones(200) / 14, "valid")
    value = 10 * slow + day * np.sin(2 * math.pi * t / 24) + 0.3 * draw.standard_normal(steps)
    times = np.datetime64("2020-01-01T00") + t.astype("timedelta64[h]")
    return [(str(time) + ":00", float(v)) for time, v in zip(times, value, strict=True)]


@pytest.mark.parametrize("steps", [400, 1200, 4000])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_season_of_hours_is_a_day_however_small(tmp_path: Path, steps: int, seed: int) -> None:
    file = written(tmp_path / "h.csv", {"oil": hourly(steps, day=3.0, seed=seed)})
    task = prepared(file)
    assert task.series.season == 24
    assert task.facts()["season_from"] == "a day, as the autocorrelation has it"
    restored = {**task.state_dict()}
    task.series.season, task.series.season_from = 0, ""
    task.load_state_dict(restored)
    assert (task.series.season, task.series.season_from) == (
        24,
        "a day, as the autocorrelation has it",
    )


def test_a_season_is_named_or_none_stands_out(tmp_path: Path) -> None:
    noise = [(time, 5 + (v * 1e4) % 1) for time, v in hourly(300, day=0.0)]
    file = written(tmp_path / "n.csv", {"noise": noise})
    task = prepared(file)
    assert task.facts()["season_from"] == "none stands out: name it with data.season"
    assert prepared(file, season=7).facts()["season_from"] == "data.season"


def test_answers_for_new_history_continue_its_dates(two: Path, tmp_path: Path) -> None:
    days = [(f"2021-{1 + m % 12:02}", v) for m, v in enumerate(values(12))]
    file = written(tmp_path / "months.csv", {"a": [*days, ("2022-01", 20), ("2022-02", 24.0)]})
    task = prepared(two)
    with pytest.raises(DataError, match="is not on the grid of 1"):
        list(task.rows_of(file))
    more = written(tmp_path / "more.csv", {"new": list(enumerate(values(9), start=7))})
    (answer,) = task.answers(task.rows_of(more))
    assert answer["series"] == "new"
    assert [step["time"] for step in answer["steps"]] == [str(t) for t in range(16, 22)]
    assert all(step["low"] < step["value"] < step["high"] for step in answer["steps"])
    short = written(tmp_path / "short.csv", {"new": list(enumerate(values(3)))})
    with pytest.raises(DataError, match="has 3 steps up to its last target, and 6 are needed"):
        list(task.rows_of(short))


def test_a_wave_is_learned_and_comes_back(tmp_path: Path) -> None:
    """Through noise, where the seasonal naive forecast repeats last season's noise."""
    series = list(enumerate(values(200, noise=2.0)))
    file = written(tmp_path / "a.csv", {"a": series, "b": series[:9]})
    settings = {
        "data": {"train": [file], "series": "series", "horizon": SEASON, "on_bad_row": "skip",
                 "valid_steps": 30, "test_steps": 40},
        "model": {"hidden": 12},
        "train": {"max_steps": 100, "lr": 2e-2, "seed": 1},
    }  # fmt: skip
    result = train(config_class("forecast").parse(settings), tmp_path / "run")
    ours, simple = result.metrics["test"], result.baselines["seasonal_naive"]["test"]
    assert ours["rmse"] < 0.9 * simple["rmse"]
    assert 0.8 <= ours["coverage"] <= 0.99
    if elman.pictures.available():
        assert [file.name for file in result.pictures] == ["forecast.png", "forecast.svg"]
    back = elman.load(result.run.path)
    assert back.evaluate("test") == ours
    assert back.answers(back.continuation())[0]["steps"][0]["time"] == "200"
    fresh = written(tmp_path / "c.csv", {"c": list(enumerate(values(50, seed=3)))})
    other = back.with_data([fresh])
    assert other.facts()["windows"] == {"test": 35}  # fewer than 40 - 6 + 1 where history is short
    assert other.evaluate("test")["rmse"] < 5
    assert back.evaluate("test") == ours
