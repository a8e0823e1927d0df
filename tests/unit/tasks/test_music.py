"""Music: the two outputs, frames that count, windows of time, and pieces that are made."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from torch.nn import functional as F

import elman
from elman._errors import ConfigError, DataError
from elman.bptt import TruncatedBPTT
from elman.data import BadRows, Note, piano_roll, read_music, write_midi
from elman.metrics import frame_accuracy
from elman.tasks import Music, MusicAsked, MusicData, MusicNet
from elman.tasks._music_net import Chords, Frames
from elman.tasks._music_rows import rolls
from elman.training import config_class, resume, train

SCALE = (60, 62, 64, 65, 67, 69, 71, 72)


def tune(start: int, beats: int, shift: int = 0) -> list[Note]:
    """A scale round and round in quarter notes, with the third below every other note."""
    notes = []
    for beat in range(beats):
        pitch = SCALE[(start + beat) % len(SCALE)] + shift
        notes.append(Note(beat, beat + 1, pitch))
        if beat % 2:
            notes.append(Note(beat, beat + 1, pitch - 4))
    return notes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty tunes that begin and last differently."""
    path = tmp_path / "tunes"
    path.mkdir()
    for i in range(40):
        write_midi(path / f"{i:02}.mid", tune(i % 8, 6 + i // 8))
    return path


def prepared(path: Path, model: dict[str, Any] | None = None, **data: Any) -> Music:
    section = MusicData.parse({"train": [path], "step": "quarter", "batch": 4, **data})
    small = {"hidden": 8, "units": 5, "dropout": 0.0, "frame_dropout": 0.0, **(model or {})}
    task = Music.prepare(section, MusicNet.parse(small))
    torch.manual_seed(0)
    task.network = task.build()
    return task


def random_frames(rows: int, keys: int, share: float = 0.3) -> torch.Tensor:
    return (torch.rand(rows, keys) < share).float()


@pytest.mark.parametrize("make", [Frames, Chords])
def test_all_chords_together_have_probability_1(make: type) -> None:
    head = Chords(3, 4, keys=6) if make is Chords else Frames(3)
    keys = head.keys.out_features
    hidden = torch.randn(1, 3)
    every = torch.zeros(64, keys)
    every[:, :6] = torch.tensor(list(product([0.0, 1.0], repeat=6)))
    if make is Chords:
        torch.nn.init.normal_(head.joint.weight)
    scores = head(hidden.expand(64, -1), every)
    logs = -F.binary_cross_entropy_with_logits(scores, every, reduction="none")[:, :6].sum(-1)
    assert logs.exp().sum().item() == pytest.approx(1, rel=1e-5)
    noise = torch.rand(20_000, keys).logit()
    drawn = head.draw(hidden.expand(20_000, -1), noise)[:, :6]
    codes = (drawn @ 2.0 ** torch.arange(5, -1, -1)).long()
    shares = torch.bincount(codes, minlength=64) / len(codes)
    assert shares == pytest.approx(logs.exp().detach(), abs=0.015)


def test_a_key_of_a_chord_knows_those_below_it_and_no_other() -> None:
    head, hidden = Chords(3, 4), torch.randn(5, 3)
    frames = random_frames(5, 88)
    naive = torch.stack(
        [
            head.keys(hidden)[:, i]
            + head.joint(
                torch.tanh(head.before(hidden) + head.below(frames * (torch.arange(88) < i)))
            )[:, i]
            for i in range(88)
        ]
    )
    torch.testing.assert_close(head(hidden, frames), naive.T)
    assert head(hidden, torch.zeros(5, 88)).shape == (5, 88)


@pytest.mark.parametrize("output", ["frames", "chords"])
def test_the_measures_are_those_of_the_papers(folder: Path, output: str) -> None:
    task = prepared(folder, {"output": output})
    total, frames, said, true = 0.0, 0, [], []
    for roll in rolls(task.part("test")):
        x = torch.cat([torch.zeros(1, 88), roll.float()])[:, None]
        hidden, _ = task.network(x[:-1])
        scores = task.network.output(hidden[1:, 0], roll[1:].float())
        nll = F.binary_cross_entropy_with_logits(scores, roll[1:].float(), reduction="sum")
        total += nll.item()
        frames += len(roll) - 1
        said.append(task.network.output.draw(hidden[1:, 0], torch.zeros(len(roll) - 1, 88)))
        true.append(roll[1:])
    both = torch.cat(said).bool(), torch.cat(true)
    assert task.evaluate("test") == pytest.approx(
        {
            "nll": total / frames,
            "accuracy": frame_accuracy(*both),
        }
    )
    tp, fp, fn = ((a & b).sum() for a, b in (both, (both[0], ~both[1]), (~both[0], both[1])))
    assert frame_accuracy(*both) == pytest.approx(float(tp / (tp + fp + fn)))


@pytest.mark.parametrize("model", [{"cell": "gru", "layers": 2}, {"cell": "feedforward"}])
def test_windows_of_time_carry_the_state(folder: Path, model: dict[str, Any]) -> None:
    task = prepared(folder, model, batch=50)
    (batch,) = task.batches("train")
    assert batch.steps == 10
    assert batch.count(0, 10) == sum(len(roll) for roll in rolls(task.part("train")))
    whole = task.criterion(batch)
    pieces = [task.loss(batch, 0, 3, None)]
    pieces.append(task.loss(batch, 3, 8, pieces[-1][1]))
    pieces.append(task.loss(batch, 8, 10, pieces[-1][1]))
    torch.testing.assert_close(sum(loss for loss, _ in pieces), whole)
    assert sum(batch.count(*cut) for cut in ((0, 3), (3, 8), (8, 10))) == batch.count(0, 10)
    TruncatedBPTT(3).backward(lambda *steps: task.loss(batch, *steps), 10)
    state = task.initial_state(batch.rows)
    assert (state if model["cell"] == "feedforward" else state[0].h).shape[0] == batch.rows


SMALL = {
    "data": {"step": "quarter", "batch": 4},
    "model": {"hidden": 24, "units": 16, "dropout": 0.1, "frame_dropout": 0.0, "cell": "gru"},
    "train": {"max_steps": 120, "lr": 0.02, "warmup": 10},
}


def configured(folder: Path, **train: Any) -> Any:
    settings = {**SMALL, "data": {**SMALL["data"], "train": [folder]}}
    return config_class("music").parse(settings | {"train": {**SMALL["train"], **train}})


def test_it_learns_to_go_on(folder: Path, tmp_path: Path) -> None:
    result = train(configured(folder), tmp_path / "run")
    measured = result.metrics["test"]
    best = min(model["test"]["nll"] for model in result.baselines.values())
    assert measured["nll"] < 0.5 * best
    assert measured["accuracy"] > 0.85
    assert {file.name for file in result.pictures} == {"foreseen.png", "foreseen.svg"}
    task = elman.load(result.run.path)
    assert task.evaluate("test") == measured
    prime = piano_roll(tune(3, 6), 1)
    assert (task.compose(4, prime, temperature=0) == piano_roll(tune(3, 10), 1)).all()
    (answer,) = task.answers([{"piece": "a", "roll": prime}])
    assert answer["next"] == ["D4"]
    assert answer["nll"] < 2


def test_chance_comes_from_the_seed(folder: Path) -> None:
    task = prepared(folder)
    first = task.compose(20, seed=1)
    assert (task.compose(20, seed=1) == first).all()
    assert (task.compose(20, seed=2) != first).any()
    assert (task.compose(20, seed=2, temperature=0) == task.compose(20, temperature=0)).all()
    assert task.compose(20, temperature=9).sum() > 2 * first.sum()


def test_what_is_generated_lies_in_files(folder: Path, tmp_path: Path) -> None:
    task = prepared(folder)
    first = folder / "00.mid"
    asked = MusicAsked(length=5, seed=4, prime=first, prime_frames=3, tempo=120)
    (answer,) = task.generated(asked, tmp_path)
    midi = tmp_path / "generated" / "seed-4.mid"
    assert (answer["midi"], answer["frames"], answer["seed"]) == (str(midi), 8, 4)
    assert ("wav" in answer) != ("no_wav" in answer)
    (record,) = read_music(midi, BadRows())
    roll = piano_roll(record.values["notes"], 1)
    prime = piano_roll(tune(0, 6), 1)[:3]
    whole = task.compose(5, prime, seed=4)
    assert (roll == whole[: len(roll)]).all()
    assert not whole[len(roll) :].any()
    assert (roll[:3] == prime).all()
    assert Path(answer["picture"]).read_bytes()[:4] == b"\x89PNG"
    other = tmp_path / "new" / "tune.mid"
    (answer,) = task.generated(asked.model_copy(update={"output": other}), tmp_path)
    assert other.read_bytes() == midi.read_bytes()
    with pytest.raises(DataError, match=r"no.mid: no such file"):
        list(task.generated(MusicAsked(prime=tmp_path / "no.mid"), tmp_path))


def test_a_tune_in_another_key_is_the_same_tune(folder: Path) -> None:
    before = prepared(folder).facts()
    assert "duplicates" not in before
    write_midi(folder / "again.mid", tune(0, 6, shift=5))
    after = prepared(folder).facts()
    assert after["duplicates"] == 1
    assert sum(after["rows"].values()) == sum(before["rows"].values()) == 40


def test_a_file_without_notes(folder: Path) -> None:
    write_midi(folder / "empty.mid", [])
    with pytest.raises(DataError, match=r"empty.mid: expected notes.*--on-bad-row skip"):
        prepared(folder)
    facts = prepared(folder, on_bad_row="skip").facts()
    assert facts["bad_rows"] == 1
    assert "empty.mid" in facts["first_bad"][0]
    write_midi(folder / "empty.mid", [Note(0, 1, 60)])
    with pytest.raises(DataError, match=r"empty.mid: a piece of at least 2 frames was expected"):
        prepared(folder)


def test_a_set_that_is_divided(tmp_path: Path) -> None:
    cells = {}
    for name, count in (("traindata", 5), ("validdata", 2), ("testdata", 3)):
        cells[name] = np.empty((1, count), object)
        for i in range(count):
            cells[name][0, i] = random_frames(6 + i, 88).numpy()
    file = tmp_path / "set.mat"
    scipy.io.savemat(file, cells)
    task = prepared(file)
    assert task.facts()["rows"] == {"train": 5, "valid": 2, "test": 3}
    assert task.with_data([file]).evaluate("test") == task.evaluate("test")
    with pytest.raises(ConfigError, match="holds all its parts"):
        MusicData.parse({"train": [tmp_path], "valid": [file]})
    with pytest.raises(ConfigError, match="pieces are no text"):
        MusicData.parse({"columns": ["a"]})


@pytest.mark.parametrize("cell", ["gru", "feedforward"])
def test_a_run_that_is_stopped_within_a_piece_goes_on(
    folder: Path, tmp_path: Path, cell: str
) -> None:
    how = {"bptt": "truncated", "k1": 3, "schedule": "constant"}
    config = configured(folder, max_steps=9, **how)
    settings = config.model_dump() | {"model": {**SMALL["model"], "cell": cell}}
    whole = train(config_class("music").parse(settings), tmp_path / "whole")
    settings["train"]["max_steps"] = 4
    cut = train(config_class("music").parse(settings), tmp_path / "cut")
    again = resume(cut.run.path, {"max_steps": 9})
    assert again.metrics == whole.metrics


def test_a_long_piece_is_many_updates_unless_it_is_to_be_whole(tmp_path: Path) -> None:
    for i in range(10):
        notes = [Note(t / 2, t / 2 + 0.5, 60 + (i + t) % 9) for t in range(300)]
        write_midi(tmp_path / "long" / f"{i}.mid", notes)
    tree = {"data": {"train": [tmp_path / "long"], "unique": False}, "model": SMALL["model"]}
    updates = {}
    for name, how in {"default": {}, "whole": {"bptt": "full"}}.items():
        train_it = {"epochs": 1, "schedule": "constant", "threads": 1, **how}
        result = train(config_class("music").parse({**tree, "train": train_it}), tmp_path / name)
        updates[name] = result.run.events()[-1]["update"]
    assert updates["default"] >= 4 * updates["whole"]
