"""Bad input through the real command line: each has a message that says what, where and the fix."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import elman
from elman.cli import main
from elman.training._config import FORMAT

pytestmark = pytest.mark.slow

LINES = (
    "the cat sat on the mat .\nthe dog lay on the log .\nthis morning i took my cat for a walk .\n"
)
SMALL = ["--model.hidden", "8", "--data.lanes", "4", "--train.k1", "10", "--train.max_steps", "4"]
RUN = "runs/language-1"

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with book.txt and a finished run."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "book.txt").write_text(LINES * 40)
    where = [str(folder / "book.txt"), "--runs", str(folder / "runs"), "--quiet"]
    assert main(["train", "language", *where, *SMALL]) == 0
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
        assert main(arguments) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert "Traceback" not in err
        assert "this is a bug" not in err
        return err[err.index("elman: ") :]

    return run


TEXTS: list[tuple[str, bytes | None, tuple[str, ...]]] = [
    ("missing.txt", None, ("missing.txt: no such file", "check the path")),
    ("empty.txt", b"", ("empty.txt", "empty", "choose a file that is not empty")),
    ("blank.txt", b"\n\n\n\n", ("blank.txt", "give")),
    ("one.txt", b"just one line of text\n", ("one.txt: expected at least", "give separate")),
    ("binary.txt", b"\x00\x01\x02\x03" * 50, ("binary.txt, line 1", "NUL", "give a text file")),
    ("latin.txt", b"eins\nzw\xf6lf\n" * 9, ("latin.txt, line 2", "0xf6", "encoding")),
    ("same.txt", b"same same same\n" * 50, ("vocabulary",)),
    ("short.txt", b"a b\nc d\ne f\n", ("lanes",)),
    ("damaged.gz", b"\x1f\x8b not gzip", ("damaged.gz", "cannot be read")),
]


@pytest.mark.parametrize(("name", "content", "words"), TEXTS, ids=[text[0] for text in TEXTS])
def test_text_that_cannot_be_used(
    refused: Refused, name: str, content: bytes | None, words: tuple[str, ...]
) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    options = ["--data.eos" if name != "same.txt" else "--data.no-eos", "--train.max_steps", "2"]
    message = refused(3, "train", "language", name, *options)
    for word in words:
        assert word in message
    assert not Path("runs/language-2").exists()


def test_a_vocabulary_of_one_word_is_refused_with_eos_too(refused: Refused) -> None:
    Path("same.txt").write_text("\n" * 50)
    assert "same.txt" in refused(3, "train", "language", "same.txt")


def test_named_encoding_reads_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("latin.txt").write_bytes(b"eins zwei drei\nzw\xf6lf elf zehn\n" * 60)
    options = ["--data.encoding", "latin-1", *SMALL, "--quiet"]
    assert main(["train", "language", "latin.txt", *options]) == 0


SETTINGS = [
    (["--model.hiden", "3"], "unknown option --model.hiden: did you mean '--model.hidden'?"),
    (["--model.hidden", "0"], "model.hidden: input should be greater than or equal to 1, got '0'"),
    (["--model.dropout", "1.5"], "model.dropout: input should be less than 1, got '1.5'"),
    (["--model.cell", "ltsm"], "did you mean 'lstm'?"),
    (["--train.optimizer", "sdg"], "train.optimizer: input should be 'sgd', 'adam' or 'adamw'"),
    (["--train.k1", "20", "--train.k2", "10"], "k2 must be at least k1 = 20, got 10"),
    (["--device", "gpu"], "gpu"),
    (["--data.encoding", "utf-9"], "unknown encoding 'utf-9'"),
    (["--preset", "zaremba"], "unknown preset 'zaremba'"),
    (["--config", "missing.toml"], "missing.toml: cannot be read as TOML"),
    (["--seed"], "--seed needs a value"),
]


@pytest.mark.parametrize(("options", "message"), SETTINGS, ids=[s[0][0][2:] for s in SETTINGS])
def test_settings_that_cannot_be(refused: Refused, options: list[str], message: str) -> None:
    assert message in refused(2, "train", "language", "book.txt", *options)
    assert not Path("runs/language-2").exists()


def test_an_unknown_key_in_a_file(refused: Refused) -> None:
    Path("a.toml").write_text("[model]\nhiden = 3\n[trian]\nlr = 1.0\n")
    message = refused(2, "train", "language", "book.txt", "--config", "a.toml")
    assert "model.hiden: unknown key; did you mean 'hidden'?" in message
    assert "trian: unknown key; did you mean 'train'?" in message


def test_an_unknown_data_set(refused: Refused) -> None:
    message = refused(2, "train", "language", "--data", "movie-review")
    assert "unknown data set 'movie-review': did you mean 'movie-reviews'?" in message


@pytest.mark.parametrize("damage", ["cut", "noise", "gone"])
def test_a_damaged_checkpoint(refused: Refused, damage: str) -> None:
    file = Path(RUN, "checkpoints/best/model.safetensors")
    content = file.read_bytes()
    match damage:
        case "cut":
            file.write_bytes(content[: len(content) // 2])
        case "noise":
            file.write_bytes(b"\xff" * len(content))
        case "gone":
            file.unlink()
    message = refused(3, "predict", RUN, "--prompt", "the")
    assert f"{file}: cannot be read" in message
    assert "train again" in message


def test_a_checkpoint_of_another_size(refused: Refused) -> None:
    file = Path(RUN, "config.toml")
    file.write_text(file.read_text().replace("hidden = 8", "hidden = 9"))
    message = refused(3, "predict", RUN, "--prompt", "the")
    assert "does not match the model" in message
    assert " must be (" in message


def test_a_run_folder_of_another_version(refused: Refused) -> None:
    file = Path(RUN, "config.toml")
    file.write_text(file.read_text().replace(f"format = {FORMAT}", "format = 99"))
    for command in (["predict", RUN, "--prompt", "the"], ["train", "language", "--resume", RUN]):
        assert "config.toml: the run folder's format must be 3, got 99: use the elman" in refused(
            3, *command
        )


@pytest.mark.parametrize("command", [["predict", "--prompt", "a"], ["generate"], ["evaluate"]])
def test_a_folder_that_is_no_run(refused: Refused, command: list[str]) -> None:
    assert "runs: not a run folder" in refused(3, command[0], "runs", *command[1:])


ASKED = [
    (2, ["predict", RUN], "expected --prompt TEXT or --input FILE, got neither"),
    (2, ["predict", RUN, "--prompt", "a", "--top", "0"], "--top must be at least 1, got 0"),
    (3, ["predict", RUN, "--prompt", "a", "--word", "xyz"], "'xyz' is not one of"),
    (
        3,
        ["predict", RUN, "--input", "missing.txt"],
        "missing.txt: no such file: check --input",
    ),
    (2, ["generate", RUN, "--temperature", "-1"], "temperature must be at least 0, got -1"),
    (2, ["generate", RUN, "--top-k", "0"], "top_k must be at least 1, got 0"),
    (2, ["generate", RUN, "--length", "-1"], "length must be at least 0, got -1"),
    (2, ["predict", RUN, "--prompt", "a", "--device", "gpu"], "gpu"),
]


@pytest.mark.parametrize(("code", "command", "message"), ASKED)
def test_questions_that_cannot_be_answered(
    refused: Refused, code: int, command: list[str], message: str
) -> None:
    assert message in refused(code, *command)


def test_prompts_that_are_not_utf8(refused: Refused) -> None:
    Path("prompts.txt").write_bytes(b"caf\xe9\n")
    assert "prompts.txt: not UTF-8" in refused(3, "predict", RUN, "--input", "prompts.txt")


def test_divergence_is_exit_4_and_keeps_the_last_good_weights(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wild = ["--train.optimizer", "sgd", "--train.lr", "1e38", "--train.clip", "none"]
    wild += ["--train.max_steps", "40"]  # the largest numbers are reached step by step
    assert main(["train", "language", "book.txt", *SMALL[:-2], *wild]) == 4
    err = capsys.readouterr().err
    assert "not finite at update" in err
    assert "lower train.lr" in err
    model = elman.load("runs/language-2", "last")
    assert all(parameter.isfinite().all() for parameter in model.network.parameters())


def limited(size: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run elman where no file may grow beyond `size` bytes: what a full disk is like."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    command = [sys.executable, "-m", "elman.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)


@pytest.mark.parametrize("size", [2_000, 8_000])
def test_no_room_for_the_checkpoint(size: int) -> None:
    done = limited(size, "train", "language", "book.txt", *SMALL)
    assert done.returncode == 3, done.stderr
    assert "make room" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_room_while_a_run_goes_on_keeps_its_checkpoint() -> None:
    before = elman.load(RUN, "last").network.state_dict()
    more = ["--train.max_steps", "8", "--quiet"]
    done = limited(3_000, "train", "language", "--resume", RUN, *more)
    assert done.returncode == 3, done.stderr
    assert "make room, then resume" in done.stderr
    after = elman.load(RUN, "last").network.state_dict()
    assert all(tensor.equal(after[name]) for name, tensor in before.items())
    assert main(["train", "language", "--resume", RUN, *more]) == 0


def test_no_room_for_predictions() -> None:
    Path("prompts.txt").write_text("the cat\n" * 200)
    files = ["--input", "prompts.txt", "--output", "answers.jsonl", "--json"]
    done = limited(3_000, "predict", RUN, *files)
    assert done.returncode == 3, done.stderr
    assert "answers.jsonl: cannot be written: File too large; make room" in done.stderr
    assert not Path("answers.jsonl").exists()


def test_unknown_words_are_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", RUN, "--prompt", "xyz the", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["unknown"] == ["xyz"]
    assert "read as <unk>: xyz" in err


@pytest.mark.parametrize("folder", ["book.txt/runs", "book.txt", "/proc/runs"])
def test_a_folder_that_cannot_be_written(refused: Refused, folder: str) -> None:
    said = refused(3, "train", "language", "book.txt", *SMALL, "--runs", folder, "--quiet")
    assert f"{folder}: this folder cannot be made or written: " in said
    assert "choose a folder in which you may write" in said
