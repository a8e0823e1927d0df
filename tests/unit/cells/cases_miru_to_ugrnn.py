"""The cells from MiRU to UGRNN: how our parameters follow from those of torchrecurrent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, relu, sigmoid, tanh

from unit.cells.torchrecurrent import Case, Departure, Tensors


def in_blocks(stacked: Tensor, *names: str) -> dict[str, Tensor]:
    return dict(zip(names, stacked.chunk(len(names)), strict=True))


def bias(w: Tensors) -> Tensor:
    return w["bias_ih"] + w["bias_hh"]


def with_candidate(w: Tensors) -> Tensors:
    """Cells whose last gate multiplies what another one lets through."""
    units = w["weight_hh"].shape[1]
    return {
        "input.weight": w["weight_ih"],
        "input.bias": bias(w),
        "recurrent.weight": w["weight_hh"][:-units],
        "candidate.weight": w["weight_hh"][-units:],
    }


def mut1(w: Tensors) -> Tensors:
    b_r, b_n = w["bias_hh"].chunk(2)
    return {
        "input.weight": w["weight_ih"],
        "input.bias": w["bias_ih"] + torch.cat([b_r * 0, b_r, b_r * 0]),
        "candidate.bias": b_n,
        **in_blocks(w["weight_hh"], "reset.weight", "candidate.weight"),
    }


def mut3(w: Tensors) -> Tensors:
    return {
        "input.weight": w["weight_ih"],
        "input.bias": bias(w),
        **in_blocks(w["weight_hh"], "update.weight", "reset.weight", "candidate.weight"),
    }


def multiplicative(w: Tensors) -> Tensors:
    return {
        "input.weight": w["weight_ih"],
        "input.bias": w["bias_ih"] + torch.cat([w["bias_hh"] * 0, w["bias_mh"]]),
        "recurrent.weight": w["weight_hh"],
        "recurrent.bias": w["bias_hh"],
        "factor.weight": w["weight_mh"],
    }


def ran(w: Tensors) -> Tensors:
    units = w["weight_hh"].shape[1]
    return {
        "input.weight": w["weight_ih"][units:],
        "input.bias": bias(w),
        "content.weight": w["weight_ih"][:units],
        "recurrent.weight": w["weight_hh"],
    }


def reslstm(w: Tensors) -> Tensors:
    return {
        "input.weight": w["weight_ih"],
        "input.bias": bias(w),
        "recurrent.weight": w["weight_hh"],
        "shortcut.weight": w["weight_res"],
        "projection.weight": w["weight_proj"],
        "weight_ph": w["weight_ph"],
    }


def star(w: Tensors) -> Tensors:
    return {
        "input.weight": w["weight_ih"],
        "input.bias": w["bias_ih"] + torch.cat([w["bias_hh"] * 0, w["bias_hh"]]),
        "recurrent.weight": w["weight_hh"],
    }


def taugru(w: Tensors) -> Tensors:
    u, z, g, a = w["weight_hh"].chunk(4)
    return {
        "input.weight": w["weight_ih"],
        "input.bias": bias(w),
        "recurrent.weight": torch.cat([u, g, a]),
        "delayed.weight": z,
    }


def with_lag(w: Tensors) -> Tensors:
    return {
        "input.weight": w["weight_ih"],
        "input.bias": bias(w),
        "lag.weight": w["weight_hh"],
    }


def call_taugru(theirs: Any, x: Tensor, state: Any) -> Any:
    return theirs(x, *state), state[0]


def call_with_lag(theirs: Any, x: Tensor, state: Any) -> Any:
    """The last input is a state of theirs, of which ours keeps what it adds to the gates."""
    last = getattr(theirs, "last_input", torch.zeros_like(x))
    theirs.last_input = x
    new = theirs(x, (state[0], last))
    # A T-GRU puts out its state; a T-LSTM something else, beside it.
    return (new[0], new[1][0]) if isinstance(new[1], tuple) else new[0]


HC = ("h", "c")
CASES: Mapping[str, Case] = {
    "miru1": Case("MiRU1", with_candidate),
    "miru2": Case("MiRU2", lambda w: {**w, "bias_hh": w["bias_hh"] / 0.5}),
    "multiplicativelstm": Case("MultiplicativeLSTM", multiplicative, HC),
    "mut1": Case("MUT1", mut1),
    "mut2": Case("MUT2", with_candidate),
    "mut3": Case("MUT3", mut3),
    "originallstm": Case("OriginalLSTM", states=HC),
    "peepholelstm": Case("PeepholeLSTM", states=HC),
    "ran": Case("RAN", ran, HC),
    "reslstm": Case("ResLSTM", reslstm, HC),
    "sgrn": Case("SGRN"),
    "star": Case("STAR", star),
    "taugru": Case("tauGRU", taugru, ("h", "h1"), call=call_taugru),
    "tgru": Case("TGRU", with_lag, call=call_with_lag),
    "tlstm": Case("TLSTM", with_lag, ("c",), call=call_with_lag, output=True),
    "trnn": Case("TRNN", lambda w: {"input.weight": w["weight_ih"], "input.bias": w["bias_ih"]}),
    "ugrnn": Case("UGRNN"),
}


def nas(w: Tensors, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    xs = (x @ w["weight_ih"].T + w["bias_ih"]).chunk(8, 1)
    hs = (h @ w["weight_hh"].T + w["bias_hh"]).chunk(8, 1)
    functions = (sigmoid, relu, sigmoid, relu, tanh, sigmoid, tanh, sigmoid)
    leaves = [
        f(a * b if f is relu and number == 3 else a + b)
        for number, (f, a, b) in enumerate(zip(functions, xs, hs, strict=True))
    ]
    c = tanh(tanh(leaves[0] * leaves[1]) + c) * tanh(leaves[2] + leaves[3])
    top = tanh(tanh(leaves[4] * leaves[5]) + sigmoid(leaves[6] + leaves[7]))
    return tanh(c * top), c


def scrn(w: Tensors, x: Tensor, y: Tensor, h: Tensor, s: Tensor) -> tuple[Tensor, ...]:
    b_x, a_x = (x @ w["input.weight"].T + w["input.bias"]).chunk(2, 1)
    p, v = w["context.weight"].chunk(2)
    s = (1 - 0.95) * b_x + 0.95 * s
    h = sigmoid(s @ p.T + a_x + h @ w["recurrent.weight"].T)
    return h @ w["output.weight"].T + w["output.bias"] + s @ v.T, h, s


DEPARTURES: Mapping[str, Departure] = {
    "nas": Departure(
        "the fourth leaf is relu(W x * W h), not relu(W x + W h)", "appendix A, figure 8", nas
    ),
    "scrn": Departure("R multiplies h_(t-1), not y_(t-1)", "section 3.1, equation of h_t", scrn),
}
