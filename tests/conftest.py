"""Every test starts from the same seed, in its own empty folder, on one thread."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from hypothesis import settings

import sampling

# Fixed before workers start, so that all of them collect the same cases, also at midnight.
os.environ["ELMAN_SAMPLE_SEED"] = str(sampling.seed())

# No test is about time: a machine that does other work too would fail it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sample",
        action="store_true",
        help="of a test with many cases run some, by the seed; all if marked every",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out cases under --sample."""
    if not config.getoption("--sample"):
        return
    kept = sampling.of_each_test(items)
    left_out = [item for item in items if item not in kept]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item in kept]


def pytest_report_header() -> str:
    """How much of the generated suites runs, and the seed that draws it."""
    if sampling.is_full():
        return f"generated suites: all cases, seed {sampling.seed()}"
    return f"generated suites: a sample, ELMAN_SAMPLE_SEED={sampling.seed()}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The same below what failed, since -q prints no header."""
    if terminalreporter.stats.get("failed"):
        terminalreporter.write_line(pytest_report_header())


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers whichever tests run, and in whichever order."""
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def compiled_anew(request: pytest.FixtureRequest) -> None:
    """No compiled graph outlives its test: torch counts them, and refuses to compile a ninth."""
    if request.node.get_closest_marker("compile"):
        torch._dynamo.reset()


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No color and a known width, so that printed text can be compared."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
