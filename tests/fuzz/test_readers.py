"""Damaged and expensive files: every reader reads them or says what is wrong, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from fuzz.bombs import BOMBS
from fuzz.mutations import SHAPES, damaged
from fuzz.readers import READERS
from fuzz.run import Ask, described, mutants, worker
from sampling import cases, count, is_full, record, seed

FULL, QUICK = 200, 3
"""Damaged files a reader."""

GOOD = ("read", "refused")


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    with worker() as answers:
        yield answers


def test_there_are_enough_readers() -> None:
    assert len(READERS) >= 23
    assert {reader.shape for reader in READERS.values()} <= set(SHAPES)


def test_a_mutant_is_made_again_from_its_numbers() -> None:
    content = b'text,label\n"a",1\n' * 9
    for shape in SHAPES:
        again = [damaged(content, shape, Random("csv 1 7")) for _ in range(2)]
        assert again[0] == again[1]
    different = {damaged(content, "text", Random(f"csv 1 {n}")) for n in range(50)}
    assert len(different) > 40


@pytest.mark.parametrize(
    ("reader", "drawn", "number"),
    [
        ("mat", 20261130, 162),  # a ZeroDivisionError of scipy
        ("parquet", 20261130, 19),  # pyarrow aborts
    ],
)
def test_what_was_once_a_defect(ask: Ask, reader: str, drawn: int, number: int) -> None:
    outcome = ask({"reader": reader, "seed": drawn, "number": number, "action": "error"})
    assert outcome["outcome"] in GOOD, described(outcome)


@pytest.mark.timeout(7200)
def test_damaged_files_are_read_or_refused_by_name(ask: Ask) -> None:
    """No crash, no other exception than ours, no more than 10 s or 1 GB; the sound file is read."""
    readers = list(READERS) if is_full() else cases(list(READERS), 26)
    counts: Counter[str] = Counter()
    failed, peak, slowest = [], 0, 0.0
    for outcome in map(ask, mutants(readers, count(FULL, QUICK), seed())):
        counts[outcome["outcome"]] += 1
        peak, slowest = max(peak, outcome["peak"]), max(slowest, outcome["seconds"])
        sound = outcome["number"] == 0
        if outcome["outcome"] not in (GOOD[:1] if sound else GOOD):
            failed.append(described(outcome))
    record("fuzz of readers", {"readers": len(readers), **counts, "peak": peak, "slowest": slowest})
    assert not failed, "\n".join(failed)


@pytest.mark.timeout(7200)
def test_expensive_files_are_refused(ask: Ask) -> None:
    bombs = list(BOMBS) if is_full() else cases(list(BOMBS), 6)
    requests = [{"bomb": bomb, "large": is_full(), "action": "error"} for bomb in bombs]
    counts: Counter[str] = Counter()
    failed = []
    for outcome in map(ask, requests):
        counts[outcome["outcome"]] += 1
        if outcome["outcome"] != BOMBS[outcome["bomb"]].outcome:
            failed.append(described(outcome))
    record("bombs for readers", {"bombs": len(bombs), **counts})
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize(
    ("defect", "outcome"),
    [
        ("segfault", "crash"),
        ("hang", "hang"),
        ("memory", "error"),
        ("exception", "error"),
        ("unnamed", "unnamed"),
    ],
)
def test_the_fuzzer_sees_what_it_looks_for(ask: Ask, defect: str, outcome: str) -> None:
    """A reader that is broken on purpose."""
    assert ask({"defect": defect})["outcome"] == outcome
