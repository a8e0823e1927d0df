"""What crosses into the library is checked there: what is wrong is a sentence, never a read."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import Structure, c_int32, sizeof
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman import EngineError
from elman.cells import GRU, LSTM, PointwiseCell
from elman.engine.compiler._hoist import values_of
from elman.engine.compiler._trace import compile_cell
from elman.engine.runtime import _library, _operators
from elman.engine.runtime._library import CrossEntropy, EncodedProgram, Scan, library
from elman.engine.runtime._tensors import KINDS, described
from elman.engine.stack import _call_of
from unit.engine.linear_cells import ProjectsItself
from unit.engine.own_cells import NormedGRU, Sine, Statistics
from unit.engine.test_native import case

KINDS_OF_CELL = [LSTM, NormedGRU, Sine]


class Call:
    """A forward and its backward with every tensor that there can be, by name."""

    def __init__(self, kind: type[PointwiseCell], shape: Any = (4, 3, 5, 6), **dtype: Any) -> None:
        r = case(kind, shape, ragged=True, resets=True, **dtype)
        program = compile_cell(r.cell, r.x.dtype, None)
        self.text, names = program.text, program.parameters
        tensors = dict(r.cell.named_parameters()) | dict(r.cell.named_buffers())
        tensors |= values_of(program.hoisted, tensors)
        ih, hh, b_ih, b_hh, _ = r.cell.weights
        own = [hh, *(tensors[name] for name, _ in names)]
        start, states = list(r.start), len(r.state)
        incoming = [r.x, ih, b_ih, b_hh]
        call = _operators.NativeCall(
            _operators.ScanSpec(self.text, False, states, states, r.lengths, r.reset),
            [t.detach() for t in (*incoming, *r.state, *start, *own)],
        )
        self.code, self.scan, self.keep = call.code, call.scan, call
        matrices = len(self.code.matrices)
        cell = [
            "x", "weight_ih", "bias_ih", "bias_hh",
            *(f"state {i}" for i in range(states)),
            *(f"state {i} after a reset" for i in range(states)),
            *(f"matrix W{i}" for i in range(matrices)), *["parameter @"] * (len(own) - matrices),
        ]  # fmt: skip
        steps, batch, _ = r.x.shape
        units = call.units
        size = _operators._record_size(self.code.program, steps, batch, units)
        new = partial(torch.full, fill_value=torch.nan, dtype=r.x.dtype)
        output, record = new((steps, batch, units)), new((size,))
        final = [new((batch, units)) for _ in range(states)]
        both = list(zip([*cell, "lengths", "reset"], [*call.cell, r.lengths, r.reset], strict=True))
        results = [("output", output), ("record", record)]
        results += [(f"final state {i}", t) for i, t in enumerate(final)]
        self.forward: list[tuple[str, Tensor | None]] = [*both, *results]
        gradients = [("gradient of the output", torch.ones_like(output))]
        gradients += [
            (f"gradient of final state {i}", torch.ones_like(t)) for i, t in enumerate(final)
        ]
        down = [torch.full_like(t, torch.nan) for t in call.cell if t is not None]
        gradients += [(f"gradient of {n}", t) for n, t in zip(cell, down, strict=True)]
        self.backward = [*both, *results[:2], *gradients]

    def run(self, way: str, tensors: list[Tensor | None] | None = None) -> None:
        everything = [t for _, t in getattr(self, way)] if tensors is None else tensors
        getattr(library(), way)(self.scan, described(everything))

    def results(self) -> list[Tensor]:
        """Of a forward and its backward, run now."""
        self.run("forward")
        self.run("backward")
        written = [t for n, t in self.forward if n.startswith(("output", "final"))]
        written += [t for _, t in self.backward[-len(self.keep.cell) :]]
        return [t.clone() for t in written if t is not None]


def ready(kind: type[PointwiseCell], **options: Any) -> Call:
    call = Call(kind, **options)
    call.run("forward")
    return call


def spread(t: Tensor) -> Tensor:
    """The same numbers, every second one in memory."""
    return torch.stack([t, t], -1)[..., 0]


def longer(t: Tensor, dim: int) -> Tensor:
    return torch.cat([t, t.narrow(dim, 0, 1)], dim)


WRONG: dict[str, Callable[[Tensor], Tensor | None]] = {
    "half": lambda t: t.to(torch.float16),
    "another float": lambda t: t.to(torch.float32 if t.dtype == torch.float64 else torch.float64),
    "bool": lambda t: t.to(torch.uint8 if t.dtype == torch.bool else torch.bool),
    "int32": lambda t: t.to(torch.int32),
    "complex": lambda t: t.to(torch.complex64),
    "shorter": lambda t: t.narrow(0, 0, t.shape[0] - 1) if t.shape[0] > 1 else None,
    "narrower": lambda t: t.narrow(-1, 0, t.shape[-1] - 1),
    "longer": lambda t: longer(t, 0),
    "wider": lambda t: longer(t, t.dim() - 1),
    "flat": lambda t: t.flatten() if t.dim() > 1 else t[:, None],
    "spread": spread,
    "deep": lambda t: t[None, None, None],
    "absent": lambda _: None,
}
# Where the library takes it: what may be absent, has room to spare, or is only counted.
MAY_BE = {
    "absent": ("bias", "lengths", "reset", "gradient of", "record"),
    "longer": ("record", "parameter @"),
    "shorter": ("record",),
    "narrower": ("record",),
    "wider": ("record", "parameter @"),
    "flat": ("record", "parameter @"),
    "deep": ("parameter @",),
    "spread": ("reset",),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("kind", KINDS_OF_CELL)
def test_a_wrong_tensor_is_named(kind: type[PointwiseCell], way: str, wrong: str) -> None:
    call = ready(kind)
    tested = 0
    for i, (name, t) in enumerate(getattr(call, way)):
        if t is None or (t.dim() == 0 and wrong not in ("half", "absent", "bool")):
            continue
        if any(n in name for n in MAY_BE.get(wrong, ())):
            continue
        changed = WRONG[wrong](t)
        tensors = [other for _, other in getattr(call, way)]
        tensors[i] = changed
        with pytest.raises(EngineError) as raised:
            call.run(way, tensors)
        tested += 1
        said = str(raised.value)
        if name != "x" and not (name == "state 0" and wrong in ("narrower", "wider", "flat")):
            assert name in said, said  # the others are compared with these two
        elif name == "x" and wrong in (
            "half",
            "bool",
            "int32",
            "complex",
            "deep",
            "flat",
            "spread",
        ):
            assert "x: " in said or "has 6 dimensions" in said, said
    assert tested > 5


def test_absent_in_time_is_refused_too() -> None:
    call = ready(LSTM)
    tensors = [t for _, t in call.backward]
    with pytest.raises(EngineError, match=r"record: expected float64 of .*, got nothing"):
        call.run("backward", [None if n == "record" else t for n, t in call.backward])
    for count in (1, len(tensors) - 1):
        with pytest.raises(EngineError, match=rf"\d+ tensors are expected, and {count} came"):
            call.run("backward", tensors[:count])
    with pytest.raises(EngineError, match="no reset"):
        call.run("backward", [None if n == "reset" else t for n, t in call.backward])


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_list_that_ends_within_a_tensor(cut: int) -> None:
    call = ready(LSTM)
    numbers = described(t for _, t in call.forward)
    with pytest.raises(EngineError, match=r"ends within|tensors are expected"):
        library().forward(call.scan, numbers[:-cut])


@pytest.mark.parametrize("name", ["output", "gradient of x"])
def test_a_result_may_not_lie_on_itself(name: str) -> None:
    call = ready(LSTM)
    way = "forward" if name == "output" else "backward"
    for stride in ((0, 6, 1), (6, 6, 1), (6, 2, 1)):
        tensors = [
            t.as_strided(t.shape, stride) if n == name and t is not None else t
            for n, t in getattr(call, way)
        ]
        with pytest.raises(EngineError, match=rf"{name}: expected .* no two rows on each other"):
            call.run(way, tensors)


def test_an_address_between_two_numbers_is_refused() -> None:
    call = ready(LSTM)
    numbers = described(t for _, t in call.forward)
    numbers[0] += 1
    with pytest.raises(EngineError, match=r"x: expected .* between two numbers"):
        library().forward(call.scan, numbers)


@pytest.mark.parametrize("dtype", [*KINDS, torch.float8_e5m2])
def test_every_dtype_has_its_name(dtype: torch.dtype) -> None:
    call = ready(LSTM)
    tensors = [t for _, t in call.forward]
    tensors[1] = torch.zeros(tensors[1].shape).to(dtype)  # type: ignore[union-attr]
    name = str(dtype).removeprefix("torch.") if dtype in KINDS else "another type"
    if dtype is torch.float64:
        call.run("forward", tensors)
        return
    with pytest.raises(EngineError, match=rf"weight_ih: expected float64 .* got {name} of"):
        call.run("forward", tensors)


@pytest.mark.parametrize("length", [-1, 5, 10**12])
def test_a_length_out_of_range(length: int) -> None:
    call = ready(LSTM)
    lengths = torch.tensor([1, length, 2])
    with pytest.raises(EngineError, match=rf"row 1 has {length} steps, outside of \[0, 4\]"):
        call.run("forward", [lengths if n == "lengths" else t for n, t in call.forward])


# ---- the record ----


def changed(call: Call, **others: Tensor) -> list[Tensor | None]:
    return [others.get(name, t) for name, t in call.backward]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_record_is_of_one_forward(dtype: torch.dtype) -> None:
    call = ready(LSTM, dtype=dtype)
    call.run("backward")
    record = dict(call.backward)["record"]
    assert record is not None
    lengths = dict(call.backward)["lengths"]
    assert lengths is not None
    for wrong, reason in (
        (torch.zeros_like(record), "not what a forward wrote"),
        (record + 1, "not what a forward wrote"),
        (record[:7].clone(), "7 numbers are too few"),
        (record[:40].clone(), "40 numbers, and .* are kept"),
        (dict(ready(GRU, dtype=dtype).forward)["record"], "by another program"),
        (dict(ready(LSTM, shape=(5, 3, 5, 6), dtype=dtype).forward)["record"], "lengths|steps"),
    ):
        assert wrong is not None
        with pytest.raises(EngineError, match=rf"record: .*{reason}"):
            call.run("backward", changed(call, record=wrong))
    with pytest.raises(EngineError, match="record: it was written for other lengths"):
        call.run("backward", changed(call, lengths=4 - lengths))
    other = Scan(*call.scan)._replace(reverse=True)
    with pytest.raises(EngineError, match=r"backward of 3 rows of 4 steps and 6 units, reversed"):
        library().backward(other, described(t for _, t in call.backward))


@pytest.mark.parametrize("split", [1, 2])
def test_a_record_with_less_room_than_is_kept(split: int) -> None:
    call = Call(LSTM, shape=(4, 17, 5, 6))
    record = dict(call.forward)["record"]
    assert record is not None
    scan = call.scan._replace(split=split, threads=4)
    for room in (0, 31, 500):
        tensors = [record[:room] if n == "record" else t for n, t in call.forward]
        if room == 0:
            continue  # absent: nothing is kept
        with pytest.raises(EngineError, match=r"record: it has .* numbers, and .* are kept"):
            library().forward(scan, described(tensors))


def test_a_hook_that_changes_what_was_saved_is_an_error_and_no_wrong_gradient() -> None:
    layer, x = elman.Recurrent(LSTM(3, 5)), torch.randn(2, 4, 3)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.bfloat16(), lambda t: t.float()):
        output, _ = layer(x)
    with pytest.raises(EngineError, match=r"record: .* a hook on saved tensors"):
        output.sum().backward()


def test_both_sides_lay_out_the_structures_alike() -> None:
    lines = library()._c.elman_layout().decode().splitlines()
    assert lines == _library.layout().splitlines()
    for line in lines:
        name, size, *rest = line.split()
        numbers = list(map(int, (v for i, v in enumerate(rest) if i % 3)))
        begins, sizes = numbers[::2], numbers[1::2]
        ends = [b + s for b, s in zip(begins, sizes, strict=True)]
        assert begins == [0, *ends[:-1]], f"{name} has a field that is not in the list"
        assert ends[-1] == int(size)
    for packing, structure, values in (
        (_library._SCAN, _library._Scan, Scan(2**40 + 1, 2, 3, True, 5)),
        (_library._CROSS_ENTROPY, _library._CrossEntropy, CrossEntropy(2, -100, 0.5)),
    ):
        assert packing.size == sizeof(structure)
        filled = structure.from_buffer_copy(packing.pack(*values))
        assert {n: getattr(filled, n) for n in values._fields} == values._asdict()


def test_a_library_of_another_layout_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    path = library()._c._name
    fields = [*_library._Slot._fields_, ("more", c_int32)]
    other = type("_Slot", (Structure,), {"_fields_": fields})
    monkeypatch.setitem(_library.STRUCTURES, "elman_slot", other)
    with pytest.raises(OSError, match="was built for another version of elman: reinstall it"):
        _library.Library(path)


ENTROPY = ("h", "weight", "bias", "target", "scale", "loss", "normalizer", "gradient of h",
           "gradient of weight", "gradient of bias")  # fmt: skip


def entropy() -> list[Tensor]:
    h, weight, bias = torch.randn(6, 5), torch.randn(7, 5), torch.randn(7)
    rows = [torch.ones(6), torch.empty(6), torch.empty(6)]
    return [h, weight, bias, torch.arange(6), *rows, *map(torch.empty_like, (h, weight, bias))]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_tensor_of_the_cross_entropy(wrong: str) -> None:
    call = CrossEntropy(2, -100, 0.0)
    right = entropy()  # alive for as long as the library reads it
    library().cross_entropy(call, described(right))
    for i, name in enumerate(ENTROPY):
        tensors: list[Tensor | None] = [*entropy()]
        tensors[i] = WRONG[wrong](entropy()[i])
        if wrong == "absent" and name not in ("h", "weight", "target", "scale", "normalizer"):
            continue
        with pytest.raises(EngineError) as raised:
            library().cross_entropy(call, described(tensors))
        if name not in ("h", "weight"):  # which all others are compared with
            assert name in str(raised.value)


class Streams:
    """Two layers, and what they are called with."""

    def __init__(self) -> None:
        cells = [LSTM(5, 6), GRU(6, 6)]
        self.calls = []
        for cell in cells:
            x = torch.randn(1, 3, cell.input_size)
            state = cell.State(*(torch.zeros(3, 6) for _ in cell.states))
            r = elman.engine.Recurrence(cell, x, state)
            self.calls.append(_call_of(elman.engine._native.plan(r)))
        self.layers = [
            (call.scan, call.tensors(), adds)
            for call, adds in zip(self.calls, ((), (1,)), strict=True)
        ]


def test_a_stream_checks_its_layers() -> None:
    s = Streams()
    library().stream(s.layers)
    (scan, tensors, _), second = s.layers
    for adds in ((-1,), (2,), (0,), (1, 7)):
        with pytest.raises(EngineError, match="adds the input of layer"):
            library().stream([s.layers[0], (*second[:2], adds)])
    with pytest.raises(EngineError, match="it takes 5 features, and the layer below puts out 6"):
        library().stream([s.layers[0], s.layers[0]])
    with pytest.raises(EngineError, match="from 1 to 64 layers, and not 65"):
        library().stream([s.layers[0]] * 65)
    with pytest.raises(EngineError, match="tensors are expected"):
        library().stream([(scan, tensors[:-2], ())])
    text = compile_cell(Statistics(5, 6), torch.float32, None).text
    other = EncodedProgram(text.replace("r0 = i0 + W0[0,0] p0", "r0 = i0 + W0[0,0] p1"))
    r = case(Statistics, (1, 3, 5, 6), dtype=torch.float32)
    call = _call_of(elman.engine._native.plan(r))
    library().stream([(call.scan, call.tensors(), ())])
    library().stream([(call.scan._replace(program=other.address), call.tensors(), ())])
    watches = EncodedProgram(compile_cell(Statistics(5, 6), torch.float32, None, watches=True).text)
    with pytest.raises(EngineError, match="a stream shows no watched values"):
        library().stream([(call.scan._replace(program=watches.address), call.tensors(), ())])
    own = _call_of(
        elman.engine._native.plan(case(ProjectsItself, (1, 3, 6, 6), dtype=torch.float32))
    )
    library().stream([(own.scan, own.tensors(), ())])
    with pytest.raises(EngineError, match="it takes 0 features, and the layer below puts out 6"):
        library().stream([s.layers[0], (own.scan, own.tensors(), ())])


@pytest.mark.parametrize("wrong", ["half", "bool", "shorter", "wider", "spread", "absent", "deep"])
def test_a_stream_checks_each_step_and_its_states(wrong: str) -> None:
    s = Streams()
    stream = library().stream(s.layers)
    x, y, where = torch.zeros(3, 5), torch.zeros(3, 6), torch.tensor([True, False, True])
    states: list[Tensor | None] = [torch.zeros(3, 6) for _ in range(3)]
    stream.step(described((x, y)))
    stream.read(described(states))
    stream.write(described((*states, where)))
    stream.write(described((*states, None)))
    with pytest.raises(EngineError, match="x: expected float32 of"):
        stream.step(described((WRONG[wrong](x), y)))
    with pytest.raises(EngineError, match="y: expected float32 of"):
        stream.step(described((x, WRONG[wrong](y))))
    with pytest.raises(EngineError, match="2 tensors are expected"):
        stream.step(described((x,)))
    for i in range(3):
        others = [WRONG[wrong](t) if k == i and t is not None else t for k, t in enumerate(states)]
        with pytest.raises(EngineError, match=f"state {i}: expected"):
            stream.read(described(others))
        with pytest.raises(EngineError, match=f"state {i}: expected"):
            stream.write(described((*others, where)))
    if wrong != "absent":
        with pytest.raises(EngineError, match="where: expected bool"):
            stream.write(described((*states, WRONG[wrong](where))))
    for count in (0, 2, 4):
        with pytest.raises(EngineError, match=r"states|state"):
            stream.read(described([torch.zeros(3, 6)] * count))
    with pytest.raises(EngineError):
        stream.write(described(()))


def test_an_instruction_on_arrays() -> None:
    a, out = torch.ones(5), torch.zeros(5)
    library().apply("add", 0.0, described((out, a, a)))
    for tensors, reason in (
        ((out, a), "3 tensors are expected, and 2 came"),
        ((out, a, a[:4]), "operand 1: expected float32 of"),
        ((out, a.double(), a), "operand 0: expected float32"),
        ((out.int(), a, a), "out: expected"),
    ):
        with pytest.raises(EngineError, match=reason):
            library().apply("add", 0.0, described(tensors))
    for op in ("row_sum", "unit", "expand", "accumulate"):
        with pytest.raises(EngineError, match="is no elementwise operation"):
            library().apply(op, 0.0, described((out,)))
