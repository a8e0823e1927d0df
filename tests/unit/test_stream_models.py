"""What a stream takes beside layers: a trained network with an embedding and an output layer."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import elman
from elman import Stream
from elman.tasks import LanguageNet
from elman.tasks._language_net import LanguageNetwork
from elman.training import config_class, train

V = 11
TOKENS = torch.randint(V, (3, 7), generator=torch.Generator().manual_seed(0))
NETS: tuple[dict[str, Any], ...] = (
    {},
    {"cell": "gru", "layers": 2, "dropout": 0.3},
    {"cell": "elman", "input": "one-hot"},
    {"tied": True, "embedding": 6},
)


def network(**values: Any) -> LanguageNetwork:
    return LanguageNetwork(LanguageNet.parse({"hidden": 6, **values}), V).double()


def run(stream: Stream, tokens: Tensor) -> Tensor:
    return torch.stack([stream(token) for token in tokens.unbind(1)], 1)


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("values", NETS)
def test_a_language_model_gives_what_the_sequence_gives(
    values: dict[str, Any], engine: str
) -> None:
    net = network(**values)
    stream = Stream(net, rows=3, engine=engine)
    assert stream.engine == engine
    whole = net.eval()(TOKENS)[0]
    assert whole.shape == (3, 7, V)
    torch.testing.assert_close(run(stream, TOKENS), whole)
    stream.reset(torch.tensor([False, True, False]))
    torch.testing.assert_close(stream(TOKENS[:, 0])[1], whole[1, 0])


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_both_ways_to_step_a_language_model_are_one(engine: str) -> None:
    net = network()
    stream, other = (Stream(net, rows=3, engine=engine) for _ in range(2))
    assert stream.input.dtype == torch.int64
    for token in TOKENS.unbind(1):
        stream.input.copy_(token)
        stream.step()
        torch.testing.assert_close(stream.output, other(token))


@pytest.mark.parametrize("take", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_a_copy_goes_on(take: Callable[[Stream], Stream]) -> None:
    stream = Stream(network(), rows=3)
    stream(TOKENS[:, 0])
    other = take(stream)
    torch.testing.assert_close(other(TOKENS[:, 1]), stream(TOKENS[:, 1]))


def test_a_trained_model_from_its_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("the cat sat on the mat .\n" * 60, encoding="utf-8")
    model, budget = {"hidden": 8}, {"epochs": 1}
    config = config_class("language").parse(
        {"data": {"train": ["book.txt"]}, "model": model, "train": budget}
    )
    task = elman.load(train(config).run.path)
    stream = Stream(task.network)
    tokens = torch.tensor([[task.vocabulary.index(w) for w in ("the", "cat", "sat")]])
    torch.testing.assert_close(run(stream, tokens), task.network(tokens)[0])
    assert stream.engine == "native"
    with pytest.raises(TypeError, match=r"got Language\w*: a trained task's network is its"):
        Stream(task)


class Scaling(nn.Module):
    """Has the same parts, and does something else with them."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.output = nn.Embedding(V, 4), nn.Linear(5, V)
        self.recurrent = elman.Recurrent(elman.cells.GRU(4, 5))

    def initial_state(self, rows: int) -> Any:
        return self.recurrent.initial_state(rows)

    def step(self, token: Tensor, state: Any) -> tuple[Tensor, Any]:
        hidden, state = self.recurrent.step(self.embedding(token), state)
        return 2 * self.output(hidden), state


def test_parts_that_are_put_together_otherwise_step_as_the_model_does() -> None:
    model = Scaling()
    stream, state = Stream(model, rows=3), model.initial_state(3)
    assert "the step of Scaling is not its embedding, recurrent and output in turn" in str(
        stream.why_not_native
    )
    for token in TOKENS.unbind(1):
        expected, state = model.step(token, state)
        torch.testing.assert_close(stream(token), expected)


LAYERS: dict[str, Callable[[], Any]] = {
    "Recurrent": lambda: elman.Recurrent(elman.cells.GRU(3, 5)),
    "Stack": lambda: elman.Stack(elman.Recurrent(elman.cells.GRU(3, 5))),
    "LSTM": lambda: elman.LSTM(3, 5),
    "LSTMCell": lambda: elman.LSTMCell(3, 5),
    "a step": lambda: elman.Recurrent(elman.cells.GRU(3, 5)).step,
    "a step of a drop-in": lambda: elman.LSTM(3, 5).step,
    "a native stream": lambda: Stream(elman.LSTM(3, 5), 2, engine="native"),
    "another stream": lambda: Stream(elman.LSTM(3, 5), 2, engine="reference"),
    "a language model's stream": lambda: Stream(network(), 2),
}


@pytest.mark.unchecked
@pytest.mark.parametrize("name", LAYERS)
def test_what_is_no_tensor_is_named(name: str) -> None:
    layer = LAYERS[name]()
    array = np.zeros((2, 3), np.float32)
    with pytest.raises(TypeError, match=r"got numpy.ndarray: convert it by torch.from_numpy"):
        layer(array)
    with pytest.raises(TypeError, match=r"as a torch.Tensor, got list: convert it by torch.tensor"):
        layer(array.tolist())


@pytest.mark.unchecked
def test_a_state_that_is_no_tensor_is_named() -> None:
    x, state = torch.zeros(2, 1, 3), np.zeros((1, 1, 5), np.float32)
    with pytest.raises(TypeError, match=r"expected hx as a torch.Tensor, got numpy.ndarray"):
        elman.GRU(3, 5)(x, state)
    with pytest.raises(TypeError, match=r"expected state h of GRU as a torch.Tensor, got numpy"):
        elman.Recurrent(elman.cells.GRU(3, 5))(x, (state[0],))
