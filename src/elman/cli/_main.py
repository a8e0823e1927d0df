"""``main``: import and run the module of a command, and turn errors into exit codes.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 data or checkpoint, 4 diverged,
130 interrupted after saving.
"""

from __future__ import annotations

import errno
import shlex
import sys
import traceback
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from elman import __version__
from elman._errors import ElmanError, Interrupted
from elman.cli._output import log
from elman.cli._streams import logging_to_stderr, lost_output, require_streams

COMMANDS = (
    ("init", "_init:init", "Print a commented configuration file for a task."),
    ("train", "_train:train", "Train a model on your files or on a named data set."),
    ("evaluate", "_evaluate:evaluate", "Evaluate a trained model on its test data or other files."),
    ("generate", "_generate:generate", "Generate text or music with a trained model."),
    (
        "predict",
        "_predict:predict",
        "Predict with a trained model: words, labels, numbers ...",
    ),
    ("baseline", "_baseline:baseline", "Train and score the baselines of a task."),
    ("compare", "_compare:compare", "Compare cells on a task at equal size and budget."),
    ("doctor", "_doctor:doctor", "Diagnose a run and suggest remedies."),
    ("flow", "_flow:flow", "Measure gradients, Jacobians and gates of a trained model."),
    ("report", "_report:report", "Write an HTML report of one run, or of several side by side."),
    ("export", "_export:export", "Export a trained model as C that runs without Python."),
    ("lab", "_lab:lab", "Open lessons, a sandbox and your runs in the browser."),
    ("selftest", "_selftest:selftest", "Check that the engines compute correctly on this machine."),
    ("cell", "_cell:app", "List, show, write and check cells."),
    ("data", "_data:app", "List the named data sets."),
    ("info", "_info:info", "Print versions and hardware, for bug reports."),
)
PARSE_THEIR_OWN = {"train", "baseline", "compare", "generate"}  # the task decides on the flags

FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is exceeded",
    errno.EFBIG: "the file size limit is exceeded",
}


CHECK = "check the path and its permissions, then run again"
NO_MEMORY = (
    "out of memory: use a smaller network, smaller batches, shorter sequences or another device"
)


def _build() -> App:
    built = App(
        name="elman",
        help="Recurrent networks that you can change and see inside.",
        help_epilogue="--debug prints the traceback of an error, too.",
        version=__version__,
        version_flags=("--version", "-V"),
        result_action="return_none",
        suppress_keyboard_interrupt=False,
    )
    for position, (name, path, line) in enumerate(COMMANDS):
        flags = {"help_flags": (), "version_flags": ()} if name in PARSE_THEIR_OWN else {}
        built.command(f"elman.cli.{path}", name=name, help=line, sort_key=position, **flags)
    return built


app = _build()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``elman ARGUMENTS`` and return its exit code."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        require_streams()
        with logging_to_stderr(quiet="--quiet" in argv):
            app(spelled(argv), exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has closed it on purpose
        lost_output()
        return 1
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - nothing is above us
        if "--debug" in argv:
            traceback.print_exc()
        message, code = explained(error)
        log(f"elman: {message}".replace("\n", "\n       "))
        return code
    return 0


def spelled(argv: Sequence[str]) -> list[str]:
    """The arguments in the form that the commands take: ``help train`` is ``train --help``."""
    match [token for token in argv if token != "--debug"]:
        case ["help", *command]:
            return [*command, "--help"]
        case rest:
            return rest


def explained(error: BaseException) -> tuple[str, int]:
    """The message and the exit code of an error."""
    match error:
        case Interrupted(resume=[_, *_] as words):
            return f"{error}. To continue: elman {shlex.join(words)}", error.exit_code
        case ElmanError():
            return str(error), error.exit_code
        case KeyboardInterrupt():
            return "interrupted", 130
        case CycloptsError():
            command = " ".join(["elman", *(error.command_chain or ()), "--help"])
            return f"{' '.join(str(error).split())} See `{command}`.", 2
        case _ if sentence := _of_the_system(error):
            return sentence, 1
    return f"{type(error).__name__}: {error} (this is a bug; --debug prints the traceback)", 1


def _of_the_system(error: BaseException) -> str:
    """The message for an error of memory, streams or files; empty for any other error."""
    if _no_memory(error):
        return NO_MEMORY
    if not isinstance(error, OSError):
        return ""
    why = FULL.get(error.errno or 0, error.strerror or "")
    if isinstance(error.filename, str):
        full = error.errno in FULL
        return (
            f"cannot write {error.filename}: {why}; make room"
            if full
            else f"{error.filename}: {why}; {CHECK}"
        )
    if not why:
        return ""
    lost_output()  # a file would have a name, so this was a stream
    return f"cannot write to standard output: {why}; make room, or redirect it elsewhere"


def _no_memory(error: BaseException) -> bool:
    """Whether memory ran out: on the CPU torch says so only in the text of a RuntimeError."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )
