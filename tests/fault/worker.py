"""Runs writers in forked children, under faults that it is told of; a line of JSON in, one out.

    LD_PRELOAD=shim.so python worker.py FOLDER SHIM

The parent imports everything once, so that its children need not.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

import torch
from writers import WRITERS, Writer

from elman._errors import ElmanError
from elman.cli._main import explained
from elman.training import Run

KINDS = ("open", "write", "fsync", "rename", "close", "mkdir", "remove")
ACTIONS = ("fail", "kill", "full")
LONGEST = 100.0
"""Seconds until a child is taken to hang."""

HANGS = -1000
"""Its exit code then."""


class Place:
    """A writer's folder, made anew for each fault from what was there before."""

    def __init__(self, root: Path, name: str, shim: ctypes.CDLL) -> None:
        self.writer: Writer = WRITERS[name]
        self.root, self.shim = root / name.replace(" ", "-").replace(",", ""), shim
        self.before, self.work = self.root / "before", self.root / "try" / "work"
        self.before.mkdir(parents=True)
        self.forked(self.before, self.writer.prepare, "prepare")
        old = self.root / "old"
        self.work.parent.mkdir()
        if old.exists():
            shutil.copy(old, self.work.parent / "old")
        self.fresh()
        self.counts = self.counting()
        self.expected = self.asked(self.writer.outcome)

    def fresh(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.before, self.work)
        (self.work.parent / "saved").unlink(missing_ok=True)
        (self.work.parent / "stage").write_text("start")

    def counting(self) -> dict[str, int]:
        """How often the writer does each kind of thing, where nothing fails."""

        def counted() -> int:
            self.shim.fault_arm(os.fsencode(self.work), -1, 0, 0, 0)
            code = self.writer.write()
            counts = {kind: self.shim.fault_count(i) for i, kind in enumerate(KINDS)}
            (self.work.parent / "counts").write_text(json.dumps(counts))
            return code

        begun = time.monotonic()
        result = self.forked(self.work, counted, "count")
        self.seconds = time.monotonic() - begun
        assert result["code"] == 0, result
        return dict(json.loads((self.work.parent / "counts").read_text()))

    def attempt(self, kind: str, nth: int, number: int, action: str) -> dict[str, Any]:
        """One fault: what the command said, what was left, and what the next start came to."""
        self.fresh()

        def struck() -> int:
            self.shim.fault_arm(
                os.fsencode(self.work), KINDS.index(kind), nth, number, ACTIONS.index(action)
            )
            return self.writer.write()

        result = self.forked(self.work, struck, "strike")
        whole = self.asked(self.writer.whole)
        recovered = self.forked(self.work, self.writer.recover, "recover")
        same = recovered["code"] == 0 and self.asked(self.writer.outcome) == self.expected
        return {**result, "whole": whole, "recovered": recovered, "same": same}

    def killed(self, moments: list[float]) -> dict[str, Any]:
        """Kill the command at a moment, as a share of its time, and each next start at the next."""
        self.fresh()
        stages, whole = [], ""
        for number, moment in enumerate(moments):
            work = self.writer.recover if number else self.writer.write
            self.forked(self.work, work, "kill", killed_after=moment * self.seconds)
            stages.append((self.work.parent / "stage").read_text().strip())
            whole = whole or self.asked(self.writer.whole)
        recovered = self.forked(self.work, self.writer.recover, "recover")
        same = recovered["code"] == 0 and self.asked(self.writer.outcome) == self.expected
        return {"stages": stages, "whole": whole, "recovered": recovered, "same": same}

    def asked(self, question: Callable[[], Any]) -> Any:
        """The answer of a child, which stands in the folder; an error is an answer, too."""
        file = self.work.parent / "answer"

        def answer() -> int:
            try:
                file.write_text(json.dumps(question()))
            except (ElmanError, OSError, ValueError) as error:
                file.write_text(json.dumps(f"{type(error).__name__}: {error}"))
            return 0

        result = self.forked(self.work, answer, "ask")
        assert result["code"] == 0, result
        return json.loads(file.read_text())

    def forked(
        self, folder: Path, work: Callable[[], object], what: str, killed_after: float = LONGEST
    ) -> dict[str, Any]:
        """What a child says and its exit code; negative for a signal, as where it is killed."""
        said = self.root / f"{what}.said"
        child = os.fork()
        if not child:
            self._be(folder, work, said)
        code = _waited(child, killed_after)
        return {"code": code, "said": said.read_text()[-3000:]}

    def _be(self, folder: Path, work: Callable[[], object], said: Path) -> None:
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.chdir(folder)
        code: object = 1
        try:
            code = work()
        except BaseException as error:  # noqa: BLE001
            print(f"elman: {explained(error)[0]}", file=sys.stderr)
            traceback.print_exc()
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0)


