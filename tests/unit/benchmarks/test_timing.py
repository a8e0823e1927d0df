"""The order and the number of calls, on a clock of our own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from benchmarks.speed._result import NOISY, Timing

from elman.testing._timing import BLOCK, MOST_CALLS, PAUSE, interleave


class Clock:
    """Time passes only in calls; pauses are written down."""

    def __init__(self) -> None:
        self.now = 0.0
        self.happened: list[str] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds == PAUSE
        self.happened.append("pause")

    def call(self, name: str, *seconds: float) -> Callable[[], None]:
        """A candidate that takes these times, the last one from then on."""
        left = list(seconds)

        def called() -> None:
            self.happened.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return called


def test_every_round_begins_with_another_candidate_after_a_pause() -> None:
    clock = Clock()
    calls = {name: clock.call(name, 2 * BLOCK) for name in "abc"}
    timings = interleave(calls, 4, clock=clock, sleep=clock.sleep)
    blocks = [name for name in clock.happened[3:] if name != "pause"]
    assert "".join(blocks) == "abcbcacababc"
    assert clock.happened[3::2] == ["pause"] * 12
    assert {len(blocks) for blocks in timings.values()} == {4}


def test_short_calls_fill_a_block_after_one_that_is_not_timed() -> None:
    clock = Clock()
    interleave({"a": clock.call("a", BLOCK / 5)}, 1, clock=clock, sleep=clock.sleep)
    assert clock.happened == ["a", "pause", "a"] + ["a"] * 5


def test_the_call_that_brings_the_caches_back_is_not_timed() -> None:
    clock = Clock()
    slow_first = clock.call("a", 0.01, 9.0, 0.01)
    timings = interleave({"a": slow_first}, 1, clock=clock, sleep=clock.sleep)
    assert timings["a"] == [pytest.approx(0.01)]


def test_a_block_has_not_endless_calls() -> None:
    clock = Clock()
    interleave({"a": clock.call("a", 0.0)}, 1, clock=clock, sleep=clock.sleep)
    assert clock.happened.count("a") == 2 + MOST_CALLS


def test_median_and_minimum_of_the_blocks() -> None:
    clock = Clock()
    call = clock.call("a", 1.0, 3.0, 1.0, 2.0, 9.0)  # the first decides how many calls a block has
    timing = Timing(blocks=interleave({"a": call}, 3, clock=clock, sleep=clock.sleep)["a"])
    assert (timing.median, timing.minimum, timing.blocks) == (2.0, 1.0, [3.0, 1.0, 2.0])


def test_a_median_far_above_the_minimum_is_noise() -> None:
    assert Timing(blocks=[1.0, *[1.01 * NOISY] * 8]).noisy
    assert not Timing(blocks=[1.0, *[0.99 * NOISY] * 8]).noisy
