"""The fuzzer's side of the tests: asks a worker for outcomes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Ask = Callable[[dict[str, Any]], dict[str, Any]]
"""From a request, such as `mutants` makes, to its outcome."""

TESTS = Path(__file__).resolve().parents[1]
SOURCES = TESTS.parent / "src"


@contextmanager
def worker() -> Iterator[Ask]:
    """What answers requests, one after the other, in a warm process."""
    paths = os.pathsep.join([str(SOURCES), str(TESTS), os.environ.get("PYTHONPATH", "")])
    # Arrow's own allocator sets more address space aside than a limited process has.
    settings = {"OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    environment = os.environ | {"PYTHONPATH": paths} | settings
    command = [sys.executable, "-m", "fuzz.worker"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin
        assert process.stdout
        requests, answers = process.stdin, process.stdout

        def ask(request: dict[str, Any]) -> dict[str, Any]:
            requests.write(json.dumps(request) + "\n")
            requests.flush()
            line = answers.readline()
            if not line:
                raise AssertionError(f"the worker ended at {request}")
            outcome: dict[str, Any] = json.loads(line)
            return outcome

        yield ask
        requests.close()


def mutants(readers: Iterable[str], count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Of each reader its sound file, which is number 0, and so many damaged ones."""
    for reader in readers:
        for number in range(count + 1):
            action = "skip" if number % 2 else "error"
            yield {"reader": reader, "seed": seed, "number": number, "action": action}


def described(outcome: dict[str, Any]) -> str:
    """A line that says how to have the file again."""
    what = outcome.get("bomb") or f"{outcome['reader']} {outcome['seed']} {outcome['number']}"
    return f"{what}: {outcome['outcome']}: {outcome['detail']}"
