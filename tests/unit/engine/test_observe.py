"""What is watched on the native engine: the reference's values, and its gradients through them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn, sigmoid, tanh

import elman
from elman.cells import GRU, LSTM, Elman, PointwiseCell
from elman.engine import Recurrence, _native, _reference
from elman.engine.compiler._trace import compile_cell
from elman.scan import Observation
from unit.engine.test_native import LARGER_THAN_A_CHUNK, OPTIONS, SHAPES, agree, case, share

pytestmark = pytest.mark.unchecked  # thousands of calls of the reference, which has its own tests


class Watched(PointwiseCell):
    """Shows each kind of value: of gates, states and parameters, alone and in expressions."""

    gates, states = ("f", "g", "o"), ("h", "c")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.peep = nn.Parameter(torch.randn(self.hidden_size))

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        f = sigmoid(inp.f + rec.f + self.peep * state.c)
        self.watch(forget=f, keep=1 - f, raw=inp.g, rec=rec.f, before=state.c, ones=f * 0 + 1)
        c = f * state.c + (1 - f) * tanh(inp.g + rec.g)
        h = sigmoid(inp.o + rec.o) * tanh(c)
        self.watch(same=f, after=c, peep=self.peep + 0 * f, unused=torch.sin(c))
        return self.State(h=h, c=c)


class WatchedNorm(PointwiseCell):
    """Phases: what is shown before, between and after sums over the units."""

    gates, states = ("a", "b"), ("h",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        a = inp.a + rec.a
        normed = nn.functional.layer_norm(a, a.shape[-1:])
        mixed = nn.functional.layer_norm(normed.sin() * rec.b, a.shape[-1:])
        self.watch(first=a, second=normed, third=mixed, mean=a.mean(-1, keepdim=True) + 0 * a)
        return self.State(h=tanh(mixed + inp.b + state.h))


CELLS = (LSTM, GRU, Elman, Watched, WatchedNorm)


def observed(
    engine: Any, r: Recurrence, *, through: float = 1.0
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """All values and all gradients; of what was seen a share ``through`` gets a cotangent."""
    x = r.x.detach().clone().requires_grad_()
    state, start = (
        r.cell.State(*(s.detach().clone().requires_grad_() for s in group))
        for group in (r.state, r.start)
    )
    look = Observation()
    again = replace(r, x=x, state=state, start=start, observe=look)
    output, final = engine.plan(again).run()
    seen = look.stacked(0)
    draw = torch.Generator().manual_seed(1)
    results = [output, *final, *(seen[name] for name in sorted(seen))]
    weights = [torch.randn(v.shape, generator=draw, dtype=v.dtype) for v in results]
    chosen = [i for i in range(len(results)) if torch.rand((), generator=draw) < through]
    loss = sum((weights[i] * results[i]).sum() for i in chosen or [len(results) - 1])
    inputs = [x, *state, *start, *r.cell.parameters()]
    gradients = torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)
    return [*results, *gradients], seen


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", CELLS)
def test_values_and_gradients_are_those_of_the_reference(
    kind: type[PointwiseCell], shape: tuple[int, int, int, int], threads: int
) -> None:
    share(threads, shape[1])
    for ragged, resets, reverse in OPTIONS:
        wanted = case(kind, shape, ragged=ragged, resets=resets, reverse=reverse)
        for through in (1.0, 0.5):
            (ours, seen), (theirs, expected) = (
                observed(engine, wanted, through=through) for engine in (_native, _reference)
            )
            assert list(seen) == list(expected)
            agree(ours, theirs, 1e-12)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", LARGER_THAN_A_CHUNK)
def test_over_chunks(shape: tuple[int, int, int, int], threads: int) -> None:
    share(threads, shape[1])
    wanted = case(WatchedNorm, shape, ragged=True, resets=True)
    agree(observed(_native, wanted)[0], observed(_reference, wanted)[0], 1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_at_padding_gates_are_0_and_states_stay(reverse: bool) -> None:
    layer, lengths = elman.Recurrent(LSTM(3, 5), reverse=reverse), torch.tensor([4, 0, 7])
    x, state = torch.randn(3, 7, 3), LSTM.State(torch.randn(3, 5), torch.randn(3, 5))
    for engine in ("native", "reference"):
        with elman.use_engine(engine):
            output, final, seen = layer(x, state, lengths=lengths, observe=True)
        assert seen["forget"][0, 4:].eq(0).all()
        assert seen["forget"][1].eq(0).all()
        assert output[0, 4:].eq(0).all()
        kept = state if reverse else final
        assert torch.equal(seen["c"][0, 4:], kept.c[0].expand(3, 5))
        assert torch.equal(seen["c"][1], state.c[1].expand(7, 5))


def test_a_nan_at_padding_is_not_seen() -> None:
    layer, x = elman.Recurrent(Watched(3, 5)), torch.randn(2, 6, 3)
    x[0, 3:] = torch.nan
    for engine in ("native", "reference"):
        with elman.use_engine(engine):
            *_, seen = layer(x, lengths=torch.tensor([3, 6]), observe=True)
        assert all(value.isfinite().all() for value in seen.values())


def test_without_gradients() -> None:
    wanted = case(Watched, (5, 4, 3, 6), ragged=True)
    with torch.no_grad():
        looks = [Observation(), Observation()]
        for engine, look in zip((_native, _reference), looks, strict=True):
            again = replace(wanted, observe=look)
            engine.plan(again).run()
    ours, theirs = (look.stacked(0) for look in looks)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=0, atol=1e-12)


def test_any_observer_is_called_step_by_step() -> None:
    calls: list[tuple[int, Any]] = []
    wanted = case(GRU, (4, 2, 3, 5), reverse=True)
    again = replace(wanted, observe=lambda t, values: calls.append((t, values)))
    output, _ = _native.plan(again).run()
    assert [t for t, _ in calls] == [3, 2, 1, 0]
    assert all(torch.equal(values["h"], output[t]) for t, values in calls)


def test_what_is_shown_is_nobody_else_s() -> None:
    layer = elman.Recurrent(LSTM(3, 5))
    with torch.no_grad():
        output, final, seen = layer(torch.randn(2, 4, 3), observe=True)
        kept = output.clone(), final.c.clone()
        for value in seen.values():
            value.zero_()
    assert torch.equal(output, kept[0])
    assert torch.equal(final.c, kept[1])


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch.func's own
def test_second_derivatives_and_tangents_through_what_is_seen() -> None:
    layer, lengths = elman.Recurrent(Watched(2, 3)).double(), torch.tensor([3, 2])

    def shown(x: Tensor) -> Tensor:
        output, _, seen = layer(x, lengths=lengths, observe=True)
        return torch.cat([output, seen["forget"], seen["c"], seen["raw"]], -1)

    x = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    tangent = torch.randn_like(x)
    with elman.use_engine("native"):
        assert torch.autograd.gradcheck(shown, x)
        assert torch.autograd.gradgradcheck(shown, x)
        _, ours = torch.func.jvp(shown, (x,), (tangent,))
    with elman.use_engine("reference"):
        _, theirs = torch.func.jvp(shown, (x,), (tangent,))
    torch.testing.assert_close(ours, theirs)


def test_samples_of_their_own_with_vmap() -> None:
    layer = elman.Recurrent(GRU(2, 3), engine="native").double()
    x = torch.randn(4, 1, 5, 2, dtype=torch.float64)

    def loss(x: Tensor) -> Tensor:
        *_, seen = layer(x, observe=True)
        return seen["update"].square().sum()

    each = torch.func.vmap(torch.func.grad(loss))(x)
    for sample, gradient in zip(x, each, strict=True):
        torch.testing.assert_close(gradient, torch.func.grad(loss)(sample))


def test_layers_of_layers_observe_natively() -> None:
    model = elman.Stack(
        elman.Bidirectional(LSTM(4, 3), GRU(4, 2)), elman.Residual(elman.Recurrent(GRU(5, 5)))
    )
    assert elman.explain(model, torch.randn(2, 6, 4), observe=True).engines == {"native"}


def test_a_program_that_nobody_watches_is_as_before() -> None:
    cell = LSTM(3, 5)
    plain = compile_cell(cell, torch.float32, None).text
    assert "watched 0" in plain
    assert " o0 " not in plain
    program = compile_cell(cell, torch.float32, None, watches=True)
    assert program.watched == ("store", "forget", "output", "h", "c")
    assert "watched 5" in program.text


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (lambda z: z.mean(-1, keepdim=True), r"watches 'seen' of shape \(13, 1\)"),
        (lambda z: z[:, 1:], r"watches 'seen' of shape \(13, 4\)"),
        (lambda z: z > 0, r"in torch.bool: expected \(batch, 5\) in torch.float32"),
        (lambda z: z if z.sum() > 0 else -z, "Python number or condition"),
    ],
)
def test_what_cannot_be_shown_natively_is_refused_aloud(value: Any, reason: str) -> None:
    class Odd(PointwiseCell):
        gates, states = ("z",), ("h",)

        def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
            self.watch(seen=value(inp.z + rec.z))
            return self.State(h=tanh(inp.z + rec.z))

    layer, x = elman.Recurrent(Odd(3, 5)), torch.randn(2, 4, 3)
    with elman.use_engine("native"), pytest.raises(elman.EngineError, match=reason):
        layer(x, observe=True)
    assert elman.explain(layer, x, observe=True).engines == {"reference"}
    *_, seen = layer(x, observe=True)
    assert len(seen["seen"]) == 2


class Rate(PointwiseCell):
    gates, states = ("z",), ("h",)

    def __init__(self, value: Any) -> None:
        super().__init__(3, 5)
        self.rate, self.value = nn.Parameter(torch.rand(5)), value

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        self.watch(rate=self.value(self.rate, state))
        return self.State(h=self.rate * tanh(inp.z + rec.z))


@pytest.mark.parametrize("engine", ["auto", "reference", "native"])
@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (lambda rate, _: rate, r"\(5,\)"),
        (lambda rate, _: rate.sum(), r"\(\)"),
        (lambda rate, _: rate[None], r"\(1, 5\)"),
        (lambda rate, s: (rate + 0 * s.h)[:, None], r"\(\d+, 1, 5\)"),
    ],
)
def test_what_is_watched_has_a_row_for_each_of_the_batch(
    value: Any, shape: str, engine: str
) -> None:
    layer, x = elman.Recurrent(Rate(value), engine=engine), torch.randn(2, 4, 3)
    with pytest.raises(RuntimeError, match=rf"watches 'rate' of shape {shape}.*expected \(batch, "):
        layer(x, observe=True)
    assert layer(x)[0].shape == (2, 4, 5)  # nobody looks


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_one_value_for_all_rows_is_expanded(engine: str) -> None:
    cell = Rate(lambda rate, state: rate.expand_as(state.h))
    *_, seen = elman.Recurrent(cell, engine=engine)(torch.randn(2, 4, 3), observe=True)
    torch.testing.assert_close(seen["rate"], cell.rate.expand(2, 4, 5))
