"""The native library: loaded, and called with plain structures (native/src/abi.h)."""

from __future__ import annotations

import ctypes
import os
import weakref
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from ctypes import (
    POINTER,
    Structure,
    addressof,
    byref,
    c_char_p,
    c_double,
    c_int32,
    c_int64,
    c_uint64,
    c_void_p,
    sizeof,
)
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

from elman._errors import EngineError
from elman.engine.compiler._program import (
    BANKS,
    OPCODES,
    REDUCTIONS,
    Block,
    GemmGroup,
    Instruction,
    Program,
    Routine,
    table,
)

_BANK = {letter: number for number, letter in enumerate(BANKS)}


# The structures of native/src/abi.h. The library prints how it has them (elman_layout), and is not
# loaded unless that is the same, name by name and byte by byte.


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
            for name in (
                "phases", "lines", "operands", "temporaries", "wides", "rows", "products", "unused",
            )
        ),
        ("ends", POINTER(c_int32)),
        ("instructions", POINTER(_Instruction)),
        ("operand", POINTER(_Operand)),
        ("product", POINTER(_Product)),
    ]  # fmt: skip


class _Slot(Structure):
    _fields_ = [(name, c_int32) for name in ("tensor", "piece", "is_scalar", "unused")]


class _Program(Structure):
    _fields_ = [
        *(
            (name, c_int32)
            for name in (
                "projected", "inputs", "gates", "states", "saved", "gate_grads", "watched",
                "matrices", "own", "slots", "blocks", "groups",
            )
        ),
        ("digest", c_uint64),
        ("width", POINTER(c_int32)),
        ("input_grad", POINTER(c_int32)),
        ("slot", POINTER(_Slot)),
        ("block", POINTER(_Block)),
        ("group", POINTER(_Group)),
        *((name, _Routine) for name in ("forward", "inference", "backward")),
    ]  # fmt: skip


class _Scan(Structure):
    _fields_ = [
        ("program", c_void_p),
        *((name, c_int32) for name in ("threads", "split", "reverse", "starts")),
    ]


class _CrossEntropy(Structure):
    _fields_ = [("threads", c_int64), ("ignore", c_int64), ("smoothing", c_double)]


class _StreamLayer(Structure):
    _fields_ = [
        ("scan", _Scan),
        ("tensors", c_void_p),
        ("count", c_int64),
        ("adds", c_int64),
        ("add", POINTER(c_int32)),
    ]


STRUCTURES: dict[str, type[Structure]] = {
    "elman_instruction": _Instruction,
    "elman_operand": _Operand,
    "elman_block": _Block,
    "elman_slot": _Slot,
    "elman_product": _Product,
    "elman_routine": _Routine,
    "elman_group": _Group,
    "elman_program": _Program,
    "elman_scan": _Scan,
    "elman_cross_entropy": _CrossEntropy,
    "elman_stream_layer": _StreamLayer,
}


def layout() -> str:
    """The layout of all structures, field by field, as the library prints it too."""

    def line(name: str, kind: type[Structure]) -> Iterator[str]:
        yield f"{name} {sizeof(kind)}"
        for field, *_ in kind._fields_:
            place = getattr(kind, field)
            yield f"{field} {place.offset} {place.size}"

    return "\n".join(" ".join(line(*each)) for each in STRUCTURES.items())


class Scan(NamedTuple):
    """elman_scan, field by field; ``program`` is an address."""

    program: int
    threads: int
    split: int
    reverse: bool
    starts: int


class CrossEntropy(NamedTuple):
    """elman_cross_entropy, field by field."""

    threads: int
    ignore: int
    smoothing: float


# Packed as bytes: ctypes would take longer to fill a structure than a short scan to run.
_SCAN = Struct("@q4i")
_CROSS_ENTROPY = Struct("@2qd")


def _array(kind: Any, values: Sequence[Any]) -> Any:
    """A C array; never of length 0, which has no address."""
    return (kind * max(1, len(values)))(*values)


