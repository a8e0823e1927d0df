"""The fused output layer and loss: torch's in float64 is the measure, gradients included."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from elman import ConfigError, DtypeError, EngineError, ShapeError, use_engine
from elman.nn import Embedding, LinearCrossEntropy, OutputLayer, linear_cross_entropy

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12}
# (rows, inputs, outputs): one of each, less than a vector, edges, several tiles and row blocks.
SIZES = [(1, 1, 2), (3, 5, 7), (17, 16, 33), (65, 3, 97), (130, 33, 500), (250, 64, 1000)]


def problem(sizes: tuple[int, int, int], dtype: torch.dtype, bias: bool = True) -> list[Any]:
    """h, weight, bias and targets; some of the targets count as nothing."""
    rows, inputs, outputs = sizes
    h = torch.randn(rows, inputs, dtype=dtype, requires_grad=True)
    weight = (torch.randn(outputs, inputs, dtype=dtype) / inputs**0.5).requires_grad_()
    b = torch.randn(outputs, dtype=dtype, requires_grad=True) if bias else None
    target = torch.randint(0, outputs, (rows,))
    target[1::4] = -100
    return [h, weight, b, target]


def by_torch(h: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, **how: Any) -> Tensor:
    return F.cross_entropy(F.linear(h, weight, bias), target, **how)


def fused(h: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, **how: Any) -> Tensor:
    return linear_cross_entropy(h, weight, target, bias, **how)


def with_gradients(function: Any, tensors: list[Any], **how: Any) -> list[Tensor]:
    loss = function(*tensors, **how)
    inputs = [t for t in tensors[:3] if t is not None]
    weights = torch.linspace(0.5, 2, loss.numel(), dtype=loss.dtype).view_as(loss)
    return [loss, *torch.autograd.grad(loss, inputs, weights)]


def assert_close(got: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    # Scores of about 1 leave their rounding in a loss near 0.
    for a, b in zip(got, expected, strict=True):
        assert (a - b).abs().max() <= tolerance * b.abs().max().clamp(min=0.1)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("smoothing", "bias"), [(0.0, True), (0.1, True), (0.0, False)])
def test_equals_torch_in_float64(
    sizes: tuple[int, int, int],
    dtype: torch.dtype,
    reduction: str,
    smoothing: float,
    bias: bool,
) -> None:
    tensors = problem(sizes, dtype, bias)
    how = {"reduction": reduction, "label_smoothing": smoothing}
    exact = [
        None if t is None else t.detach().double().requires_grad_(t.requires_grad)
        if t.is_floating_point() else t
        for t in tensors
    ]  # fmt: skip
    expected = with_gradients(by_torch, exact, **how)
    assert_close(with_gradients(fused, tensors, **how), expected, TOLERANCE[dtype])
    with torch.no_grad():  # the loss alone is computed in other blocks
        assert_close([fused(*tensors, **how)], expected[:1], TOLERANCE[dtype])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_only_output_costs_nothing(smoothing: float) -> None:
    loss, *gradients = with_gradients(
        fused, problem((1, 1, 1), torch.float32), label_smoothing=smoothing
    )
    assert loss.abs() < 1e-6  # score less score, to their rounding
    assert all(g.abs().max() < 1e-6 for g in gradients)


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_any_number_of_threads_and_the_same_bits_again(threads: int) -> None:
    torch.set_num_threads(threads)
    tensors = problem((130, 33, 500), torch.float32)
    first, again = (with_gradients(fused, tensors) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert_close(first, with_gradients(by_torch, tensors), 4e-6)


def test_states_of_any_shape_and_targets_to_ignore() -> None:
    h, weight, target = torch.randn(3, 4, 5), torch.randn(9, 5), torch.randint(0, 9, (3, 4))
    each = linear_cross_entropy(h, weight, target, ignore_index=int(target[1, 2]), reduction="none")
    assert each.shape == (3, 4)
    assert each[1, 2] == 0
    turned = h.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(
        linear_cross_entropy(turned, weight, target), linear_cross_entropy(h, weight, target)
    )
    nothing = linear_cross_entropy(h, weight, torch.full((3, 4), -100))
    assert nothing.isnan()  # 0 / 0, as in torch
    assert linear_cross_entropy(h, weight, torch.full((3, 4), -100), reduction="sum") == 0


def test_gradients_only_where_they_are_wanted() -> None:
    h, weight, bias, target = problem((20, 8, 30), torch.float32)
    weight.requires_grad_(False)
    got = torch.autograd.grad(fused(h, weight, bias, target), (h, bias))
    expected = torch.autograd.grad(by_torch(h, weight, bias, target), (h, bias))
    assert_close(list(got), list(expected), 4e-6)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_graph_that_is_kept_gives_the_same_gradient_again(reduction: str) -> None:
    h, *rest = problem((20, 8, 30), torch.float32)
    loss = fused(h, *rest, reduction=reduction)
    seed = torch.ones_like(loss) * 3
    first = torch.autograd.grad(loss, (h, rest[0]), seed, retain_graph=True)
    again = torch.autograd.grad(loss, (h, rest[0]), seed)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_second_derivatives_and_states_that_depend_on_the_weight(reduction: str) -> None:
    *tensors, target = problem((5, 4, 7), torch.float64)

    def loss(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return fused(h @ weight.T @ weight, weight, bias, target, reduction=reduction)

    assert torch.autograd.gradcheck(loss, tensors)
    assert torch.autograd.gradgradcheck(loss, tensors)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_transforms_go_through_torch() -> None:
    h, weight, bias, target = problem((4, 6, 11), torch.float64)
    _, tangent = torch.func.jvp(lambda x: fused(x, weight, bias, target), (h,), (h.detach(),))
    (gradient,) = torch.autograd.grad(fused(h, weight, bias, target), h)
    assert torch.allclose(tangent, (gradient * h).sum())
    per_sample = torch.func.vmap(
        torch.func.grad(lambda x, y: fused(x[None], weight, bias, y[None])), (0, 0)
    )(h, target.clamp(min=0))
    assert per_sample.shape == h.shape


@pytest.mark.parametrize("operator", ["cross_entropy", "cross_entropy_backward"])
def test_the_operators_pass_opcheck(operator: str) -> None:
    h, weight, bias, target = (t.detach() for t in problem((20, 8, 30), torch.float32))
    last = [torch.rand(20), [True, False, True]]
    if operator == "cross_entropy_backward":
        last.append(torch.ops.elman.cross_entropy(h, weight, bias, target, -100, 0.1, *last)[1])
    arguments = (h, weight, bias, target, -100, 0.1, *last)
    tests = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
    torch.library.opcheck(getattr(torch.ops.elman, operator).default, arguments, test_utils=tests)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_flows_as_in_torch(bad: float) -> None:
    tensors = problem((9, 4, 200), torch.float32)
    with torch.no_grad():
        tensors[0][2, 1] = bad
    got, expected = (with_gradients(f, tensors, reduction="none") for f in (fused, by_torch))
    for a, b in zip(got, expected, strict=True):
        assert torch.equal(a.isnan(), b.isnan())


def test_outputs_that_are_ruled_out_have_no_share() -> None:
    h, weight, bias, _ = problem((9, 4, 300), torch.float32)
    with torch.no_grad():
        bias[:200] = -torch.inf  # the whole of the first tiles
    tensors = [h, weight, bias, torch.randint(200, 300, (9,))]
    got, expected = (with_gradients(f, tensors) for f in (fused, by_torch))
    assert_close(got, expected, 4e-6)
    assert not got[2][:200].any()


def test_far_apart_scores_are_quick_and_right() -> None:
    h, weight, bias, target = problem((50, 40, 400), torch.float32)
    tensors = [h, (weight.detach() * 60).requires_grad_(), bias, target]
    exact = [t.detach().double().requires_grad_() for t in tensors[:3]]
    expected = with_gradients(by_torch, [*exact, target])
    assert_close(with_gradients(fused, tensors), expected, 5e-5)  # scores of 300: 24 bits less 8


def test_the_layer_shares_weights_and_state_with_an_output_layer() -> None:
    embedding = Embedding(30, 8)
    layer = LinearCrossEntropy(8, 30, tie=embedding, reduction="sum", label_smoothing=0.2)
    assert layer.weight is embedding.weight
    output = OutputLayer(8, 30)
    output.load_state_dict(layer.state_dict())
    h, target = torch.randn(2, 3, 8), torch.randint(0, 30, (2, 3))
    expected = F.cross_entropy(
        output(h).flatten(0, 1), target.flatten(), reduction="sum", label_smoothing=0.2
    )
    assert torch.allclose(layer(h, target), expected)
    assert "bias" not in LinearCrossEntropy(8, 30, bias=False).state_dict()


def test_it_says_which_engine_runs() -> None:
    layer = LinearCrossEntropy(4, 9)
    assert layer.engine == "native"
    assert "reduction='mean', engine='native'" in repr(layer)
    h, target = torch.randn(3, 4), torch.tensor([1, 2, 3])
    with use_engine("reference"):
        assert layer.engine == "reference: 'reference' was asked for"
        by_reference = layer(h, target)
    assert torch.allclose(layer(h, target), by_reference)
    assert "both must be float32" in layer.bfloat16().engine
    assert layer(h.bfloat16(), target).dtype == torch.bfloat16
    with use_engine("native"), pytest.raises(EngineError, match="cannot run the cross-entropy"):
        layer(h.bfloat16(), target)


def test_errors_say_what_is_wrong() -> None:
    h, weight, target = torch.randn(3, 4), torch.randn(9, 4), torch.tensor([1, 2, 3])
    with pytest.raises(IndexError, match="not one of the outputs: expected 0 to 8"):
        linear_cross_entropy(h, weight, target + 6)
    with pytest.raises(DtypeError, match=r"int64, got torch\.int32"):
        linear_cross_entropy(h, weight, target.int())
    with pytest.raises(ConfigError, match="between 0 and 1, got 2"):
        LinearCrossEntropy(4, 9, label_smoothing=2)
    with pytest.raises(ConfigError, match="vocabulary_size must be at least 1"):
        LinearCrossEntropy(4, 0)


@pytest.mark.unchecked
def test_errors_of_shapes_and_names() -> None:
    h, weight, target = torch.randn(3, 4), torch.randn(9, 4), torch.tensor([1, 2, 3])
    with pytest.raises(ShapeError, match=r"a target for each state, \(3,\), got \(2,\)"):
        linear_cross_entropy(h, weight, target[:2])
    with pytest.raises(ShapeError, match=r"got \(3, 4\) and \(9, 3\)"):
        linear_cross_entropy(h, weight[:, :3], target)
    with pytest.raises(ShapeError, match=r"expected a bias \(9,\), got \(4,\)"):
        linear_cross_entropy(h, weight, target, torch.zeros(4))
    with pytest.raises(ConfigError, match="did you mean 'sum'"):
        linear_cross_entropy(h, weight, target, reduction="sun")  # type: ignore[arg-type]


PEAK = """
import re, sys, torch
from pathlib import Path
from torch.nn import functional as F
from elman.nn import linear_cross_entropy
torch.set_num_threads(2)
def step(h, weight, bias, target):
    if "fused" in sys.argv:
        linear_cross_entropy(h, weight, target, bias).backward()
    else:
        F.cross_entropy(F.linear(h, weight, bias), target).backward()
def tensors(rows, inputs, outputs):
    shapes = ((rows, inputs), (outputs, inputs), (outputs,))
    return *(torch.randn(s, requires_grad=True) for s in shapes), torch.randint(0, outputs, (rows,))
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
step(*tensors(2, 3, 4))
inputs = tensors(400, 200, 10_000)
Path("/proc/self/clear_refs").write_text("5")
before = peak()
step(*inputs)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_a_third_of_the_memory_that_torch_takes() -> None:
    def taken(which: str) -> int:
        command = [sys.executable, "-c", PEAK, which]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert taken("fused") < taken("torch") / 3
