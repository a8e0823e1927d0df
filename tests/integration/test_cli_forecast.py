"""Forecasting as a user types it: train, evaluate, and write the next steps."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from elman.cli import main

TRAIN = ["train", "forecast", "sales.csv", "--data.series", "shop", "--data.time", "month"]
SMALL = ["--data.target", "sold", "--data.horizon", "4", "--data.season", "4", "--data.batch", "64"]
BRIEF = ["--model.hidden", "4", "--train.max_steps", "2", "--data.on_bad_row", "skip"]


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def sold(shop: str, months: int) -> list[str]:
    return [
        f"{shop},{2015 + m // 12}-{m % 12 + 1:02},{20 + 9 * math.sin(m * math.pi / 2):.0f}"
        for m in range(months)
    ]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = ["shop,month,sold", *sold("north", 40), *sold("south", 30), "south,2016-01,5"]
    Path("sales.csv").write_text("\n".join(rows))
    return tmp_path


def test_forecast(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, *SMALL, "--model.hidden", "4", "--train.max_steps", "8"]) == 3
    error = capsys.readouterr().err
    assert "sales.csv, line 72, column 'month': 2016-01-01 00:00:00 of series 'south'" in error
    assert main([*TRAIN, *SMALL, *BRIEF, "--json"]) == 0
    out, err = capsys.readouterr()
    *_, end = objects(out)
    assert "windows: train 40, valid 2, test 2" in err
    assert "grid: 1 months" in err
    assert "bad rows: 1" in err
    measures = ["rmse", "mae", "mse", "mase", "coverage", "width", "nll"]
    assert list(end["metrics"]["test"]) == measures
    assert set(end["baselines"]["naive"]["test"]) == {"rmse", "mae", "mse", "mase"}
    assert set(end["baselines"]) == {"naive", "seasonal_naive", "seasonal_drift"}
    assert main(["evaluate", end["run"]]) == 0
    out, err = capsys.readouterr()
    assert "by step ahead" in out
    assert "season from: data.season" in err
    last = "the last 4 steps of each series alone"
    assert f"measured: {last} (valid: the 4 before them), in windows of 4" in err

    assert main(["predict", end["run"], "--json"]) == 0
    north, south = objects(capsys.readouterr().out)
    assert (north["series"], north["steps"][0]["time"]) == ("north", "2018-05-01")
    assert [step["time"][:7] for step in south["steps"]] == [f"2017-{m:02}" for m in (7, 8, 9, 10)]
    assert main(["predict", end["run"]]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["time", "value", "low", "high"]
    assert main(["predict", end["run"], "--output", "next.csv"]) == 0
    with Path("next.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["series"] for row in rows] == ["north"] * 4 + ["south"] * 4
    assert float(rows[0]["low"]) == pytest.approx(north["steps"][0]["low"])

    assert main(["predict", end["run"], "--pictures", "looks"]) == 0
    assert "no plots: forecast has none for its predictions" in capsys.readouterr().err

    Path("more.csv").write_text("\n".join(["shop,month,sold", *sold("west", 17)]))
    assert main(["predict", end["run"], "--input", "more.csv", "--json"]) == 0
    (west,) = objects(capsys.readouterr().out)
    assert (west["series"], west["steps"][0]["time"]) == ("west", "2016-06-01")
    assert main(["evaluate", end["run"], "more.csv", "--json"]) == 0
    (measured,) = objects(capsys.readouterr().out)
    assert measured["data"]["windows"] == {"test": 1}
    assert measured["data"]["measured"] == f"{last}, in windows of 4"  # of 17 that the file has
    (west,) = measured["tables"]["by series"]
    assert (west["from"], west["to"], west["windows"]) == ("2016-02-01", "2016-05-01", 1)
    assert west["mae"] == pytest.approx(measured["metrics"]["mae"])
    assert main(["predict", end["run"], "--text", "soon"]) == 2
    assert "forecast reads no texts here" in capsys.readouterr().err


def test_what_is_no_setting_of_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, *SMALL, "--data.covariates", "sold"]) == 2
    assert "--data.covariates: did you mean '--data.past'" in capsys.readouterr().err
    assert main([*TRAIN, *SMALL, "--valid", "sales.csv", "--data.test_steps", "3"]) == 2
    err = capsys.readouterr().err
    assert "unknown option --valid" in err
    assert "test_steps must hold a whole horizon of 4, got 3" in err


def test_the_default_data_and_the_other_by_name(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["baseline", "forecast", "--json"]) == 0
    (ours,) = objects(capsys.readouterr().out)
    assert ours["baselines"]["seasonal_naive"]["test"]["rmse"] == pytest.approx(35.04, abs=0.01)
    assert main(["baseline", "forecast", "--data", "co2", "--json"]) == 0
    (other,) = objects(capsys.readouterr().out)
    assert other["baselines"]["seasonal_naive"]["test"]["rmse"] == pytest.approx(1.987, abs=0.001)
