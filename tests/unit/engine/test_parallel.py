"""The scan of linear recurrences against a loop, and the engine made of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman.cells import GRU, LRU, SRU, LinearCell, LinOSS, MinGRU, by_name
from elman.engine import Recurrence, _linear_scan, _parallel
from elman.engine._linear_scan import linear_scan

LINEAR = ("mingru", "minlstm", "qrnn", "sru", "rglru", "lru", "linoss")
KINDS = ("real", "complex", "matrix")


def case(kind: str, steps: int, rows: int = 2, units: int = 3, seed: int = 0) -> list[Any]:
    """a, b, state and restarts, in float64."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def number(*shape: int) -> Tensor:
        return (
            torch.complex(random(*shape), random(*shape)) if kind == "complex" else random(*shape)
        )

    pair = (2,) if kind == "matrix" else ()
    a = number(steps, rows, *pair, *pair, units) * 0.5
    restart = torch.rand(steps, rows, generator=generator) < 0.1
    return [a, number(steps, rows, *pair, units), number(rows, *pair, units), restart]


def loop(a: Tensor, b: Tensor, state: Tensor, restart: Tensor | None, reverse: bool) -> Tensor:
    """Step by step."""
    states = [state] * len(b)
    for t in range(len(b))[:: -1 if reverse else 1]:
        moved = (
            torch.einsum("...ijh,...jh->...ih", a[t], state) if a.dim() > b.dim() else a[t] * state
        )
        if restart is not None:
            where = restart[t].reshape(-1, *[1] * (moved.dim() - 1))
            moved = torch.where(where, torch.zeros_like(moved), moved)
        states[t] = state = b[t] + moved
    return torch.stack(states)


@pytest.fixture(params=[40, 1 << 14], ids=["many chunks", "few chunks"])
def tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_linear_scan.TILE, "cpu", request.param)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_a_loop(tile: None, kind: str, reverse: bool) -> None:
    for steps in (1, 2, 3, 8, 9, 31, 256, 1000):
        a, b, state, restart = case(kind, steps)
        for again in (None, restart):
            torch.testing.assert_close(
                linear_scan(a, b, state, again, reverse), loop(a, b, state, again, reverse)
            )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_equal_those_of_a_loop(tile: None, kind: str, reverse: bool) -> None:
    for steps in (1, 3, 50):
        *leaves, restart = case(kind, steps)
        for again in (None, restart):
            gradients = []
            for function in (linear_scan, loop):
                tensors = [t.clone().requires_grad_() for t in leaves]
                states = function(*tensors, again, reverse)
                loss = (states.abs() ** 3).sum()
                first = torch.autograd.grad(loss, tensors, create_graph=True)
                second = torch.autograd.grad(sum(g.abs().square().sum() for g in first), tensors)
                gradients.append((*first, *second))
            torch.testing.assert_close(*gradients)


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_transforms(tile: None, kind: str) -> None:
    *leaves, restart = case(kind, 20)

    def of(function: Any) -> Any:
        return lambda *t: function(*t, restart, True)

    tangents = tuple(case(kind, 20, seed=1)[:3])
    both = [torch.func.jvp(of(f), tuple(leaves), tangents) for f in (linear_scan, loop)]
    torch.testing.assert_close(*both)
    one_a = torch.func.vmap(of(linear_scan), (None, 1, 0))
    a, b, state = (
        leaves[0],
        *(torch.stack([t, 2 * t], d) for t, d in zip(leaves[1:], (1, 0), strict=True)),
    )
    expected = torch.stack([of(loop)(a, b[:, i], state[i]) for i in range(2)])
    torch.testing.assert_close(one_a(a, b, state), expected)


def test_the_depth_is_logarithmic() -> None:
    """64 times the steps take some operations more, and not 64 times as many."""
    counts = []
    for steps in (1 << 11, 1 << 17):
        a = torch.rand(steps, 1, 1)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            linear_scan(a, a, a[0])
        calls = {event.key: event.count for event in profile.key_averages()}
        counts.append(calls["aten::addcmul"])
    assert counts[1] < 4 * counts[0]


def test_nothing_before_a_reset_is_looked_at(tile: None) -> None:
    a, b, state, _ = case("real", 40)
    b[10], state[:] = torch.nan, torch.inf
    restart = torch.zeros(40, 2, dtype=torch.bool)
    restart[[0, 20]] = True
    leaves = [t.requires_grad_() for t in (b, state)]
    states = linear_scan(a, *leaves, restart)
    assert states[:10].isfinite().all()
    assert states[20:].isfinite().all()
    gradients = torch.autograd.grad(states[20:].sum(), leaves)
    assert all(g.isfinite().all() for g in gradients)


def test_an_infinite_product_of_coefficients_leaves_zeros_alone(tile: None) -> None:
    a, b = torch.full((3000, 1, 2), 8.0), torch.zeros(3000, 1, 2)
    b[-3:] = 1
    torch.testing.assert_close(linear_scan(a, b, b[0])[-1], torch.full((1, 2), 73.0))


