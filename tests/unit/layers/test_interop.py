"""convert and to_torch: what changes, and all that must not."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

import elman

KINDS = ("RNN", "LSTM", "GRU")
EVERY_OPTION: dict[str, Any] = {
    "num_layers": 2,
    "bidirectional": True,
    "batch_first": True,
    "dropout": 0.25,
}
X = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(2))


class Tagger(nn.Module):
    """Nested parts, one layer under two names, and two layers that share a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.below = nn.Sequential(nn.Linear(3, 3), nn.ModuleDict({"lstm": nn.LSTM(3, 4)}))
        self.again = self.below[1]["lstm"]
        self.twin = nn.LSTM(3, 4)
        self.twin.weight_hh_l0 = self.again.weight_hh_l0
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        below = self.below[0](x)
        return self.head(torch.cat([self.again(below)[0], self.twin(below)[0]], -1))


def is_ours(module: nn.Module) -> bool:
    return type(module).__module__.startswith("elman.") or type(module).__base__ in {
        elman.RNN,
        elman.LSTM,
        elman.GRU,
    }


def close(got: Any, expected: Any) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, EVERY_OPTION, {"bias": False}], ids=str)
def test_there_and_back(kind: str, options: dict[str, Any]) -> None:
    theirs = getattr(nn, kind)(3, 5, **options).eval()
    text, expected, parameters = repr(theirs), theirs(X), dict(theirs.named_parameters())
    attributes = set(vars(theirs))
    ours = elman.convert(theirs)
    assert ours is theirs
    assert type(ours) is getattr(elman, kind)
    assert repr(ours) == f"elman.{text}"
    close(ours(X), expected)
    back: Any = elman.to_torch(ours)
    assert type(back) is getattr(nn, kind)
    assert repr(back) == text
    assert set(vars(back)) == attributes
    assert back._flat_weights[0] is back.weight_ih_l0
    close(back(X), expected)
    after = dict(back.named_parameters())
    assert list(after) == list(parameters)
    assert all(after[name] is parameter for name, parameter in parameters.items())


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_a_projection_and_an_activation_come_along() -> None:
    for theirs in (nn.LSTM(3, 5, proj_size=2), nn.RNN(3, 5, nonlinearity="relu")):
        expected = theirs(X)
        ours = elman.convert(theirs)
        close(ours(X), expected)
        close(elman.to_torch(ours)(X), expected)


def test_only_the_recurrent_layers_of_a_model_change() -> None:
    model = Tagger()
    expected, before = model(X), dict(model.named_modules())
    state = copy.deepcopy(model.state_dict())
    kinds = {name: type(module) for name, module in before.items()}
    assert elman.convert(model) is model
    after = dict(model.named_modules())
    assert all(after[name] is module for name, module in before.items())
    changed = {name for name in after if type(after[name]) is not kinds[name]}
    assert changed == {"below.1.lstm", "twin"}
    close(model(X), expected)
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_shared_layers_and_shared_parameters_stay_shared() -> None:
    model: Any = elman.convert(Tagger())
    assert model.again is model.below[1]["lstm"]
    assert is_ours(model.again)
    assert model.twin.weight_hh_l0 is model.again.weight_hh_l0
    model(X).sum().backward()
    expected = Tagger()
    expected.load_state_dict(model.state_dict())
    expected(X).sum().backward()
    close(model.again.weight_hh_l0.grad, expected.again.weight_hh_l0.grad)


def test_converting_twice_changes_nothing_more() -> None:
    model: Any = elman.convert(Tagger())
    layer = model.twin
    assert elman.convert(model).twin is layer  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_made_here_becomes_torchs(kind: str) -> None:
    for options in (EVERY_OPTION, {"bias": False}):
        ours = getattr(elman, kind)(3, 5, **options).eval()
        expected = ours(X)
        back: Any = elman.to_torch(ours)
        assert set(vars(back)) == set(vars(getattr(nn, kind)(3, 5, **options)))
        close(back(X), expected)
        close(copy.deepcopy(back)(X), expected)
    relu = elman.RNN(3, 5, nonlinearity="relu")
    expected = relu(X)
    close(elman.to_torch(relu)(X), expected)


def test_a_model_without_recurrence_is_left_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    parts = dict(model.named_modules())
    for translate in (elman.convert, elman.to_torch):
        assert translate(model) is model
        assert all(part is parts[name] for name, part in model.named_modules())


def test_an_optimizer_goes_on_with_the_same_parameters() -> None:
    def train(between: Any) -> Tensor:
        torch.manual_seed(0)
        model: Any = Tagger()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for step in range(4):
            model = between(model) if step == 2 else model
            optimizer.zero_grad()
            model(X).square().mean().backward()
            optimizer.step()
        return model(X)

    close(train(elman.convert), train(lambda model: model))


def test_flags_and_dtypes_stay() -> None:
    model: Any = nn.ModuleList([nn.GRU(3, 5), nn.GRU(3, 5, dtype=torch.float64)])
    model[0].eval()
    model[0].weight_hh_l0.requires_grad_(False)
    elman.convert(model)
    assert [layer.training for layer in model] == [False, True]
    assert not model[0].weight_hh_l0.requires_grad
    assert model[1](X.double())[0].dtype is torch.float64
    on_meta = elman.convert(nn.LSTM(3, 5, device="meta"))
    assert all(parameter.is_meta for parameter in on_meta.parameters())
    assert not any(p.is_meta for p in elman.convert(nn.LSTM(3, 5)).parameters())