class EncodedProgram:
    """A program as the library takes it. Its arrays live as long as this does.

    Attributes:
        program: the program.
        incoming: how many tensors come in.
        matrices: rows and columns, in blocks, of each matrix.
        address: where the library finds it.
    """

    def __init__(self, text: str) -> None:
        program = self.program = Program.parse(text)
        self.incoming = 4 if program.projected else len(program.inputs)
        self.matrices = program.matrices
        self._number = number = {block: i for i, block in enumerate(program.blocks)}
        blocks = [_Block(*block, self.matrices[block.matrix][1]) for block in number]
        slots = [_Slot(*slot, 0) for slot in program.slots]
        self._structure = _Program(
            program.projected, len(program.inputs), program.gates, program.states, program.saved,
            program.gate_grads, program.watched, len(self.matrices), len(program.own), len(slots),
            len(blocks), len(program.groups),
            # A record of a forward holds this, so that no other program's backward reads it.
            int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little"),
            _array(c_int32, program.inputs), _array(c_int32, program.input_grad),
            _array(_Slot, slots), _array(_Block, blocks),
            _array(_Group, list(map(self._group, program.groups))),
            *(_routine(r, number) for r in (program.forward, program.inference, program.backward)),
        )  # fmt: skip
        self.address = addressof(self._structure)

    def _group(self, group: GemmGroup) -> _Group:
        phase = next(
            (p for p, phase in enumerate(self.program.backward)
             for product in phase.products if product.out == group.to), -1
        )  # fmt: skip
        blocks = _array(c_int32, [self._number[block] for block in group.blocks])
        return _Group(
            group.first,
            len(group.blocks),
            *_place(group.source),
            *(int(group.to[1:]) if group.to[0] == bank else -1 for bank in "pr"),
            phase,
            0,
            blocks,
        )


@lru_cache(maxsize=256)
def encoded(text: str) -> EncodedProgram:
    """The program of this text."""
    return EncodedProgram(text)


def _place(operand: str) -> tuple[int, int]:
    """The bank and index of an operand; -1 for none."""
    return (_BANK[operand[0]], int(operand[1:])) if operand[1:] else (-1, -1)


def _routine(routine: Routine, number: Mapping[Block, int]) -> _Routine:
    # Operands are numbered by first use. One that an instruction does not have is number 0, which
    # must exist.
    operands: dict[str, int] = {"t0": 0}
    lines: list[_Instruction] = []
    ends: list[int] = []
    products: list[_Product] = []
    for at, phase in enumerate(routine):
        products.extend(
            _Product(at, *_place(p.sources[0]), *_place(p.start), number[p.blocks[0]])
            for p in phase.products
            if not p.transposed  # the library takes those of the backward from its groups
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
        len(routine), len(lines), len(places), count("t"), count("w"), rows, len(products), 0,
        _array(c_int32, ends), _array(_Instruction, lines), _array(_Operand, places),
        _array(_Product, products),
    )  # fmt: skip


def _instruction(line: Instruction, operands: dict[str, int]) -> _Instruction:
    def number(name: str) -> int:
        return 0 if name == "-" else operands.setdefault(name, len(operands))

    inputs = [number(name) for name in line.inputs] + [0, 0, 0]
    return _Instruction(OPCODES[line.op], number(line.out), *inputs[:3], line.slot, line.value)


_WRONG_TARGET = 1  # of elman_failure in native/src/abi.h
_ANOTHER = "{} was built for another version of elman: reinstall it"


