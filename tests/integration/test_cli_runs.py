"""Run folders and streams that are not as they should be, through the real command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elman.cli import main

pytestmark = pytest.mark.slow

LINES = "the cat sat on the mat .\nthe dog lay on the log .\nthis morning i took my cat out .\n"
SMALL = ["--hidden", "8", "--lanes", "4", "--train.k1", "10", "--train.log_every", "1"]
TRAIN = ["train", "language", "book.txt", *SMALL]
RUN = Path("runs/language-1")

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "book.txt").write_text(LINES * 40)
    where = [str(folder / "book.txt"), "--runs", str(folder / "runs"), "--quiet"]
    assert main(["train", "language", *SMALL, *where, "--steps", "4"]) == 0
    return folder


@pytest.fixture(autouse=True)
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail with this code; its message, which is no traceback."""

    def run(code: int, *arguments: str) -> str:
        assert main(arguments) == code, capsys.readouterr().err
        err = capsys.readouterr().err
        assert "Traceback" not in err
        assert "this is a bug" not in err
        return err[err.index("elman: ") :]

    return run


def contents() -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in RUN.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "language", "missing.txt"),
        ("train", "language", "latin.txt"),
        ("train", "language", "book.txt", "--hidden", "1000000000"),
        ("train", "language", "book.txt", "--device", "cuda:77"),
    ],
    ids=lambda arguments: arguments[-1],
)
def test_force_spares_a_run_whose_successor_cannot_begin(
    refused: Refused, arguments: tuple[str, ...]
) -> None:
    Path("latin.txt").write_bytes(b"zw\xf6lf elf zehn\n" * 60)
    before = contents()
    refused(3 if ".txt" in arguments[-1] and len(arguments) == 3 else 2, *arguments, "--force")
    assert contents() == before
    assert [entry.name for entry in Path("runs").iterdir()] == ["language-1"]


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "", "a/b", "-x", ".x", "a\nb", "x" * 300])
@pytest.mark.parametrize("more", [[], ["--force"]], ids=["new", "force"])
def test_a_run_cannot_be_made_elsewhere(refused: Refused, name: str, more: list[str]) -> None:
    assert "the name of a run must be a plain word" in refused(2, *TRAIN, "--name", name, *more)
    assert [entry.name for entry in Path("runs").iterdir()] == ["language-1"]


SIZES = [
    ["--hidden", "1000000000"],
    ["--hidden", "1000000"],
    ["--hidden", "99999999999999999999"],
    ["--layers", "1000000000"],
    ["--model.embedding", "99999999999999999999"],
]


@pytest.mark.parametrize("sizes", SIZES, ids=" ".join)
def test_absurd_sizes(refused: Refused, sizes: list[str]) -> None:
    assert "GB: use smaller sizes" in refused(2, "train", "language", "book.txt", *sizes)


@pytest.mark.parametrize("size", ["hidden = 1000000000", "hidden = 100000\nlayers = 1000000000"])
def test_absurd_sizes_in_a_stranger_s_run(refused: Refused, size: str) -> None:
    file = RUN / "config.toml"
    file.write_text(file.read_text().replace("layers = 1\n", "").replace("hidden = 8", size))
    for command in (["evaluate"], ["predict", "--prompt", "a"], ["generate"], ["doctor"]):
        assert "use smaller sizes" in refused(2, command[0], str(RUN), *command[1:])


@pytest.mark.parametrize("name", ["config.toml", "checkpoints/best/state.json"])
def test_what_is_nested_too_deeply(refused: Refused, name: str) -> None:
    start = "a = " if name.endswith("toml") else ""
    (RUN / name).write_text(start + "[" * 50_000)
    message = refused(3, "evaluate", str(RUN))
    assert f"{RUN / name}: cannot be read: nested too deeply" in message


def test_settings_that_are_nested_too_deeply(refused: Refused) -> None:
    Path("deep.toml").write_text("a = " + "[" * 50_000)
    assert "nested too deeply" in refused(2, *TRAIN, "--config", "deep.toml")
    Path("deep.toml").write_text("[model]\nhidden = " + "[" * 90 + "]" * 90)
    assert len(refused(2, *TRAIN[:3], "--config", "deep.toml")) < 400


