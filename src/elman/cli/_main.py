"""``main``: dispatch to a command's module, imported only then, and turn errors into exit codes.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 data or checkpoint, 4 diverged,
130 interrupted after saving.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from elman import __version__
from elman._errors import ElmanError, Interrupted

COMMANDS = (
    ("init", "_init:init", "Print a commented configuration file for a task."),
    ("train", "_train:train", "Train a model on your files or on a named data set."),
    ("evaluate", "_evaluate:evaluate", "Measure a trained model on its test data or on files."),
    ("generate", "_generate:generate", "Continue a prompt with a trained model, or compose."),
    ("predict", "_predict:predict", "Print what a trained model says of a text, or expects next."),
    ("baseline", "_baseline:baseline", "Measure what a network has to beat, on the same data."),
    ("compare", "_compare:compare", "Compare cells on a task, equal in size and budget."),
    ("doctor", "_doctor:doctor", "Say what is wrong with a run, and what to change."),
    ("flow", "_flow:flow", "Look inside a trained run: gradients, Jacobians, gates."),
    ("report", "_report:report", "Make one page of HTML of a run, or of several side by side."),
    ("bench", "_bench:bench", "Measure elman against its peers on this machine."),
    ("data", "_data:app", "List the named data sets."),
    ("info", "_info:info", "Print versions, processor, engines and extras: for bug reports."),
)
READ_THEIR_OWN = {"train", "baseline", "compare", "generate"}  # options depend on the task

FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the limit on file sizes is reached",
}


def _build() -> App:
    built = App(
        name="elman",
        help="Recurrent networks that you can change and see inside.",
        help_epilogue="With --debug, an error also prints its traceback.",
        version=__version__,
        result_action="return_none",
        suppress_keyboard_interrupt=False,
    )
    for position, (name, path, line) in enumerate(COMMANDS):
        flags = {"help_flags": (), "version_flags": ()} if name in READ_THEIR_OWN else {}
        built.command(f"elman.cli.{path}", name=name, help=line, sort_key=position, **flags)
    return built


app = _build()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``elman ARGUMENTS`` and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        rest = [token for token in given if token != "--debug"]
        app(rest, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone, and Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - nothing is above us
        if "--debug" in given:
            traceback.print_exc()
        message, code = explained(error, next(iter(given), ""))
        print(f"elman: {message}".replace("\n", "\n       "), file=sys.stderr)
        return code
    return 0


def explained(error: BaseException, command: str = "train") -> tuple[str, int]:
    """The message and the exit code of an error that reached the top."""
    match error:
        case ElmanError():
            folder = "FOLDER" if command == "compare" else "RUN"
            more = f"; `elman {command} TASK --resume {folder}` goes on"
            return f"{error}{more if isinstance(error, Interrupted) else ''}", error.exit_code
        case KeyboardInterrupt():
            return "interrupted", 130
        case CycloptsError():
            command = " ".join(["elman", *(error.command_chain or ()), "--help"])
            return f"{' '.join(str(error).split())} See `{command}`.", 2
        case OSError() if error.errno in FULL:
            where = f"cannot write {error.filename}: " if error.filename else ""
            return f"{where}{FULL[error.errno]}; make room, then go on with --resume RUN", 1
        case OSError(filename=str(name)):
            return f"{name}: {error.strerror}", 1
    return f"{type(error).__name__}: {error} (this is a bug; --debug shows where)", 1
