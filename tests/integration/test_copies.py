"""Layers and states that are copied, pickled and saved; cells that a function defines too."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

import elman
from elman.cells import LSTM, PointwiseCell
from integration.layers_under_test import LAYERS, LENGTHS, results, sequences

each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())


def local_layer() -> Any:
    """A layer of a cell that no module has by name."""

    class Local(PointwiseCell):
        gates, states = ("z", "keep"), ("h", "memory")

        def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
            memory = torch.sigmoid(inp.keep + rec.keep) * state.memory + inp.z
            return self.State(h=torch.tanh(memory + rec.z), memory=memory)

    return elman.Recurrent(Local(2, 3, dtype=torch.float64))


@each_layer
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_a_copy_computes_the_same_and_shares_nothing(make: Any, how: str) -> None:
    layer, x = make(), sequences()
    copied = copy.deepcopy(layer) if how == "deepcopy" else pickle.loads(pickle.dumps(layer))
    expected = results(layer(x, lengths=LENGTHS))
    torch.testing.assert_close(results(copied(x, lengths=LENGTHS)), expected, rtol=0, atol=0)
    for parameter in copied.parameters():
        nn.init.constant_(parameter, 0.5)
    assert not torch.equal(results(copied(x, lengths=LENGTHS))[0], expected[0])
    torch.testing.assert_close(results(layer(x, lengths=LENGTHS)), expected, rtol=0, atol=0)


@each_layer
def test_a_state_dict_is_read_without_pickle(make: Any) -> None:
    layer, other, file = make(), make(), io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    other.load_state_dict(torch.load(file, weights_only=True))
    x = sequences()
    torch.testing.assert_close(results(other(x)), results(layer(x)), rtol=0, atol=0)


@pytest.mark.parametrize("layer", [elman.Recurrent(LSTM(2, 3, dtype=torch.float64)), local_layer()])
def test_a_state_pickles_and_copies_as_what_it_is(layer: Any) -> None:
    state = layer(sequences())[1]
    detached = pytree.tree_map(torch.detach, state)
    for copied in (pickle.loads(pickle.dumps(detached)), copy.deepcopy(detached), detached):
        assert type(copied) is type(state)
        assert torch.equal(copied.h, state.h)
        x = sequences()
        torch.testing.assert_close(results(layer(x, copied)), results(layer(x, state)))


def test_a_local_cell_is_copied_by_deepcopy() -> None:
    layer, x = local_layer(), sequences()
    torch.testing.assert_close(results(copy.deepcopy(layer)(x)), results(layer(x)))
