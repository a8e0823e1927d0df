"""Reads damaged files, each in a forked process with limits: run by `fuzz.run`, not by itself.

Requests come as lines of JSON on the standard input, answers go to the standard output. What is
imported here is imported once; what a file does to its process, it does to no other.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from random import Random
from typing import Any

from fuzz.bombs import BOMBS
from fuzz.defects import DEFECTS
from fuzz.mutations import damaged
from fuzz.readers import READERS

MEMORY = 1 << 30
"""Bytes beside what a process has when it begins, and of all that is in memory at its peak."""

SECONDS = 10
"""Of processor time, since the machine may do other work; `WALL` of the clock, for who sleeps."""

WALL = 120

SOUND: dict[str, dict[str, bytes]] = {}


def warm() -> None:
    """Import what readers import later."""
    import av
    import mido.midifiles.meta
    import PIL.GifImagePlugin
    import PIL.Image
    import PIL.ImageOps
    import pyarrow.compute
    import pyarrow.parquet
    import torch

    import elman.data
    import elman.tasks

    torch.set_num_threads(1)
    pyarrow.set_cpu_count(1)
    PIL.Image.init()
    av.logging.set_level(None)
    for name in (*elman.data.__all__, *elman.tasks.__all__):
        getattr(elman.data if name in elman.data.__all__ else elman.tasks, name)
    assert mido.midifiles.meta
    assert PIL.GifImagePlugin
    assert PIL.ImageOps


def sound(name: str) -> dict[str, bytes]:
    """The files of a reader's sound example by name."""
    if name not in SOUND:
        with tempfile.TemporaryDirectory() as folder:
            READERS[name].write(Path(folder, READERS[name].file))
            SOUND[name] = {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}
    return SOUND[name]


def mutant(name: str, seed: int, number: int, folder: Path) -> Path:
    """Number 0 is the sound file itself."""
    reader = READERS[name]
    files = dict(sound(name))
    target = reader.damage or reader.file
    if number:
        files[target] = damaged(files[target], reader.shape, Random(f"{name} {seed} {number}"))
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return folder / reader.file


def outcome(request: dict[str, Any], folder: Path) -> tuple[str, str]:
    """What became of a file: "read", "refused" by name, "unnamed", or "error"."""
    from elman._errors import CheckpointError, DataError

    try:
        if "defect" in request:
            DEFECTS[request["defect"]]()
        elif "bomb" in request:
            bomb = BOMBS[request["bomb"]]
            READERS[bomb.reader].read(folder / bomb.file, request["action"])
        else:
            path = mutant(request["reader"], request["seed"], request["number"], folder)
            READERS[request["reader"]].read(path, request["action"])
    except (DataError, CheckpointError) as error:
        named = folder.name in str(error) and "\n" not in str(error)
        return ("refused" if named else "unnamed"), str(error)[:300]
    except BaseException:  # noqa: BLE001 - whatever it is, it is what is looked for
        return "error", traceback.format_exc()[-1500:]
    return "read", ""


def child(request: dict[str, Any], folder: Path, answer: int) -> None:
    """What the forked process does, and ends."""
    log = os.open(folder.with_suffix(".log"), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.enable(open(log, "wb", closefd=False))  # noqa: SIM115
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    seconds = 1 if request.get("defect") else SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    warnings.simplefilter("error")
    result = outcome(request, folder)
    os.write(answer, json.dumps(result).encode())
    os._exit(0)


def armed(request: dict[str, Any], folder: Path) -> None:
    """Write a bomb, in a process without limits that leaves no memory behind."""
    pid = os.fork()
    if pid == 0:
        try:
            bomb = BOMBS[request["bomb"]]
            bomb.write(folder / bomb.file, request["large"])
        finally:
            os._exit(sys.exc_info()[0] is not None)
    if os.waitpid(pid, 0)[1]:
        raise AssertionError(f"{request['bomb']} was not written")


def watched(pid: int, answer: int) -> tuple[bytes, int, Any, float]:
    """The child's answer, how it ended, and what it used."""
    begun, parts = time.monotonic(), []
    while select.select([answer], [], [], max(0, begun + WALL - time.monotonic()))[0]:
        part = os.read(answer, 1 << 16)
        if not part:
            break
        parts.append(part)
    else:
        os.kill(pid, signal.SIGKILL)
    _, status, used = os.wait4(pid, 0)
    return b"".join(parts), status, used, time.monotonic() - begun


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Fork, wait and judge."""
    home = Path(tempfile.mkdtemp())
    folder = home / "mutant"
    folder.mkdir()
    if "reader" in request:
        sound(request["reader"])
    if "bomb" in request:
        armed(request, folder)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            child(request, folder, writing)
        finally:
            os._exit(70)
    os.close(writing)
    answer, status, used, seconds = watched(pid, reading)
    os.close(reading)
    kind, detail = json.loads(answer) if answer else ("crash", "")
    if os.WIFSIGNALED(status):
        late = os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
        kind, name = ("hang" if late else "crash"), signal.Signals(os.WTERMSIG(status)).name
        log = folder.with_suffix(".log").read_text(errors="replace")
        detail = f"{name} after {seconds:.1f} s: {log[-800:]}"
    peak = used.ru_maxrss * 1024
    if kind in ("read", "refused") and peak > MEMORY:
        kind, detail = "memory", f"{peak:,} bytes"
    shutil.rmtree(home)
    return {
        **request,
        "outcome": kind,
        "detail": detail,
        "peak": peak,
        "seconds": used.ru_utime + used.ru_stime,
    }


def main() -> None:
    warm()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
