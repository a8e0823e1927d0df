"""What was meant: misspellings and other libraries' words, and nothing that is only a guess."""

from __future__ import annotations

import pytest

from elman._errors import SYNONYMS, likeliest, nearest
from elman.tasks import TASKS
from elman.training import config_class

KEYS = [
    f"--{section}.{key}"
    for task, _ in TASKS
    for section, part in (config_class(task).parse({}).model_dump()).items()
    for key in part
]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("--train.early_stopping", "--train.patience"),
        ("--early-stopping", "--train.patience"),
        ("--grad_accum", "--train.accumulate"),
        ("--train.epoch", "--train.epochs"),
        ("--num_epochs", "--train.epochs"),
        ("--hidden_size", "--model.hidden"),
        ("--model.hiden", "--model.hidden"),
        ("--modl.hidden", "--model.hidden"),
        ("--learning-rate", "--train.lr"),
        ("--num_layers", "--model.layers"),
    ],
)
def test_what_was_meant(name: str, meant: str) -> None:
    assert likeliest(name, KEYS) == meant


def test_batch_size_is_the_task_s_own_word_for_it() -> None:
    assert likeliest("batch_size", ["--data.lanes", "--train.lr"]) == "--data.lanes"
    assert likeliest("batch_size", ["--data.batch", "--train.lr"]) == "--data.batch"


@pytest.mark.parametrize("name", ["--train.average", "--foo", "--train.", "--x"])
def test_nothing_is_said_where_nothing_is_like_it(name: str) -> None:
    assert likeliest(name, KEYS) is None


@pytest.mark.parametrize("name", ["--amp", "--train.fp16", "--precision"])
def test_what_there_is_not_is_said(name: str) -> None:
    assert nearest(name, ["--train.lr"]).startswith("training is in float32, and there is no")


@pytest.mark.parametrize(("name", "cell"), [("LSTM", "lstm"), ("rnn", "elman"), ("RNN", "elman")])
def test_cells_as_others_call_them(name: str, cell: str) -> None:
    assert likeliest(name, ["elman", "lstm", "gru"]) == cell


def test_every_synonym_stands_for_something_that_is_there() -> None:
    words = {key.rpartition(".")[2] for key in KEYS} | {name for name, _ in TASKS}
    words |= {"elman", "cuda"}
    assert [name for name, meant in SYNONYMS.items() if not words & set(meant)] == []
