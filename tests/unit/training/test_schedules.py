from __future__ import annotations

import pytest
import torch

from elman.training import Constant, Cosine, StepDecay


def test_constant() -> None:
    assert {Constant()(epoch, update) for epoch in range(3) for update in (0, 999)} == {1.0}


def test_step_decay_is_zarembas() -> None:
    """From the paper: "after 4 epochs we decrease it by a factor of 2 after each epoch"."""
    rates = [StepDecay(4, 0.5)(epoch, 7) for epoch in range(13)]
    assert rates == [1, 1, 1, 1, *(0.5**n for n in range(1, 10))]
    assert StepDecay(0, 0.5)(0, 0) == 0.5


def test_cosine_equals_torch() -> None:
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.1)
    ours = Cosine(updates=50, final=0.1)
    for update in range(51):
        assert ours(0, update) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()


def test_warm_up_climbs_in_equal_steps_and_then_falls() -> None:
    rate = Cosine(updates=20, warmup=4)
    assert [rate(0, update) for update in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    falling = [rate(0, update) for update in range(4, 21)]
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == 0


def test_past_its_end_the_cosine_stays_at_the_final_rate() -> None:
    assert Cosine(updates=10, final=0.2)(0, 1000) == pytest.approx(0.2)
    assert 0 <= Cosine(updates=3, warmup=9)(0, 20) <= 1
