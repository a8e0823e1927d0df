"""The convention of generated suites: all, or a sample that can be repeated."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

import sampling


@pytest.fixture(autouse=True)
def _a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELMAN_FULL", raising=False)
    monkeypatch.setenv("ELMAN_SAMPLE_SEED", "3")


def test_a_sample_is_drawn_by_the_seed_and_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = list(range(1000))
    drawn = sampling.cases(everything, 20)
    assert len(set(drawn)) == 20
    assert drawn == sorted(drawn) == sampling.cases(everything, 20)
    monkeypatch.setenv("ELMAN_SAMPLE_SEED", "4")
    assert sampling.cases(everything, 20) != drawn


def test_every_case_is_drawn_by_some_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: set[int] = set()
    for number in range(100):
        monkeypatch.setenv("ELMAN_SAMPLE_SEED", str(number))
        drawn.update(sampling.cases(range(20), 2))
    assert drawn == set(range(20))


def test_a_short_suite_and_a_full_run_leave_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sampling.cases("abc", 5) == list("abc")
    assert sampling.count(500, 5) == 5
    monkeypatch.setenv("ELMAN_FULL", "1")
    assert sampling.cases("abcdef", 2) == list("abcdef")
    assert sampling.count(500, 5) == 500


def test_without_a_seed_it_is_the_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELMAN_SAMPLE_SEED")
    assert 20_250_101 <= sampling.seed() < 30_000_000


@pytest.mark.parametrize("name", ["ELMAN_FULL", "ELMAN_SAMPLE_SEED"])
def test_a_value_that_is_none_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "yes")
    with pytest.raises(ValueError, match=f"expected {name} as .*, got 'yes'"):
        sampling.cases(range(10), 2)


def test_the_seed_stands_in_the_header(request: pytest.FixtureRequest) -> None:
    lines = request.config.hook.pytest_report_header(
        config=request.config, start_path=Path.cwd(), startdir=Path.cwd()
    )
    assert any("ELMAN_SAMPLE_SEED=3" in str(line) for line in lines)


def test_counts_are_kept_only_where_they_are_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ELMAN_RESULTS", raising=False)
    sampling.record("Random configurations", {"cases": 7})
    monkeypatch.setenv("ELMAN_RESULTS", str(tmp_path))
    monkeypatch.setenv("ELMAN_COMMIT", "abc")
    sampling.record("Random configurations", {"cases": 7, "mismatches": 0})
    (file,) = tmp_path.iterdir()
    assert file.name == "suite-random-configurations.json"
    kept = json.loads(file.read_text())
    assert kept.pop("date") == f"{datetime.now(UTC):%Y-%m-%d}"
    assert kept == {
        "suite": "Random configurations",
        "commit": "abc",
        "seed": 3,
        "cases": 7,
        "mismatches": 0,
    }


def test_counts_name_no_folder_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELMAN_RESULTS", str(tmp_path))
    sampling.record("one", {"refused": {f"a line ({Path(__file__)}:7)": 3}})
    (file,) = tmp_path.iterdir()
    assert list(json.loads(file.read_text())["refused"]) == [
        "a line (tests/unit/test_sampling.py:7)"
    ]


class Case(NamedTuple):
    """As much of a pytest item as is asked for."""

    nodeid: str
    marks: tuple[str, ...] = ()

    def get_closest_marker(self, name: str) -> str | None:
        return name if name in self.marks else None


def test_of_a_test_with_many_cases_a_quick_run_takes_some() -> None:
    many = [Case(f"a.py::test_many[{number}]") for number in range(50)]
    few = [Case(f"a.py::test_few[{number}]") for number in range(sampling.CASES)]
    facts = [Case(f"b.py::test_facts[{number}]", ("every",)) for number in range(50)]
    alone = [Case("b.py::test_alone")]
    slow = [Case(f"c.py::test_slow_{number}", ("slow",)) for number in range(3 * sampling.SLOW)]
    kept = sampling.of_each_test([*many, *few, *facts, *alone, *slow])
    assert len(kept & set(slow)) == sampling.SLOW
    assert kept.issuperset([*few, *facts, *alone])
    assert len(kept & set(many)) == sampling.CASES
