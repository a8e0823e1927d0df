"""The native library: found, loaded, and called with plain structures (native/src/abi.h)."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from ctypes import (
    POINTER,
    Structure,
    addressof,
    byref,
    c_char_p,
    c_double,
    c_int32,
    c_int64,
    c_uint8,
    c_void_p,
)
from functools import lru_cache, partial
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

from elman._errors import EngineError
from elman.engine._program import (
    BANKS,
    OPCODES,
    REDUCTIONS,
    Block,
    Group,
    Instruction,
    Program,
    Routine,
    table,
)

ABI = 5
_BANK = {letter: number for number, letter in enumerate(BANKS)}


class _Instruction(Structure):
    _fields_ = [
        *((name, c_int32) for name in ("op", "out", "a", "b", "c", "slot")),
        ("value", c_double),
    ]


class _Operand(Structure):
    _fields_ = [("bank", c_int32), ("index", c_int32)]


class _Block(Structure):
    _fields_ = [(name, c_int32) for name in ("matrix", "row", "column", "columns")]


class _Product(Structure):
    _fields_ = [
        (name, c_int32) for name in ("phase", "bank", "index", "start_bank", "start_index", "block")
    ]


class _Group(Structure):
    _fields_ = [
        *(
            (name, c_int32)
            for name in ("first", "count", "bank", "index", "state", "product", "phase", "unused")
        ),
        ("block", POINTER(c_int32)),
    ]


class _Routine(Structure):
    _fields_ = [
        *(
            (name, c_int32)
            for name in ("phases", "operands", "temporaries", "wides", "rows", "products")
        ),
        ("ends", POINTER(c_int32)),
        ("instructions", POINTER(_Instruction)),
        ("operand", POINTER(_Operand)),
        ("product", POINTER(_Product)),
    ]


class Scan(NamedTuple):
    """elman_scan, field by field; pointers are addresses, 0 for none."""

    float64: int
    threads: int
    split: int
    reverse: int
    gates: int
    states: int
    saved: int
    slots: int
    batch: int
    steps: int
    inputs: int
    units: int
    lengths: int
    reset: int
    reset_row: int
    reset_step: int
    x: int
    x_row: int
    x_step: int
    y: int
    y_row: int
    y_step: int
    weight_ih: int
    bias_ih: int
    bias_hh: int
    initial: int
    fresh: int
    parameter: int
    parameter_is_scalar: int
    input: int
    block: int
    matrix: int
    record: int
    numbers: int
    watched: int
    watch: int


class BackwardOut(NamedTuple):
    """elman_backward_out, field by field."""

    kinds: int
    groups: int
    blocks: int
    unused: int
    input_kind: int
    group: int
    dy: int
    dy_row: int
    dy_step: int
    dx: int
    dx_row: int
    dx_step: int
    dfinal: int
    dweight_ih: int
    dbias_ih: int
    dbias_hh: int
    dinitial: int
    dfresh: int
    dparameter: int
    dinput: int
    dmatrix: int


# Packed as bytes: ctypes would take longer to fill a structure than a short scan to run.
_SCAN = Struct(f"@8i{len(Scan._fields) - 8}q")
_BACKWARD_OUT = Struct(f"@4i{len(BackwardOut._fields) - 4}q")
_FORWARD_OUT = Struct("@q")


def array(kind: Any, values: Sequence[Any]) -> Any:
    """A C array; never of length 0, which has no address."""
    return (kind * max(1, len(values)))(*values)


class CrossEntropy(NamedTuple):
    """elman_cross_entropy."""

    float64: int
    threads: int
    rows: int
    inputs: int
    outputs: int
    ignore: int
    smoothing: float
    h: int
    weight: int
    bias: int
    target: int
    scale: int
    losses: int
    normaliser: int
    dh: int
    dweight: int
    dbias: int


_ADDS = Struct("@2iq")
_CROSS_ENTROPY = Struct("2i4qd10q")


class Encoded:
    """A program as the library takes it. Its arrays live as long as this does."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._alive: list[Any] = []
        self.number = {block: i for i, block in enumerate(program.blocks)}
        # Asked for at each call.
        self.gates, self.incoming = program.gates, 4 if program.projected else len(program.inputs)
        self.slots, self.matrices = program.slots, program.matrices
        self.scalars = self._address(array(c_uint8, self.slots))
        blocks = [_Block(*block, self.matrices[block.matrix][1]) for block in self.number]
        self.blocks = self._address(array(_Block, blocks))
        self.input_kind = self._address(array(c_int32, program.input_kind))
        self.groups = self._address(array(_Group, list(map(self._group, program.groups))))
        self.forward, self.inference, self.backward = (
            bytes(self._kept(_routine(r, self.number)))
            for r in (program.forward, program.inference, program.backward)
        )

    def _group(self, group: Group) -> _Group:
        phase = next(
            (p for p, phase in enumerate(self.program.backward)
             for product in phase.products if product.out == group.to), -1
        )  # fmt: skip
        blocks = array(c_int32, [self.number[block] for block in group.blocks])
        return _Group(
            group.first,
            len(group.blocks),
            *_place(group.source),
            *(int(group.to[1:]) if group.to[0] == bank else -1 for bank in "pr"),
            phase,
            0,
            self._kept(blocks),
        )

    def _kept(self, value: Any) -> Any:
        self._alive.append(value)
        return value

    def _address(self, value: Any) -> int:
        return addressof(self._kept(value))


