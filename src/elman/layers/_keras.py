"""From Keras: the weights of its layers, in the layout of ours."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from elman._errors import ConfigError, DtypeError, kind_of
from elman.layers._drop_in import GRU, LSTM, RNN

_KINDS: Mapping[str, type[nn.Module]] = {"SimpleRNN": RNN, "LSTM": LSTM, "GRU": GRU}

_ACTIVATIONS: Mapping[str, str] = {
    "tanh": "tanh",
    "relu": "relu",
    "linear": "identity",
    "sigmoid": "sigmoid",
    "gelu": "gelu",
}
"""Keras's names of the activations that both have, and ours."""

_GATED = {"activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": True}
"""The settings with which Keras's LSTM and GRU compute what ours compute."""

_TRAINING = ("dropout", "regularizer", "constraint")
"""How the names of settings end that change nothing but training."""


def from_keras(layer: Any) -> nn.Module:
    """An elman.RNN, LSTM or GRU with the weights of a Keras layer.

    It is called as torch.nn's with ``batch_first=True``, and returns all outputs and the final
    state, whatever ``return_sequences`` and ``return_state`` are. The weights are copies: kernels
    are transposed, a GRU's gates z, r, h become r, z, n, and where Keras has one bias, the second
    is 0.

    Args:
        layer: a built SimpleRNN, LSTM or GRU of keras.layers, or a Bidirectional of one that
            concatenates; of any backend.

    Returns: the new layer. A warning names settings of training that are left behind.

    Raises:
        DtypeError: it is no layer of Keras.
        ConfigError: a layer that is not built, or that computes something else.

    Example:
        ``elman.from_keras(model.get_layer("lstm"))``; docs/migrate.md runs it beside Keras.

    References:
        F. Chollet et al., "Keras", https://keras.io, 2015.
    """
    if not hasattr(layer, "get_config") or not hasattr(layer, "get_weights"):
        raise DtypeError(
            f"expected a layer of Keras, got {kind_of(layer)}; elman.convert takes torch.nn's"
        )
    if type(layer).__name__ != "Bidirectional":
        return _layer(layer, _state_dict(layer))
    if layer.merge_mode != "concat":
        raise ConfigError(f"expected merge_mode='concat', got {layer.merge_mode!r}")
    ahead, back = layer.forward_layer, layer.backward_layer
    state = _state_dict(ahead)
    other = _state_dict(back, suffix="_reverse")
    same = ("units", "use_bias", "activation")
    if type(ahead) is not type(back) or any(getattr(ahead, k) != getattr(back, k) for k in same):
        raise ConfigError("expected two layers of one kind, size and activation in Bidirectional")
    return _layer(ahead, state | other)


def _layer(layer: Any, state: dict[str, Tensor]) -> nn.Module:
    kind = type(layer).__name__
    options: dict[str, Any] = {}
    if kind == "SimpleRNN":
        options["nonlinearity"] = _ACTIVATIONS[layer.get_config()["activation"]]
    new = _KINDS[kind](
        state["weight_ih_l0"].shape[1],
        layer.units,
        bias="bias_ih_l0" in state,
        batch_first=True,
        bidirectional="weight_ih_l0_reverse" in state,
        dtype=state["weight_ih_l0"].dtype,
        **options,
    )
    new.load_state_dict(state)
    return new


def _state_dict(layer: Any, suffix: str = "") -> dict[str, Tensor]:
    """The weights of a layer that runs one way, by our names."""
    _check(layer, backwards=bool(suffix))
    tensors = [torch.tensor(array) for array in layer.get_weights()]
    if not tensors:
        raise ConfigError(f"{layer.name} has no weights yet: build it, or call it once")
    if type(layer).__name__ == "GRU":
        tensors = [_in_our_order(tensor) for tensor in tensors]
    kernel, recurrent, *biases = tensors
    state = {"weight_ih": kernel.T, "weight_hh": recurrent.T}
    for bias in biases:
        both = bias if bias.dim() == 2 else (bias, torch.zeros_like(bias))
        state["bias_ih"], state["bias_hh"] = both
    return {f"{name}_l0{suffix}": tensor for name, tensor in state.items()}


def _in_our_order(tensor: Tensor) -> Tensor:
    """A GRU's update gate and reset gate change places."""
    z, r, h = tensor.chunk(3, -1)
    return torch.cat([r, z, h], -1)


def _check(layer: Any, backwards: bool) -> None:
    """A clear error where our cells compute something else."""
    kind, config = type(layer).__name__, layer.get_config()
    if kind not in _KINDS:
        raise ConfigError(
            f"expected SimpleRNN, LSTM, GRU or Bidirectional of one of them, got {kind}"
        )
    expected: dict[str, Any] = {"go_backwards": backwards, "stateful": False, "time_major": False}
    if kind != "SimpleRNN":
        expected |= _GATED
    elif config["activation"] not in _ACTIVATIONS:
        raise ConfigError(
            f"expected one of the activations {', '.join(_ACTIVATIONS)}, got "
            f"{config['activation']!r}"
        )
    for setting, value in expected.items():
        if config.get(setting, value) != value:
            raise ConfigError(
                f"expected {setting}={value!r}, as elman.{_KINDS[kind].__name__} computes it, got "
                f"{config[setting]!r}"
            )
    left = [name for name, value in config.items() if value and name.endswith(_TRAINING)]
    if left:
        warnings.warn(
            f"settings of training are not carried over from {kind}: {', '.join(left)}",
            stacklevel=4,
        )
