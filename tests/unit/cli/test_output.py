"""Tables, numbers and JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from elman.cli._output import duration, emit, installed, metrics_table, number, table
from elman.metrics import Metric


def test_emit_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    record = {"text": "zwei\nZeilen, ein Ü", "nested": {"a": [1, 2.5, None]}}
    emit({**record, "path": Path("runs/x")})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "Ü" in out
    assert json.loads(out) == {**record, "path": "runs/x"}


def test_what_is_not_finite_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"a": float("inf"), "b": [float("nan"), 1.5], "c": {"d": -float("inf")}})
    assert capsys.readouterr().out == '{"a": null, "b": [null, 1.5], "c": {"d": null}}\n'


def test_table_aligns_names_left_and_numbers_right() -> None:
    assert table([["a", "10"], ["bcd", "9"]], indent="> ") == "> a    10\n> bcd   9"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.5, "0.5000"), (123456.7, "123,457"), (1e-7, "1.000e-07"), (99.996, "100.0")],
)
def test_numbers_have_four_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (3599, "59:59"), (36000, "10:00:00")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_metrics_table_has_the_best_first_and_gaps_for_what_is_missing() -> None:
    models = {
        "bigram": {"valid": {"nats": 2.0, "perplexity": 7.0}},
        "ours": {"valid": {"nats": 1.0, "perplexity": 3.0}, "test": {"perplexity": 4.0}},
    }
    assert metrics_table(models, Metric("perplexity")).splitlines() == [
        "perplexity  valid   test",
        "ours        3.000  4.000",
        "bigram      7.000",
    ]


def test_installed() -> None:
    assert installed("no-such-package") is None
    assert (installed("torch") or "").startswith("2.")