@pytest.mark.parametrize("name", ["tokenizer.json", "tokens/test.npy", "config.toml"])
@pytest.mark.parametrize("kind", ["a FIFO", "a folder", "symbolic links"])
def test_what_is_no_file(refused: Refused, name: str, kind: str) -> None:
    file = RUN / name
    file.unlink()
    if kind == "a FIFO":
        os.mkfifo(file)
    elif kind == "a folder":
        file.mkdir()
    else:
        file.symlink_to(file.name)
    message = refused(3, "evaluate", str(RUN))
    assert name in message
    assert kind in message


@pytest.mark.parametrize("command", ["doctor", "report", "resume"])
def test_half_a_last_line_of_metrics_is_left_out(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (RUN / "metrics.jsonl").open("a") as file:
        file.write('{"event": "tra')
    more = ["train", "language", "--steps", "5", "--resume", str(RUN)]
    assert main(more if command == "resume" else [command, str(RUN)]) == 0
    told = capsys.readouterr().err
    assert "this is a bug" not in told
    if command != "resume":  # which cuts it off
        assert "metrics.jsonl, line 8: skipped: not a complete line of JSON" in told
    for line in (RUN / "metrics.jsonl").read_text().splitlines()[:-1]:
        json.loads(line)


@pytest.mark.parametrize("length", ["999999999999", "99999999999999999999999", "10000001"])
def test_texts_of_absurd_length(refused: Refused, length: str) -> None:
    message = refused(2, "generate", str(RUN), "--length", length)
    assert "length: input should be less than or equal to 10000000" in message


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "nowhere", "--prompt", "a"),
        ("evaluate", "nowhere"),
        ("generate", "nowhere"),
        ("doctor", "nowhere"),
        ("flow", "nowhere"),
        ("report", "nowhere"),
        ("train", "language", "--resume", "nowhere"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_mistyped_run_is_named_before_torch_is_loaded(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys; from elman.cli import main; code = main(sys.argv[1:]); "
        "print([code, 'torch' in sys.modules])"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "[3, False]\n"
    assert "nowhere: not a run folder: no such folder; expected a folder" in done.stderr


@pytest.mark.parametrize("device", ["mps", "xpu", "vulkan", "meta", "hpu", "cuda:9"])
def test_devices_that_this_torch_has_not(refused: Refused, device: str) -> None:
    for arguments in (TRAIN, ["predict", str(RUN), "--prompt", "a"]):
        assert f"device {device!r} is not available" in refused(2, *arguments, "--device", device)


def test_options_that_are_given_twice(refused: Refused) -> None:
    lists = ["--data.valid", "a", "--data.valid", "b"]
    message = refused(2, *TRAIN, "--lr", "1", "--train.lr", "2", *lists)
    assert "--train.lr takes one value, got 1 and 2" in message
    assert "--data.valid" not in message


def test_help_and_short_forms(capsys: pytest.CaptureFixture[str]) -> None:
    for words, expected in (
        (["help"], "Usage: elman COMMAND"),
        (["help", "train"], "--epochs"),
        (["-V"], "0."),
        (["init"], "language"),
    ):
        assert main(words) == 0
        assert expected in capsys.readouterr().out
    assert main([*TRAIN, "--epochs", "1", "--no-baselines", "--json", "--quiet"]) == 0
    end = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert end["baselines"] == {}


def process(*arguments: str, **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "elman.cli", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **{**pipes, **more})


@pytest.mark.slow
def test_a_full_output_ends_a_run_that_is_saved() -> None:
    with Path("/dev/full").open("w") as full, process(*TRAIN, "--json", stdout=full) as done:
        _, err = done.communicate(timeout=120)
    assert done.returncode == 1
    assert "cannot write to standard output: the disk is full" in err
    assert main(["train", "language", "--resume", "runs/language-2", "--steps", "3"]) == 0


@pytest.mark.slow
def test_nohup_goes_on_when_the_terminal_is_lost() -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with process(*TRAIN, "--steps", "60", "--json", preexec_fn=ignore) as done:
        assert done.stdout
        done.stdout.readline()
        done.send_signal(signal.SIGHUP)
        done.communicate(timeout=120)
    assert done.returncode == 0