@lru_cache(maxsize=256)
def encoded(text: str) -> Encoded:
    """The program of this text."""
    return Encoded(Program.parse(text))


def _place(operand: str) -> tuple[int, int]:
    """Bank and index; -1 where there is none."""
    return (_BANK[operand[0]], int(operand[1:])) if operand[1:] else (-1, -1)


def _routine(routine: Routine, number: Mapping[Block, int]) -> _Routine:
    operands: dict[str, int] = {"t0": 0}
    lines: list[_Instruction] = []
    ends: list[int] = []
    products: list[_Product] = []
    for at, phase in enumerate(routine):
        products.extend(
            _Product(at, *_place(p.sources[0]), *_place(p.start), number[p.blocks[0]])
            for p in phase.products
        )
        for part in (phase.rows, phase.tiles):
            lines.extend(_instruction(line, operands) for line in part)
            ends.append(len(lines))
    places = [_Operand(*_place(name)) for name in operands]

    def count(letter: str) -> int:
        return max([int(name[1:]) + 1 for name in operands if name[0] == letter], default=0)

    rows = max(
        [
            count("q"),
            *(line.slot + 1 for phase in routine for line in phase.tiles if line.op in REDUCTIONS),
        ]
    )
    return _Routine(
        len(routine), len(places), count("t"), count("w"), rows, len(products),
        array(c_int32, ends), array(_Instruction, lines), array(_Operand, places),
        array(_Product, products),
    )  # fmt: skip


def _instruction(line: Instruction, operands: dict[str, int]) -> _Instruction:
    def number(name: str) -> int:
        return 0 if name == "-" else operands.setdefault(name, len(operands))

    inputs = [number(name) for name in line.inputs] + [0, 0, 0]
    return _Instruction(OPCODES[line.op], number(line.out), *inputs[:3], line.slot, line.value)


