"""The share of other processes, from a /proc/stat of our own and from the real one."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks.speed import _others
from benchmarks.speed._others import Others

#                user nice system idle iowait irq softirq steal guest guest_nice
STAT = (
    "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 0 0 700 50 0 0 0 0 0\ncpu1 {} 0 0 700 50 0 0 {} 0 0\nintr 1"
)


@pytest.fixture
def stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system with a clock of 100 ticks, where we may use cpu1 alone and use no time."""
    file = tmp_path / "stat"
    file.write_text(STAT.format(100, 0))
    monkeypatch.setattr(_others, "STAT", file)
    monkeypatch.setattr(_others, "cores", lambda: [1])
    monkeypatch.setattr("os.sysconf", lambda _: 100)
    ticks = iter([10.0, 20.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    return file


def test_what_others_took_in_ten_seconds(stat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = iter([1.0, 5.0])
    monkeypatch.setattr(time, "process_time", lambda: next(own))
    others = Others()
    stat.write_text(STAT.format(100 + 600, 100))  # 6 s of programs, 4 of them ours, and 1 s stolen
    assert others.share() == pytest.approx(0.3)


def test_nothing(stat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "process_time", lambda: 1.0)
    assert Others().share() == 0.0


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_others, "STAT", tmp_path / "absent")
    assert Others().share() is None


@pytest.mark.skipif(not _others.STAT.exists(), reason="this system does not tell")
def test_a_process_beside_us_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as beside:
        time.sleep(0.2)
        others = Others()
        time.sleep(1.0)
        share = others.share()
        beside.kill()
    assert share is not None
    assert share > 0.5 / len(_others.cores())
