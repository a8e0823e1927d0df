"""Trains in forked children that are killed, and resumes them; prints what came out as JSON.

    python resume_worker.py FOLDER

The parent trains once, so that its children, forked, need not each load and set up torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from elman import _folders as folder_module
from elman._errors import Interrupted
from elman.training import config_class, resume, train
from elman.training._run import Run

MOMENTS = range(8, 9)  # moments are counted in this update, which saves both checkpoints

EVERYTHING = {
    "data": {"lanes": 3, "length": 40, "level": "word"},
    "model": {"hidden": 6, "layers": 2, "dropout": 0.3, "tied": True},
    "train": {
        "epochs": 2,
        "k1": 5,
        "k2": 12,
        "accumulate": 2,
        "optimizer": "adam",
        "lr": 0.01,
        "schedule": "cosine",
        "warmup": 3,
        "checkpoint_every": 4,
        "validate_every": 8,
        "log_every": 3,
        "threads": 1,
    },
}


def sentences(seed: int = 0) -> str:
    draw = random.Random(seed)
    words = ["the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "log", "and", "then"]
    return "\n".join(" ".join(draw.choices(words, k=draw.randint(3, 9))) for _ in range(40))


def configuration(root: Path) -> Any:
    text = root / "text.txt"
    text.write_text(sentences())
    return config_class("language").parse(
        {**EVERYTHING, "data": {**EVERYTHING["data"], "train": [str(text)]}}
    )


def forked(work: Callable[[], None]) -> int:
    """Run it in a child; its exit code, negative for a signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        work()
    except Interrupted:
        os._exit(130)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


class Killer:
    """Kills its process at the n-th moment at which the state of the disk matters."""

    def __init__(self, moment: int) -> None:
        self.left, self.armed = moment, False

    def count(self) -> bool:
        self.left -= self.armed
        return self.armed and self.left == 0

    def arm(self, event: dict[str, Any]) -> None:
        self.armed = event.get("update", 0) in MOMENTS

    def install(self) -> None:
        def write(path: Path, content: bytes) -> None:
            if self.count():
                path.write_bytes(content[: len(content) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            real_write(path, content)

        def before(real: Callable[..., Any]) -> Callable[..., Any]:
            def called(*args: Any, **kwargs: Any) -> Any:
                if self.count():
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)

            return called

        from elman.training import _checkpoint

        real_write = folder_module.write
        _checkpoint.write = write
        folder_module.sync_folder = before(folder_module.sync_folder)
        Path.rename = before(Path.rename)  # type: ignore[method-assign]
        shutil.rmtree = before(shutil.rmtree)  # type: ignore[assignment]


def outcome(path: Path) -> dict[str, Any]:
    """The hash of both checkpoints' weights, and the lines of metrics without times and starts."""
    digest = hashlib.sha256()
    run = Run.open(path)
    for which in ("last", "best"):
        model = run.load(which).model
        for name in sorted(model):
            digest.update(name.encode() + model[name].numpy().tobytes())
    times = {"seconds", "tokens_per_second", "run"}
    told = (event for event in run.events() if event["event"] != "start")
    events = [{k: v for k, v in event.items() if k not in times} for event in told]
    return {"hash": digest.hexdigest(), "events": events}


def train_and_die(config: Any, path: Path, moment: int) -> None:
    killer = Killer(moment)
    killer.install()
    train(config, path, report=killer.arm)


def killed(root: Path, config: Any) -> Iterator[dict[str, Any]]:
    """Kill at every moment in turn, until a run ends before its moment comes; resume each."""
    moment = 0
    while True:
        moment += 1
        path = root / f"killed-{moment}"

        code = forked(partial(train_and_die, config, path, moment))
        if code == 0:
            return
        left = sorted(entry.name for entry in (path / "checkpoints").iterdir())
        resumed = forked(partial(resume, path))
        yield {"moment": moment, "code": code, "left": left, "resumed": resumed, **outcome(path)}
        shutil.rmtree(path)


def signaled(root: Path, config: Any, number: signal.Signals, update: int) -> dict[str, Any]:
    path = root / number.name

    def ask(event: dict[str, Any]) -> None:
        if event["event"] == "train" and event["update"] == update:
            os.kill(os.getpid(), number)

    code = forked(lambda: train(config, path, report=ask))
    saved = Run.open(path).load("last").progress["update"]
    resumed = forked(lambda: resume(path))
    return {"code": code, "saved": saved, "resumed": resumed, **outcome(path)}


def main() -> None:
    os.environ["TOKENIZERS_PARALLELIZM"] = "false"  # threads do not survive a fork
    root = Path(sys.argv[1])
    config = configuration(root)
    torch.set_num_threads(1)
    train(config, root / "whole")
    assert forked(lambda: train(config, root / "again")) == 0
    assert forked(lambda: resume(root / "again")) == 0
    json.dump(
        {
            "whole": outcome(root / "whole"),
            "finished": outcome(root / "again"),
            "signaled": [
                signaled(root, config, signal.SIGINT, 3),
                signaled(root, config, signal.SIGTERM, 12),
            ],
            "killed": list(killed(root, config)),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