class Library:
    """The loaded library."""

    def __init__(self, path: Path) -> None:
        self._c = ctypes.CDLL(str(path))
        for name in (
            "elman_isa",
            "elman_operations",
            "elman_forward",
            "elman_backward",
            "elman_apply",
            "elman_cross_entropy_run",
            "elman_stream_step",
        ):
            getattr(self._c, name).restype = c_char_p
        for name in ("elman_forward", "elman_backward"):
            getattr(self._c, name).argtypes = [c_char_p, c_char_p]
        self._c.elman_cross_entropy_run.argtypes = [c_char_p]
        self._c.elman_stream_create.restype = c_void_p
        self._c.elman_stream_create.argtypes = [c_char_p, c_int32, c_void_p]
        self._c.elman_stream_step.argtypes = [c_void_p, *2 * (c_void_p, c_int64)]
        self._c.elman_stream_read.argtypes = [c_void_p] * 2
        self._c.elman_stream_write.argtypes = [c_void_p] * 3
        self._c.elman_stream_destroy.argtypes = [c_void_p]
        self._c.elman_apply.argtypes = [c_int32, c_int32, c_int64, *[c_void_p] * 4, c_double]
        if self._c.elman_abi() != ABI:
            raise OSError(f"{path} has ABI {self._c.elman_abi()}, expected {ABI}: reinstall elman")
        if self.operations != table():
            raise OSError(f"{path} has another instruction set than this elman: reinstall elman")
        if self._c.elman_isa() is None:
            raise OSError("ELMAN_ISA names an instruction set that this machine does not have")

    @property
    def isa(self) -> str:
        """The instruction set in use."""
        return str(self._c.elman_isa().decode())

    @property
    def operations(self) -> str:
        """The instruction set of programs, as the library has it."""
        return str(self._c.elman_operations().decode())

    def forward(self, scan: Scan, routine: bytes, final: int) -> None:
        """Runs a scan; ``final`` is where the addresses of the final states are."""
        packed = _SCAN.pack(*scan) + routine
        self._check(self._c.elman_forward(packed, _FORWARD_OUT.pack(final)))

    def backward(self, scan: Scan, routine: bytes, out: BackwardOut) -> None:
        """Runs its gradient."""
        packed = _SCAN.pack(*scan) + routine
        self._check(self._c.elman_backward(packed, _BACKWARD_OUT.pack(*out)))

    def cross_entropy(self, call: CrossEntropy) -> str | None:
        """Runs it; what is wrong with its targets, or None."""
        reason = self._c.elman_cross_entropy_run(_CROSS_ENTROPY.pack(*call))
        if reason is not None and reason.startswith(b"a target"):
            return str(reason.decode())
        self._check(reason)
        return None

    def stream(self, layers: Sequence[tuple[Scan, bytes, Sequence[int]]]) -> NativeStream:
        """Layers, each a scan, its routine, and the layers whose input is added to its output."""
        return NativeStream(self._c, layers)

    def apply(
        self,
        op: str,
        float64: bool,
        count: int,
        out: int,
        inputs: Sequence[int | None],
        value: float,
    ) -> None:
        """Runs one instruction on arrays, given by address."""
        a, b, c = [*inputs, None, None, None][:3]
        self._check(self._c.elman_apply(OPCODES[op], int(float64), count, out, a, b, c, value))

    @staticmethod
    def _check(reason: bytes | None) -> None:
        if reason is not None:
            raise EngineError(f"the native engine failed: {reason.decode()}")


class NativeStream:
    """elman_stream, by addresses. What its layers point to must outlive it."""

    def __init__(self, c: Any, layers: Sequence[tuple[Scan, bytes, Sequence[int]]]) -> None:
        added = [array(c_int32, adds) for _, _, adds in layers]
        packed = b"".join(
            _SCAN.pack(*scan) + routine + _ADDS.pack(len(adds), 0, addressof(kept))
            for (scan, routine, adds), kept in zip(layers, added, strict=True)
        )
        wrong = c_char_p()
        self._handle = c_void_p(c.elman_stream_create(packed, len(layers), byref(wrong)))
        Library._check(wrong.value)
        weakref.finalize(self, _destroyed, c, self._handle, added)
        self._c = c

    def bound(self, x: int, x_row: int, y: int, y_row: int) -> Callable[[], bytes | None]:
        """A step from rows at ``x`` to rows at ``y``; it returns what went wrong."""
        places = c_void_p(x), c_int64(x_row), c_void_p(y), c_int64(y_row)
        return partial(self._c.elman_stream_step, self._handle, *places)

    def step(self, x: int, x_row: int, y: int, y_row: int) -> None:
        """The same, once."""
        Library._check(self._c.elman_stream_step(self._handle, x, x_row, y, y_row))

    def read(self, states: int) -> None:
        """Copies all states to the addresses that lie at ``states``."""
        self._c.elman_stream_read(self._handle, states)

    def write(self, states: int, where: int) -> None:
        """Copies all states from there, of the rows marked at ``where``; of all if it is 0."""
        self._c.elman_stream_write(self._handle, states, where)


def _destroyed(c: Any, handle: Any, _: Any) -> None:
    c.elman_stream_destroy(handle)


_ABSENT = (
    "the native library is missing: when elman was installed there was no C++ compiler with "
    "OpenMP, or it failed (`pip install -v` shows how)"
)


@lru_cache(maxsize=1)
def _load() -> tuple[Library | None, str]:
    other = os.environ.get("ELMAN_LIBRARY")
    found = [Path(other)] if other else sorted(Path(__file__).parent.glob("libelman.*"))
    path = next(iter(found), None)
    if path is None:
        return None, _ABSENT
    try:
        return Library(path), ""
    except OSError as error:
        return None, f"the native library cannot be loaded: {error}"


def library() -> Library:
    """The native library, or an EngineError with the reason why there is none."""
    loaded, reason = _load()
    if loaded is None:
        raise EngineError(reason)
    return loaded


def missing() -> str | None:
    """Why there is no native library; None if there is one."""
    return _load()[1] or None
