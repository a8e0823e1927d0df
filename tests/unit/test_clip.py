from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from elman._errors import ConfigError
from elman.clip import AdaptiveClip, Clip, ClipByNorm, ClipByValue, NoClip


def parameters(scale: float = 1.0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for shape in [(4, 3), (4,), (2, 3, 5), ()]:
        made.append(nn.Parameter(torch.randn(shape, generator=generator)))
        made[-1].grad = scale * torch.randn(shape, generator=generator)
    return [*made, nn.Parameter(torch.ones(3))]  # the last one took no part: no gradient


def gradients(owners: list[nn.Parameter]) -> list[torch.Tensor]:
    return [p.grad.clone() for p in owners if p.grad is not None]


ALL = [NoClip(), ClipByNorm(1.0), ClipByValue(0.1), AdaptiveClip(0.01)]


@pytest.mark.parametrize("clip", ALL, ids=lambda clip: type(clip).__name__)
def test_every_policy_reports_the_norm_before(clip: Clip) -> None:
    owners = parameters()
    before = torch.cat([g.flatten() for g in gradients(owners)]).norm()
    report = clip(owners)
    torch.testing.assert_close(report.norm, before)
    assert bool(report.clipped) == (not isinstance(clip, NoClip))
    assert report.clipped.shape == report.norm.shape == ()
    assert owners[-1].grad is None


@pytest.mark.parametrize("clip", ALL, ids=lambda clip: type(clip).__name__)
def test_small_gradients_stay_as_they_are(clip: Clip) -> None:
    owners = parameters(scale=1e-7)
    before = gradients(owners)
    assert not clip(owners).clipped
    assert all(map(torch.equal, gradients(owners), before))


def test_by_norm_equals_torch() -> None:
    ours, theirs = parameters(), parameters()
    ClipByNorm(0.5)(ours)
    nn.utils.clip_grad_norm_(theirs, 0.5)
    torch.testing.assert_close(gradients(ours), gradients(theirs), rtol=1e-5, atol=0)


def test_by_value_equals_torch() -> None:
    ours, theirs = parameters(), parameters()
    ClipByValue(0.3)(ours)
    nn.utils.clip_grad_value_(theirs, 0.3)
    assert all(map(torch.equal, gradients(ours), gradients(theirs)))


def test_adaptive_bounds_each_row_by_its_own_weights() -> None:
    owners = parameters(scale=10)
    before = gradients(owners)
    AdaptiveClip(0.02)(owners)
    for owner, old in zip(owners, before, strict=False):
        assert owner.grad is not None
        rows = owner.shape[0] if owner.ndim > 1 else 1
        weight, new, old = (t.reshape(rows, -1) for t in (owner.detach(), owner.grad, old))
        bound = 0.02 * weight.norm(dim=1)
        torch.testing.assert_close(new.norm(dim=1), torch.minimum(bound, old.norm(dim=1)))
        torch.testing.assert_close(
            new / new.norm(dim=1, keepdim=True), old / old.norm(dim=1, keepdim=True)
        )


def test_adaptive_lets_units_at_zero_move() -> None:
    weight = nn.Parameter(torch.zeros(2, 3))
    weight.grad = torch.ones(2, 3)
    AdaptiveClip(0.5, eps=0.1)([weight])
    torch.testing.assert_close(weight.grad.norm(dim=1), torch.full((2,), 0.05))


@pytest.mark.parametrize("clip", ALL, ids=lambda clip: type(clip).__name__)
def test_non_finite_gradients_show_in_the_norm(clip: Clip) -> None:
    owners = parameters()
    assert owners[0].grad is not None
    owners[0].grad[0, 0] = torch.nan
    assert torch.isnan(clip(owners).norm)


@pytest.mark.parametrize("make", [ClipByNorm, ClipByValue, AdaptiveClip])
@pytest.mark.parametrize("value", [0, -1.0, float("nan")])
def test_impossible_limits_are_refused(make: Callable[[float], Clip], value: float) -> None:
    with pytest.raises(ConfigError, match="above 0"):
        make(value)


@pytest.mark.parametrize("clip", ALL, ids=lambda clip: type(clip).__name__)
def test_sparse_rows_are_clipped_as_the_dense_gradient_is(clip: Clip) -> None:
    reports, results = [], []
    for sparse in (False, True):
        torch.manual_seed(0)
        embedding, other = nn.Embedding(6, 3, sparse=sparse), nn.Parameter(torch.randn(4))
        words = torch.tensor([1, 4, 1, 1, 0])  # a row that occurs again is one row
        (embedding(words).square().sum() * other.sum()).backward()
        reports.append(clip([embedding.weight, other]))
        assert embedding.weight.grad is not None
        assert embedding.weight.grad.is_sparse == sparse
        results.append([g.to_dense() for g in (embedding.weight.grad, other.grad)])
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(reports[1], reports[0])
