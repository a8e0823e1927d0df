"""Booleans and integers in a step: what torch makes of them, or refused by name and line."""

# ruff: noqa: ARG005 - every step takes the same
from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import elman
from elman.cells import Cell, PointwiseCell
from elman.engine import Recurrence, _native, _reference
from elman.engine.compiler._lower import Untraceable
from elman.engine.compiler._trace import compile_cell

UNITS = 5
INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
INTEGERS += [torch.uint16, torch.uint32, torch.uint64]
Step = Callable[[Any, Tensor, Tensor, Tensor], Tensor]


def cell(step: Step, **buffers: Tensor) -> PointwiseCell:
    """A cell with two gates, a and b, whose state is ``step(cell, a, b, h)``."""

    class Made(PointwiseCell):
        gates, states = ("a", "b"), ("h",)

        def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
            return self.State(h=step(self, inp.a + rec.a, inp.b + rec.b, state.h))

    made = Made(3, UNITS)
    for name, buffer in buffers.items():
        made.register_buffer(name, buffer)
    return made


def both(made: Cell, steps: int = 2, batch: int = 3) -> list[list[Tensor]]:
    """Output and gradients by the native engine and by the reference."""
    dtype = next(made.parameters()).dtype
    x = torch.randn(steps, batch, made.input_size, dtype=dtype)
    found = []
    for engine in (_native, _reference):
        r = Recurrence(made, x.clone().requires_grad_(), made.initial_state(batch))
        output, _ = engine.plan(r).run()
        weights = torch.linspace(0.5, 1.5, output.numel(), dtype=dtype).view_as(output)
        inputs = [r.x, *made.parameters()]
        gradients = torch.autograd.grad(output, inputs, weights, materialize_grads=True)
        found.append([output, *gradients])
    return found


def equal(made: Cell) -> None:
    """Native and reference agree; a sum over steps to the size of its largest number."""
    for ours, theirs in zip(*both(made), strict=True):
        scale = theirs[theirs.isfinite()].abs().max().item() if theirs.isfinite().any() else 1.0
        bound = 5e-6 if theirs.dtype == torch.float32 else 1e-12
        torch.testing.assert_close(ours, theirs, rtol=0, atol=bound * max(scale, 1), equal_nan=True)


MASK = torch.tensor([True, False, True, False, True])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "step",
    [
        lambda s, a, b, h: torch.where(s.mask, a, b),
        lambda s, a, b, h: a * s.mask + h,
        lambda s, a, b, h: a.masked_fill(s.mask, 0.5),
        lambda s, a, b, h: torch.where(s.mask & (a > 0), a, h),
        lambda s, a, b, h: torch.where(~s.mask | (a > b), a, h),
        lambda s, a, b, h: torch.where(s.mask ^ (a > b), a, h),
        lambda s, a, b, h: torch.where(s.mask.unsqueeze(0), a, b),
        lambda s, a, b, h: a * s.mask.to(a.dtype) + b * (~s.mask).to(a.dtype),
        lambda s, a, b, h: a + s.mask.sum(),
        lambda s, a, b, h: a + (s.mask == (a > 0)).sum(-1, keepdim=True),
        lambda s, a, b, h: a / (1 + s.mask),
        lambda s, a, b, h: (s.mask + (a > 0)).to(a.dtype) + b,
        lambda s, a, b, h: torch.where(s.one, a, b),
        lambda s, a, b, h: a * s.one,
        lambda s, a, b, h: a * ((b > 0) * 0.5),
        lambda s, a, b, h: a * (s.mask * 0.1),
        lambda s, a, b, h: a * torch.where(b > 0, 0.1, 0.5),
        lambda s, a, b, h: a * (s.mask.sum() / 3) + (b > 0).sum(-1, keepdim=True) ** 2,
        lambda s, a, b, h: a * s.mask.float() + (b > 0).to(a.dtype),
    ],
)
def test_a_boolean_buffer(step: Step, dtype: torch.dtype) -> None:
    equal(cell(step, mask=MASK, one=torch.tensor(True)).to(dtype))


