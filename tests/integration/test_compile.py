"""torch.compile with one graph, and torch.export, of models that hold our layers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo import config as dynamo

import elman
from elman.nn import LinearCrossEntropy
from integration.layers_under_test import LAYERS, LENGTHS, RESET, results, sequences

pytestmark = [
    pytest.mark.compile,
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated"),
    # torch.compile itself does this with every autograd.Function that it meets.
    pytest.mark.filterwarnings("ignore:.*Function.*should not be instantiated"),
]
MASKS = {"lengths": LENGTHS, "reset": RESET}
each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
each_cell = pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
Make = Callable[[], nn.Module]


class Model(nn.Module):
    """A layer between others."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.below, self.layer = nn.Linear(2, 2, dtype=torch.float64), layer

    def forward(self, x: Tensor, **masks: Tensor) -> tuple[Tensor, ...]:
        return results(self.layer(self.below(x), **masks))


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """A graph made anew within a test is an error."""
    with dynamo.patch(error_on_recompile=True):
        yield


def gradients(model: nn.Module, returned: tuple[Tensor, ...]) -> list[Tensor | None]:
    loss = torch.stack([result.sin().sum() for result in returned]).sum()
    return list(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))


def one_graph(model: nn.Module) -> Any:
    return torch.compile(model, fullgraph=True, backend="aot_eager")


@each_layer
@pytest.mark.parametrize(
    ("training", "masks"), [(True, MASKS), (False, {})], ids=["train, masked", "eval"]
)
def test_one_graph_computes_the_same(make: Make, training: bool, masks: dict[str, Tensor]) -> None:
    model = Model(make()).train(training)
    compiled, x = one_graph(model), sequences()
    expected, got = model(x, **masks), compiled(x, **masks)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(gradients(model, got), gradients(model, expected))
    with torch.no_grad():
        model.below.weight.zero_()
    changed = model(x, **masks)
    assert not torch.allclose(changed[0], got[0])
    torch.testing.assert_close(compiled(x, **masks), changed)


def test_other_lengths_need_no_other_graph() -> None:
    layer = elman.LSTM(2, 3, batch_first=True, dtype=torch.float64)
    compiled, x = one_graph(layer), sequences()
    for lengths in (LENGTHS, LENGTHS.flip(0), torch.tensor([1, 1, 1])):
        torch.testing.assert_close(compiled(x, lengths=lengths), layer(x, lengths=lengths))


@each_cell
def test_one_graph_of_a_step(kind: str) -> None:
    cell, x = getattr(elman, kind)(2, 3), torch.randn(4, 2)
    compiled = one_graph(cell)
    torch.testing.assert_close(results(compiled(x)), results(cell(x)))
    streaming = elman.Recurrent(elman.cells.GRU(2, 3))
    step = torch.compile(streaming.step, fullgraph=True, backend="aot_eager")
    state = streaming.initial_state(4)
    torch.testing.assert_close(results(step(x, state)), results(streaming.step(x, state)))


def test_one_graph_with_a_state_and_an_observer() -> None:
    layer = LAYERS["Recurrent"]()
    x, state = sequences(), layer.get_submodule("cell").initial_state(3)  # type: ignore[operator]
    expected = layer(x, state, observe=True)
    got = one_graph(layer)(x, state, observe=True)
    assert type(got[1]) is type(expected[1])
    assert sorted(got[2]) == ["h", "leak", "slow"]
    torch.testing.assert_close(got, expected)


def test_one_graph_under_autocast() -> None:
    layer, x = elman.LSTM(2, 3, batch_first=True), sequences().bfloat16()
    compiled = one_graph(layer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = compiled(x)[0]
    assert output.dtype is torch.float32
    torch.testing.assert_close(output, layer(x.float())[0])


@each_layer
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "lax"])
def test_an_exported_program_runs(make: Make, strict: bool) -> None:
    model, x = Model(make()).eval(), sequences()
    program = torch.export.export(model, (x,), MASKS, strict=strict).module()
    other, masks = sequences(), {"lengths": LENGTHS.flip(0), "reset": RESET.flip(1)}
    torch.testing.assert_close(program(other, **masks), model(other, **masks))


@each_cell
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "lax"])
def test_an_exported_step_runs(kind: str, strict: bool) -> None:
    cell, x = getattr(elman, kind)(2, 3), torch.randn(4, 2)
    program = torch.export.export(cell, (x,), strict=strict).module()
    other = torch.randn(4, 2)
    torch.testing.assert_close(results(program(other)), results(cell(other)))


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_an_exported_program_takes_any_batch_and_goes_through_a_file(kind: str) -> None:
    layer = getattr(elman, kind)(2, 3, bidirectional=True, batch_first=True)
    rows, file = {0: torch.export.Dim("rows", min=1)}, io.BytesIO()
    exported = torch.export.export(
        layer,
        (torch.randn(3, 3, 2),),
        {"lengths": LENGTHS},
        dynamic_shapes={"input": rows, "lengths": rows},
    )
    torch.export.save(exported, file)
    file.seek(0)
    program = torch.export.load(file).module()
    for batch in (1, 2, 5):
        x, lengths = torch.randn(batch, 3, 2), torch.randint(0, 4, (batch,))
        torch.testing.assert_close(program(x, lengths=lengths), layer(x, lengths=lengths))


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_the_fused_loss_compiles_whole(reduction: str) -> None:
    layer = LinearCrossEntropy(8, 100, reduction=reduction, label_smoothing=0.1)
    compiled = one_graph(layer)
    h, target = torch.randn(6, 8, requires_grad=True), torch.randint(0, 100, (6,))
    inputs = (h, layer.weight, layer.bias)
    got, expected = (f(h, target) for f in (compiled, layer))
    torch.testing.assert_close(got, expected)
    gradients = [torch.autograd.grad(loss.sum() * 3, inputs) for loss in (got, expected)]
    torch.testing.assert_close(*gradients)
    torch._dynamo.reset()
    with torch.no_grad():
        torch.testing.assert_close(compiled(h, target), expected.detach())
