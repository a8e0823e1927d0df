"""A table, a list or a dictionary where something else is expected: said, and how to convert it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import elman
from elman.comparison import compare
from elman.data import BadRows, Rows, read_table
from elman.tasks import TASKS
from elman.training import Training, config_class, evaluate, fit, load, resume, train

FRAME = pd.DataFrame({"text": ["a b", "c d"] * 400, "label": ["x", "y"] * 400})
ROWS = [{"text": "a b", "label": "x"}, {"text": "c d", "label": "y"}] * 100
FILES = r"data are read from files: write it to one, a table by \.to_csv"
KINDS: dict[str, tuple[Any, str]] = {
    "a table": (FRAME, "pandas.DataFrame"),
    "an array": (np.zeros((2, 3)), "numpy.ndarray"),
    "a tensor": (torch.zeros(2, 3), "torch.Tensor"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", dict(TASKS))
def test_data_are_files(task: str, kind: str) -> None:
    value, name = KINDS[kind]
    for tree, place in (
        ({"data": {"train": [value]}}, "data.train.0: "),
        ({"data": {"train": value}}, "data.train: "),
        ({"data": value}, "data: "),
        (value, ""),
    ):
        with pytest.raises(
            elman.ConfigError, match=rf"^{place}expected what .*got {name}.*{FILES}"
        ):
            config_class(task).parse(tree)


@pytest.mark.parametrize("rows", [ROWS, [["a b", "x"]], {"text": ["a b"]}])
def test_rows_in_place_of_files_are_short_in_the_message(rows: Any) -> None:
    with pytest.raises(elman.ConfigError, match=r"data.train") as caught:
        config_class("classify").parse({"data": {"train": rows}})
    for line in str(caught.value).splitlines():
        assert len(line) < 400
    assert "expected the path of a file, got" in str(caught.value) or isinstance(rows, dict)


CALLS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "train": (train, "expected a configuration, such as elman.training.config_class"),
    "compare": (compare, "expected a configuration, such as elman.training.config_class"),
    "fit": (lambda x: fit(x, Training(epochs=1)), "expected a task, such as a Supervised"),
    "load": (load, "expected the path of a run folder"),
    "resume": (resume, "expected the path of a run folder"),
    "evaluate": (evaluate, "expected the path of a run folder"),
    "read_table": (lambda x: next(read_table(x, [], BadRows())), "the path of a file or a folder"),
    "Rows": (lambda x: Rows({"x": x}), "column 'x': expected a tensor or Ragged"),
    "Recurrent": (elman.Recurrent(elman.cells.GRU(2, 3)), "expected x as a torch.Tensor"),
    "LSTM": (elman.LSTM(2, 3), "expected input as a torch.Tensor"),
    "Stream": (elman.Stream(elman.LSTM(2, 3)), "expected x as a torch.Tensor"),
    "convert": (elman.convert, "expected a model, a torch.nn.Module"),
    "explain": (elman.explain, "expected a model, a torch.nn.Module"),
}


@pytest.mark.unchecked
@pytest.mark.parametrize("name", CALLS)
def test_a_call_says_what_it_takes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call, expected = CALLS[name]
    for value, kind in ((FRAME, "pandas.DataFrame"), ({"a": [1.0]}, "dict"), ([[1.0]], "list")):
        with pytest.raises(TypeError, match=rf"{expected}.*got {kind}") as caught:
            call(value)
        assert len(str(caught.value)) < 250
    assert not [*tmp_path.iterdir()]


@pytest.mark.unchecked
def test_a_table_of_numbers_is_converted_as_the_message_says() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, dtype=np.float32)
    with pytest.raises(TypeError, match=r"torch\.from_numpy\(x\.to_numpy\(\)\)"):
        elman.LSTM(2, 3)(frame)
    assert elman.LSTM(2, 3)(torch.from_numpy(frame.to_numpy(copy=True)))[0].shape == (2, 3)