class Library:
    """The loaded library."""

    def __init__(self, path: Path) -> None:
        self._c = ctypes.CDLL(str(path))
        if not hasattr(self._c, "elman_layout"):
            raise OSError(_ANOTHER.format(path))
        for name in (
            "elman_layout",
            "elman_isa",
            "elman_operations",
            "elman_forward",
            "elman_backward",
            "elman_apply",
            "elman_cross_entropy_run",
            "elman_stream_step",
            "elman_stream_read",
            "elman_stream_write",
        ):
            getattr(self._c, name).restype = c_char_p
        for name in ("elman_forward", "elman_backward", "elman_cross_entropy_run"):
            getattr(self._c, name).argtypes = [c_char_p, c_void_p, c_int64]
        for name in ("elman_stream_step", "elman_stream_read", "elman_stream_write"):
            getattr(self._c, name).argtypes = [c_void_p, c_void_p, c_int64]
        self._c.elman_stream_create.restype = c_void_p
        self._c.elman_stream_create.argtypes = [c_void_p, c_int32, c_void_p]
        self._c.elman_stream_destroy.argtypes = [c_void_p]
        self._c.elman_apply.argtypes = [c_int32, c_double, c_void_p, c_int64]
        if self._c.elman_layout().decode() != layout() or self.operations != table():
            raise OSError(_ANOTHER.format(path))
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

    def forward(self, scan: Scan, tensors: array[int]) -> None:
        """Runs a scan; the list of its tensors is in native/src/abi.h, and must stay alive."""
        self._check(self._c.elman_forward(_SCAN.pack(*scan), *_list(tensors)))

    def backward(self, scan: Scan, tensors: array[int]) -> None:
        """Runs the backward of a scan."""
        self._check(self._c.elman_backward(_SCAN.pack(*scan), *_list(tensors)))

    def cross_entropy(self, call: CrossEntropy, tensors: array[int]) -> None:
        """Runs the cross-entropy; a target that is no output is an IndexError."""
        packed = _CROSS_ENTROPY.pack(*call)
        reason = self._c.elman_cross_entropy_run(packed, *_list(tensors))
        if reason is not None and self._c.elman_last_failure() == _WRONG_TARGET:
            raise IndexError(reason.decode())
        self._check(reason)

    def stream(self, layers: Sequence[tuple[Scan, array[int], Sequence[int]]]) -> NativeStream:
        """Layers: each a scan, its tensors, and the layers whose input is added to its output."""
        return NativeStream(self._c, layers)

    def apply(self, op: str, value: float, tensors: array[int]) -> None:
        """Runs one elementwise instruction: the result, then its operands."""
        self._check(self._c.elman_apply(OPCODES[op], value, *_list(tensors)))

    @staticmethod
    def _check(reason: bytes | None) -> None:
        if reason is not None:
            raise EngineError(f"the native engine failed: {reason.decode()}")


def _list(tensors: array[int]) -> tuple[int, int]:
    """The address of the numbers, and how many there are."""
    return tensors.buffer_info()


class NativeStream:
    """elman_stream. What its layers point to must outlive it."""

    def __init__(self, c: Any, layers: Sequence[tuple[Scan, array[int], Sequence[int]]]) -> None:
        added = [_array(c_int32, adds) for _, _, adds in layers]
        structures = [
            _StreamLayer(_Scan(*scan), *_list(tensors), len(adds), kept)
            for (scan, tensors, adds), kept in zip(layers, added, strict=True)
        ]
        # What the layers point to must live as long as the stream (native/src/abi.h).
        wrong = c_char_p()
        self._handle = c_void_p(
            c.elman_stream_create(_array(_StreamLayer, structures), len(layers), byref(wrong))
        )
        Library._check(wrong.value)
        weakref.finalize(self, _destroyed, c, self._handle, added)
        self._c = c

    def bound(self, tensors: array[int]) -> Callable[[], bytes | None]:
        """A step from and to two tensors, whose list must live as long; returns what is wrong."""
        first, count = _list(tensors)
        return partial(self._c.elman_stream_step, self._handle, c_void_p(first), c_int64(count))

    def step(self, tensors: array[int]) -> None:
        """Runs one step from and to two tensors."""
        Library._check(self._c.elman_stream_step(self._handle, *_list(tensors)))

    def read(self, states: array[int]) -> None:
        """Copies all states into these tensors."""
        Library._check(self._c.elman_stream_read(self._handle, *_list(states)))

    def write(self, states: array[int]) -> None:
        """Copies all states from there; those of the rows that are True in the last tensor."""
        Library._check(self._c.elman_stream_write(self._handle, *_list(states)))


def _destroyed(c: Any, handle: Any, _: Any) -> None:
    c.elman_stream_destroy(handle)


_ABSENT = (
    "the native library is missing: when elman was installed there was no C++ compiler with "
    "OpenMP, or it failed (`pip install -v` shows how)"
)


@lru_cache(maxsize=1)
def _load() -> tuple[Library | None, str]:
    other = os.environ.get("ELMAN_LIBRARY")
    paths = [Path(other)] if other else sorted(Path(__file__).parents[1].glob("libelman.*"))
    path = next(iter(paths), None)
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
