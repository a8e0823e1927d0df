"""Peak memory of training one case: each candidate in a new process, which this module is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.speed._plan import Case, Shape
from benchmarks.speed._problem import Problem
from benchmarks.speed._result import OURS, Memory, MemoryRow
from benchmarks.speed.peers import _elman, by_name
from benchmarks.speed.peers._base import Peer

from elman._errors import ElmanError

STATUS = Path("/proc/self/status")
FORGET = Path("/proc/self/clear_refs")

# glibc's malloc raises its own threshold as a process frees large blocks. Then tensors come from
# its heap, where a few small ones that stay leave holes that no later one fits, and whether they do
# is chance: the same work has held 31 or 169 MB. A threshold that is given is kept, and each large
# block is mapped, and goes back to the system, by itself.
HELD_ONLY = {"MALLOC_MMAP_THRESHOLD_": str(128 * 1024)}


def measure_memory(case: Case, peers: Mapping[str, Peer], *, steps: int, engine: str) -> MemoryRow:
    """The row of this case; every candidate trains ``steps`` times.

    Raises:
        ElmanError: elman's own process fails.
    """
    row = MemoryRow(
        shape=case.shape.name,
        cell=case.cell,
        threads=case.threads,
        engine=_elman.engine_of(Problem.of(case), engine),
        candidates={},
        left_out={},
    )
    for name, peer in {OURS: None, **peers}.items():
        reason = peer.why_not(case) if peer else None
        if not reason and not FORGET.exists():
            reason = "peak memory is read from /proc, which this system has not"
        if not reason:
            told = _in_new_process(name, case, steps, engine)
            if isinstance(told, Memory):
                row.candidates[name] = told
                continue
            reason = told
        if name == OURS:
            raise ElmanError(f"memory of elman, {case.shape.name} {case.cell}: {reason}")
        row.left_out[name] = reason
    return row


def _in_new_process(peer: str, case: Case, steps: int, engine: str) -> Memory | str:
    """What it measured, or the last line of its error."""
    question = {
        "peer": peer,
        "shape": case.shape,
        "cell": case.cell,
        "threads": case.threads,
        "steps": steps,
        "engine": engine,
    }
    done = subprocess.run(
        [sys.executable, "-m", __name__, json.dumps(question)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **HELD_ONLY},
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return Memory.model_validate_json(done.stdout.splitlines()[-1])


def answer(question: dict[str, Any]) -> Memory:
    """Train, here and now, and say how much more memory that took.

    The peak is the kernel's high-water mark of this process, set back before the first step: what
    was held at once, without holes of the allocator's (``HELD_ONLY``).
    ``ru_maxrss`` would not do: a child's begins at what its parent held.
    """
    import torch

    torch.set_num_threads(question["threads"])
    shape = Shape(*question["shape"])
    case = Case(shape, question["cell"], "memory", training=True, threads=question["threads"])
    problem = Problem.of(case)
    _warm_up(question, case)
    candidates = _prepare(question, problem)
    call = next(iter(candidates.values())).call
    steps = max(2, question["steps"])
    FORGET.write_text("5")
    before = _held("VmRSS")
    for _ in range(steps // 2):
        call()
    halfway = _held("VmRSS")
    for _ in range(steps - steps // 2):
        call()
    growth = _held("VmRSS") - halfway
    return Memory(peak=_held("VmHWM") - before, growth=growth, steps=steps)


def _warm_up(question: dict[str, Any], case: Case) -> None:
    """Load, at a tiny size, what each library loads with its first training step."""
    tiny = Shape("2x3x4x5x1", 2, 3, 4, 5)
    small = Problem.of(Case(tiny, case.cell, "memory", training=True, threads=case.threads))
    for candidate in _prepare(question, small).values():
        candidate.call()


def _prepare(question: dict[str, Any], problem: Problem) -> Mapping[str, Any]:
    if question["peer"] == OURS:
        return _elman.prepare(problem, question["engine"])
    return by_name(question["peer"]).prepare(problem)


def _held(name: str) -> int:
    """Bytes: VmRSS now, VmHWM at most since the mark was set back."""
    for line in STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ElmanError(f"{STATUS} has no {name}")


if __name__ == "__main__":
    sys.stdout.write(answer(json.loads(sys.argv[1])).model_dump_json() + "\n")
