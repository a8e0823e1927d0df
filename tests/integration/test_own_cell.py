"""A cell of one's own from the command line: train, evaluate, predict, flow, doctor, compare."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from elman.cells import references
from elman.cli import main

pytestmark = pytest.mark.slow

CELL = """
open("executed", "w").close()
import elman, torch

class Mine(elman.cells.PointwiseCell):
    gates, states = ("z", "g"), ("h",)

    def __init__(self, input_size, hidden_size, slope: float = 1.0, **options):
        super().__init__(input_size, hidden_size, **options)
        self.slope = slope

    def pointwise(self, inp, rec, state):
        g = torch.sigmoid(inp.g + rec.g)
        return self.State(h=g * state.h + (1 - g) * torch.tanh(self.slope * (inp.z + rec.z)))
"""
DATA = ["--data", "parity", "--data.rows", "60", "--data.steps", "6", "--data.batch", "8"]
SMALL = [*DATA, "--model.hidden", "4", "--steps", "4", "--quiet"]
OWN = ["--model.cell", "mine.py:Mine"]
RUN = "runs/classify-1"
REFUSED = "a run folder must not choose which code runs"

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own_cell")
    (folder / "mine.py").write_text(CELL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        options = ["--model.options.slope", "2", "--train.no-baselines"]
        assert main(["train", "classify", *SMALL, *OWN, *options]) == 0
    (folder / "executed").unlink()
    return folder


@pytest.fixture
def command(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Runs a command as a new process would: nothing is loaded yet."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(references, "_loaded", {})
        Path("executed").unlink(missing_ok=True)
        capsys.readouterr()
        code = main(words)
        return code, *capsys.readouterr()

    return run


def test_its_options_are_kept_in_the_run(command: Command) -> None:
    text = Path(RUN, "config.toml").read_text()
    assert 'cell = "mine.py:Mine"' in text
    assert "[model.options]\nslope = 2.0" in text
    code, out, _ = command("init", "classify")
    assert code == 0
    assert "# options.NAME =" in out.splitlines()


@pytest.mark.parametrize("how", [OWN, ["--cell", "mine.py:Mine"], ["--trust"]])
def test_commands_that_open_a_run(how: list[str], command: Command) -> None:
    Path("own.csv").write_text("text\n1 0 1\n")
    code, out, err = command("evaluate", RUN, *how)
    assert (code, "accuracy" in out) == (0, True), err
    trusted = f"--trust executes {Path(RUN, 'cell', 'mine.py').resolve()}"
    assert (trusted in err) == (how == ["--trust"])


@pytest.mark.slow
def test_flow_and_doctor_and_resumption(command: Command) -> None:
    assert command("flow", RUN, *OWN)[0] == 0
    assert command("doctor", RUN, *OWN)[0] == 0
    code, _, err = command("train", "classify", "--resume", RUN, *OWN, "--steps", "5", "--quiet")
    assert code == 0, err


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", RUN),
        ("predict", RUN, "--input", "own.csv"),
        ("flow", RUN),
        ("doctor", RUN),
        ("train", "classify", "--resume", RUN),
        ("train", "classify", "--config", f"{RUN}/config.toml"),
    ],
)
@pytest.mark.parametrize("reference", ["mine.py:Mine", "mine:Mine", "os:system"])
def test_a_run_folder_executes_nothing(
    words: tuple[str, ...], reference: str, command: Command
) -> None:
    config = Path(RUN, "config.toml")
    config.write_text(config.read_text().replace("mine.py:Mine", reference))
    code, _, err = command(*words)
    assert (code, REFUSED in err) == (2, True), err
    assert f"--model.cell {reference}" in err
    assert not Path("executed").exists()


def test_a_report_of_it_says_what_is_missing(command: Command) -> None:
    code, _, err = command("report", RUN)
    assert (code, REFUSED in err) == (0, True)
    assert "no command: " in Path(RUN, "report", "report.html").read_text()
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*OWN, "--model.options.slpe", "1"], "unknown option slpe of Mine; did you mean 'slope'"),
        ([*OWN, "--model.options.slope", "x"], "option slope of Mine must be float, got 'x'"),
        (["--model.cell", "mine.py:Mone"], "mine.py has no Mone: did you mean 'Mine'"),
        (["--model.cell", "nine.py:Mine"], "nine.py: no such file"),
        ([*OWN, "--trust"], "--trust is for --resume RUN"),
    ],
)
def test_what_is_wrong_is_named(words: list[str], message: str, command: Command) -> None:
    code, _, err = command("train", "classify", *SMALL, *words)
    assert (code, message in err) == (2, True), err
    assert not Path("runs/classify-2").exists()


def test_another_cell_than_the_run_has_is_refused(command: Command) -> None:
    code, _, err = command("evaluate", RUN, "--model.cell", "gru")
    assert (code, "--model.cell must be the cell of the run, mine.py:Mine, got gru" in err) == (
        2,
        True,
    )


@pytest.mark.slow
def test_a_comparison_with_a_cell_of_ones_own(command: Command) -> None:
    cells = ["--cells", "mine=mine.py:Mine,gru", "--set", "mine:model.options.slope=2"]
    more = ["--seeds", "1", "--jobs", "2", "--train.no-baselines", "--json"]
    code, out, err = command("compare", "classify", *SMALL, *cells, *more)
    assert code == 0, err
    end = json.loads(out.splitlines()[-1])
    assert {c["name"]: c["cell"] for c in end["candidates"]} == {
        "mine": "mine.py:Mine",
        "gru": "gru",
    }
    folder = Path(end["comparison"])
    assert (folder / "runs" / "mine-0" / "cell" / "mine.py").exists()
    for outcome in (folder / "outcomes").glob("mine-*.json"):
        outcome.unlink()
    again = ["compare", "classify", "--resume", str(folder), "--quiet"]
    code, _, err = command(*again)
    assert (code, REFUSED in err) == (2, True), err
    assert not Path("executed").exists()
    code, _, err = command(*again, "--cells", "leaky.py:Leaky")
    assert (code, "--cells must be among those of" in err) == (2, True), err
    assert command(*again, "--cells", "mine.py:Mine")[0] == 0
