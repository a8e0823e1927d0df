"""Everything that writes, each as a command in a folder: a new writer is one more entry of WRITERS.

A writer says what is there before, which command writes, what must be true of the folder after the
command was cut short, and what it comes to in the end.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from elman._errors import ElmanError
from elman._folders import beside, current
from elman.cli import main
from elman.data import Note, write_midi
from elman.training import Run

SMALL = ["--model.hidden", "5", "--train.max_steps", "6", "--train.checkpoint_every", "2"]
LANGUAGE = ["train", "language", "book.txt", "--data.lanes", "3", "--train.k1", "8", *SMALL]
FORECAST = ["train", "forecast", "wave.csv", "--data.horizon", "4", *SMALL]
NAMED = ["--train.validate_every", "3", "--train.log_every", "1", "--name", "run"]
RUN = Path("runs/run-1")


class Writer(NamedTuple):
    """What is tested.

    Attributes:
        prepare: makes the folder that is there before; it is the current one in all four.
        write: the command, which may be cut short; its exit code.
        recover: the next start; its exit code.
        whole: what is wrong with the folder once the command was cut short; "" if nothing is.
        outcome: what it came to, to be compared with that of a command that was not cut short.
        faults: how many are tried in a full run; few where the command takes long.
    """

    prepare: Callable[[], object]
    write: Callable[[], int]
    recover: Callable[[], int]
    whole: Callable[[], str]
    outcome: Callable[[], Any]
    faults: int = 40


def text() -> None:
    draw = random.Random(0)
    words = ["the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "log"]
    lines = (" ".join(draw.choices(words, k=draw.randint(3, 9))) for _ in range(60))
    Path("book.txt").write_text("\n".join(lines))


def wave() -> None:
    rows = (f"{t},{math.sin(t / 3):.4f}" for t in range(80))
    Path("wave.csv").write_text("\n".join(["time,value", *rows]))


def trained(path: Path = RUN) -> str:
    """A hash of both checkpoints' weights."""
    digest, run = hashlib.sha256(), Run.open(path)
    for which in ("last", "best"):
        for name, tensor in sorted(run.load(which).model.items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, by a hash of what it holds."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def kept(saved: Path = Path("../saved")) -> str:
    """The run has every checkpoint that was complete, or a later one."""
    lines = saved.read_text().splitlines() if saved.exists() else []
    latest = {which: int(update) for which, update in map(str.split, lines)}
    for which, update in latest.items():
        found = Run.open(RUN).load(which).progress["update"]
        if found < update:
            return f"{which} of update {found}, and {update} was complete"
    if latest:
        Run.open(RUN).events()
    return ""


def go_on(command: list[str], quiet: tuple[str, ...] = ("--quiet",)) -> int:
    """Resume the run if it can be, else start it again."""
    if current(RUN / "checkpoints/last").exists():
        return main([*command[:2], "--resume", str(RUN), "--train.max_steps", "6", *quiet])
    shutil.rmtree(RUN, ignore_errors=True)  # what a kill left before there was anything to keep
    return main([*command, *NAMED, *quiet])


def old_run() -> None:
    text()
    assert main([*LANGUAGE, "--name", "run", "--seed", "9", "--quiet", "--no-baselines"]) == 0
    Path("../old").write_text(json.dumps(contents(RUN)))


FORCED = [*LANGUAGE, *NAMED, "--quiet", "--force"]


def old_or_new() -> str:
    """The old run byte for byte, or its successor with a checkpoint and all that it had saved."""
    old = json.loads(Path("../old").read_text())
    run = Run.open(RUN)
    if contents(RUN) == old:
        return ""
    run.load("last")
    return kept()


def no_leftovers() -> str:
    left = [s for s in ("partial", "ready", "old") if beside(RUN, s, hidden=True).exists()]
    return f"{trained()} {left}"


def half_a_run() -> None:
    text()
    short = [*LANGUAGE, *NAMED, "--quiet"]
    short[short.index("6")] = "3"
    assert main(short) == 0


def comparison() -> None:
    """One that is done but for its tables, in which no process need be started."""
    text()
    small = [*LANGUAGE[1:], "--cells", "gru", "--seeds", "1", "--name", "c", "--quiet"]
    assert main(["compare", *small]) == 0
    Path("../old").write_text(json.dumps(contents(Path("runs/c-1/runs"))))


def tables_whole() -> str:
    folder = Path("runs/c-1")
    json.loads((folder / "table.json").read_text())
    runs = contents(folder / "runs")
    return "" if runs == json.loads(Path("../old").read_text()) else "a run was changed"


def resumed_comparison() -> int:
    return main(["compare", "language", "--resume", "runs/c-1", "--quiet"])


def forecast() -> None:
    wave()
    assert main([*FORECAST, "--name", "run", "--quiet"]) == 0


def answered(*output: str) -> Callable[[], int]:
    files = ["--input", "prompts.txt", "--output", *output, "--json"]
    return lambda: main(["predict", str(RUN), *files, "--top", "2"])


def prompts() -> None:
    half_a_run()
    Path("prompts.txt").write_text("the cat\na dog\n" * 40)
    for name in ("answers.jsonl", "answers.csv"):
        Path(name).write_text("the answers of yesterday\n" * 3)


def same_or(path: str, before: str = "the answers of yesterday\n" * 3) -> Callable[[], str]:
    """The file of before, or the whole new one: of another number of lines it is half of one."""

    def whole() -> str:
        now = Path(path).read_text()
        full = now.count("\n") in (80, 161) and now.endswith("\n")
        return "" if now == before or full else f"{path} is neither the old nor the new one"

    return whole


def drawn(*folders: str) -> Callable[[], Any]:
    return lambda: [sorted(contents(Path(folder))) for folder in folders]


def unharmed() -> str:
    """The run that is read is as it was, and what is written beside it has no half file."""
    trained()
    for file in Path().rglob("*.png"):
        if not file.name.startswith(".") and not file.read_bytes().endswith(b"IEND\xaeB`\x82"):
            return f"{file} is half a picture"
    for file in Path().rglob("*.html"):
        if not file.name.startswith(".") and not file.read_text().rstrip().endswith("</html>"):
            return f"{file} is half a page"
    return ""


def command(*words: str) -> Callable[[], int]:
    return lambda: main(list(words))


def music() -> int:
    try:
        write_midi(Path("a.mid"), [Note(i, i + 1.0, 60 + i) for i in range(9)])
    except ElmanError as error:
        print(error)
        return error.exit_code
    return 0


def either_piece() -> str:
    data = Path("a.mid").read_bytes()
    return "" if data == b"yesterday" or data.endswith(b"\xff\x2f\x00") else "half a piece"


def whole_modules() -> str:
    """Each file of the new cell that is there ends as its template does."""
    ends = {"leaky.py": "return self.State(h=g * state.h + (1 - g) * z)\n", "test_leaky.py": ")\n"}
    for file in map(Path, ends):
        if file.exists() and not file.read_text().endswith(ends[file.name]):
            return f"{file} is half a file"
    return ""


WRITERS: dict[str, Writer] = {
    "train language": Writer(
        text,
        command(*LANGUAGE, *NAMED, "--quiet"),
        lambda: go_on(LANGUAGE),
        kept,
        trained,
    ),
    "train forecast, with pictures": Writer(
        wave, command(*FORECAST, *NAMED, "--quiet"), lambda: go_on(FORECAST), kept, trained
    ),
    "resume": Writer(
        half_a_run,
        command("train", "language", "--resume", str(RUN), "--train.max_steps", "6", "--quiet"),
        lambda: go_on(LANGUAGE),
        kept,
        trained,
    ),
    "train by force": Writer(
        old_run, command(*FORCED), command(*FORCED), old_or_new, no_leftovers, faults=60
    ),
    "compare": Writer(
        comparison,
        resumed_comparison,
        resumed_comparison,
        tables_whole,
        drawn("runs/c-1/pictures"),
        faults=24,
    ),
    "predict to lines": Writer(
        prompts,
        answered("answers.jsonl"),
        answered("answers.jsonl"),
        same_or("answers.jsonl"),
        lambda: contents(Path())["answers.jsonl"],
        faults=16,
    ),
    "predict to a table": Writer(
        prompts,
        answered("answers.csv"),
        answered("answers.csv"),
        same_or("answers.csv"),
        lambda: contents(Path())["answers.csv"],
        faults=16,
    ),
    "evaluate with pictures": Writer(
        forecast,
        command("evaluate", str(RUN), "--pictures", "drawn"),
        command("evaluate", str(RUN), "--pictures", "drawn"),
        unharmed,
        drawn("drawn"),
        faults=24,
    ),
    "flow": Writer(
        half_a_run,
        command("flow", str(RUN)),
        command("flow", str(RUN)),
        unharmed,
        drawn(str(RUN / "flow")),
        faults=12,
    ),
    "report": Writer(
        half_a_run,
        command("report", str(RUN)),
        command("report", str(RUN)),
        unharmed,
        drawn(str(RUN / "report")),
        faults=6,
    ),
    "a new cell": Writer(
        lambda: None,
        command("cell", "new", "leaky"),
        command("cell", "new", "leaky", "--force"),
        whole_modules,
        lambda: contents(Path()),
        faults=12,
    ),
    "a MIDI file": Writer(
        lambda: Path("a.mid").write_bytes(b"yesterday"),
        music,
        music,
        either_piece,
        lambda: contents(Path())["a.mid"],
        faults=12,
    ),
}
