"""The native engine against the reference in float64, on configurations that nobody chose.

A failure names the number of its configuration, which is all there is to know about it:
``ELMAN_CASE=1234 scripts/test -- tests/unit/engine/test_native_random.py`` runs it alone.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
import torch

import sampling
from elman.cells import GRU, LSTM, Elman
from elman.engine import _native, _reference
from elman.engine.runtime._library import library
from elman.testing import KINDS, ContractError, Kind, check_configuration, composed, draw
from unit.engine.own_cells import MinimalGated, NormedGRU, Peephole, Sine, Statistics, TwoMatrices
from unit.engine.test_native import case, results

pytestmark = pytest.mark.unchecked  # thousands of calls of the reference, which has its own tests

SMOOTH = (Elman, LSTM, GRU, MinimalGated, Peephole, NormedGRU, Sine)
OWN = {
    "minimal gated": Kind(MinimalGated),
    "peephole": Kind(Peephole),
    # A norm over one unit divides rounding errors by the root of eps, whoever computes it.
    "normed": Kind(NormedGRU, smallest=2),
    "sine": Kind(Sine),
    # A sum within rounding of a kink takes the other branch in float32, whoever adds it up.
    "statistics": Kind(Statistics, kinked=True),
    "two matrices": Kind(TwoMatrices, kinked=True),
}
PER_SEED = 100_000
MANY = 1000


def kinds(number: int) -> dict[str, Kind]:
    """The cells that a configuration is of: each seed draws steps of its own."""
    seed = number // PER_SEED
    return {**KINDS, **OWN, **composed(range(40 * seed, 40 * seed + 40))}


def numbers() -> list[int]:
    """ELMAN_CASE alone; else ELMAN_CASES of them, or as many as the suite draws."""
    if "ELMAN_CASE" in os.environ:
        return [int(os.environ["ELMAN_CASE"])]
    first = PER_SEED * sampling.seed()
    count = int(os.environ.get("ELMAN_CASES", "0")) or sampling.count(10_000, 80)
    return list(range(first, first + count))


Verdict = tuple[str | None, str]
"""Why the engine refused a configuration, or None; and what was wrong with its numbers."""


def verdicts(drawn: Sequence[int]) -> list[Verdict]:
    cells = kinds(drawn[0])
    return [verdict(number, cells) for number in drawn]


def verdict(number: int, cells: dict[str, Kind]) -> Verdict:
    try:
        return check_configuration("native", draw(number, cells), cells), ""
    except ContractError as error:
        return None, str(error)


def checked(drawn: Sequence[int]) -> Iterator[Verdict]:
    """The verdict on each; on many, by two processes."""
    if len(drawn) < MANY:
        yield from verdicts(drawn)
        return
    pieces = [drawn[first : first + 100] for first in range(0, len(drawn), 100)]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for some in pool.map(verdicts, pieces):
            yield from some


@pytest.mark.timeout(4 * 3600)
def test_random_configurations() -> None:
    equal, refused, wrong = 0, Counter[str](), list[str]()
    begun, drawn = time.monotonic(), numbers()
    for reason, error in checked(drawn):
        if error:
            wrong.append(error)
            continue
        equal += reason is None
        refused[(reason or "").replace("float32", "float64")] += reason is not None
    watched = "under sanitizers, " if "ASAN_OPTIONS" in os.environ else ""
    counts = {
        "cases": len(drawn),
        "first": drawn[0],
        "equal": equal,
        "refused": {reason: count for reason, count in sorted(refused.items()) if count},
        "mismatches": wrong,
        "seconds": round(time.monotonic() - begun),
    }
    if len(drawn) >= MANY:
        sampling.record(f"random configurations {watched}on {library().isa}", counts)
    assert not wrong, "\n".join([f"{len(wrong)} of {len(drawn)} are wrong:", *wrong[:20]])
    # What it refuses are masks and buffers of types that it does not compute in.
    assert equal >= 0.75 * len(drawn) or len(drawn) < 20


def test_a_configuration_is_its_number() -> None:
    assert draw(5, kinds(5)) == draw(5, kinds(6)) != draw(6, kinds(6))


INFINITE = (float("inf"), float("-inf"), float("nan"))


@pytest.mark.parametrize("value", INFINITE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [*SMOOTH, Statistics])
def test_infinity_and_nan_flow_as_in_torch(kind: Any, dtype: torch.dtype, value: float) -> None:
    for seed in range(4):
        torch.manual_seed(seed)
        r = case(kind, (6, 5, 3, 4), dtype=dtype, reverse=seed > 1)
        r.x[2, 1, 0] = value
        if seed % 2:
            r.state[0][3, 1] = value
        for ours, right in zip(results(_native, r), results(_reference, r), strict=True):
            torch.testing.assert_close(ours, right, equal_nan=True)


def test_a_gate_without_a_part_in_the_step_has_no_gradient_not_even_nan() -> None:
    r = case(TwoMatrices, (6, 5, 3, 4))
    r.x[2, 1, 0] = float("nan")
    unused = slice(4, 8)  # what the input puts into its gate b
    *_, weight_ih, _, bias_ih, _ = results(_native, r)
    assert not weight_ih[unused].any()
    assert not bias_ih[unused].any()
    assert weight_ih[:4].isnan().any()
