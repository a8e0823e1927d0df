"""Embeddings, learned and one-hot, and the layer that scores tokens."""

from __future__ import annotations

import copy

import pytest
import torch

from elman import ConfigError
from elman.nn import Embedding, OneHot, OutputLayer


@pytest.mark.parametrize("shape", [(), (7,), (3, 5)])
def test_one_hot_is_an_identity_embedding(shape: tuple[int, ...]) -> None:
    embedding, one_hot = Embedding(6, 6), OneHot(6)
    torch.nn.init.eye_(embedding.weight)
    indices = torch.randint(0, 6, shape)
    assert torch.equal(one_hot(indices), embedding(indices))
    assert one_hot.output_size == embedding.output_size == 6


def test_one_hot_follows_the_dtype_and_has_no_state() -> None:
    one_hot = OneHot(3)
    assert not one_hot.state_dict()
    assert not list(one_hot.parameters())
    assert one_hot.double()(torch.tensor([1])).dtype == torch.float64
    assert OneHot(3, dtype=torch.bfloat16)(torch.tensor([1])).dtype == torch.bfloat16
    assert str(one_hot) == "OneHot(3)"


def test_one_hot_runs_under_vmap_and_refuses_a_token_too_many() -> None:
    one_hot, indices = OneHot(3), torch.tensor([[0, 2], [1, 1]])
    assert torch.equal(torch.func.vmap(one_hot)(indices), one_hot(indices))
    with pytest.raises((RuntimeError, IndexError)):
        one_hot(torch.tensor([3]))


def test_scores_are_a_matrix_product_and_a_bias() -> None:
    output = OutputLayer(4, 9)
    hidden = torch.randn(2, 3, 4)
    assert torch.allclose(output(hidden), hidden @ output.weight.T + output.bias)
    assert output.output_size == 9
    assert OutputLayer(4, 9, bias=False).bias is None


def test_tied_weights_are_one_parameter() -> None:
    embedding = Embedding(9, 4)
    model = torch.nn.Sequential(embedding, OutputLayer(4, 9, tie=embedding))
    assert sum(p.numel() for p in model.parameters()) == 9 * 4 + 9
    indices = torch.tensor([1, 2])
    model(indices).sum().backward()
    through_both = embedding.weight.grad
    assert through_both is not None
    expected = model[0](indices).sum(0).expand(9, 4).clone()
    expected.index_add_(0, indices, embedding.weight.sum(0).expand(2, 4))
    assert torch.allclose(through_both, expected)
    other = copy.deepcopy(model)
    assert other[0].weight is other[1].weight
    assert other[0].weight is not embedding.weight


def test_sizes_that_cannot_be_tied() -> None:
    with pytest.raises(ConfigError, match="of 9 tokens x 8, got 9 x 4: make the embedding as long"):
        OutputLayer(8, 9, tie=Embedding(9, 4))
    with pytest.raises(ConfigError, match="of 10 tokens x 4, got 9 x 4"):
        OutputLayer(4, 10, tie=Embedding(9, 4))


@pytest.mark.parametrize("make", [OneHot, lambda v: Embedding(v, 2), lambda v: OutputLayer(2, v)])
def test_sizes_are_positive(make: type) -> None:
    with pytest.raises(ConfigError, match="vocabulary_size must be at least 1, got 0"):
        make(0)
