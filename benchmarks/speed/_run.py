"""A whole run: a process for each number of threads, one after the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.speed._machine import environment
from benchmarks.speed._plan import Plan, cores
from benchmarks.speed._result import Machine, MemoryRow, Result, Row, counted

from elman._errors import ElmanError

ROOT = Path(__file__).parents[2]  # where a worker finds this package
Measured = Machine | Row | MemoryRow
SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def run(
    plan: Plan, report: Callable[[Result, Measured], None] | None = None, *, command: str = ""
) -> Result:
    """Measure everything that the plan asks for.

    Args:
        plan: what to measure.
        report: called with the result so far and what was added to it last.
        command: what was typed, to stand in the result.

    Raises:
        ElmanError: a measuring process ends early; with what it said last.
    """
    result = Result(command=command, plan=asdict(plan), environment=environment())
    for threads in plan.threads:
        for measured in _measured(plan, threads):
            match measured:
                case Machine():
                    result.machines.append(measured)
                case Row():
                    result.rows.append(measured)
                case MemoryRow():
                    result.memory.append(measured)
            if report is not None:
                report(result, measured)
    return result


_KINDS: dict[str, type[Measured]] = {"machine": Machine, "row": Row, "memory": MemoryRow}


def _measured(plan: Plan, threads: int) -> Iterator[Measured]:
    # A process that has one core could not even read a plan for two.
    question = json.dumps({"plan": asdict(replace(plan, threads=(threads,)))})
    command = [sys.executable, "-m", "benchmarks.speed._worker", question]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        with on_cores(choose_cores(threads)):
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                env=os.environ | variables(threads),
                cwd=ROOT,
            )
        with process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    event = json.loads(line)
                    yield _KINDS[event["event"]].model_validate(event["data"])
            finally:
                if process.poll() is None and sys.exc_info()[0] is not None:
                    process.terminate()
        if process.returncode:
            said.seek(0)
            last = (said.read().strip().splitlines() or ["it said nothing"])[-1]
            raise ElmanError(
                f"measuring on {counted(threads)} ended with exit code {process.returncode}: {last}"
            )


def variables(threads: int) -> dict[str, str]:
    """What libraries read when they are loaded."""
    told = {"OMP_NUM_THREADS": str(threads), "JAX_PLATFORMS": "cpu"}
    if threads == 1:
        flags = os.environ.get("XLA_FLAGS", "")
        told["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    return told


def choose_cores(count: int) -> list[int]:
    """So many processors, no two of them halves of one core where that can be helped."""
    seen: set[str] = set()
    whole: list[int] = []
    halves: list[int] = []
    for core in reversed(cores()):
        siblings = _siblings(core)
        (halves if siblings in seen else whole).append(core)
        seen.add(siblings)
    return (whole + halves)[:count]


def _siblings(core: int) -> str:
    try:
        return Path(SIBLINGS.format(core)).read_text(encoding="ascii")
    except OSError:
        return str(core)


@contextmanager
def on_cores(chosen: list[int]) -> Iterator[None]:
    """Processes started in the block have these processors, which JAX takes for its threads."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)
