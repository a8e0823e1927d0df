"""Streams on the native library: what the layers compute, in memory of their own."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import elman
import sampling
from elman import Stream
from elman.cells import GRU, LSTM, Cell, Elman, PointwiseCell, Projected, Zoneout
from elman.engine.runtime._library import library
from unit.engine import linear_cells
from unit.engine.own_cells import CELLS
from unit.engine.test_native import script

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12}


def stack(inputs: int, units: int) -> elman.Stack:
    """Every way in which layers are put together."""
    below = elman.Recurrent(LSTM(inputs, units), learn_initial_state=True)
    middle = elman.Residual(elman.Residual(elman.Recurrent(GRU(units, units))))
    above = elman.Residual(
        elman.Stack(elman.Recurrent(Elman(units, units)), elman.Recurrent(LSTM(units, units)))
    )
    assert below.initial is not None
    for parameter in below.initial.values():
        nn.init.normal_(parameter)
    return elman.Stack(elman.Dropout(below, 0.5), middle, above)


def by_reference(model: nn.Module, x: Tensor, **options: Any) -> Tensor:
    with elman.use_engine("reference"), torch.no_grad():
        output: Tensor = model.eval()(x, **options)[0]
    return output


def native(model: nn.Module, rows: int = 1) -> Stream:
    return Stream(model, rows, engine="native")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", TOLERANCE)
# few rows share the units among threads, many are shared themselves, very many in several parts
@pytest.mark.parametrize(("rows", "units"), [(1, 5), (1, 300), (3, 150), (40, 33), (700, 19)])
def test_a_stack_equals_the_reference(
    rows: int, units: int, dtype: torch.dtype, threads: int
) -> None:
    torch.set_num_threads(threads)
    model, x = stack(7, units).to(dtype), torch.randn(rows, 5, 7, dtype=dtype)
    stream = native(model, rows)
    output = torch.stack([stream(x_t) for x_t in x.unbind(1)], 1)
    assert (output - by_reference(model, x)).abs().max() <= TOLERANCE[dtype]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("rows", "units"), [(1, 1), (2, 270), (150, 47)])
@pytest.mark.parametrize("kind", CELLS)
def test_any_cell_equals_the_reference(
    kind: type[PointwiseCell], rows: int, units: int, threads: int
) -> None:
    torch.set_num_threads(threads)
    layer = elman.Recurrent(kind(3, units)).double()
    x = torch.randn(rows, 4, 3, dtype=torch.float64)
    stream = native(layer, rows)
    output = torch.stack([stream(x_t) for x_t in x.unbind(1)], 1)
    assert (output - by_reference(layer, x)).abs().max() <= 1e-12


@pytest.mark.parametrize(
    ("rows", "units", "dtype", "threads"),
    [
        (1, 2, torch.float64, 1),
        (2, 130, torch.float32, 1),
        (2, 130, torch.float64, 2),
        (50, 20, torch.float32, 2),
    ],
)
@pytest.mark.parametrize("kind", linear_cells.CELLS)
def test_matrices_of_a_step_s_own_equal_the_reference(
    kind: type[Cell], rows: int, units: int, dtype: torch.dtype, threads: int
) -> None:
    torch.set_num_threads(threads)
    layer = elman.Recurrent(kind(3, units)).to(dtype)
    x = torch.randn(rows, 4, 3, dtype=dtype)
    stream = native(layer, rows)
    output = torch.stack([stream(x_t) for x_t in x.unbind(1)], 1)
    assert (output - by_reference(layer, x)).abs().max() <= 5 * TOLERANCE[dtype]


class Layered(Cell):
    """A projection of booleans, integers and numbers, and products of what is projected."""

    states = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.of_x = nn.Linear(input_size, 2 * hidden_size)
        self.of_inp = nn.Linear(hidden_size, hidden_size)

    def project(self, x: Tensor) -> Any:
        both = self.of_x(x)
        return LayeredInput(both, both[..., : self.hidden_size] > 0, both.sign().int())

    def step(self, inp: Any, state: Any) -> Any:
        a, b = inp.both.chunk(2, -1)
        again = self.of_inp(a)
        c = torch.where(inp.above, state.c, torch.tanh(again + b))
        return self.State(h=c + 0.1 * inp.sign.chunk(2, -1)[0] - 0.5 * state.h, c=c)


class LayeredInput(NamedTuple):
    both: Tensor
    above: Tensor
    sign: Tensor


def mixed_stack(units: int) -> elman.Stack:
    """Cells that project themselves and cells that do not, with what is added across both."""
    own = elman.Recurrent(Layered(units, units))
    inner = elman.Stack(
        elman.Recurrent(GRU(units, units)),
        elman.Residual(own),
        elman.Residual(elman.Recurrent(LSTM(units, units))),
    )
    below = elman.Recurrent(Zoneout(LSTM(4, units), 0.2))
    return elman.Stack(below, elman.Residual(inner), elman.Recurrent(Elman(units, units)))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("rows", "units"), [(1, 5), (3, 150), (60, 20)])
def test_a_stack_in_parts_equals_the_reference(rows: int, units: int, threads: int) -> None:
    torch.set_num_threads(threads)
    model, x = mixed_stack(units).double(), torch.randn(rows, 6, 4, dtype=torch.float64)
    stream, reset = native(model, rows), torch.rand(rows, 6) < 0.3
    outputs = []
    for t in range(6):
        stream.reset(reset[:, t])
        if t % 2:
            outputs.append(stream(x[:, t]))
        else:
            stream.input.copy_(x[:, t])
            stream.step()
            outputs.append(stream.output.clone())
    expected = by_reference(model, x, reset=reset)
    torch.testing.assert_close(torch.stack(outputs, 1), expected, rtol=0, atol=1e-12)


def test_the_states_of_parts_are_read_written_and_renewed() -> None:
    model, x = mixed_stack(5).double(), torch.randn(2, 4, dtype=torch.float64)
    stream, other = native(model, 2), Stream(model, 2, engine="reference")
    for each in (stream, other):
        each(x)
    again = pickle.loads(pickle.dumps(stream))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    torch.testing.assert_close(stream(x), other(x))  # as it was
    for each in (stream, other):
        each.refresh()
    torch.testing.assert_close(stream(x), other(x))
    stream.state = again.state
    other.state = again.state
    torch.testing.assert_close(stream(x), other(x))
    assert stream.engine == "native"
    for wrong, error in ((x[:1], elman.ShapeError), (x.float(), elman.DtypeError)):
        with pytest.raises(error, match="expected x"):
            stream(wrong)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert stream(x.bfloat16()).dtype == torch.float64


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("make", [elman.RNN, elman.LSTM, elman.GRU])
def test_drop_ins(make: Any, bias: bool) -> None:
    model = make(4, 5, num_layers=3, dropout=0.5, batch_first=True, bias=bias).double()
    x = torch.randn(3, 6, 4, dtype=torch.float64)
    stream = native(model, 3)
    output = torch.stack([stream(x_t) for x_t in x.unbind(1)], 1)
    torch.testing.assert_close(output, by_reference(model, x), rtol=0, atol=1e-12)


def test_both_ways_to_step_are_one() -> None:
    model, x = stack(4, 21), torch.randn(6, 3, 4)
    one, other = native(model, 3), native(model, 3)
    reading, output = one.input.numpy(), one.output.numpy()
    for x_t in x:
        reading[:] = x_t
        one.step()
        assert torch.equal(torch.from_numpy(output), other(x_t))


def test_a_step_calls_nothing_of_torch() -> None:
    stream, called = native(stack(4, 5), 2), []

    class Looking(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, f: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            called.append(f)
            return f(*args, **(kwargs or {}))

    with Looking():  # type: ignore[no-untyped-call]
        stream.step()
        assert not called
        stream(stream.input)
    assert called


def test_steps_are_the_same_whichever_way_the_weights_are_read() -> None:
    stream, x = native(elman.Recurrent(LSTM(9, 70)), 2), torch.randn(2, 9)
    before = stream.state
    first = stream(x)
    stream.state = before
    assert torch.equal(stream(x), first)


@pytest.mark.parametrize("lay_out", [lambda x: x.T.contiguous().T, lambda x: x[:1].expand(3, 4)])
def test_any_layout_of_an_input(lay_out: Callable[[Tensor], Tensor]) -> None:
    model, x = stack(4, 5), torch.randn(3, 4)
    x = lay_out(x)
    assert not x.is_contiguous()
    assert torch.equal(native(model, 3)(x), native(model, 3)(x.contiguous()))


@pytest.mark.parametrize("rows", [3, 300])
def test_rows_begin_anew_alone(rows: int) -> None:
    torch.set_num_threads(2)
    model = stack(4, 65).double()
    x, reset = torch.randn(rows, 6, 4, dtype=torch.float64), torch.rand(rows, 6) < 0.3
    stream, outputs = native(model, rows), []
    for t in range(6):
        stream.reset(reset[:, t])
        outputs.append(stream(x[:, t]))
    expected = by_reference(model, x, reset=reset)
    torch.testing.assert_close(torch.stack(outputs, 1), expected, rtol=0, atol=1e-12)


def test_under_autocast_it_computes_in_the_dtype_of_the_weights() -> None:
    model, x = elman.Recurrent(GRU(4, 5)), torch.randn(2, 4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = native(model, 2)(x)
    assert torch.equal(output, native(model, 2)(x.float()))


REASONS: list[tuple[Callable[[], nn.Module], str]] = [
    (
        lambda: elman.Recurrent(Projected(LSTM(4, 5), 2)),
        r"model itself: its states have \(2, 5\) units",
    ),
    (
        lambda: elman.LSTM(4, 5, num_layers=2, proj_size=2),
        r"model itself l0: its states have \(2, 5\) units",
    ),
    (
        lambda: elman.Stack(elman.Recurrent(GRU(4, 5)), elman.Recurrent(GRU(5, 5)).double()),
        r"layers.1: it does not compute in the dtype of the layer below",
    ),
    (lambda: elman.Recurrent(GRU(4, 5)).bfloat16(), "float32 and float64"),
    (lambda: elman.Recurrent(GRU(4, 5), engine="reference"), "'reference' was asked for"),
    (lambda: elman.Stack(*(elman.Recurrent(GRU(4, 4)) for _ in range(65))), "at most 64"),
]


@pytest.mark.parametrize(("make", "reason"), REASONS)
def test_what_cannot_step_natively_says_why(make: Callable[[], nn.Module], reason: str) -> None:
    model = make()
    with torch.autocast("cpu"):  # where even layers of several dtypes go together
        with pytest.raises(elman.EngineError, match=f"'native' cannot step this model: .*{reason}"):
            native(model)
        stream = Stream(model)
    assert stream.engine == "reference"
    assert stream.why_not_native is not None


def test_a_module_of_one_s_own_has_no_buffers() -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = elman.Recurrent(GRU(4, 5))

        def initial_state(self, batch_size: int) -> Any:
            return self.layer.initial_state(batch_size)

        def step(self, x: Tensor, state: Any) -> Any:
            return self.layer.step(2 * x, state)

    stream = Stream(Doubled())
    assert stream.why_not_native == "the model itself: Doubled is no layer of elman"
    for use in (stream.step, lambda: stream.input, lambda: stream.output):
        with pytest.raises(elman.ConfigError, match=r"Doubled is no layer.* call stream\(x\)"):
            use()


def test_the_reference_has_buffers_too() -> None:
    model, x = stack(4, 5).double(), torch.randn(3, 6, 4, dtype=torch.float64)
    stream, outputs = Stream(model, 3, engine="reference"), []
    assert (stream.engine, stream.why_not_native) == ("reference", "'reference' was asked for")
    for x_t in x.unbind(1):
        stream.input.copy_(x_t)
        stream.step()
        outputs.append(stream.output.clone())
    torch.testing.assert_close(torch.stack(outputs, 1), by_reference(model, x))


def test_the_engine_can_be_asked_for_anywhere() -> None:
    layer = elman.Recurrent(GRU(4, 5))
    assert (Stream(layer).engine, Stream(layer).why_not_native) == ("native", None)
    with elman.use_engine("reference"):
        assert Stream(layer).engine == "reference"
        with pytest.raises(elman.EngineError, match="'reference' was asked for"):
            native(layer)
    named = elman.Recurrent(Projected(LSTM(4, 5), 2), engine="native")
    with pytest.raises(elman.EngineError, match="cannot step this model"):
        Stream(named)
    with pytest.raises(elman.ConfigError, match="did you mean 'native'"):
        Stream(layer, engine="nativ")


def test_refresh_chooses_anew() -> None:
    layer = elman.Recurrent(GRU(4, 5))
    stream = Stream(layer, 2)
    stream(torch.randn(2, 4))
    before = stream.state.h
    layer.bfloat16()
    stream.refresh()
    assert stream.engine == "reference"
    assert torch.equal(stream.state.h, before.bfloat16())
    assert stream.input.dtype == stream.output.dtype == torch.bfloat16


@pytest.mark.parametrize("take", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_a_copy_has_a_memory_of_its_own(take: Callable[[Stream], Stream]) -> None:
    stream, x = native(stack(4, 5), 2), torch.randn(2, 4)
    stream(x)
    other = take(stream)
    assert other.engine == "native"
    assert torch.equal(other(x), stream(x))
    stream(x)
    assert not torch.equal(stream(x), other(x))


def test_threads_take_turns() -> None:
    class Counting(PointwiseCell):
        gates, states = ("z",), ("h",)

        def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
            return self.State(h=state.h + 1 + 0 * (inp.z + rec.z))

    stream = native(elman.Recurrent(Counting(4, 300)), 60)  # a step takes a while
    x = torch.randn(60, 4)

    def work(k: int) -> None:
        for _ in range(50):
            stream(x) if k % 2 else stream.step()

    workers = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert stream.state.h.eq(300).all()


class Scaled(PointwiseCell):
    """Reads a number from around it."""

    gates, states = ("z",), ("h",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=torch.tanh(SCALE * (inp.z + rec.z)))


SCALE: Any = 1.0


@pytest.mark.parametrize("buffered", [False, True])
def test_a_number_that_a_step_reads_changes(
    buffered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = elman.Stack(elman.Recurrent(Scaled(4, 5)), elman.Recurrent(GRU(5, 5)))
    stream, other = native(model, 3), Stream(model, 3, engine="reference")
    given, taken = stream.input, stream.output

    def step(x: Tensor) -> Tensor:
        if not buffered:
            return stream(x)
        given.copy_(x)
        stream.step()
        return taken

    for scale in (1.0, 2.0, True, 0.5, 0.5):
        monkeypatch.setitem(globals(), "SCALE", scale)
        x = torch.randn(3, 4)
        torch.testing.assert_close(step(x), other(x))
        assert stream.engine == "native"
        assert stream.input is given


def test_what_can_no_longer_be_traced_goes_on_by_the_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = elman.Recurrent(Scaled(4, 5))
    stream, other = Stream(model, 2), Stream(model, 2, engine="reference")
    x = torch.randn(2, 4)
    torch.testing.assert_close(stream(x), other(x))
    monkeypatch.setitem(globals(), "SCALE", torch.tensor(2.0))
    torch.testing.assert_close(stream(x), other(x))
    assert "Scaled.pointwise reads SCALE, a tensor" in str(stream.why_not_native)
    with pytest.raises(elman.EngineError, match="reads SCALE, a tensor"):
        native(model)


def test_the_weights_stay_frozen_where_a_number_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = elman.Recurrent(Scaled(4, 5)), torch.randn(1, 4)
    stream, frozen = native(model), copy.deepcopy(model)
    with torch.no_grad():
        model.cell.weight_ih.zero_()  # type: ignore[operator, union-attr]
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    torch.testing.assert_close(stream(x), frozen.step(x)[0])


AFTER_FORK = """
import os, torch, elman
torch.set_num_threads(2)
model, x = elman.LSTM(30, 300, num_layers=2), torch.randn(5, 3, 30)
stream, other = (elman.Stream(model, 3, engine="native") for _ in range(2))
assert torch.equal(stream(x[0]), other(x[0]))
child = os.fork()
outputs = [stream(x_t) for x_t in x]
if not child:
    os._exit(0 if all(torch.allclose(o, other(x_t)) for o, x_t in zip(outputs, x)) else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_goes_on_with_the_states() -> None:
    script(AFTER_FORK)


def resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_goes_with_the_stream() -> None:
    layer = elman.LSTM(256, 256)
    native(layer).step()
    before = resident()
    for _ in range(100):  # 2 MiB each
        native(layer).step()
    assert resident() - before < 40 << 20


EVERY_SET = """
import torch
from elman.engine.runtime._library import library
from unit import test_stream_native as t
print(library().isa)
for dtype in t.TOLERANCE:
    for rows, units in ((1, 5), (3, 150), (40, 33), (300, 19)):
        t.test_a_stack_equals_the_reference(rows, units, dtype, 2)
for kind in t.CELLS:
    t.test_any_cell_equals_the_reference(kind, 2, 270, 2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("isa", sampling.cases(["baseline", "avx2"], 1))
def test_every_instruction_set(isa: str) -> None:
    if library().isa == "baseline":
        pytest.skip("this machine has no other instruction set")
    assert script(EVERY_SET, ELMAN_ISA=isa).splitlines()[0] == isa
