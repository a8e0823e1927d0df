"""Dispatch, exit codes and messages of the top level, and how little of it is imported."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts import CycloptsError

import elman
from elman._errors import (
    CheckpointError,
    ConfigError,
    DataError,
    Diverged,
    ElmanError,
    Interrupted,
)
from elman.cli import main
from elman.cli._main import COMMANDS, app, explained

HEAVY = {"torch", "numpy", "pydantic", "tokenizers", "safetensors"}


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, _, line in COMMANDS:
        assert f" {name} " in out
        assert line in out


@pytest.mark.every
@pytest.mark.parametrize("command", [name for name, _, _ in COMMANDS])
def test_every_command_is_there_and_has_help(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    assert f"elman {command}" in capsys.readouterr().out


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: elman COMMAND" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == elman.__version__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], 'Unknown command "trian". Did you mean "train"?'),
        (["info", "--jsn"], "Unknown option: --jsn. Did you mean --json?"),
        (["predict"], "RUN"),
        (["predict"], "See `elman predict --help`."),
        (["flow", "run", "--checkpoint", "none"], "See `elman flow --help`."),
        (["nothing"], "See `elman --help`."),
        (["evaluate", "x", "--lanes", "many"], "--lanes"),
    ],
)
def test_usage_errors(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("elman: ")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ElmanError("a"), 1, "a"),
        (ConfigError("a"), 2, "a"),
        (CycloptsError(msg="a  b"), 2, "a b See `elman --help`."),
        (CycloptsError(msg="a", command_chain=["init"]), 2, "a See `elman init --help`."),
        (DataError("a"), 3, "a"),
        (CheckpointError("a"), 3, "a"),
        (Diverged("a"), 4, "a"),
        (Interrupted("a"), 130, "a"),
        (
            Interrupted("a", ("train", "tag", "--resume", "my runs/x")),
            130,
            "a. To continue: elman train tag --resume 'my runs/x'",
        ),
        (MemoryError(), 1, "out of memory: use a smaller network"),
        (RuntimeError("[enforce fail] can't allocate memory: 9"), 1, "out of memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x.txt"), 1, "x.txt: No such file"),
        (OSError(errno.ENOSPC, "", "x"), 1, "cannot write x: the disk is full; make room"),
        (
            OSError(errno.EFBIG, ""),
            1,
            "cannot write to standard output: the file size limit is exceeded; make room",
        ),
        (OSError("nothing more"), 1, "OSError: nothing more (this is a bug"),
        (ZeroDivisionError("by zero"), 1, "ZeroDivisionError: by zero (this is a bug"),
    ],
)
def test_what_each_error_becomes(error: BaseException, code: int, message: str) -> None:
    said, exit_code = explained(error)
    assert exit_code == code
    assert said.startswith(message)


def test_several_lines_are_indented_and_debug_adds_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ConfigError("one\ntwo")

    monkeypatch.setattr(app["info"], "default_command", fail)
    assert main(["info"]) == 2
    assert capsys.readouterr().err == "elman: one\n       two\n"
    assert main(["info", "--debug"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("elman: one\n       two\n")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom elman.cli import main\nmain(['--help'])\n"
        f"print('loaded:', sorted({HEAVY} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "loaded: []" in done.stdout


def test_a_reader_that_leaves_early_is_no_traceback() -> None:
    command = [sys.executable, "-u", "-m", "elman.cli", "data", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait() == 1
        assert process.stderr.read() == b""


def test_every_command_has_a_file_of_its_own() -> None:
    folder = Path(elman.__file__).parent / "cli"
    for _, path, _ in COMMANDS:
        assert (folder / f"{path.partition(':')[0]}.py").exists()
