"""Truncation: against the policy that training cuts by, and a closed form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman._errors import ConfigError
from elman.bptt import FullBPTT, State, TruncatedBPTT
from elman.cells import GRU, LSTM, Elman
from elman.inspection import truncation_bias
from elman.layers import Bidirectional, Dropout, Recurrent, Stack

X = torch.randn(4, 12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def gradient(layer: nn.Module, policy: Any, x: Tensor) -> Tensor:
    def segment(start: int, stop: int, state: State, with_loss: bool) -> tuple[Tensor, State]:
        output, state = layer(x[:, start:stop], state)
        return (output**3).sum(), state

    layer.zero_grad()
    policy.backward(segment, x.shape[1])
    return torch.cat([p.grad.flatten() for p in layer.parameters()])


@pytest.mark.parametrize("kind", ["lstm", "stack"])
def test_it_is_that_of_the_policy_that_trains(kind: str) -> None:
    layers = Recurrent(LSTM(3, 4)), Recurrent(GRU(4, 4))
    layer = (layers[0] if kind == "lstm" else Stack(*layers)).double()
    full = gradient(layer, FullBPTT(), X)
    found = truncation_bias(layer, X, lambda h: (h**3).sum(), k2=[1, 3, 4, 6, 12, 99])
    for i, k2 in enumerate(found.k2.tolist()):
        cut = gradient(layer, TruncatedBPTT(min(k2, 12)), X)
        assert float(found.bias[i]) == pytest.approx(
            float((cut - full).norm() / full.norm()), rel=1e-9, abs=1e-12
        )
        assert float(found.cosine[i]) == pytest.approx(
            float(cut @ full / cut.norm() / full.norm()), rel=1e-9
        )
        assert float(found.relative_norm[i]) == pytest.approx(float(cut.norm() / full.norm()))
    assert found.bias[-2:].tolist() == [0, 0]


def scalar(w: float, **options: Any) -> Recurrent:
    layer = Recurrent(Elman(1, 1, "identity", bias=False, dtype=torch.float64), **options)
    with torch.no_grad():
        layer.cell.weight_hh.fill_(w)
        layer.cell.weight_ih.fill_(1)
    layer.cell.weight_ih.requires_grad_(False)
    return layer


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scalar_network_with_rows_that_end_apart(reverse: bool) -> None:
    r"""h_T = sum_s w^(T-s) x_s with x = 1 at the first step: dh_T/dw = (T-1) w^(T-2).

    Each of the last k steps adds w^(T-2); those before are cut.
    """
    w, lengths = 0.9, torch.tensor([10, 4, 0])
    x = torch.zeros(3, 12, 1, dtype=torch.float64)
    for row, n in enumerate(lengths.tolist()[:2]):
        x[row, n - 1 if reverse else 0] = 1

    def loss(h: Tensor) -> Tensor:
        return h[:2, 0].sum() if reverse else h[0, 9].sum() + h[1, 3].sum()

    layer = scalar(w, reverse=reverse)
    found = truncation_bias(layer, x, loss, k2=[1, 2, 3, 5, 10], lengths=lengths)
    full = 9 * w**8 + 3 * w**2
    for k2, share in zip(found.k2.tolist(), found.relative_norm.tolist(), strict=True):
        assert share == pytest.approx((min(k2, 9) * w**8 + min(k2, 3) * w**2) / full)
    assert found.smallest(bias=1e-9) == 10
    assert found.smallest(bias=0.99) == 1
    assert found.smallest(bias=-1) is None


def test_the_smallest_counts_from_the_end() -> None:
    from elman.inspection import TruncationBias

    k2, bias = torch.tensor([1, 2, 4, 8]), torch.tensor([0.05, 0.3, 0.08, 0.0])
    assert TruncationBias(k2, bias, bias, bias).smallest(0.1) == 4


def test_both_directions_drop_ins_and_half_precision() -> None:
    for layer in (Bidirectional(Elman(3, 4), GRU(3, 4)), elman.GRU(3, 4, 2, batch_first=True)):
        found = truncation_bias(layer.double(), X, lambda h: h[:, -1].square().sum())
        assert found.k2.tolist() == [1, 2, 4, 8, 12]
        assert found.bias[-1] == 0
        assert found.bias[0] > 0
    low = truncation_bias(Recurrent(GRU(3, 4)).bfloat16(), X.bfloat16(), lambda h: h.sum())
    assert low.bias[-1] == 0
    assert low.bias.isfinite().all()


def test_a_task_and_several_batches(tmp_path: Any) -> None:
    from elman.tasks import LanguageData, LanguageModel, LanguageNet

    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat\na dog ran to a hen\n" * 30, encoding="utf-8")
    data = LanguageData.parse({"train": [text], "lanes": 3, "length": 40})
    task = LanguageModel.prepare(data, LanguageNet.parse({"hidden": 6}))
    task.network = task.build()
    found = truncation_bias(task, list(task.batches("train"))[:2], steps=16)
    assert found.k2.tolist() == [1, 2, 4, 8, 16]
    assert 0.5 < found.cosine[0] < 1
    assert found.bias[0] > found.bias[3] > found.bias[4] == 0


class Stepwise(nn.Module):
    """Calls its layer for a few steps at a time, the first of them on another sequence before."""

    def __init__(self, layer: nn.Module, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.layer, self.sizes = layer, sizes

    def forward(self, x: Tensor) -> Tensor:
        other, _ = self.layer(x.flip(1))
        state, outputs = None, [other]
        for piece in x.split(list(self.sizes), 1):
            output, state = self.layer(piece, state)
            outputs.append(output)
        return torch.cat(outputs, 1)


@pytest.mark.parametrize("sizes", [(1,) * 12, (5, 3, 4)])
def test_a_layer_that_is_called_again_goes_on(sizes: tuple[int, ...]) -> None:
    layer = Stack(Recurrent(LSTM(3, 4)), Recurrent(GRU(4, 4))).double()
    pieces = truncation_bias(Stepwise(layer, sizes), X, lambda h: (h**3).sum(), k2=[1, 3, 5, 12])
    whole = truncation_bias(Stepwise(layer, (12,)), X, lambda h: (h**3).sum(), k2=[1, 3, 5, 12])
    torch.testing.assert_close(pieces.bias, whole.bias)
    torch.testing.assert_close(pieces.cosine, whole.cosine)
    assert pieces.bias[2] > 0


def test_dropout_is_the_same_for_every_truncation() -> None:
    torch.manual_seed(0)
    layer = Stack(Recurrent(GRU(3, 4)), Dropout(Recurrent(GRU(4, 4)), 0.5)).double()
    found = truncation_bias(layer.train(), X, lambda h: h.square().sum(), k2=[11, 12])
    assert found.bias[0] < 0.1
    assert found.bias[1] == 0


def test_what_cannot_be_measured_is_said() -> None:
    layer = Recurrent(GRU(3, 4)).double()

    with pytest.raises(ConfigError, match="expected loss="):
        truncation_bias(layer, X)
    with pytest.raises(ConfigError, match="must be finite and not 0, got a norm of 0"):
        truncation_bias(layer, X, lambda h: (h * 0).sum())
    with pytest.raises(ConfigError, match="at least 1 step, got 0"):
        truncation_bias(layer, X, Tensor.sum, k2=[0, 3])
    layer.requires_grad_(False)
    with pytest.raises(ConfigError):
        truncation_bias(layer, X.requires_grad_(), Tensor.sum)