def _waited(child: int, seconds: float) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return HANGS if seconds == LONGEST else -signal.SIGKILL


def note_what_is_saved() -> None:
    """Let each checkpoint that is complete leave a line outside of the folder where calls fail."""
    save = Run.save

    def noted(run: Run, which: str, checkpoint: Any) -> None:
        replaces = run._successor is not None  # by force: what the old run had saved goes with it
        save(run, which, checkpoint)
        if run.path.name == "run-1":
            with (Path.cwd().parent / "saved").open("w" if replaces else "a") as file:
                file.write(f"{which} {checkpoint.progress['update']}\n")

    Run.save = noted  # type: ignore[method-assign]


def note_stages() -> None:
    """Let a child write down what it is at, so that it is known when it was killed."""
    from elman import pictures
    from elman.training import _entry, _loop

    def noted(home: Any, name: str, stage: str) -> None:
        real = getattr(home, name)

        def called(*args: Any, **keywords: Any) -> Any:
            file = Path.cwd().parent / "stage"
            before = file.read_text() if file.exists() else ""
            file.write_text(stage)
            try:
                return real(*args, **keywords)
            finally:
                file.write_text(before)

        setattr(home, name, called)

    noted(_entry, "train", "reading")
    noted(_entry, "resume", "resumption")
    noted(_loop.Trainer, "fit", "training")
    noted(_loop.Trainer, "_validate", "validation")
    noted(_loop.Trainer, "_finish", "the end")
    noted(_loop.Trainer, "restore", "resumption")
    noted(Run, "save", "a checkpoint")
    noted(pictures, "save", "pictures")


def warm_up(folder: Path) -> None:
    """Do once what every child would have to: import, trace, open fonts."""
    import matplotlib.backends.backend_agg
    import matplotlib.backends.backend_svg
    import mido
    import scipy.stats
    import sklearn.linear_model

    import elman.comparison._entry
    import elman.diagnosis
    import elman.reporting
    import elman.tasks._forecast
    import elman.tasks._language

    del matplotlib, mido, scipy, sklearn, elman
    folder.mkdir(parents=True)
    os.chdir(folder)
    for name in ("train language", "train forecast, with pictures"):
        WRITERS[name].prepare()
        assert WRITERS[name].write() == 0
        shutil.rmtree("runs")


def main() -> None:
    root, shim = Path(sys.argv[1]).resolve(), ctypes.CDLL(sys.argv[2])
    shim.fault_arm.argtypes = [
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_long,
        ctypes.c_int,
        ctypes.c_int,
    ]
    os.environ["TOKENIZERS_PARALLELIZM"] = "false"  # threads do not survive a fork
    torch.set_num_threads(1)
    note_what_is_saved()
    note_stages()
    with redirect_stdout(sys.stderr):
        warm_up(root / "warm")
    places: dict[str, Place] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        name = asked.pop("writer")
        if name not in places:
            places[name] = Place(root, name, shim)
        print(json.dumps(answered(places[name], asked)), flush=True)


def answered(place: Place, asked: dict[str, Any]) -> dict[str, Any]:
    """How often it does what, where nothing is asked for; else what came of a fault or of kills."""
    if not asked:
        return place.counts
    return place.killed(**asked) if "moments" in asked else place.attempt(**asked)


if __name__ == "__main__":
    main()
