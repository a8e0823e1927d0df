"""The native engine equals the reference: outputs, final states and all gradients."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import elman
import sampling
from elman.cells import GRU, LSTM, Elman, PointwiseCell
from elman.engine import Recurrence, _native, _reference
from elman.engine.runtime import _operators
from elman.engine.runtime._library import library
from unit.engine.own_cells import CELLS, Peephole, Statistics, TwoMatrices

BUILT_IN = (LSTM, GRU, Elman)
# steps, batch, inputs, units
SHAPES = [(1, 1, 1, 1), (3, 1, 4, 5), (5, 9, 3, 19), (3, 3, 33, 40), (3, 34, 17, 7)]
LARGER_THAN_A_CHUNK = [(270, 1, 3, 4), (2, 300, 2, 3), (90, 5, 3, 4)]
OPTIONS = [(False, False, False), (True, False, True), (True, True, False), (False, True, True)]


def results(engine: Any, case: Recurrence) -> list[Tensor]:
    """Output, final states and the gradients of everything, from one draw of cotangents."""
    x = case.x.detach().clone().requires_grad_()
    state, start = (
        case.cell.State(*(s.detach().clone().requires_grad_() for s in group))
        for group in (case.state, case.start)
    )
    same = Recurrence(case.cell, x, state, None, case.lengths, case.reset, start, case.reverse)
    output, final = engine.plan(same).run()
    generator = torch.Generator().manual_seed(1)
    loss = sum(
        (r * torch.randn(r.shape, generator=generator).to(r.dtype)).sum()  # the same in any dtype
        for r in (output, *final)
    )
    inputs = [x, *state, *start, *case.cell.parameters()]
    gradients = torch.autograd.grad(loss, inputs, allow_unused=True)
    return [
        output,
        *final,
        *(torch.zeros_like(i) if g is None else g for g, i in zip(gradients, inputs, strict=True)),
    ]


def case(
    kind: type[PointwiseCell],
    shape: tuple[int, int, int, int],
    *,
    dtype: torch.dtype = torch.float64,
    ragged: bool = False,
    resets: bool = False,
    reverse: bool = False,
) -> Recurrence:
    steps, batch, inputs, units = shape
    cell = kind(inputs, units).to(dtype)

    def states() -> Any:
        return cell.State(*(torch.randn(batch, units, dtype=dtype) for _ in cell.states))

    return Recurrence(
        cell,
        torch.randn(batch, steps, inputs, dtype=dtype).transpose(0, 1),
        states(),
        lengths=torch.randint(0, steps + 1, (batch,)) if ragged else None,
        reset=torch.rand(steps, batch) < 0.2 if resets else None,
        start=states(),
        reverse=reverse,
    )


def agree(got: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= tolerance * b.abs().max().clamp_min(1)


def share(threads: int, batch: int) -> None:
    """As many threads; they divide the units of few rows, however little there is to divide."""
    torch.set_num_threads(threads)
    _operators.split = 2 if batch < 8 * threads else 0


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [*BUILT_IN, *CELLS])
def test_equals_the_reference(
    kind: type[PointwiseCell], shape: tuple[int, int, int, int], threads: int
) -> None:
    share(threads, shape[1])
    for ragged, resets, reverse in OPTIONS:
        wanted = case(kind, shape, ragged=ragged, resets=resets, reverse=reverse)
        agree(results(_native, wanted), results(_reference, wanted), 1e-12)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", LARGER_THAN_A_CHUNK)
def test_sums_over_chunks(shape: tuple[int, int, int, int], threads: int) -> None:
    share(threads, shape[1])
    wanted = case(Statistics, shape, ragged=True, resets=True)
    agree(results(_native, wanted), results(_reference, wanted), 1e-12)


@pytest.mark.parametrize("kind", [*BUILT_IN, *CELLS])
def test_float32_is_as_near_as_torch(kind: type[PointwiseCell]) -> None:
    wanted = case(kind, (20, 12, 9, 21), dtype=torch.float32, ragged=True, resets=True)
    got = results(_native, wanted)
    single = results(_reference, wanted)
    wanted.cell.double()
    doubled = [t.double() for t in (wanted.x, *wanted.state, *wanted.start)]
    count = len(wanted.state)
    exact = results(
        _reference,
        replace(
            wanted,
            x=doubled[0],
            state=wanted.cell.State(*doubled[1 : 1 + count]),
            start=wanted.cell.State(*doubled[1 + count :]),
        ),
    )
    for ours, theirs, right in zip(got, single, exact, strict=True):
        error = (ours - right).abs().max() / right.abs().max().clamp_min(1)
        peer = (theirs - right).abs().max() / right.abs().max().clamp_min(1)
        assert error <= 2e-6 + 3 * peer


@pytest.mark.parametrize("kind", [GRU, TwoMatrices])
@pytest.mark.parametrize("batch", [3, 20])
def test_a_frozen_weight_changes_no_other_gradient(kind: type[PointwiseCell], batch: int) -> None:
    share(2, batch)
    wanted = case(kind, (5, batch, 9, 19), dtype=torch.float32)
    plan = _native.plan(wanted)
    assert not isinstance(plan, str)

    def gradients() -> dict[str, Tensor]:
        wanted.cell.zero_grad()
        output, final = plan.run()
        sum((t * t).sum() for t in (output, *final)).backward()  # type: ignore[union-attr]
        return {n: t.grad for n, t in wanted.cell.named_parameters() if t.grad is not None}

    everything = gradients()
    for name, weight in wanted.cell.named_parameters():
        weight.requires_grad_(False)
        left = gradients()
        assert left.keys() == everything.keys() - {name}
        assert all(torch.equal(t, everything[n]) for n, t in left.items())
        weight.requires_grad_(True)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [1, 40])
def test_repeats_bit_for_bit(threads: int, batch: int) -> None:
    share(threads, batch)
    wanted = case(Peephole, (30, batch, 9, 33), dtype=torch.float32, ragged=True)
    first = results(_native, wanted)
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(results(_native, wanted), first, strict=True))


def test_padding_is_inert_whatever_is_in_it() -> None:
    wanted = case(GRU, (6, 5, 3, 4), ragged=True)
    clean = results(_native, wanted)
    poisoned = wanted.x.clone()
    assert wanted.lengths is not None
    poisoned[torch.arange(6)[:, None] >= wanted.lengths] = float("nan")
    agree(
        results(
            _native,
            Recurrence(
                wanted.cell, poisoned, wanted.state, None, wanted.lengths, None, wanted.start
            ),
        ),
        clean,
        0,
    )


def test_nan_and_infinity_flow_within_their_row() -> None:
    wanted = case(LSTM, (6, 5, 3, 4))
    wanted.x[2, 1, 0], wanted.x[3, 4, 1] = float("nan"), float("inf")
    (got, *_), (expected, *_) = results(_native, wanted), results(_reference, wanted)
    torch.testing.assert_close(got, expected, equal_nan=True)


def test_a_changed_weight_is_seen_however_it_was_changed() -> None:
    layer, x = elman.Recurrent(GRU(3, 5), engine="native"), torch.randn(2, 4, 3)
    seen = [layer(x)[0]]
    changes = [
        lambda w: w.data.mul_(2),
        lambda w: w.detach().numpy().__imul__(2),
        lambda _: layer.load_state_dict({n: 2 * t for n, t in layer.state_dict().items()}),
    ]
    for change in changes:
        change(layer.cell.weight_hh)
        with torch.no_grad():
            seen.append(layer(x)[0])
        assert not torch.allclose(seen[-1], seen[-2])
    with elman.use_engine("reference"):
        torch.testing.assert_close(elman.Recurrent(layer.cell)(x)[0], seen[-1])


def test_a_graph_that_is_kept_keeps_its_record() -> None:
    layer, x = (
        elman.Recurrent(LSTM(3, 5), engine="native"),
        torch.randn(2, 4, 3, requires_grad=True),
    )
    output = layer(x)[0]
    (first,) = torch.autograd.grad(output.sum(), x, retain_graph=True)
    for _ in range(10):
        layer(torch.randn(2, 4, 3))[0].sum().backward()
    (second,) = torch.autograd.grad(output.sum(), x)
    assert torch.equal(first, second)


AFTER_FORK = """
import os, torch, elman
torch.set_num_threads(2)
layer, x = elman.Recurrent(elman.cells.LSTM(3, 40), engine="native"), torch.randn(40, 9, 3)
expected = layer(x)[0]
child = os.fork()
if not child:
    os._exit(0 if torch.allclose(layer(x)[0], expected) else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

EVERY_SET = """
import torch
from elman.engine.runtime._library import library
from unit.engine import test_native as t
from unit.engine import test_operations as o
print(library().isa)
for kind in (t.GRU, t.Peephole, t.Statistics):
    for shape in t.SHAPES[2:]:
        t.test_equals_the_reference(kind, shape, 2)
    t.test_float32_is_as_near_as_torch(kind)
for op in o.ELEMENTWISE:
    if op != "constant":
        for dtype in (torch.float32, torch.float64):
            o.test_equals_torch(op, dtype)
"""


def script(code: str, **environment: str) -> str:
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        check=False,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_forked_child_does_not_wait_for_threads_it_has_not() -> None:
    script(AFTER_FORK)


@pytest.mark.slow
@pytest.mark.parametrize("isa", sampling.cases(["baseline", "avx2"], 1))
def test_every_instruction_set(isa: str) -> None:
    if library().isa == "baseline":
        pytest.skip("this machine has no other instruction set")
    assert script(EVERY_SET, ELMAN_ISA=isa).splitlines()[0] == isa


def test_an_unknown_instruction_set_is_an_error() -> None:
    code = "from elman.engine.runtime._library import missing; print(missing())"
    assert "instruction set" in script(code, ELMAN_ISA="avx1024")


def test_another_library_is_loaded_or_an_error() -> None:
    code = "from elman.engine.runtime._library import missing; print(missing())"
    assert "/nowhere/libelman.so" in script(code, ELMAN_LIBRARY="/nowhere/libelman.so")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: {"x": c.x.half()}, "float16"),
        (lambda c: {"x": c.x.float()}, "not every weight"),
        (lambda _: {"cell": elman.cells.Projected(LSTM(3, 4), 2).double()}, r"have (2, 4) units"),
    ],
)
def test_declines_aloud(change: Any, reason: str) -> None:
    wanted = case(GRU, (2, 2, 3, 4))
    fields = {name: getattr(wanted, name) for name in ("cell", "x", "state")}
    assert reason in str(_native.plan(Recurrence(**{**fields, **change(wanted)})))


def test_an_output_changed_in_place_is_an_error_and_not_a_wrong_gradient() -> None:
    layer = elman.GRU(3, 5)
    output, _ = layer(torch.randn(6, 4, 3))
    output.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


@pytest.mark.compile
def test_a_compiled_layer_without_gradients() -> None:
    layer, x = elman.GRU(3, 5), torch.randn(6, 4, 3)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(x)[0], layer(x)[0])
