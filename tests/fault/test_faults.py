"""Calls of the system that fail, disks that fill, kills: nothing that was complete is lost.

The library is loaded before the C library, so that all writers meet it, and the commands run in
children of one warm process. A new writer is one more entry of ``writers.WRITERS``.
"""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import sampling
from fault.writers import WRITERS

HERE = Path(__file__).parent
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(sys.platform != "linux", reason="the faults are made on Linux"),
    pytest.mark.skipif(COMPILER is None, reason="there is no C compiler for tests/fault/shim.c"),
]

ERRORS = {
    "open": ("EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES"),
    "write": ("EIO", "ENOSPC", "EDQUOT"),
    "fsync": ("EIO", "ENOSPC"),
    "rename": ("EIO", "ENOSPC", "EROFS", "EACCES"),
    "close": ("EIO", "EDQUOT"),
    "mkdir": ("ENOSPC", "EDQUOT", "EROFS", "EACCES"),
    "remove": ("EIO", "EROFS"),
}
WAYS = [
    *((kind, "fail", name) for kind, names in ERRORS.items() for name in names),
    *((kind, "kill", "EIO") for kind in ("open", "write", "fsync", "rename", "mkdir", "remove")),
    ("write", "full", "ENOSPC"),
    ("open", "full", "ENOSPC"),
    ("write", "full", "EDQUOT"),
]
REMEDY = re.compile(r"make room|choose|again|resume|check the path|use |writable")
NAMES = re.compile(r"^(elman: )?(cannot write )?[\w./-]+(, line \d+)?: ", re.MULTILINE)
KILLED = ("train language", "train forecast, with pictures", "resume", "train by force")

Ask = Callable[..., dict[str, Any]]


class Fault(NamedTuple):
    """The n-th call of a kind fails with a number, or kills, or finds the disk full from there."""

    kind: str
    nth: int
    number: int
    action: str


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """A process that is asked in lines of JSON."""
    folder = tmp_path_factory.mktemp("faults")
    shim = folder / "shim.so"
    flags = ["-O1", "-shared", "-fPIC", "-o", str(shim), str(HERE / "shim.c"), "-ldl"]
    subprocess.run([str(COMPILER), *flags], check=True)
    source = [str(HERE.parents[1] / "src"), str(HERE)]
    environment = {
        **os.environ,
        "LD_PRELOAD": str(shim),
        "PYTHONPATH": os.pathsep.join(source),
        "OMP_NUM_THREADS": "1",
    }
    worker = [sys.executable, str(HERE / "worker.py"), str(folder / "runs"), str(shim)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        (folder / "said").open("w+") as said,
        subprocess.Popen(worker, env=environment, stderr=said, **pipes) as process,
    ):
        assert process.stdin
        assert process.stdout

        def asked(writer: str, **more: Any) -> dict[str, Any]:
            process.stdin.write(json.dumps({"writer": writer, **more}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, (folder / "said").read_text()[-3000:]
            return dict(json.loads(line))

        yield asked
        process.stdin.close()


def faults(counts: dict[str, int], most: int, name: str) -> list[Fault]:
    """As many different faults, of all kinds in turn, each at another call."""
    draw, found = random.Random(name), []
    for number in range(most):
        kind, action, error = WAYS[number % len(WAYS)]
        nth = draw.randint(1, max(1, counts[kind]))
        found.append(Fault(kind, nth, getattr(errno, error), action))
    return found


def wrong(fault: Fault, result: dict[str, Any]) -> list[str]:
    """What is wrong with what a fault did."""
    code, said, recovered = result["code"], result["said"], result["recovered"]
    problems = []
    if code not in ({0, -9} if fault.action == "kill" else {0, 1, 3}):
        problems.append(f"exit code {code}")
    if "this is a bug" in said or "Traceback" in said:
        problems.append("an error that nobody foresaw")
    if code > 0 and not (NAMES.search(said) and REMEDY.search(said)):
        problems.append("neither file nor remedy")
    if result["whole"]:
        problems.append(f"lost: {result['whole']}")
    if recovered["code"] != 0 or not result["same"]:
        problems.append(f"not recovered: {recovered}")
    return problems


EVERYTHING = [(name, slot) for name, writer in WRITERS.items() for slot in range(writer.faults)]
DRAWN = sampling.cases(EVERYTHING, 5)


def test_there_are_enough_faults() -> None:
    assert len(EVERYTHING) >= 200


@pytest.mark.parametrize("name", list(dict.fromkeys(name for name, _ in DRAWN)))
def test_nothing_complete_is_lost(ask: Ask, name: str) -> None:
    every = faults(ask(name), WRITERS[name].faults, name)
    chosen = list(dict.fromkeys(every[slot] for writer, slot in DRAWN if writer == name))
    results = [(fault, ask(name, **fault._asdict())) for fault in chosen]
    failed = [(f, problems, r["said"][-700:]) for f, r in results if (problems := wrong(f, r))]
    sampling.record(f"faults {name}", {"faults": len(results), "failed": len(failed)})
    assert not failed, "\n".join(map(str, failed))


def test_kill_9_at_any_moment_comes_to_the_same(ask: Ask) -> None:
    draw, stages = random.Random(sampling.seed()), Counter[str]()
    kills = sampling.count(full=100, quick=4)
    every = {"training", "validation", "a checkpoint", "resumption", "pictures"}
    # A moment is a share of the run's time, so which stage it meets depends on the machine: a full
    # run goes on until all were met.
    missing = every if sampling.is_full() else set[str]()
    while stages.total() < kills or (missing - set(stages) and stages.total() < 4 * kills):
        name = KILLED[stages.total() % len(KILLED)]
        moments = [draw.random() for _ in range(draw.choice((1, 1, 2, 3)))]
        result = ask(name, moments=moments)
        stages.update(result["stages"])
        shown = (name, moments, result)
        assert not result["whole"], shown
        assert result["recovered"]["code"] == 0, shown
        assert result["same"], shown
    sampling.record("kills", {"kills": stages.total(), "stages": dict(stages)})
    if sampling.is_full():
        assert set(stages) >= every
