from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from elman.bptt import State
from elman.metrics import Metric
from elman.tasks import Task


@dataclass
class Count:
    """Steps whose loss is their number times a weight; the state is the sum so far."""

    rows: int = 2
    steps: int = 5
    continues: bool = False

    def count(self, start: int, stop: int) -> int:
        return self.rows * (stop - start)


class Counting(Task):
    name = "counting"

    def __init__(self, *batches: Count, at_once: int = 99) -> None:
        self.given, self.at_once = batches, at_once
        self.network = self.build()
        self.calls: list[tuple[int, int, Any, bool]] = []

    def build(self) -> nn.Module:
        return nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.9))

    def batches(self, split: str, epoch: int = 0) -> tuple[Count, ...]:
        return self.given

    def eval_steps(self, batch: Count) -> int:
        return min(self.at_once, super().eval_steps(batch))

    def loss(
        self, batch: Count, start: int, stop: int, state: State, with_loss: bool = True
    ) -> tuple[Tensor, State]:
        self.calls.append((start, stop, state, torch.is_grad_enabled()))
        assert not self.network.training
        return torch.tensor(float(sum(range(start, stop)) * batch.rows)), (
            state or 0
        ) + stop - start


@pytest.mark.parametrize("at_once", [1, 2, 5, 99])
def test_evaluation_is_the_mean_over_terms_however_it_is_cut(at_once: int) -> None:
    task = Counting(Count(rows=2, steps=5), Count(rows=6, steps=3), at_once=at_once)
    expected = (2 * 10 + 6 * 3) / (2 * 5 + 6 * 3)
    assert task.evaluate("valid")["nats"] == pytest.approx(expected)
    assert task.evaluate("valid")["perplexity"] == pytest.approx(math.exp(expected))


def test_evaluation_carries_the_state_where_a_batch_continues() -> None:
    task = Counting(Count(steps=4), Count(steps=4, continues=True), Count(steps=4), at_once=2)
    task.evaluate("valid")
    assert [call[:3] for call in task.calls] == [
        (0, 2, None), (2, 4, 2), (0, 2, 4), (2, 4, 6), (0, 2, None), (2, 4, 2),
    ]  # fmt: skip


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_needs_no_gradient_and_leaves_the_mode(training: bool) -> None:
    task = Counting(Count())
    task.network.train(training)
    task.evaluate("valid")
    assert not task.calls[0][3]
    assert task.network.training is training


def test_defaults() -> None:
    task = Counting(Count(steps=4), Count(steps=7))
    assert task.lengths() == [4, 7]
    assert task.baselines() == {}
    assert task.initial_state(3) is None
    assert task.selection == task.metric == Metric("perplexity")
    assert task.device == torch.device("cpu")
