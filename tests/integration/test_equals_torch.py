"""Two hundred random configurations of RNN, LSTM and GRU: everything equals torch.nn in float64."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import elman

SEEDS = range(200)
KINDS = ("RNN", "LSTM", "GRU")
FORMS = ("padded", "lengths", "unbatched", "packed", "packed sorted")


class Case(NamedTuple):
    """What is built, and how it is called."""

    kind: str
    sizes: tuple[int, int]
    options: dict[str, Any]
    form: str
    batch: int
    steps: int
    with_state: bool


def draw(seed: int) -> Case:
    pick = random.Random(seed)
    kind, hidden, layers = pick.choice(KINDS), pick.randint(2, 5), pick.randint(1, 3)
    options: dict[str, Any] = {"num_layers": layers, "dropout": 0.5 if layers > 1 else 0.0}
    for name in ("bias", "batch_first", "bidirectional"):
        options[name] = pick.random() < 0.5
    if kind == "LSTM" and pick.random() < 0.5:
        options["proj_size"] = pick.randint(1, hidden - 1)
    if kind == "RNN":
        options["nonlinearity"] = pick.choice(("tanh", "relu"))
    form, with_state = pick.choice(FORMS), pick.random() < 0.5
    return Case(
        kind,
        (pick.randint(1, 4), hidden),
        options,
        form,
        1 if form == "unbatched" else pick.randint(1, 4),
        pick.randint(1, 6),
        with_state,
    )


def inputs(case: Case) -> tuple[Tensor, Any, Tensor]:
    """x as the case lays it out, hx or None, and lengths."""
    x = torch.randn(case.steps, case.batch, case.sizes[0], dtype=torch.float64)
    x = x.transpose(0, 1) if case.options["batch_first"] else x
    rows = case.options["num_layers"] * (1 + case.options["bidirectional"])
    sizes = [case.options.get("proj_size") or case.sizes[1]] + [case.sizes[1]] * (
        case.kind == "LSTM"
    )
    states = [torch.randn(rows, case.batch, size, dtype=torch.float64) for size in sizes]
    if case.form == "unbatched":
        batch_dim = 0 if case.options["batch_first"] else 1
        x, states = x.squeeze(batch_dim), [state.squeeze(1) for state in states]
    lengths = torch.randint(1, case.steps + 1, (case.batch,))
    if case.form == "packed sorted":
        lengths = lengths.sort(descending=True).values
    states = [state.requires_grad_() for state in states]
    hx = tuple(states) if len(states) > 1 else states[0]
    return x.detach().requires_grad_(), hx if case.with_state else None, lengths


def packed(case: Case, x: Tensor, lengths: Tensor) -> PackedSequence:
    batch_first, ordered = case.options["batch_first"], case.form == "packed sorted"
    return pack_padded_sequence(x, lengths, batch_first=batch_first, enforce_sorted=ordered)


def theirs(module: nn.Module, case: Case, x: Tensor, hx: Any, lengths: Tensor) -> Any:
    if case.form in ("padded", "unbatched"):
        return module(x, hx)
    output, state = module(packed(case, x, lengths), hx)
    if case.form == "lengths":
        layout = {"batch_first": case.options["batch_first"], "total_length": case.steps}
        output = pad_packed_sequence(output, **layout)[0]
    return output, state


def ours(module: nn.Module, case: Case, x: Tensor, hx: Any, lengths: Tensor) -> Any:
    if case.form == "lengths":
        return module(x, hx, lengths=lengths)
    return module(packed(case, x, lengths) if case.form.startswith("packed") else x, hx)


def gradients(module: nn.Module, x: Tensor, hx: Any, output: Any, state: Any) -> list[Tensor]:
    """Of a weighted sum of the output and every state, by x, every given state and parameter."""
    torch.manual_seed(1)
    output = output.data if isinstance(output, PackedSequence) else output
    results = [output, *(state if isinstance(state, tuple) else (state,))]
    loss = sum((result * torch.randn(result.shape).to(result)).sum() for result in results)
    states = () if hx is None else hx if isinstance(hx, tuple) else (hx,)
    return list(torch.autograd.grad(loss, [x, *states, *module.parameters()]))


@pytest.mark.parametrize("seed", SEEDS)
def test_outputs_states_and_gradients_equal_torchs(seed: int) -> None:
    torch.manual_seed(seed)
    case = draw(seed)
    reference = getattr(nn, case.kind)(*case.sizes, **case.options).double().eval()
    module = getattr(elman, case.kind)(*case.sizes, **case.options).double().eval()
    module.load_state_dict(reference.state_dict())
    x, hx, lengths = inputs(case)
    expected, got = theirs(reference, case, x, hx, lengths), ours(module, case, x, hx, lengths)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(
        gradients(module, x, hx, *got), gradients(reference, x, hx, *expected), rtol=0, atol=1e-10
    )


def test_the_configurations_cover_every_option() -> None:
    cases = [draw(seed) for seed in SEEDS]
    assert {(case.kind, case.form) for case in cases} == {(k, f) for k in KINDS for f in FORMS}
    for kind in KINDS:
        some = [case for case in cases if case.kind == kind]
        for name in ("bias", "batch_first", "bidirectional"):
            assert {case.options[name] for case in some} == {True, False}
        assert {case.with_state for case in some} == {True, False}
        assert {case.options["num_layers"] for case in some} == {1, 2, 3}
    assert any(case.options.get("proj_size") and case.form == "lengths" for case in cases)
