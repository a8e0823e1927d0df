"""The problems of the Chomsky hierarchy are what they say, and a stopped command goes on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import chomsky_table
from benchmarks.chomsky import __main__ as command
from benchmarks.chomsky import _train
from benchmarks.chomsky._problems import PROBLEMS, Strings
from benchmarks.chomsky._train import Transducer, accuracy


def evaluated(symbols: Sequence[int]) -> list[int]:
    """By Python itself."""
    expression = "".join("01234+-*"[symbol] for symbol in symbols)
    return [eval(expression) % 5]  # noqa: S307 - digits and operators


def popped(symbols: Sequence[int]) -> list[int]:
    """The stack from the top, and its end; bits are pushes too."""
    stack: list[int] = []
    for symbol in symbols:
        if symbol == 2:
            stack = stack[:-1]
        else:
            stack.append({0: 0, 1: 1, 3: 0, 4: 1}[symbol])
    return [*reversed(stack), 2]


def walked(symbols: Sequence[int]) -> list[int]:
    place = 0
    for symbol in symbols:
        place = {0: [4, 0, 1, 2, 3], 1: [0, 1, 2, 3, 4], 2: [1, 2, 3, 4, 0]}[symbol][place]
    return [place]


DEFINITIONS: dict[str, Callable[[list[int]], list[int]]] = {
    "even-pairs": lambda s: [int(s[0] != s[-1])],
    "modular-arithmetic": evaluated,
    "parity": lambda s: [s.count(1) % 2],
    "cycle-navigation": walked,
    "stack-manipulation": popped,
    "reverse-string": lambda s: [*reversed(s)],
    "duplicate-string": lambda s: s + s,
    "odds-first": lambda s: [s[i] for i in [*range(0, len(s), 2), *range(1, len(s), 2)]],
    "bucket-sort": sorted,
}


def drawn(name: str, rows: int, length: int, seed: int = 0) -> Strings:
    return PROBLEMS[name].sample(np.random.default_rng(seed), rows, length)


@pytest.mark.parametrize("name", PROBLEMS)
def test_outputs_are_those_of_the_definition(name: str) -> None:
    for length in [*range(1, 9), 40]:
        strings = drawn(name, 60, length, seed=length)
        assert len(strings.inputs) == len(strings.outputs) == 60
        for row in range(60):
            outputs = strings.outputs[row]
            if strings.counted is not None:
                outputs = outputs[strings.counted[row]]
            symbols = strings.inputs[row].tolist()
            assert outputs.tolist() == DEFINITIONS[name](symbols), symbols


@pytest.mark.parametrize("name", PROBLEMS)
def test_all_symbols_and_classes_occur_and_no_other(name: str) -> None:
    strings = drawn(name, 200, 9)
    assert set(strings.inputs.flat) == set(range(PROBLEMS[name].symbols))
    assert set(strings.outputs.flat) == set(range(PROBLEMS[name].classes))


def test_an_expression_has_digits_and_operators_in_turn() -> None:
    inputs = drawn("modular-arithmetic", 50, 8).inputs
    assert inputs.shape == (50, 7)
    assert inputs[:, ::2].max() == 4
    assert inputs[:, 1::2].min() == 5


def test_bits_stand_on_the_stack_before_any_action() -> None:
    actions = drawn("stack-manipulation", 200, 12).inputs > 1
    assert not actions[:, 0].any()
    assert actions[:, -1].all()
    assert (np.diff(actions.astype(int), axis=1) >= 0).all()


def test_the_network_writes_after_it_has_read() -> None:
    network = Transducer("gru", 2, 2, 4)
    bits = torch.tensor([[0, 1, 1]])
    scores = network(bits, 5)
    assert scores.shape == (1, 5, 2)
    changed = network(torch.tensor([[0, 1, 0]]), 5)
    assert not torch.allclose(scores[:, 0], changed[:, 0])


def test_accuracy_is_over_the_outputs_that_count() -> None:
    network = Transducer("elman", 2, 3, 4)
    with torch.no_grad():
        network.output.weight.zero_()
        network.output.bias.copy_(torch.tensor([0.0, 0.0, 1.0]))  # always 2
    inputs = np.zeros((2, 3), int)
    outputs = np.array([[2, 0], [1, 2]])
    assert accuracy(network, Strings(inputs, outputs)) == 0.5
    counted = np.array([[True, False], [True, True]])
    assert accuracy(network, Strings(inputs, outputs, counted)) == pytest.approx(2 / 3)


def test_it_learns_to_walk_a_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_train, "TRAINED", 3)
    monkeypatch.setattr(_train, "LONGEST", 4)
    budget = _train.Budget(200, hidden=16, batch=64, lr=2e-2, test_rows=64)
    assert _train.trained("cycle-navigation", "elman", 0, budget)["score"] > 0.6


def test_a_command_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []

    def run(*arguments: Any) -> dict[str, Any]:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(arguments[:3])
        return {"score": 0.5}

    def started(*more: str) -> None:
        line = ["chomsky", "--cells", "gru", "--tasks", "parity,odds-first", "--seeds", "2"]
        monkeypatch.setattr(sys, "argv", [*line, "--folder", str(tmp_path), *more])
        command.main()

    monkeypatch.setattr(command, "trained", run)
    with pytest.raises(KeyboardInterrupt):
        started()
    assert calls == [("parity", "gru", 0), ("odds-first", "gru", 0)]
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        started("--seeds", "3")
    assert calls == [("parity", "gru", 1), ("odds-first", "gru", 1)]
    assert len(list(tmp_path.iterdir())) == 4
    with pytest.raises(SystemExit, match=r"parity-gru-0.json: expected the budget .*'updates': 7"):
        started("--updates", "7")


def test_the_table_has_the_best_and_the_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chomsky_table, "KEPT", tmp_path)
    with pytest.raises(FileNotFoundError):
        chomsky_table.table()
    place = {"commit": "0123abc", "date": "2030-01-01", "processor": "P", "packages": {"torch": ""}}
    for seed, score in enumerate([0.5, 0.75, 1.0]):
        run = {"task": "parity", "cell": "gru", "seed": seed, "score": score, "command": "c"}
        run |= {"budget": _train.Budget(9)._asdict(), "environment": place}
        (tmp_path / f"{seed}.json").write_text(json.dumps(run))
    [row] = [line for line in chomsky_table.table().splitlines() if "| parity |" in line]
    assert row == "| parity | regular | 1.000 (0.750) | 1.000 | 1.000 |"
    assert chomsky_table.best("parity", "gru") == 1
    assert "9 updates, 256 units" in chomsky_table.origin()
    (tmp_path / "0.json").write_text(json.dumps(run | {"score": 1.5}))
    with pytest.raises(ValueError, match=r"0.json: the score is 1.5, which cannot be"):
        chomsky_table.table()
