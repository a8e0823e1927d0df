"""What of the data is read: the longest rows, and no more of a text however long it is."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import elman
import sampling
from elman.cli import main
from elman.diagnosis import diagnose
from elman.diagnosis._sample import BatchPrefix, longest, windows
from elman.tasks import LanguageModel, Part
from elman.training import Run, config_of
from unit.diagnosis.runs import trained

np = pytest.importorskip("numpy")
savemat = pytest.importorskip("scipy.io").savemat


@pytest.fixture(scope="module")
def recall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = {"name": "recall", "rows": 300, "steps": 8}
    model = {"cell": "elman", "hidden": 8, "bidirectional": False, "pool": "last"}
    return trained(tmp_path_factory.mktemp("runs") / "recall", "classify", data, model)


def test_the_longest_rows_are_measured(recall: Path) -> None:
    task = elman.load(recall)
    lengths = task.part("train").lengths("x")
    m = diagnose(recall).evidence
    assert m.first.steps == int(lengths.max()) > 3 * int(lengths.min())
    assert m.first.steps > task.batches("train")[0].of.lengths("x").float().mean()
    assert m.rows == 16
    assert m.first.horizon < m.first.steps / 2  # so that vanishing can be told


def test_longest_rows_come_from_any_place(recall: Path) -> None:
    task = elman.load(recall)
    part = task.longest_rows("train", 5)
    lengths = task.part("train").lengths("x")
    assert lengths[part.indices].tolist() == sorted(lengths.tolist())[:-6:-1]


def test_a_head_is_taken_for_its_batch(recall: Path) -> None:
    task = elman.load(recall)
    batch = task.batches("train")[0]
    head = BatchPrefix(batch, 7)
    assert isinstance(head, Part)
    assert head.steps == 7
    assert head.rows == batch.rows


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of pieces longer than what is looked at."""
    draw = random.Random(0)

    def cell(count: int) -> Any:
        rolls = np.empty((1, count), dtype=object)
        for i in range(count):
            rolls[0, i] = np.zeros((draw.randrange(300, 400), 88), np.uint8)
            for t in range(len(rolls[0, i])):
                rolls[0, i][t, 40 + t // 4 % 12] = 1
        return rolls

    file = tmp_path_factory.mktemp("music") / "long.mat"
    savemat(file, {"traindata": cell(6), "validdata": cell(2), "testdata": cell(2)})
    return file


@pytest.mark.parametrize("bptt", sampling.cases(["full", "truncated"], 1))
@pytest.mark.slow
def test_long_pieces_of_music(
    pieces: Path, bptt: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = {"output": "frames", "hidden": 8}
    train = {"bptt": bptt, "max_steps": 3}
    path = trained(tmp_path / bptt, "music", {"train": [str(pieces)]}, model, **train)
    m = diagnose(path).evidence
    assert m.first.steps == (128 if bptt == "full" else 256)  # four windows of 64
    assert (m.bias is not None) == (bptt == "truncated")
    assert main(["doctor", str(path)]) == 0
    assert "E-UNLEARNED" in capsys.readouterr().out
    assert main(["report", str(path)]) == 0


def language(path: Path, words: int) -> Path:
    draw = random.Random(1)
    file = path.with_suffix(".txt")
    lines = (" ".join(draw.choices("abcdefgh", k=12)) for _ in range(words // 12))
    file.write_text("\n".join(lines), encoding="utf-8")
    return trained(path, "language", {"train": [str(file)], "lanes": 4}, {"hidden": 8})


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each call of a language model's loss read."""
    counts: list[int] = []
    loss = LanguageModel.loss

    def counted(self: Any, batch: Any, start: int, stop: int, *more: Any) -> Any:
        counts.append(batch.rows * (stop - start))
        return loss(self, batch, start, stop, *more)

    monkeypatch.setattr(LanguageModel, "loss", counted)
    return counts


def test_a_longer_text_takes_the_doctor_no_longer(tmp_path: Path, read: list[int]) -> None:
    tokens = []
    for words in (12_000, 120_000):
        path = language(tmp_path / f"run-{words}", words)
        read.clear()
        diagnose(path)
        tokens.append(sum(read))
    assert tokens[0] == tokens[1] < 30_000
    assert max(read) <= 4 * 128


def test_a_text_is_searched_in_windows_where_the_run_diverged(
    tmp_path: Path, read: list[int]
) -> None:
    path = language(tmp_path / "run", 60_000)
    Run.open(path).log({"event": "diverged", "epoch": 1, "update": 30, "nats": None, "norm": None})
    read.clear()
    assert diagnose(path).evidence.bad is None
    assert sum(read) < 60_000


def test_stages_are_on_stderr_with_their_times(
    recall: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(recall), "--json"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if " ... " in line]
    assert any(line.startswith("measuring the last weights ... ") for line in lines)
    assert all(line.endswith(" s") for line in lines)
    stages: list[str] = []
    diagnose(recall, stage=stages.append)
    assert [line.split(" ... ")[0] for line in lines][-len(stages) :] == stages


def test_windows_are_those_of_training(recall: Path, tmp_path: Path) -> None:
    path = language(tmp_path / "run", 3000)
    task, config = elman.load(path), config_of(Run.open(path))
    spans = [(w.start, w.stop) for w in windows(task, config)]
    assert spans[:2] == [(0, 32), (32, 64)]
    assert spans[-1][1] == next(iter(task.batches("train"))).steps
    assert longest(task, config).steps == 128
    whole = list(windows(elman.load(recall), config_of(Run.open(recall))))
    assert sum(w.batch.rows for w in whole) == len(elman.load(recall).part("train"))
