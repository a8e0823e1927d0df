"""Fading gradients do not slow a CPU down while training."""

from __future__ import annotations

import torch

from elman.training._subnormals import subnormals_as_zero


def tiny() -> float:
    return float(torch.tensor([1e-38]) * 0.01)


def test_they_are_zero_within_and_as_before_outside() -> None:
    assert tiny() > 0
    with subnormals_as_zero():
        assert tiny() == 0
        with subnormals_as_zero():
            assert tiny() == 0
        assert tiny() == 0  # as it was before, here too
    assert tiny() > 0
