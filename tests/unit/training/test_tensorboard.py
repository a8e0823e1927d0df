from __future__ import annotations

from pathlib import Path

import pytest

from elman._errors import ConfigError
from elman.training import _tensorboard
from elman.training._tensorboard import TensorBoard


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_numbers_of_training_and_validation_are_written(tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    ).EventAccumulator
    board = TensorBoard()
    board({"event": "train", "update": 1, "nats": 9.0})  # of before it is open
    board.open(tmp_path)
    board({"event": "start", "update": 0, "seconds": 0.5})
    board({"event": "train", "update": 3, "nats": 1.5, "note": "x"})
    board({"event": "valid", "update": 4, "nats": 1.25, "best": True})
    board.close()
    read = accumulator(str(tmp_path))
    read.Reload()
    assert set(read.Tags()["scalars"]) == {"train/nats", "valid/nats"}
    (point,) = read.Scalars("train/nats")
    assert (point.step, point.value) == (3, 1.5)


def test_without_tensorboard_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tensorboard, "find_spec", {}.get)
    with pytest.raises(ConfigError, match=r"elman\[tensorboard\]"):
        TensorBoard()