def test_hooks_go_on_and_can_be_removed() -> None:
    layer, called = nn.LSTM(3, 5), []
    handles = [
        layer.register_forward_hook(lambda *_: called.append("forward")),
        layer.register_forward_pre_hook(lambda *_: called.append("before")),
        layer.register_full_backward_hook(lambda *_: called.append("backward")),
        layer.register_load_state_dict_pre_hook(lambda module, *_: called.append(type(module))),
        layer.register_state_dict_post_hook(lambda *_: called.append("state")),
    ]
    ours = elman.convert(layer)
    del layer
    ours(X.clone().requires_grad_())[0].sum().backward()
    ours.load_state_dict(ours.state_dict())
    assert called == ["before", "forward", "backward", "state", elman.LSTM]
    for handle in handles:
        handle.remove()
    ours(X)
    assert len(called) == 5


class Peculiar(nn.LSTM):
    """May compute anything."""


def test_a_subclass_is_left_alone_with_a_warning() -> None:
    model = nn.Sequential(Peculiar(3, 5))
    with pytest.warns(UserWarning, match="Peculiar is a subclass"):
        elman.convert(model)
    assert type(model[0]) is Peculiar
    parametrizations.weight_norm(model[0], "weight_hh_l0")
    with pytest.warns(UserWarning, match="Peculiar is a subclass"):
        elman.convert(model)
    assert isinstance(model[0], Peculiar)


def test_dropout_that_never_was_is_reported_and_dropped() -> None:
    with pytest.warns(UserWarning, match="dropout option adds dropout after all but last"):
        theirs = nn.GRU(3, 5, dropout=0.5)
    expected = theirs(X)
    with pytest.warns(UserWarning, match=r"GRU with num_layers=1 has dropout=0\.5"):
        ours: Any = elman.convert(theirs)
    assert ours.dropout == 0
    close(ours(X), expected)


@pytest.mark.unchecked
@pytest.mark.filterwarnings("ignore:dropout option adds dropout")
def test_warnings_point_at_the_line_that_converts() -> None:
    for layer in (Peculiar(3, 5), nn.GRU(3, 5, dropout=0.5)):
        with pytest.warns(UserWarning, match="is a subclass|has dropout") as caught:
            elman.convert(layer)
        assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    "activation", ["gelu", torch.tanh, nn.PReLU()], ids=["name", "f", "module"]
)
def test_torch_has_no_other_activations(activation: Any) -> None:
    model = nn.Sequential(elman.GRU(3, 5), elman.RNN(3, 5, nonlinearity=activation))
    with pytest.raises(elman.ConfigError, match="only tanh and relu, got nonlinearity="):
        elman.to_torch(model)
    assert type(model[0]) is elman.GRU


PARAMETRIZED = {
    "weight_norm": parametrizations.weight_norm,
    "orthogonal": parametrizations.orthogonal,
    "spectral_norm": parametrizations.spectral_norm,
}


@pytest.mark.parametrize("name", PARAMETRIZED)
def test_a_parametrized_layer_trains_on_and_comes_back(name: str) -> None:
    layer: Any = nn.RNN(3, 5, batch_first=True)
    PARAMETRIZED[name](layer, "weight_hh_l0")
    layer.eval()
    expected, state = layer(X), copy.deepcopy(layer.state_dict())
    parameters = {id(parameter) for parameter in layer.parameters()}
    ours: Any = elman.convert(layer)
    assert is_ours(ours)
    close(ours(X), expected)
    assert list(ours.state_dict()) == list(state)
    assert {id(parameter) for parameter in ours.parameters()} == parameters
    close(copy.deepcopy(ours)(X), expected)
    ours.train()
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        ours(X)[0].square().sum().backward()
        optimizer.step()
    ours.eval()
    trained = ours(X)
    assert (trained[0] - expected[0]).abs().max() > 0.01
    back = elman.to_torch(ours)
    assert isinstance(back, nn.RNN)
    close(back(X), trained)
    back.load_state_dict(state)
    close(back(X), expected)
    parametrize.remove_parametrizations(back, "weight_hh_l0")
    assert type(back) is nn.RNN
    close(back(X), expected)


def test_weights_that_a_hook_computes_come_along() -> None:
    theirs = nn.LSTM(3, 5)
    prune.l1_unstructured(theirs, "weight_hh_l0", amount=0.5)
    expected = theirs(X)
    ours: Any = elman.convert(theirs)
    assert torch.equal(ours.all_weights[0][1], theirs.all_weights[0][1])
    close(ours(X), expected)
    nn.init.constant_(ours.weight_hh_l0_orig, 0.5)
    changed = ours(X)
    assert not torch.allclose(changed[0], expected[0])
    assert (ours.weight_hh_l0 == 0).sum() == 50
    close(elman.to_torch(ours)(X), changed)


def test_a_converted_model_saves_and_loads_as_the_original() -> None:
    original, converted = Tagger(), elman.convert(Tagger())
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    file.seek(0)
    converted.load_state_dict(torch.load(file, weights_only=True))
    close(converted(X), original(X))
