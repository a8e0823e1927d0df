from __future__ import annotations

import pytest
import torch
from torch import nn

import sampling
from elman.nn import Embedding
from elman.tasks import LanguageNet
from elman.tasks._language_net import LanguageNetwork

V = 11
TOKENS = torch.randint(V, (3, 7), generator=torch.Generator().manual_seed(0))


def network(**values: object) -> LanguageNetwork:
    return LanguageNetwork(LanguageNet.parse({"hidden": 6, **values}), V)


@pytest.mark.parametrize("cell", sampling.cells())
@pytest.mark.parametrize("layers", [1, 2])
def test_streaming_equals_the_whole(cell: str, layers: int) -> None:
    model = network(cell=cell, layers=layers).double().eval()
    whole, final = model(TOKENS)
    state, scores = None, []
    for t in range(TOKENS.shape[1]):
        one, state = model.step(TOKENS[:, t], state)
        scores.append(one)
    assert whole.shape == (3, 7, V)
    torch.testing.assert_close(torch.stack(scores, 1), whole)
    torch.testing.assert_close(state, final)


def test_chunks_equal_the_whole() -> None:
    model = network(layers=2)
    whole, _ = model(TOKENS)
    first, state = model(TOKENS[:, :4])
    second, _ = model(TOKENS[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)


def test_one_hot_equals_an_identity_embedding() -> None:
    one_hot, embedded = network(input="one-hot"), network(embedding=V)
    embedded.load_state_dict({"embedding.weight": torch.eye(V), **one_hot.state_dict()})
    torch.testing.assert_close(one_hot(TOKENS)[0], embedded(TOKENS)[0])


def test_sizes() -> None:
    model = network(layers=3, embedding=4)
    assert model.embedding.output_size == 4
    assert [layer.input_size for layer in model.recurrent.layers] == [4, 6, 6]


def test_tied_weights_are_one_parameter() -> None:
    model = network(tied=True)
    assert isinstance(model.embedding, Embedding)
    assert model.output.weight is model.embedding.weight
    model(TOKENS)[0].sum().backward()
    untied = sum(p.numel() for p in network().parameters())
    assert untied - sum(p.numel() for p in model.parameters()) == V * 6


def test_dropout_is_on_the_embedding_between_and_after_the_layers() -> None:
    """With nearly all dropped, hardly anything passes; in evaluation nothing is dropped."""
    model = network(layers=2, dropout=0.5)
    assert not torch.equal(model(TOKENS)[0], model(TOKENS)[0])
    hidden, _ = model.hidden(TOKENS.T)
    dropped = float((hidden == 0).float().mean())
    assert 0.35 < dropped < 0.65
    model.eval()
    assert torch.equal(model(TOKENS)[0], model(TOKENS)[0])


def test_init_range_covers_all_weights() -> None:
    weights = torch.cat([p.flatten() for p in network(init_range=0.02).parameters()])
    assert float(weights.detach().abs().max()) <= 0.02
    assert float(weights.detach().std()) == pytest.approx(0.02 / 3**0.5, rel=0.1)


def test_init_schemes_reach_the_cells() -> None:
    model = network(init="identity", cell="elman", activation="relu", layers=2)
    for layer in model.recurrent.layers:
        assert torch.equal(layer.cell.weight_hh, torch.eye(6))
    bias = network(init="forget_bias").recurrent.layers[0].cell.bias_ih
    assert torch.equal(bias[6:12], torch.ones(6))


def test_by_default_first_predictions_are_nearly_uniform() -> None:
    scores, _ = network(tied=True)(TOKENS)
    loss = nn.functional.cross_entropy(scores.flatten(0, 1), TOKENS.flatten())
    assert loss.item() == pytest.approx(torch.tensor(float(V)).log().item(), rel=0.02)


def test_activation_is_the_cells() -> None:
    hidden, _ = network(cell="elman", activation="relu", init_range=0.9).hidden(TOKENS.T)
    assert float(hidden.detach().min()) == 0
