"""Forward and backward on different threads: other counts, ways to divide, and processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple, TypeVar

import pytest
import torch
from torch import Tensor

import elman
from elman.cells import GRU, LSTM, PointwiseCell
from elman.engine import Recurrence, _native, _reference
from elman.engine.runtime import _operators
from elman.scan import Observation
from unit.engine.own_cells import NormedGRU, Sine
from unit.engine.test_fork_and_threads import status_of_child
from unit.engine.test_native import agree, case

pytestmark = [pytest.mark.timeout(240), pytest.mark.unchecked]
T = TypeVar("T")

COUNTS = (1, 2, 3, 4, 8)
ROWS, UNITS = 1, 2
SHAPE = (6, 17, 5, 35)  # more rows than threads, units that fill several vectors and part of one


class Share(NamedTuple):
    """How many threads there are, and how they divide a scan."""

    threads: int
    split: int = 0


def inside(share: Share, work: Callable[[], T]) -> T:
    torch.set_num_threads(share.threads)
    _operators.split = share.split
    return work()


SHARES = [Share(*each) for each in product(COUNTS, (ROWS, UNITS))]
PAIRS = list(product(SHARES, SHARES))


class Run:
    """A forward that waits for its backward; everything has a cotangent, what is seen too."""

    def __init__(self, r: Recurrence, *, observed: bool = False, engine: Any = _native) -> None:
        states = [
            r.cell.State(*(s.detach().clone().requires_grad_() for s in group))
            for group in (r.state, r.start)
        ]
        x, look = r.x.detach().clone().requires_grad_(), Observation()
        again = replace(
            r, x=x, state=states[0], start=states[1], observe=look if observed else None
        )
        output, final = engine.plan(again).run()
        self.results = [output, *final, *(look.stacked(0).values() if observed else ())]
        self.inputs = [x, *states[0], *states[1], *r.cell.parameters()]

    def gradients(self, *, twice: bool = False) -> list[Tensor]:
        draw = torch.Generator().manual_seed(1)
        weights = [torch.randn(t.shape, generator=draw).to(t.dtype) for t in self.results]
        loss = sum((w * t.square()).sum() for w, t in zip(weights, self.results, strict=True))
        first = torch.autograd.grad(
            loss, self.inputs, create_graph=twice, allow_unused=True, materialize_grads=True
        )
        if not twice:
            return list(first)
        total = sum(g.square().sum() for g in first)
        second = torch.autograd.grad(total, self.inputs, allow_unused=True, materialize_grads=True)
        return [*(g.detach() for g in first), *second]


OPTIONS: dict[str, dict[str, bool]] = {
    "dense": {},
    "ragged": {"ragged": True},
    "resets": {"resets": True},
    "reverse": {"reverse": True},
    "all": {"ragged": True, "resets": True, "reverse": True},
}


def compare(kind: type[PointwiseCell], pairs: list[tuple[Share, Share]], **options: Any) -> None:
    """Each pair against the reference, and against the forward's own share, to the bit."""
    observed, twice = options.pop("observed", False), options.pop("twice", False)
    wanted = case(kind, options.pop("shape", SHAPE), **options)
    expected = Run(wanted, observed=observed, engine=_reference).gradients(twice=twice)
    tolerance = 1e-11 if wanted.x.dtype == torch.float64 else 1e-4
    equal: dict[Share, list[Tensor]] = {}
    for before, after in pairs:
        run = inside(before, lambda: Run(wanted, observed=observed))
        got = inside(after, lambda run=run: run.gradients(twice=twice))  # type: ignore[misc]
        agree(got, expected, tolerance)
        if before.split == ROWS and before.threads > 1 and not twice:
            if before not in equal:
                run = inside(before, lambda: Run(wanted, observed=observed))
                equal[before] = inside(before, run.gradients)
            assert all(map(torch.equal, got, equal[before])), (before, after)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("kind", [LSTM, GRU, Sine])
def test_every_pair_of_shares(kind: type[PointwiseCell], option: str) -> None:
    compare(kind, PAIRS, dtype=torch.float32, **OPTIONS[option])


FEW = [(a, b) for a, b in PAIRS if a != b and {a.threads, b.threads} <= {1, 2, 3, 8}]


@pytest.mark.parametrize("kind", [LSTM, NormedGRU, Sine])
def test_in_float64(kind: type[PointwiseCell]) -> None:
    compare(kind, FEW, ragged=True, resets=True)


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_through_what_is_seen(kind: type[PointwiseCell]) -> None:
    compare(kind, FEW, ragged=True, observed=True)


@pytest.mark.parametrize("kind", [LSTM, GRU, Sine])
def test_twice(kind: type[PointwiseCell]) -> None:
    pairs = [(Share(a, ROWS), Share(b, ROWS)) for a, b in ((2, 1), (1, 2), (8, 3), (3, 8))]
    compare(kind, pairs, ragged=True, twice=True, shape=(3, 9, 2, 5))


@pytest.mark.parametrize("shape", [(270, 3, 3, 4), (2, 300, 2, 3), (90, 17, 3, 4)])
def test_over_chunks(shape: tuple[int, int, int, int]) -> None:
    pairs = [(Share(a, s), Share(b, s)) for a, b in ((2, 1), (1, 3), (8, 3)) for s in (ROWS, UNITS)]
    compare(NormedGRU, pairs, ragged=True, shape=shape)


