"""Reading flags: names, values, lists, negation, and every problem at once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from elman.cli._interface import Interface, ParsedLine
from elman.cli._settings import Setting

SETTINGS = (
    Setting("model.cell", Literal["lstm", "gru"], "lstm", "the recurrent cell"),
    Setting("model.hidden", int, 200, "hidden units"),
    Setting("model.tied", bool, False, "share weights"),
    Setting("data.files", list[Path], [], "more files"),
    Setting("data.min_count", int, 1, "rarer words become <unk>"),
    Setting("train.seed", int, 0, "random"),
    Setting("train.betas", tuple[float, float], (0.9, 0.99), "averages"),
    Setting("train.clip", float | None, None, "norm"),
)
OPTIONS = (
    Setting("name", str | None, None, "of the run"),
    Setting("force", bool, False, "replace"),
)


@pytest.fixture
def interface() -> Interface:
    return Interface("elman train x", "Train.", OPTIONS, SETTINGS, {"seed": "train.seed"})


def read(interface: Interface, line: str) -> ParsedLine:
    return interface.read(line.split())


def test_words_flags_and_values(interface: Interface) -> None:
    given = read(interface, "a.txt --model.hidden 3 b.txt --name=my=run --force c.txt")
    assert given.words == ["a.txt", "b.txt", "c.txt"]
    assert given.values == {"model.hidden": "3", "name": "my=run", "force": True}
    assert not given.problems


@pytest.mark.parametrize(
    ("tokens", "values"),
    [
        ("--model.tied", {"model.tied": True}),
        ("--model.no-tied", {"model.tied": False}),
        ("--model.tied=false", {"model.tied": "false"}),
        ("--seed 3", {"train.seed": "3"}),
        ("--seed -3", {"train.seed": "-3"}),
        ("--train.clip none", {"train.clip": None}),
        ("--train.betas 0.8 0.9", {"train.betas": ["0.8", "0.9"]}),
        ("--data.files a --data.files b", {"data.files": ["a", "b"]}),
        ("--data.min-count 2", {"data.min_count": "2"}),
        ("--data.min_count 2", {"data.min_count": "2"}),
    ],
)
def test_kinds_of_flags(interface: Interface, tokens: str, values: dict[str, object]) -> None:
    given = read(interface, tokens)
    assert given == ([], values, [])


@pytest.mark.parametrize(
    ("tokens", "problem"),
    [
        ("--name a --name b", "--name takes one value, got a and b"),
        ("--seed 3 --train.seed 4", "--train.seed takes one value, got 3 and 4"),
        ("--model.tied --model.no-tied", "--model.no-tied takes one value, got true and false"),
        ("--train.betas 0.8 0.9 --train.betas 0.7 0.9", "takes one value, got 0.8 0.9 and 0.7 0.9"),
        ("--train.clip none --train.clip 3", "--train.clip takes one value, got none and 3"),
    ],
)
def test_what_is_no_list_is_given_once(interface: Interface, tokens: str, problem: str) -> None:
    (found,) = read(interface, tokens).problems
    assert problem in found


def test_a_switch_may_be_repeated(interface: Interface) -> None:
    assert read(interface, "--force --force").problems == []


def test_everything_after_two_dashes_is_a_word(interface: Interface) -> None:
    assert interface.read(["-", "--", "--force", "--"]).words == ["-", "--force", "--"]


def test_every_problem_is_reported_and_the_rest_is_read(interface: Interface) -> None:
    given = read(interface, "--modl.hidden 3 a --hidden=4 --name --force --xyz b --seed")
    assert given.problems == [
        "unknown option --modl.hidden: did you mean '--model.hidden'?",
        "unknown option --hidden: did you mean --model.hidden?",
        "--name needs a value",
        "unknown option --xyz: --help lists them",
        "--seed needs a value",
    ]
    assert given.words == ["a"]
    assert given.values == {"force": True}


def test_a_section_alone_is_no_flag(interface: Interface) -> None:
    assert interface.read(["--model", "3"]).problems[0].startswith("unknown option --model:")


def test_help_lists_every_flag_with_its_default(
    interface: Interface, capsys: pytest.CaptureFixture[str]
) -> None:
    interface.print_help()
    text = capsys.readouterr().out
    for leaf in (*SETTINGS, *OPTIONS):
        assert f"--{leaf.key}" in text
    assert "[choices: lstm, gru] [default: lstm]" in text
    assert "rarer words become <unk> [default: 1]" in text
    assert "None" not in text
    assert "short for --train.seed" in text
