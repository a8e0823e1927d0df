"""from_keras beside Keras's equations, stated here in NumPy, so that Keras need not be installed.

The page docs/migrate.md compares with Keras itself where it is.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import elman

BATCH, STEPS, INPUTS, UNITS = 2, 6, 3, 5


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


class KerasLayer:
    """What from_keras reads of a layer: its settings and weights by Keras's names and layouts."""

    gates = 1
    defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, seed: int = 0, built: bool = True, **settings: Any) -> None:
        rng = np.random.default_rng(seed)
        self.settings = {"activation": "tanh", "go_backwards": False, "stateful": False}
        self.settings |= {"use_bias": True, "units": UNITS, **self.defaults, **settings}
        self.name, self.units = type(self).__name__.lower(), self.settings["units"]
        self.use_bias, self.activation = self.settings["use_bias"], self.settings["activation"]
        width = self.gates * self.units
        bias = (2, width) if self.settings.get("reset_after") else (width,)
        shapes = [(INPUTS, width), (self.units, width), *([bias] if self.use_bias else [])]
        self.arrays = [rng.normal(size=shape) for shape in shapes] if built else []

    def get_config(self) -> dict[str, Any]:
        return dict(self.settings)

    def get_weights(self) -> list[Any]:
        return self.arrays

    def __call__(self, x: Any) -> tuple[Any, list[Any]]:
        """All outputs in the order of time, and the final states."""
        kernel, recurrent, *bias = self.arrays
        states = [np.zeros((len(x), self.units)) for _ in range(1 + isinstance(self, LSTM))]
        backwards, outputs = self.settings["go_backwards"], []
        for x_t in x.swapaxes(0, 1)[:: -1 if backwards else 1]:
            states = self.step(x_t @ kernel, states, recurrent, bias[0] if bias else None)
            outputs.append(states[0])
        return np.stack(outputs[:: -1 if backwards else 1], 1), states

    def step(self, inp: Any, states: list[Any], recurrent: Any, bias: Any) -> list[Any]:
        raise NotImplementedError


class SimpleRNN(KerasLayer):
    def step(self, inp: Any, states: list[Any], recurrent: Any, bias: Any) -> list[Any]:
        z = inp + states[0] @ recurrent + (0 if bias is None else bias)
        relu = np.maximum(z, 0)
        f = {"tanh": np.tanh(z), "relu": relu, "linear": z, "sigmoid": sigmoid(z)}
        return [f[self.activation]]


