"""The published cells are those of the package torchrecurrent, or of their papers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, sigmoid, tanh

import sampling
from unit.cells.torchrecurrent import Case, Departure, Tensors, compare, compare_with_paper

KINDS = ("weight", "bias")
EULER = {"epsilon": 0.7, "gamma": 0.3}


class HardSigmoid(torch.nn.Module):
    """Torch's own, without 1/6 in its gradient rounded to float32."""

    def forward(self, x: Tensor) -> Tensor:
        return (x / 6 + 0.5).clamp(0, 1)


def linear(w: Tensors, *biases: str) -> dict[str, Tensor]:
    """Our maps of the input and of the state; where we have one bias, they have several."""
    bias = sum((w[key] for key in biases), w["bias_ih"])
    return {"input.weight": w["weight_ih"], "input.bias": bias, "recurrent.weight": w["weight_hh"]}


def padded(w: Tensors, zeros: int) -> dict[str, Tensor]:
    """The same, where the last gates have no bias of the state."""
    bias = torch.cat([w["bias_hh"], w["bias_hh"].new_zeros(zeros * 6)])
    return {**linear(w), "input.bias": w["bias_ih"] + bias}


def both(w: Tensors) -> dict[str, Tensor]:
    return linear(w, "bias_hh")


def gated_antisymmetric(w: Tensors) -> dict[str, Tensor]:
    bias = torch.cat([torch.zeros_like(w["bias_hh"]), w["bias_hh"]])
    return {**linear(w), "input.bias": w["bias_ih"] + bias}


def bistable(w: Tensors) -> dict[str, Tensor]:
    return {
        **{key: tensor for key, tensor in padded(w, 1).items() if key != "recurrent.weight"},
        "recurrent": w["weight_hh"],
    }


def cornn(w: Tensors) -> dict[str, Tensor]:
    return {**linear(w, "bias_hh", "bias_ch"), "velocity.weight": w["weight_ch"]}


def sgu(w: Tensors) -> dict[str, Tensor]:
    (g, z), (bias_g, bias_z) = w["weight_hh"].chunk(2), w["bias_hh"].chunk(2)
    return {
        "input.weight": w["weight_ih"],
        "input.bias": w["bias_ih"] + torch.cat([torch.zeros_like(bias_z), bias_z]),
        "modulation.weight": g,
        "modulation.bias": bias_g,
        "recurrent.weight": z,
    }


def dsgu(w: Tensors) -> dict[str, Tensor]:
    return {**sgu(w), "output.weight": w["weight_ho"]}


def fastrnn(w: Tensors) -> dict[str, Tensor]:
    return {**w, "alpha": w["alpha"].squeeze(), "beta": w["beta"].squeeze()}


def fastgrnn(w: Tensors) -> dict[str, Tensor]:
    return {
        **{key: w[key] for key in ("weight_ih", "weight_hh")},
        **{key: w[key].squeeze() for key in ("zeta", "nu")},
        "bias": w["bias_ih"] + w["bias_hh"],
    }


def janet(w: Tensors) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in w.items() if key != "beta"}


def wmclstm(w: Tensors) -> dict[str, Tensor]:
    (weight_m, weight_o), (bias_m, bias_o) = (w[f"{k}_mh"].tensor_split([12]) for k in KINDS)
    return {
        **{f"{kind}_{part}": w[f"{kind}_{part}"] for kind in KINDS for part in ("ih", "hh")},
        "memory.weight": weight_m,
        "memory.bias": bias_m,
        "output.weight": weight_o,
        "output.bias": bias_o,
    }


def mgu(w: Tensors) -> dict[str, Tensor]:
    f, n = w["weight_hh"].chunk(2)
    return {**both(w), "recurrent.weight": f, "candidate.weight": n}


def lightru(w: Tensors) -> dict[str, Tensor]:
    return gated_antisymmetric(w)


def minimalrnn(w: Tensors) -> dict[str, Tensor]:
    return {**linear(w), "latent.weight": w["weight_mm"], "latent.bias": w["bias_hh"]}


CASES: Mapping[str, Case] = {
    "antisymmetricrnn": Case("AntisymmetricRNN", both, theirs=EULER, ours=EULER),
    "gatedantisymmetricrnn": Case(
        "GatedAntisymmetricRNN", gated_antisymmetric, theirs=EULER, ours=EULER
    ),
    "atr": Case("ATR"),
    "br": Case("BR", bistable),
    "nbr": Case("NBR", lambda w: padded(w, 1)),
    "cfn": Case("CFN", lambda w: padded(w, 1)),
    "cornn": Case("coRNN", cornn, states=("y", "z")),
    "sgu": Case("SGU", sgu, theirs={"gate_nonlinearity": HardSigmoid()}),
    "dsgu": Case("DSGU", dsgu, theirs={"gate_nonlinearity": HardSigmoid()}),
    "fastrnn": Case("FastRNN", fastrnn),
    # The gate of the paper is a sigmoid (section 3.2); theirs takes it as an option.
    "fastgrnn": Case("FastGRNN", fastgrnn, theirs={"nonlinearity": "sigmoid"}),
    "intersectionrnn": Case("IntersectionRNN", both, sizes=(6, 6), output=True),
    # Their two states are one, as long as they begin so; their beta is learned.
    "janet": Case("JANET", janet, states=("h", "h"), constant=("beta",)),
    "ligru": Case("LiGRU"),
    "lightru": Case("LightRU", lightru),
    "mclstm": Case("MCLSTM", both, states=("v", "c"), output=True),
    "wmclstm": Case("WMCLSTM", wmclstm, states=("h", "c")),
    "mgu": Case("MGU", mgu),
    "minimalrnn": Case("MinimalRNN", minimalrnn),
}


def lem(w: Tensors, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    v1, v2, vz, vy = (x @ w["input.weight"].T + w["input.bias"]).chunk(4, 1)
    w1, w2, wz = w["recurrent.weight"].chunk(3)
    step, step_bar = sigmoid(y @ w1.T + v1), sigmoid(y @ w2.T + v2)
    z = (1 - step) * z + step * tanh(y @ wz.T + vz)
    y = (1 - step_bar) * y + step_bar * tanh(z @ w["memory.weight"].T + vy)
    return y, z


DEPARTURES: Mapping[str, Departure] = {
    "lem": Departure("y_t depends on z_t, not on z_(t-1)", "section 2, equation 3", lem),
}
"""Cells that the package has otherwise than their papers, which are followed here."""

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["32", "64"])


@DTYPES
@pytest.mark.parametrize("name", CASES)
def test_equals_theirs(name: str, dtype: torch.dtype) -> None:
    compare(name, CASES[name], "reference", dtype)


@DTYPES
@pytest.mark.parametrize("name", sampling.cases(list(CASES), 5))
def test_native_equals_theirs(name: str, dtype: torch.dtype) -> None:
    compare(name, CASES[name], "native", dtype)


@pytest.mark.parametrize("engine", ["reference", "native"])
@pytest.mark.parametrize("name", DEPARTURES)
def test_equals_its_paper(name: str, engine: str) -> None:
    compare_with_paper(name, DEPARTURES[name].step, engine)


def test_departures_are_few() -> None:
    assert len(DEPARTURES) <= 8
    assert not DEPARTURES.keys() & CASES.keys()