@pytest.mark.parametrize("name", LINEAR)
def test_long_ragged_rows_with_resets(tile: None, name: str) -> None:
    cell = by_name(name)(3, 4).double()
    x = torch.randn(300, 3, 3, dtype=torch.float64)
    state = cell.State(*(torch.randn(3, 4, dtype=torch.float64) for _ in cell.states))
    start = cell.State(*(torch.randn(3, 4, dtype=torch.float64) for _ in cell.states))
    for reverse in (False, True):
        r = Recurrence(
            cell,
            x,
            state,
            lengths=torch.tensor([300, 0, 177]),
            reset=torch.rand(300, 3) < 0.02,
            start=start,
            reverse=reverse,
        )
        plan = _parallel.plan(r)
        assert not isinstance(plan, str)
        torch.testing.assert_close(plan.run(), r.scan())


def test_declines_by_name() -> None:
    x = torch.randn(2, 7, 3)

    def reason(cell: Any, x: Tensor = x) -> str:
        with pytest.raises(elman.EngineError) as error:
            elman.Recurrent(cell, engine="parallel")(x)
        return str(error.value)

    class Stepping(LinearCell):
        states = ("h",)

        def coefficients(self, x: Tensor) -> tuple[Any, ...]:
            return torch.full_like(x, 0.5), x

        def step(self, inp: Any, state: Any) -> Any:
            return self.State(h=torch.tanh(super().step(inp, state).h))

    assert "it runs linear cells (elman.cells.LinearCell), and GRU is not one" in reason(GRU(3, 5))
    assert "the step of Stepping does not follow from its coefficients" in reason(Stepping(3, 3))
    explanation = elman.explain(elman.Recurrent(GRU(3, 5)), x)
    assert "not parallel: it runs linear cells" in str(explanation)
    explanation = elman.explain(elman.Recurrent(MinGRU(3, 5), engine="parallel"), x)
    assert explanation.engines == {"parallel"}


def test_other_dtypes_are_taken_by_auto() -> None:
    for cell in (LRU(3, 4), LinOSS(3, 4), SRU(4, 4)):
        layer, x = elman.Recurrent(cell.bfloat16()), torch.randn(2, 9, cell.input_size).bfloat16()
        assert elman.explain(layer, x).engines == {"parallel"}
        with elman.use_engine("reference"):
            expected = layer(x)
        torch.testing.assert_close(layer(x), expected, rtol=0.1, atol=0.05)


def test_looks_inside_like_the_reference() -> None:
    layer, x = elman.Recurrent(SRU(3, 5)), torch.randn(2, 7, 3)
    lengths = torch.tensor([4, 0])
    seen = []
    for engine in ("parallel", "reference"):
        with elman.use_engine(engine):
            seen.append(layer(x, lengths=lengths, observe=True))
    torch.testing.assert_close(*seen)


@pytest.mark.compile
@pytest.mark.filterwarnings("ignore:.*Function.*should not be instantiated")
@pytest.mark.parametrize("kind", [MinGRU, LRU])
def test_a_compiled_layer(kind: type[LinearCell]) -> None:
    layer = elman.Recurrent(kind(3, 5), engine="parallel").double().eval()
    x = torch.randn(6, 40, 3, dtype=torch.float64)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    got, expected = (
        torch.autograd.grad(run(x)[0].square().sum(), list(layer.parameters()))
        for run in (compiled, layer)
    )
    torch.testing.assert_close(got, expected)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x)[0], layer(x)[0])


def test_gradients_of_each_sample() -> None:
    layer, x = elman.Recurrent(LRU(3, 4).double(), engine="parallel"), torch.randn(3, 9, 3).double()
    parameters = dict(layer.named_parameters())

    def loss(parameters: Any, row: Tensor) -> Tensor:
        output, _ = torch.func.functional_call(layer, parameters, (row[None],))
        return output.square().sum()  # type: ignore[no-any-return]

    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    for i, row in enumerate(x):
        expected = torch.autograd.grad(loss(parameters, row), list(parameters.values()))
        torch.testing.assert_close([g[i] for g in each.values()], list(expected))


def test_weights_that_are_drawn_for_each_call_are_left_to_the_reference() -> None:
    class Noisy(LinearCell):
        states = ("h",)

        def __init__(self, input_size: int, hidden_size: int) -> None:
            super().__init__(input_size, hidden_size)
            self.weight = torch.nn.Parameter(torch.randn(hidden_size, input_size))

        def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
            b = x @ self.weight.t()
            return torch.full_like(b, 0.9), b

        def draw(self) -> dict[str, Tensor]:
            return {"weight": self.weight + torch.randn_like(self.weight)}

    layer = elman.Recurrent(Noisy(3, 5), engine="parallel")
    with pytest.raises(elman.EngineError, match="weights of Noisy are kept elsewhere, or drawn"):
        layer(torch.randn(2, 7, 3))
