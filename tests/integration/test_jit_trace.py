"""torch.jit.trace, and the ONNX export that begins with it: the native engine steps aside."""

from __future__ import annotations

import io
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
import sampling
from elman.cells import by_name
from elman.engine.cross_entropy import chosen

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),  # that sizes become constants
]


class Tagger(nn.Module):
    """A recurrent network of torch's own layers."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.rnn = kind(3, 5, 2, batch_first=True, bidirectional=True)
        self.out = nn.Linear(10, 2)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.out(self.rnn(x)[0])
        return output


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_converted_model(kind: Any) -> None:
    model = Tagger(kind)
    x, other = torch.randn(2, 4, 3), torch.randn(7, 4, 3)
    expected = model(other)
    converted = elman.convert(model)
    traced = torch.jit.trace(converted, (x,))
    torch.testing.assert_close(traced(other), expected)
    assert elman.explain(converted, x).engines == {"native"}


@pytest.mark.parametrize("cell", sampling.cells())
def test_every_cell(cell: str) -> None:
    layer, x = elman.Recurrent(by_name(cell)(3, 5)), torch.randn(2, 4, 3)
    traced = torch.jit.trace(layer, (x,))
    torch.testing.assert_close(traced(x)[0], layer(x)[0])


def test_explain_says_so_and_an_engine_asked_for_raises_it() -> None:
    layer = elman.Recurrent(elman.cells.GRU(3, 5)).requires_grad_(False)
    x, reports = torch.randn(2, 4, 3), list[str]()

    def explained(x: Tensor) -> Tensor:
        reports.append(str(elman.explain(layer, x)))
        output: Tensor = layer(x)[0]
        return output

    torch.jit.trace(explained, (x,), check_trace=False)
    assert "GRU(3, 5) runs on reference" in reports[0]
    assert "not native: torch.jit.trace, with which torch.onnx.export(dynamo=False)" in reports[0]
    native = elman.Recurrent(elman.cells.GRU(3, 5), engine="native")
    with pytest.raises(elman.EngineError, match="records the operations of torch alone"):
        torch.jit.trace(native, (x,))


def test_the_cross_entropy() -> None:
    engines: list[str] = []

    def loss(h: Tensor) -> Tensor:
        engines.append(chosen(h, torch.ones(4, 3), None))
        return h

    torch.jit.trace(loss, (torch.ones(2, 3),), check_trace=False)
    assert engines[0].startswith("reference: torch.jit.trace")


def test_an_onnx_export() -> None:
    pytest.importorskip("onnx")
    converted, file = elman.convert(Tagger(nn.GRU)), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter is deprecated, and says what it freezes
        torch.onnx.export(converted, (torch.randn(2, 4, 3),), file, dynamo=False)
    assert len(file.getvalue()) > 1000
