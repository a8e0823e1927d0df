"""The choice of an engine: by the layer, by the block, or by what can run."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman import use_engine
from elman.engine import Recurrence, _reference, _select
from plans import absent_engine, engine_of

X = torch.randn(2, 4, 3)


def _doubled(r: Recurrence) -> Any:
    output, final = r.scan()
    return output * 2, final


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the reference, one whose output tells that it ran, and one that never can."""
    double = engine_of(_doubled)
    absent = absent_engine("it is not built")
    known = {"reference": _reference, "double": double, "absent": absent}
    monkeypatch.setattr(_select, "_ENGINES", known)


@pytest.fixture
def layer() -> elman.Recurrent:
    return elman.Recurrent(elman.cells.GRU(3, 5))


@pytest.fixture
def plain(layer: elman.Recurrent) -> Tensor:
    """What the reference gives."""
    output: Tensor = layer(X)[0]
    return output.detach()


def test_a_block_holds_for_every_layer_inside(layer: elman.Recurrent, plain: Tensor) -> None:
    drop_in = elman.GRU(3, 5, num_layers=2, batch_first=True)
    alone = drop_in(X)[0]
    with use_engine("double"):
        assert torch.equal(layer(X)[0], 2 * plain)
        assert not torch.allclose(drop_in(X)[0], alone)
    assert torch.equal(layer(X)[0], plain)
    assert torch.equal(drop_in(X)[0], alone)


def test_a_layer_that_names_one_keeps_it(plain: Tensor, layer: elman.Recurrent) -> None:
    named = elman.Recurrent(layer.cell, engine="reference")
    with use_engine("double"):
        assert torch.equal(named(X)[0], plain)


def test_blocks_nest_and_end_with_an_error(layer: elman.Recurrent, plain: Tensor) -> None:
    with use_engine("double"):
        with use_engine("reference"):
            assert torch.equal(layer(X)[0], plain)
        with pytest.raises(KeyError), use_engine("reference"):
            raise KeyError
        assert torch.equal(layer(X)[0], 2 * plain)
        with use_engine("auto"):
            assert torch.equal(layer(X)[0], plain)
    assert torch.equal(layer(X)[0], plain)


def test_a_block_is_one_thread_s(layer: elman.Recurrent, plain: Tensor) -> None:
    elsewhere: list[Tensor] = []
    with use_engine("double"):
        thread = threading.Thread(target=lambda: elsewhere.append(layer(X)[0].detach()))
        thread.start()
        thread.join()
    assert torch.equal(elsewhere[0], plain)


def test_a_function_can_be_decorated(layer: elman.Recurrent, plain: Tensor) -> None:
    @use_engine("double")
    def run() -> Any:
        return layer(X)[0]

    assert torch.equal(run(), 2 * plain)
    assert torch.equal(run(), 2 * plain)
    assert torch.equal(layer(X)[0], plain)


def test_an_unknown_name_is_an_error() -> None:
    with (
        pytest.raises(elman.ConfigError, match="did you mean 'reference'"),
        use_engine("referense"),
    ):
        pass
    assert _select._context.engine == "auto"


def test_what_the_block_asks_for_runs_or_raises(layer: elman.Recurrent) -> None:
    message = "'absent' cannot run this layer: it is not built"
    with pytest.raises(elman.EngineError, match=message), use_engine("absent"):
        layer(X)


def test_auto_takes_the_first_that_can(
    layer: elman.Recurrent, plain: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = _select._ENGINES
    for first in ("absent", "double"):
        order = {first: known[first]} | known
        monkeypatch.setattr(_select, "_ENGINES", order)
        expected = plain if first == "absent" else 2 * plain
        assert torch.equal(layer(X)[0], expected)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """This thread has never asked for an engine."""
    monkeypatch.setattr(_select, "_context", _select._Context())


@pytest.mark.compile
@pytest.mark.usefixtures("fresh")
def test_a_block_around_a_compiled_layer(layer: elman.Recurrent, plain: Tensor) -> None:
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    for _ in range(2):
        assert torch.allclose(compiled(X)[0], plain)
        with use_engine("double"):
            assert torch.allclose(compiled(X)[0], 2 * plain)


@pytest.mark.compile
@pytest.mark.usefixtures("fresh")
def test_a_block_inside_what_is_compiled(layer: elman.Recurrent, plain: Tensor) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            with use_engine("double"):
                inside = self.layer(x)[0]
            return inside, self.layer(x)[0]

    inside, outside = torch.compile(Model(), fullgraph=True, backend="eager")(X)
    assert torch.allclose(inside, 2 * plain)
    assert torch.allclose(outside, plain)
