"""Derivatives: twice, forwards, for each sample, in eval mode, parametrized, and under autocast."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacfwd, jacrev, jvp, stack_module_state, vjp, vmap
from torch.nn.utils import parametrizations

import elman
from integration.layers_under_test import LAYERS, LENGTHS, RESET, results, sequences

MASKS = {"lengths": LENGTHS, "reset": RESET}
# torch's forward mode imports rules that it still writes in TorchScript.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
Make = Callable[[], nn.Module]
Parameters = dict[str, Tensor]


def state_of(layer: nn.Module) -> Parameters:
    """Every parameter by name, detached; moved off the zeros that a learned state starts from."""
    return {
        name: (p.detach() + 0.1 * torch.randn_like(p)).requires_grad_()
        for name, p in layer.named_parameters()
    }


def loss(layer: nn.Module, parameters: Parameters, x: Tensor, masks: dict[str, Tensor]) -> Tensor:
    returned = results(functional_call(layer, parameters, (x,), masks))
    return torch.stack([(result.sin() * (k + 1)).sum() for k, result in enumerate(returned)]).sum()


def close(got: Any, expected: Any) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-10)


@each_layer
@pytest.mark.parametrize("masks", [{}, MASKS], ids=["whole", "masked"])
def test_first_and_second_derivatives_by_finite_differences(
    make: Make, masks: dict[str, Tensor]
) -> None:
    layer, x = make(), sequences().requires_grad_()
    parameters = state_of(layer)

    def function(x: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(parameters, values, strict=True))
        return results(functional_call(layer, named, (x,), masks))

    assert torch.autograd.gradcheck(function, (x, *parameters.values()), fast_mode=True)
    assert torch.autograd.gradgradcheck(function, (x, *parameters.values()), fast_mode=True)


@each_layer
def test_every_weight_matters(make: Make) -> None:
    """Else the comparisons here would hold of gradients that are all zero."""
    layer = make()
    gradients = torch.autograd.grad(loss(layer, p := state_of(layer), sequences(), {}), p.values())
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


@each_layer
def test_backward_in_eval_mode(make: Make) -> None:
    layer, x = make(), sequences()
    gradients = []
    for training in (True, False):
        layer.train(training).zero_grad()
        sum(result.sum() for result in results(layer(x, **MASKS))).backward()  # type: ignore[union-attr]
        gradients.append({name: p.grad for name, p in layer.named_parameters()})
    close(gradients[1], gradients[0])


@each_layer
def test_a_graph_that_is_kept_gives_the_same_gradients_again(make: Make) -> None:
    layer, x = make(), sequences()
    value = loss(layer, parameters := state_of(layer), x, MASKS)
    first = torch.autograd.grad(value, list(parameters.values()), retain_graph=True)
    close(torch.autograd.grad(value, list(parameters.values())), first)


@each_layer
def test_vmap_equals_a_loop(make: Make) -> None:
    layer, xs = make(), torch.stack([sequences() for _ in range(3)])
    lengths = torch.tensor([[3, 2, 0], [1, 1, 1], [2, 0, 3]])

    def call(x: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        return results(layer(x, lengths=lengths, reset=RESET))

    expected = [call(*row) for row in zip(xs, lengths, strict=True)]
    close(vmap(call)(xs, lengths), tuple(map(torch.stack, zip(*expected, strict=True))))


@each_layer
def test_an_ensemble_by_vmap(make: Make) -> None:
    layers, x = [make() for _ in range(3)], sequences()
    stacked, buffers = stack_module_state(layers)  # type: ignore[arg-type]

    def call(parameters: Parameters) -> tuple[Tensor, ...]:
        return results(functional_call(layers[0], (parameters, buffers), (x,)))

    expected = [results(layer(x)) for layer in layers]
    close(vmap(call)(stacked), tuple(map(torch.stack, zip(*expected, strict=True))))


@each_layer
def test_per_sample_gradients_equal_a_loop(make: Make) -> None:
    layer, x = make(), sequences()
    parameters = state_of(layer)

    def of_one(parameters: Parameters, x: Tensor, length: Tensor, reset: Tensor) -> Tensor:
        masks = {"lengths": length[None], "reset": reset[None]}
        return loss(layer, parameters, x[None], masks)

    got = vmap(grad(of_one), in_dims=(None, 0, 0, 0))(parameters, x, LENGTHS, RESET)
    for row in range(3):
        value = of_one(parameters, x[row], LENGTHS[row], RESET[row])
        expected = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
        for name, one in zip(parameters, expected, strict=True):
            close(got[name][row], torch.zeros_like(parameters[name]) if one is None else one)
    together = grad(lambda p: loss(layer, p, x, MASKS))(parameters)
    close({name: rows.sum(0) for name, rows in got.items()}, together)


@each_layer
def test_jvp_equals_finite_differences_and_reverse_mode(make: Make) -> None:
    layer, x = make(), sequences()
    parameters = {name: p.detach() for name, p in state_of(layer).items()}
    tangents = {name: torch.randn_like(p) for name, p in parameters.items()}, torch.randn_like(x)

    def call(parameters: Parameters, x: Tensor) -> tuple[Tensor, ...]:
        return results(functional_call(layer, parameters, (x,), MASKS))

    outputs, along = jvp(call, (parameters, x), tangents)
    close(outputs, call(parameters, x))
    assert all(tangent.abs().sum() > 0 for tangent in along)
    step = 1e-6
    ahead, behind = (
        call({n: p + s * tangents[0][n] for n, p in parameters.items()}, x + s * tangents[1])
        for s in (step, -step)
    )
    slopes = tuple((a - b) / (2 * step) for a, b in zip(ahead, behind, strict=True))
    torch.testing.assert_close(along, slopes, rtol=1e-6, atol=1e-7)
    weights = tuple(map(torch.randn_like, outputs))
    by_parameter, by_x = vjp(call, parameters, x)[1](weights)
    forwards = sum((a * w).sum() for a, w in zip(along, weights, strict=True))
    backwards = (by_x * tangents[1]).sum()
    backwards = backwards + sum((by_parameter[n] * tangents[0][n]).sum() for n in parameters)
    close(forwards, backwards)


@each_layer
def test_jacobians_agree_forwards_and_backwards(make: Make) -> None:
    layer, x = make(), sequences()

    def call(x: Tensor) -> Tensor:
        return layer(x, **MASKS)[0]  # type: ignore[no-any-return]

    forwards = jacfwd(call)(x)
    close(forwards, jacrev(call)(x))
    assert forwards.abs().sum() > 0


@each_layer
def test_hessian_vector_products_agree(make: Make) -> None:
    layer, x = make(), sequences()
    parameters = {name: p.detach() for name, p in state_of(layer).items()}
    tangents = {name: torch.randn_like(p) for name, p in parameters.items()}

    def gradient(parameters: Parameters) -> Parameters:
        return grad(lambda p: loss(layer, p, x, MASKS))(parameters)

    _, forward_over_reverse = jvp(gradient, (parameters,), (tangents,))
    (reverse_over_reverse,) = vjp(gradient, parameters)[1](tangents)
    close(forward_over_reverse, reverse_over_reverse)
    assert sum(product.abs().sum() for product in forward_over_reverse.values()) > 0


def weight_normed(layer: nn.Module) -> nn.Module:
    for name in [n for n, _ in layer.named_parameters() if "weight_hh" in n]:
        holder, _, tensor = name.rpartition(".")
        parametrizations.weight_norm(layer.get_submodule(holder), tensor)
    return layer


@each_layer
def test_weight_norm_trains(make: Make) -> None:
    layer, x = weight_normed(make()), sequences()
    computed = [p for name, p in layer.named_parameters() if "original" in name]
    assert len(computed) >= 2
    before = [p.detach().clone() for p in computed]
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        losses.append((layer(x)[0] - 0.5).square().mean())
        losses[-1].backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in computed)
        optimizer.step()
    assert losses[-1] < losses[0]
    assert not any(torch.equal(p, b) for p, b in zip(computed, before, strict=True))


@each_layer
def test_weight_norm_changes_nothing_at_first_and_all_when_scaled(make: Make) -> None:
    plain = make()
    normed, x = weight_normed(copy.deepcopy(plain)), sequences()
    expected = results(plain(x))
    close(results(normed(x)), expected)
    with torch.no_grad():
        for name, p in normed.named_parameters():
            p.mul_(2 if name.endswith("original0") else 1)
        for name, p in plain.named_parameters():
            p.mul_(2 if "weight_hh" in name else 1)
    close(results(normed(x)), results(plain(x)))


@each_layer
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_computes_in_the_dtype_of_the_weights(make: Make, dtype: torch.dtype) -> None:
    layer, linear, x = make().float(), nn.Linear(2, 2), sequences().float()
    with torch.autocast("cpu", dtype=dtype):
        below = linear(x)
        got = results(layer(below, **MASKS))
    assert below.dtype is dtype
    assert all(result.dtype is torch.float32 for result in got)
    expected = results(layer(below.float(), **MASKS))
    torch.testing.assert_close(got, expected, rtol=0, atol=0)
    sum(result.sum() for result in got).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None for p in (*layer.parameters(), *linear.parameters()))


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_autocast_leaves_a_step_alone(kind: str) -> None:
    cell, layer = getattr(elman, kind)(2, 3), elman.Recurrent(elman.cells.LSTM(2, 3))
    x = torch.randn(4, 2).bfloat16()
    for step in (cell, layer.step):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = results(step(x))
        assert all(result.dtype is torch.float32 for result in got)
        torch.testing.assert_close(got, results(step(x.float())), rtol=0, atol=0)


@each_layer
def test_a_model_in_bfloat16_works_in_bfloat16(make: Make) -> None:
    layer, x = make().bfloat16(), sequences().bfloat16()
    got = results(layer(x, **MASKS))
    assert all(result.dtype is torch.bfloat16 for result in got)
    expected = results(copy.deepcopy(layer).float()(x.float(), **MASKS))
    for result, exact in zip(got, expected, strict=True):
        torch.testing.assert_close(result.float(), exact, rtol=0.05, atol=0.05)
    sum(result.sum() for result in got).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None and p.grad.dtype is torch.bfloat16 for p in layer.parameters())


@pytest.mark.unchecked
def test_dual_numbers_of_forward_ad_are_right() -> None:
    """gradcheck opens torch.autograd.forward_ad's own level, and not torch.func's."""
    layer, x = elman.GRU(2, 3).double(), torch.randn(3, 2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: layer(x)[0], x.requires_grad_(), check_forward_ad=True, check_backward_ad=False
    )
