from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from elman._errors import ConfigError
from elman.bptt import (
    CheckpointedBPTT,
    FullBPTT,
    GradientPolicy,
    Segment,
    State,
    TruncatedBPTT,
    Window,
    detach,
)

STEPS, ROWS, HIDDEN = 23, 3, 5


class Net(torch.nn.Module):
    """A recurrence small enough to be read here: h = tanh(x W + h R), with a loss on every step."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        draw = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)  # noqa: E731
        self.w, self.r = (torch.nn.Parameter(0.5 * draw(HIDDEN, HIDDEN)) for _ in range(2))
        self.first = torch.nn.Parameter(draw(HIDDEN))
        self.x = draw(ROWS, STEPS, HIDDEN)
        self.computed = 0

    def segment(self, start: int, stop: int, state: State, with_loss: bool) -> tuple[Tensor, State]:
        h = self.first.expand(ROWS, -1) if state is None else state[0]
        loss = torch.zeros((), dtype=torch.float64)
        for t in range(start, stop):
            h = torch.tanh(self.x[:, t] @ self.w + h @ self.r)
            loss = loss + (h**2).sum()
            self.computed += 1
        return loss if with_loss else torch.tensor(torch.nan), (h,)


def run(policy: GradientPolicy, steps: int = STEPS) -> tuple[list[Tensor], Tensor, State, Net]:
    net = Net()
    loss, state = policy.backward(net.segment, steps)
    return [p.grad for p in net.parameters() if p.grad is not None], loss, state, net


@pytest.mark.parametrize(
    "policy",
    [TruncatedBPTT(5, STEPS), TruncatedBPTT(1, STEPS), TruncatedBPTT(STEPS), TruncatedBPTT(7, 99)]
    + [CheckpointedBPTT(every) for every in (1, 4, STEPS, 99)],
    ids=lambda policy: f"{type(policy).__name__}{tuple(vars(policy).values())}",
)
def test_policies_that_reach_the_first_step_equal_full_bptt(policy: GradientPolicy) -> None:
    expected, loss, state, _ = run(FullBPTT())
    got, got_loss, got_state, _ = run(policy)
    assert len(expected) == 3
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close((got_loss, got_state), (loss, state), rtol=1e-13, atol=0)


@pytest.mark.parametrize("k1", [1, 3, 7])
@pytest.mark.parametrize("extra", [0, 2, 9, 16])
def test_truncated_gradient_is_the_sum_over_k2_steps(k1: int, extra: int) -> None:
    """Against the definition: cut the state k2 steps before the end of each window, by hand."""
    k2 = k1 + extra
    net = Net()
    states = [None]
    with torch.no_grad():
        for t in range(STEPS):
            states.append(net.segment(t, t + 1, states[-1], True)[1])
    for loss_from in range(0, STEPS, k1):
        stop = min(loss_from + k1, STEPS)
        start = max(0, stop - k2)
        _, state = net.segment(start, loss_from, states[start], False)
        net.segment(loss_from, stop, state, True)[0].backward()
    got = run(TruncatedBPTT(k1, k2))[0]
    torch.testing.assert_close(got, [p.grad for p in net.parameters()], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("steps", [0, 1, 19, 20, 21, 60, 100])
@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (20, 20), (20, 30), (20, 40), (7, 100), (20, 55)])
def test_windows_bear_each_loss_once_and_hand_over_the_state(steps: int, k1: int, k2: int) -> None:
    windows = list(TruncatedBPTT(k1, k2).windows(steps))
    assert [t for w in windows for t in range(w.loss_from, w.stop)] == list(range(steps))
    assert all(w.start <= w.keep <= w.stop and w.start <= w.loss_from < w.stop for w in windows)
    assert all(w.keep == following.start for w, following in pairwise(windows))
    assert all(w.stop - w.start <= k2 for w in windows)
    assert not windows or (windows[0].start, windows[-1].keep) == (0, steps)


def test_nothing_is_computed_twice_when_k1_is_k2() -> None:
    assert run(TruncatedBPTT(5), steps=20)[3].computed == 20
    assert run(TruncatedBPTT(5), steps=21)[3].computed == 25
    assert run(TruncatedBPTT(5, 9), steps=20)[3].computed == 20 + 3 * 4


def test_truncation_changes_the_gradient_and_not_the_loss() -> None:
    expected, loss, _, _ = run(FullBPTT())
    got, got_loss, _, _ = run(TruncatedBPTT(5))
    torch.testing.assert_close(got_loss, loss, rtol=1e-13, atol=0)
    assert not torch.allclose(got[1], expected[1], rtol=1e-3)


def test_kept_state_carries_no_graph() -> None:
    net, policy = Net(), TruncatedBPTT(4, 10)
    state: State = None
    for window in policy.windows(STEPS):
        loss, state = policy.run(net.segment, window, state)
        assert loss.requires_grad
        assert state is None or not state[0].requires_grad


def test_state_given_at_the_start_is_used() -> None:
    given = (torch.ones(ROWS, HIDDEN, dtype=torch.float64),)
    policies = (FullBPTT(), TruncatedBPTT(4, 9), CheckpointedBPTT(3))
    losses = [policy.backward(Net().segment, STEPS, given)[0] for policy in policies]
    torch.testing.assert_close(losses[1:], [losses[0]] * 2)
    assert losses[0] != FullBPTT().backward(Net().segment, STEPS)[0]


def saved_floats(policy: GradientPolicy, steps: int) -> int:
    """How many floats the graph of one window holds on to before its backward pass."""
    net, sizes = Net(), {}
    net.x = torch.randn(ROWS, steps, HIDDEN, dtype=torch.float64)

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() != net.x.untyped_storage().data_ptr():
            sizes[storage.data_ptr()] = tensor.numel()
        keep.append(tensor)  # or its address could be used again
        return tensor

    keep: list[Tensor] = []
    (window,) = policy.windows(steps)
    segment = recording(net.segment, keep, sizes)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        policy.run(segment, window, None)
    return sum(sizes.values())


def recording(segment: Segment, keep: list[Tensor], sizes: dict[int, int]) -> Segment:
    """The same segment; states given to it count as saved, for a checkpoint holds its arguments."""

    def recorded(start: int, stop: int, state: State, with_loss: bool) -> tuple[Tensor, State]:
        if state is not None:
            keep.append(state[0])
            sizes[state[0].untyped_storage().data_ptr()] = state[0].numel()
        return segment(start, stop, state, with_loss)

    return recorded


def test_checkpointing_saves_every_plus_t_over_every() -> None:
    full, checkpointed = (
        [saved_floats(policy, steps) for steps in (100, 400)]
        for policy in (FullBPTT(), CheckpointedBPTT(10))
    )
    assert full[1] > 3.5 * full[0]
    assert checkpointed[1] < full[1] / 5
    per_state = ROWS * HIDDEN
    assert checkpointed[1] - checkpointed[0] <= (400 - 100) / 10 * per_state * 1.1


@pytest.mark.parametrize(
    "make",
    [
        lambda: TruncatedBPTT(0),
        lambda: TruncatedBPTT(5, 4),
        lambda: TruncatedBPTT(-1, 3),
        lambda: CheckpointedBPTT(0),
    ],
)
def test_impossible_policies_are_refused(make: Callable[[], GradientPolicy]) -> None:
    with pytest.raises(ConfigError, match="got"):
        make()


def test_detach_reaches_into_named_tuples() -> None:
    leaf = torch.ones(2, requires_grad=True) * 2
    window = detach((Window(leaf, 1, 2, 3), None))  # type: ignore[arg-type]
    assert not window[0].start.requires_grad
    assert isinstance(window[0], Window)
    assert window[1] is None