@pytest.mark.parametrize("computes", [torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_an_integer_buffer_of_every_type(dtype: torch.dtype, computes: torch.dtype) -> None:
    counts = torch.tensor([0, 1, 2, 3, 100]).to(dtype)

    def step(s: Any, a: Tensor, b: Tensor, h: Tensor) -> Tensor:
        return (
            torch.tanh(a * s.counts + s.count)
            - torch.sigmoid(b) / (s.counts + b.cosh())
            + torch.sin(s.counts.to(a.dtype))
        )

    equal(cell(step, counts=counts, count=torch.tensor(7).to(dtype)).to(computes))


def test_integers_that_no_float32_holds_are_rounded_as_torch_rounds_them() -> None:
    huge = torch.tensor([2**24 + 1, 2**53 + 1, -(2**62) - 1, 2**63 - 1, 2**31 + 7])
    equal(cell(lambda s, a, b, h: torch.tanh(a * s.huge * 1e-19) + b / 9, huge=huge))
    equal(cell(lambda s, a, b, h: torch.where(s.huge > a, a / 3, b / 3), huge=huge))


SMALL = torch.tensor([1, 2, 3, 4, 5], dtype=torch.int8)


@pytest.mark.parametrize(
    "step",
    [
        lambda s, a, b, h: a * (s.bytes.short() - 3),
        lambda s, a, b, h: torch.where(s.wide.int() + s.bytes > 3, a, b),
        lambda s, a, b, h: torch.where((a > 0).int() * 3 - 1 > 0, a, b),
        lambda s, a, b, h: a + (a > b).long().sum(-1, keepdim=True) * 2,
        lambda s, a, b, h: a + torch.where(a > 0, 1, -1),
        lambda s, a, b, h: a * torch.clamp(s.wide, 2, 4),
        lambda s, a, b, h: a * torch.clamp(s.wide, 1.5, 4.5),
        lambda s, a, b, h: a * F.hardtanh(s.wide, 2, 4),
        lambda s, a, b, h: a * (-s.wide.int()).abs(),
        lambda s, a, b, h: a * (s.wide == 3) + (~s.bytes.int()) * b,
    ],
)
def test_integers_that_stay_in_range_are_computed_with(step: Step) -> None:
    equal(cell(step, bytes=SMALL.to(torch.uint8), wide=SMALL.to(torch.int16)))


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("aten.bitwise_and", lambda s, a, b, h: a * (s.small & 6)),
        ("aten.bitwise_or", lambda s, a, b, h: a * (s.small | 4)),
        ("aten.bitwise_xor", lambda s, a, b, h: a * (s.small ^ 4)),
        ("aten.mul", lambda s, a, b, h: a * (s.small * 100)),
        ("aten.sub", lambda s, a, b, h: a * (s.bytes - 5)),
        ("aten.neg", lambda s, a, b, h: a * (-s.small)),
        ("aten.add", lambda s, a, b, h: a * (s.large + 1)),
        ("aten.eq", lambda s, a, b, h: torch.where(s.large == 2**24 + 1, a, b)),
        ("aten.floor_divide", lambda s, a, b, h: a * (s.small // 2)),
        ("aten.remainder", lambda s, a, b, h: a * (s.small % 2)),
        ("aten.sum", lambda s, a, b, h: a + s.large.sum()),
        ("aten._to_copy", lambda s, a, b, h: a.long() + b),
        ("aten._to_copy", lambda s, a, b, h: (a * 2).to(torch.int8) + b),
        ("aten._to_copy", lambda s, a, b, h: a * s.large.to(torch.int8)),
        ("aten._to_copy", lambda s, a, b, h: a.double().float()),
        ("aten.hardtanh", lambda s, a, b, h: a * F.hardtanh(s.small, 1.5, 3.5)),
        ("aten.__lshift__", lambda s, a, b, h: a * (s.small << 1)),
    ],
)
def test_integers_that_would_wrap_around_are_refused_by_name_and_line(
    name: str, step: Step
) -> None:
    large = torch.tensor([1, 2**24 + 1, 3, 4, 2**40])
    made = cell(step, small=SMALL, bytes=SMALL.to(torch.uint8), large=large)
    with pytest.raises(Untraceable, match=rf"{name}.*test_kinds.py:\d+: .*lambda"):
        compile_cell(made, torch.float32, None)
    layer, x = elman.Recurrent(made), torch.randn(2, 4, 3)
    (choice,) = elman.explain(layer, x).choices
    assert choice.engine == "reference"
    assert name in dict(choice.why_not)["native"]


def test_a_number_of_another_float_type_gives_way_or_is_refused() -> None:
    equal(cell(lambda s, a, b, h: torch.where(a > 0, 0.1, b)))
    equal(cell(lambda s, a, b, h: torch.where(a > 0, 0.1, b)).double())
    made = cell(lambda s, a, b, h: a * s.other, other=torch.rand(5, dtype=torch.float64))
    reason = _native.plan(Recurrence(made, torch.randn(4, 3, 3), made.initial_state(3)))
    assert "other is torch.float64" in str(reason)


class _Masks(NamedTuple):
    x: Tensor
    mask: Tensor
    count: Tensor


class Projects(Cell):
    """A cell whose ``project`` draws masks, and counts in integers."""

    states = ("h",)

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__(UNITS, UNITS)
        self.weight = torch.nn.Parameter(torch.rand(UNITS))
        self.dtype = dtype

    def project(self, x: Tensor) -> _Masks:
        count = (x.abs() * 3).to(self.dtype)
        return _Masks(x, x > 0, count)

    def step(self, inp: Any, state: Any) -> Any:
        h = torch.where(inp.mask, self.weight * inp.x, state.h) + inp.count
        return self.State(torch.tanh(h / 3))


@pytest.mark.parametrize("dtype", [torch.bool, *INTEGERS])
def test_a_projection_of_masks_and_integers(dtype: torch.dtype) -> None:
    equal(Projects(dtype))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
def test_a_stream_reads_buffers_in_their_type(dtype: torch.dtype) -> None:
    made = cell(lambda s, a, b, h: torch.tanh(a * s.mask + b * h), mask=MASK.to(dtype))
    layer, x = elman.Recurrent(made), torch.randn(2, 6, 3)
    stream = elman.Stream(layer, rows=2, engine="native")
    stepped = torch.stack([stream(x_t) for x_t in x.unbind(1)], 1)
    with elman.use_engine("reference"), torch.no_grad():
        torch.testing.assert_close(stepped, elman.Recurrent(made)(x)[0])


def _at_the_end_of_memory(t: Tensor) -> Tensor:
    """The same numbers, and after them nothing that may be read."""
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * page)
    first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    size = t.numel() * t.element_size()
    ctypes.memmove(first + page - size, t.data_ptr(), size)
    nothing = 0  # PROT_NONE
    if ctypes.CDLL(None).mprotect(ctypes.c_void_p(first + page), page, nothing):
        pytest.skip("this system protects no memory")
    view = torch.frombuffer(memory, dtype=t.dtype, count=t.numel(), offset=page - size)
    _kept.append(memory)
    return view


_kept: list[mmap.mmap] = []


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16])
def test_nothing_is_read_beyond_a_buffer(dtype: torch.dtype) -> None:
    mask = _at_the_end_of_memory(MASK.to(dtype))
    made = cell(lambda s, a, b, h: torch.where(s.mask != 0, a, b))
    made.register_buffer("mask", mask)
    assert made.mask.data_ptr() == mask.data_ptr()
    equal(made)
    x = torch.randn(2, 6, 3)
    stream = elman.Stream(elman.Recurrent(made), rows=2, engine="native")
    assert stream(x[:, 0]).isfinite().all()


def test_a_changed_buffer_and_a_changed_type_are_noticed() -> None:
    made = cell(lambda s, a, b, h: a * s.mask, mask=MASK.clone())
    equal(made)
    made.mask.logical_not_()
    equal(made)
    made.mask = torch.tensor([3, 1, 4, 1, 5], dtype=torch.int16)
    equal(made)