class LSTM(KerasLayer):
    gates = 4
    defaults: ClassVar = {"recurrent_activation": "sigmoid"}

    def step(self, inp: Any, states: list[Any], recurrent: Any, bias: Any) -> list[Any]:
        h, c = states
        z = inp + h @ recurrent + (0 if bias is None else bias)
        i, f, g, o = np.split(z, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return [sigmoid(o) * np.tanh(c), c]


class GRU(KerasLayer):
    gates = 3
    defaults: ClassVar = {"recurrent_activation": "sigmoid", "reset_after": True}

    def step(self, inp: Any, states: list[Any], recurrent: Any, bias: Any) -> list[Any]:
        (h,) = states
        of_input, of_state = (0, 0) if bias is None else bias
        x_z, x_r, x_h = np.split(inp + of_input, 3, -1)
        h_z, h_r, h_h = np.split(h @ recurrent + of_state, 3, -1)
        z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
        return [z * h + (1 - z) * np.tanh(x_h + r * h_h)]


class Bidirectional:
    def __init__(self, forward: Any, backward: Any, merge_mode: str | None = "concat") -> None:
        self.forward_layer, self.backward_layer = forward, backward
        self.merge_mode = merge_mode

    def get_config(self) -> dict[str, Any]:
        return {}

    def get_weights(self) -> list[Any]:
        return [*self.forward_layer.get_weights(), *self.backward_layer.get_weights()]


def states_of(state: Any) -> list[Any]:
    return list(state) if isinstance(state, tuple) else [state]


def sequences() -> Any:
    return np.random.default_rng(1).normal(size=(BATCH, STEPS, INPUTS))


CASES = [
    (SimpleRNN, {}),
    (SimpleRNN, {"activation": "relu"}),
    (SimpleRNN, {"activation": "linear", "use_bias": False}),
    (SimpleRNN, {"activation": "sigmoid"}),
    (LSTM, {}),
    (LSTM, {"use_bias": False}),
    (GRU, {}),
    (GRU, {"use_bias": False}),
]


@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_a_layer_computes_the_same(kind: Any, settings: dict[str, Any]) -> None:
    theirs, x = kind(**settings), sequences()
    ours: Any = elman.from_keras(theirs)
    assert type(ours).__module__.startswith("elman.")
    assert ours.bias is theirs.use_bias
    output, state = ours(torch.tensor(x))
    expected, finals = theirs(x)
    torch.testing.assert_close(output, torch.tensor(expected))
    for got, final in zip(states_of(state), finals, strict=True):
        torch.testing.assert_close(got[0], torch.tensor(final))


@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_both_directions_compute_the_same(kind: Any, settings: dict[str, Any]) -> None:
    ahead, back = kind(**settings), kind(seed=1, go_backwards=True, **settings)
    ours: Any = elman.from_keras(Bidirectional(ahead, back))
    x = sequences()
    output, state = ours(torch.tensor(x))
    sides = [ahead(x), back(x)]
    expected = np.concatenate([side for side, _ in sides], -1)
    torch.testing.assert_close(output, torch.tensor(expected))
    finals = zip(*[final for _, final in sides], strict=True)
    for got, final in zip(states_of(state), finals, strict=True):
        torch.testing.assert_close(got, torch.tensor(np.stack(final)))


def test_the_weights_are_copies() -> None:
    theirs = LSTM()
    ours: Any = elman.from_keras(theirs)
    before = theirs.arrays[0].copy()
    nn.init.zeros_(ours.weight_ih_l0)
    assert np.array_equal(theirs.arrays[0], before)
    single = LSTM()
    single.arrays = [array.astype(np.float32) for array in single.arrays]
    assert elman.from_keras(single).get_parameter("weight_hh_l0").dtype is torch.float32


class Dense(KerasLayer):
    pass


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (GRU(reset_after=False), r"reset_after=True, as elman\.GRU computes it, got False"),
        (
            LSTM(recurrent_activation="hard_sigmoid"),
            "recurrent_activation='sigmoid', .* got 'hard_sigmoid'",
        ),
        (LSTM(activation="relu"), "activation='tanh', .* got 'relu'"),
        (SimpleRNN(activation="selu"), "one of the activations tanh, .*, got 'selu'"),
        (LSTM(stateful=True), "stateful=False, .* got True"),
        (LSTM(go_backwards=True), "go_backwards=False, .* got True"),
        (LSTM(time_major=True), "time_major=False, .* got True"),
        (LSTM(built=False), "lstm has no weights yet"),
        (Dense(), "expected SimpleRNN, LSTM, GRU or Bidirectional of one of them, got Dense"),
        (Bidirectional(LSTM(), LSTM(go_backwards=True), "sum"), "merge_mode='concat', got 'sum'"),
        (Bidirectional(LSTM(), LSTM()), "go_backwards=True, .* got False"),
        (Bidirectional(LSTM(), GRU(go_backwards=True)), "two layers of one kind"),
        (Bidirectional(LSTM(), LSTM(go_backwards=True, units=4)), "two layers of one kind, size"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_computes_something_else_is_refused(layer: Any, message: str) -> None:
    with pytest.raises(elman.ConfigError, match=message):
        elman.from_keras(layer)


def test_another_librarys_layer_is_an_error() -> None:
    with pytest.raises(elman.DtypeError, match=r"a layer of Keras, got .*LSTM; elman\.convert"):
        elman.from_keras(nn.LSTM(3, 5))


@pytest.mark.unchecked
def test_what_changes_training_alone_is_named() -> None:
    layer = LSTM(dropout=0.5, kernel_regularizer={"class_name": "L2"}, recurrent_dropout=0.0)
    for keras in (layer, Bidirectional(layer, LSTM(go_backwards=True))):
        with pytest.warns(UserWarning, match="from LSTM: dropout, kernel_regularizer$") as caught:
            elman.from_keras(keras)
        assert [warning.filename for warning in caught] == [__file__]