@pytest.mark.parametrize("before", COUNTS)
@pytest.mark.parametrize("after", COUNTS)
def test_of_a_layer_as_it_divides_itself(before: int, after: int) -> None:
    layer, x = elman.LSTM(8, 33, batch_first=True), torch.randn(40, 9, 8)
    parameters = tuple(layer.parameters())
    with elman.use_engine("reference"):
        expected = torch.autograd.grad(layer(x)[0].square().sum(), parameters)
    loss = inside(Share(before), lambda: layer(x)[0].square().sum())
    agree(
        list(inside(Share(after), lambda: torch.autograd.grad(loss, parameters))),
        list(expected),
        1e-5,
    )


@contextmanager
def in_a_thread() -> Iterator[list[Callable[[], None]]]:
    """Runs what is put into the list, in a thread of its own, and shows what it raises."""
    work: list[Callable[[], None]] = []
    failed: list[BaseException] = []
    yield work

    def run() -> None:
        try:
            for each in work:
                each()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (3, 8), (8, 2)])
def test_in_another_python_thread(before: int, after: int) -> None:
    wanted = case(LSTM, SHAPE, ragged=True)
    expected = Run(wanted, engine=_reference).gradients()
    runs: list[Run] = []
    with in_a_thread() as work:
        work.append(lambda: runs.append(inside(Share(before, ROWS), lambda: Run(wanted))))
    agree(inside(Share(after, ROWS), runs[0].gradients), expected, 1e-11)
    run = inside(Share(before, ROWS), lambda: Run(wanted))
    with in_a_thread() as work:
        work.append(lambda: agree(inside(Share(after, UNITS), run.gradients), expected, 1e-11))


def test_two_python_threads_go_back_through_one_graph() -> None:
    wanted = case(LSTM, SHAPE, ragged=True)
    run = inside(Share(3, ROWS), lambda: Run(wanted))
    loss = sum(t.square().sum() for t in run.results)
    expected = torch.autograd.grad(loss, run.inputs, retain_graph=True, materialize_grads=True)
    found: list[list[Tensor]] = []

    def work(threads: int) -> None:
        torch.set_num_threads(threads)
        found.extend(
            torch.autograd.grad(loss, run.inputs, retain_graph=True, materialize_grads=True)
            for _ in range(10)
        )

    workers = [threading.Thread(target=work, args=(n,)) for n in (1, 2, 3, 4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 40
    assert all(all(map(torch.equal, each, expected)) for each in found)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*JAX is multithreaded:RuntimeWarning")
@pytest.mark.parametrize("share", [Share(4, ROWS), Share(4, UNITS), Share(1)])
def test_a_fork_between_forward_and_backward(share: Share) -> None:
    wanted = case(NormedGRU, SHAPE, ragged=True)
    expected = Run(wanted, engine=_reference).gradients()
    before = inside(share, lambda: Run(wanted))
    assert status_of_child(lambda: agree(before.gradients(), expected, 1e-11)) == 0

    def wholly() -> None:
        agree(Run(wanted).gradients(), expected, 1e-11)

    assert status_of_child(wholly) == 0
    agree(before.gradients(), expected, 1e-11)


def test_samples_mapped_over() -> None:
    layer = elman.Recurrent(LSTM(3, 35), engine="native").double()
    x, parameters = torch.randn(3, 9, 5, 3, dtype=torch.float64), tuple(layer.parameters())
    expected = torch.autograd.grad(layer(x.flatten(0, 1))[0].square().sum(), parameters)
    for before, after in ((2, 1), (1, 3), (8, 2)):
        output = inside(Share(before, ROWS), lambda: torch.vmap(lambda x: layer(x)[0])(x))
        loss = output.square().sum()
        got = inside(Share(after, ROWS), lambda: torch.autograd.grad(loss, parameters))  # noqa: B023
        agree(list(got), list(expected), 1e-11)


@pytest.mark.compile
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of itself
@pytest.mark.parametrize("dynamic", [False, True])
def test_a_compiled_graph(dynamic: bool) -> None:
    layer = elman.Recurrent(GRU(3, 35), engine="native").double()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    x, parameters = torch.randn(24, 6, 3, dtype=torch.float64), tuple(layer.parameters())
    with elman.use_engine("reference"):
        expected = torch.autograd.grad(layer(x)[0].square().sum(), parameters)
    for before, after in ((2, 1), (1, 2), (3, 8)):
        loss = inside(Share(before, ROWS), lambda: compiled(x)[0].square().sum())
        got = inside(Share(after, ROWS), lambda: torch.autograd.grad(loss, parameters))  # noqa: B023
        agree(list(got), list(expected), 1e-11)


@pytest.mark.parametrize("rows", [1, 300])
def test_a_stream_whose_count_changes_between_steps(rows: int) -> None:
    layer = elman.Stack(elman.Recurrent(LSTM(4, 96)), elman.Recurrent(GRU(96, 80)))
    x = torch.randn(rows, 6, 4)
    expected, _ = layer(x)
    torch.set_num_threads(3)
    stream = elman.Stream(layer, rows=rows)
    steps = []
    for t, threads in enumerate((3, 1, 8, 2, 1, 4)):
        torch.set_num_threads(threads)
        steps.append(stream(x[:, t]))
    agree([torch.stack(steps, 1)], [expected.detach()], 1e-5)


def test_the_record_does_not_grow_with_the_threads() -> None:
    wanted = case(LSTM, SHAPE)
    sizes = {
        inside(Share(n), lambda: Run(wanted)).results[0].grad_fn.saved_tensors[3].numel()  # type: ignore[union-attr]
        for n in COUNTS
    }
    assert len(sizes) == 1
