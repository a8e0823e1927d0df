"""The scan of a linear recurrence in parallel, with exact derivatives of any order.

Time comes first. Whatever comes between time and the last dimension is rows: a batch, or under
``torch.func.vmap`` samples of batches.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

TILE = {"cpu": 1 << 16, "cuda": 1 << 20}
"""How many numbers an operation of torch should have on a device for its call to cost little."""
LONGEST_CHUNK = 256
"""So that the depth is logarithmic in time: every level divides it by as much, up to this."""


def linear_scan(
    a: Shaped[Tensor, "T ..."],
    b: Shaped[Tensor, "T ..."],
    state: Shaped[Tensor, "..."],
    restart: Bool[Tensor, "T ..."] | None = None,
    reverse: bool = False,
) -> Shaped[Tensor, "T ..."]:
    r"""Every state of a linear recurrence.

    .. math:: s_t = a_t s_{t-1} + b_t

    Time is cut into chunks, which all go through their steps side by side: first from zero, which
    gives what each adds to the state and what it multiplies the state by; then these few are
    scanned likewise; then all chunks go again, from the states in which they begin. So every
    number is touched a few times, and nothing is ever divided by a product.

    Args:
        a: (time, rows..., units), real or complex; or (time, rows..., 2, 2, units).
        b: (time, rows..., units), or (time, rows..., 2, units).
        state: before the first step, as one step of b.
        restart: (time, rows...) boolean: the step does not look at the state before.
        reverse: from the last step to the first.
    """
    arguments = (a, b, state, restart, reverse)
    if torch.compiler.is_compiling():
        if not torch.is_grad_enabled():  # where torch.compile refuses any Function
            return torch.ops.elman.linear_scan(*arguments)  # type: ignore[no-any-return]
        return _LinearScan.apply(*arguments)  # type: ignore[no-any-return,no-untyped-call]
    return _LinearScanWithTangents.apply(*arguments)  # type: ignore[no-any-return,no-untyped-call]


class _LinearScan(torch.autograd.Function):
    @staticmethod
    def forward(a: Tensor, b: Tensor, state: Tensor, restart: Any, reverse: bool) -> Tensor:
        if torch.compiler.is_compiling():
            return torch.ops.elman.linear_scan(a, b, state, restart, reverse)  # type: ignore[no-any-return]
        return _scanned(a, b, state, restart, reverse)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        a, _, state, restart, ctx.reverse = inputs
        ctx.save_for_backward(a, state, restart, output)
        ctx.save_for_forward(a, state, restart, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """The gradients: of b by the scan in reverse, of a by it and the states before.

        It is made of this very scan, so that it can be differentiated again.
        """
        a, state, restart, output = ctx.saved_tensors
        scan = torch.ops.elman.linear_scan if torch.compiler.is_compiling() else linear_scan
        order = _Order(ctx.reverse)
        adjoint = _adjoint(a, a.dim() > output.dim())
        last = order.last(gradient)
        of_b = last[None]
        if len(a) > 1:
            later, earlier = order.later, order.earlier
            again = None if restart is None else later(restart)
            of_earlier = scan(later(adjoint), earlier(gradient), last, again, not ctx.reverse)
            of_b = order.cat(of_earlier, last[None])
        of_a = of_state = None
        if ctx.needs_input_grad[0]:
            before = order.cat(state[None], order.earlier(output))
            of_a = _outer(of_b, _zero_where(restart, before), a.dim() > output.dim())
        if ctx.needs_input_grad[2]:
            first = _zero_where(
                None if restart is None else order.first(restart), order.first(of_b)
            )
            of_state = apply(order.first(adjoint), first)
        return of_a, of_b, of_state, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        """Samples are rows."""

        def rows(t: Tensor | None, dim: int | None, place: int) -> Tensor | None:
            if t is None:
                return None
            if dim is not None:
                return t.movedim(dim, place)
            return t.unsqueeze(place).expand(*t.shape[:place], info.batch_size, *t.shape[place:])

        a, b, state, restart, reverse = arguments
        tensors = zip((a, b, state, restart), in_dims, (1, 1, 0, 1), strict=False)
        return _LinearScanWithTangents.apply(*(rows(*t) for t in tensors), reverse), 1  # type: ignore[no-untyped-call]


class _LinearScanWithTangents(_LinearScan):
    """In a class of its own, since torch.compile refuses any Function that defines jvp."""

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        a, state, restart, output = ctx.saved_tensors
        of_a, of_b, of_state, *_ = tangents
        order = _Order(ctx.reverse)
        of_b = torch.zeros_like(output) if of_b is None else of_b
        if of_a is not None:
            before = order.cat(state[None], order.earlier(output))
            of_b = of_b + apply(of_a, _zero_where(restart, before))
        of_state = torch.zeros_like(state) if of_state is None else of_state
        return linear_scan(a, of_b, of_state, restart, ctx.reverse)


class _Order(NamedTuple):
    """Which steps come first, of sequences with time first."""

    reverse: bool

    def first(self, t: Tensor) -> Tensor:
        return t[-1 if self.reverse else 0]

    def last(self, t: Tensor) -> Tensor:
        return t[0 if self.reverse else -1]

    def earlier(self, t: Tensor) -> Tensor:
        """All steps but the last."""
        return t[1:] if self.reverse else t[:-1]

    def later(self, t: Tensor) -> Tensor:
        """All steps but the first."""
        return t[:-1] if self.reverse else t[1:]

    def cat(self, first: Tensor, then: Tensor) -> Tensor:
        return torch.cat([then, first] if self.reverse else [first, then])

    def sort(self, steps: list[Any]) -> list[Any]:
        return steps[::-1] if self.reverse else steps


# ---- numbers, complex numbers, and matrices of two by two ----


def apply(a: Tensor, s: Tensor) -> Tensor:
    """The product of a and s, of one step or of many."""
    if a.dim() == s.dim():
        return a * s
    one, two = s[..., :1, :], s[..., 1:, :]
    return torch.addcmul(a[..., 0, :] * one, a[..., 1, :], two)


def _plus(b: Tensor, a: Tensor, s: Tensor) -> Tensor:
    return b + apply(a, s) if a.dim() > s.dim() else torch.addcmul(b, a, s)


def _compose(second: Tensor, first: Tensor, is_matrix: bool) -> Tensor:
    if is_matrix:
        one = second[..., :1, :] * first[..., :1, :, :]
        return torch.addcmul(one, second[..., 1:, :], first[..., 1:, :, :])
    return second * first


def _adjoint(a: Tensor, is_matrix: bool) -> Tensor:
    return a.transpose(-2, -3) if is_matrix else a.conj()


def _outer(gradient: Tensor, s: Tensor, is_matrix: bool) -> Tensor:
    if is_matrix:
        return gradient.unsqueeze(-2) * s.unsqueeze(-3)
    return gradient * s.conj()


def _rows(where: Tensor, like: Tensor) -> Tensor:
    """A mask of rows with dimensions for units."""
    return where.view(*where.shape, *[1] * (like.dim() - where.dim()))


def _zero_where(where: Tensor | None, t: Tensor) -> Tensor:
    """Zeros instead of what may be NaN, which no multiplication by 0 would take away."""
    return t if where is None else t.masked_fill(_rows(where, t), 0)


# ---- the scan itself ----


def _scanned(
    a: Tensor,
    b: Tensor,
    state: Tensor,
    restart: Tensor | None,
    reverse: bool,
    guarded: bool = False,
) -> Tensor:
    order, steps, output = _Order(reverse), len(b), torch.empty_like(b)
    count = _chunks(b)
    length = steps // count
    whole = count * length
    if count < 2:
        _run(a, b, state, restart, order, guarded, output)
        return output
    # What no chunk holds is a few steps at the end of time, and so the first ones in reverse.
    rest = slice(whole, steps)
    if reverse and whole < steps:
        _run(a[rest], b[rest], state, _part(restart, rest), order, guarded, output[rest])
        state = output[whole]

    def cut(t: Tensor) -> Tensor:
        return t[:whole].view(count, length, *t.shape[1:]).transpose(0, 1)

    by_step = cut(a), cut(b), None if restart is None else cut(restart)
    ends, factors, cleared = _summarize(*by_step, order, guarded)
    # A product of many factors may be infinite, and infinity times 0 is no number.
    guard = factors.device.type != "cpu" or not bool(factors.isfinite().all())
    after = _scanned(factors, ends, state, cleared, reverse, guard)
    begin = order.cat(state[None], order.earlier(after))
    _run(by_step[0], by_step[1], begin, by_step[2], order, guarded, cut(output))
    if not reverse and whole < steps:
        state = output[whole - 1]
        _run(a[rest], b[rest], state, _part(restart, rest), order, guarded, output[rest])
    return output


def _chunks(b: Tensor) -> int:
    """Into how many chunks to cut: enough for long operations, and for short chunks."""
    steps = len(b)
    tile = TILE.get(b.device.type, TILE["cuda"])
    wide = tile * steps // max(b.numel(), 1)
    short = -(-steps // LONGEST_CHUNK)
    return max(1, min(max(wide, short), steps // 4))


def _run(
    a: Tensor,
    b: Tensor,
    state: Tensor,
    restart: Tensor | None,
    order: _Order,
    guarded: bool,
    output: Tensor,
) -> None:
    """Step by step, into ``output``."""
    is_plain = restart is None and not guarded and a.dim() == b.dim()
    again = [None] * len(b) if restart is None else restart.unbind(0)
    steps = list(zip(a.unbind(0), b.unbind(0), again, output.unbind(0), strict=True))
    for a_t, b_t, again_t, out in order.sort(steps):
        if is_plain:
            state = torch.addcmul(b_t, a_t, state, out=out)
        else:
            state = out.copy_(_step(b_t, a_t, state, _blocked(again_t, state, a_t, guarded)))


def _step(b: Tensor, a: Tensor, state: Tensor, blocked: Tensor | None) -> Tensor:
    new = _plus(b, a, state)
    return new if blocked is None else torch.where(blocked, b, new)


def _blocked(restart: Tensor | None, state: Tensor, a: Tensor, guarded: bool) -> Tensor | None:
    """Where a step does not look at the state before; if ``guarded``, also where that is 0."""
    again = None if restart is None else _rows(restart, state)
    if not guarded:
        return again
    empty = state == 0
    if a.dim() > state.dim():
        empty = empty.all(-2, keepdim=True)
    return empty if again is None else empty | again


def _summarize(
    a: Tensor, b: Tensor, restart: Tensor | None, order: _Order, guarded: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """What each chunk adds to the state, multiplies it by, and whether it forgets it."""
    is_matrix = a.dim() > b.dim()
    again = [None] * len(b) if restart is None else restart.unbind(0)
    steps = order.sort(list(zip(a.unbind(0), b.unbind(0), again, strict=True)))
    factors, ends, first = steps[0]
    factors = _zero_where(first, factors)
    for a_t, b_t, again_t in steps[1:]:
        ends = _step(b_t, a_t, ends, _blocked(again_t, ends, a_t, guarded))
        factors = _zero_where(again_t, _compose(a_t, factors, is_matrix))
    return ends, factors, None if restart is None else restart.any(0)


def _part(t: Tensor | None, some: slice) -> Tensor | None:
    return None if t is None else t[some]


# torch.compile sees one operation, and not its thousand steps.
torch.library.define(
    "elman::linear_scan",
    "(Tensor a, Tensor b, Tensor state, Tensor? restart, bool reverse) -> Tensor",
)
torch.library.impl("elman::linear_scan", "CompositeExplicitAutograd", _scanned)


@torch.library.register_fake("elman::linear_scan")  # type: ignore[untyped-decorator]
def _scanned_fake(_a: Tensor, b: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(b)
