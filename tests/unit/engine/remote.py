"""The library of another processor, in a process of its own that gets a copy of the memory."""

from __future__ import annotations

import ctypes
import gc
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch

from elman.engine._library import (
    _BACKWARD_OUT,
    _SCAN,
    OPCODES,
    BackwardOut,
    Scan,
    _Block,
    _Group,
    _Instruction,
    _Operand,
    _Product,
    _Routine,
)

_TENSORS = (
    "lengths", "reset", "x", "y", "weight_ih", "bias_ih", "bias_hh", "record",
    "dy", "dx", "dweight_ih", "dbias_ih", "dbias_hh",
)  # fmt: skip


class Image:
    """A copy of memory whose addresses are places in it, until who loads it adds where it lies."""

    def __init__(self) -> None:
        self.bytes = bytearray(64)  # so that no place is 0
        self.addresses: list[int] = []
        self.tensors: dict[int, tuple[int, int]] = {}  # place and size by address
        everything = (o for o in gc.get_objects() if type(o) in (torch.Tensor, torch.nn.Parameter))
        self.storages = {
            s.data_ptr(): s.nbytes() for s in (t.untyped_storage() for t in everything)
        }

    def put(self, data: bytes) -> int:
        """Its place."""
        place = len(self.bytes)
        self.bytes += data + bytes(64 + -len(data) % 64)
        return place

    def put_at(self, address: int, size: int) -> int:
        """The place of what is there now."""
        return self.put(ctypes.string_at(address, size)) if address else 0

    def tensor(self, address: int) -> int:
        """The place of a tensor, or of a part of one, among all that there are."""
        if not address:
            return 0
        for begin, size in self.storages.items():
            if begin <= address < begin + size:
                if begin not in self.tensors:
                    self.tensors[begin] = self.put_at(begin, size), size
                return self.tensors[begin][0] + address - begin
        raise AssertionError(f"no tensor has the address {address}")

    def pointers(self, places: Sequence[int]) -> int:
        """The place of an array of addresses."""
        array = self.put(b"".join(place.to_bytes(8, "little") for place in places))
        self.addresses += [array + 8 * i for i, place in enumerate(places) if place]
        return array

    def structure(self, data: bytes, pointers: dict[int, int]) -> int:
        """The place of a structure, given the place that each of its pointers points to."""
        at = self.put(data)
        for offset, place in pointers.items():
            self.bytes[at + offset : at + offset + 8] = place.to_bytes(8, "little")
            self.addresses += [at + offset] if place else []
        return at


class Remote:
    """Stands in for elman.engine._library.Library, where the library computes the input itself."""

    def __init__(self, command: Sequence[str], image: Path) -> None:
        self.command, self.image = command, image

    def forward(self, scan: Scan, routine: bytes, final: int) -> None:
        image = Image()
        products = _Routine.from_buffer_copy(routine)
        blocks = max(products.product[i].block for i in range(products.products)) + 1
        place = self._scan(image, scan, routine, blocks)
        out = image.pointers([self._tensors(image, final, scan.states)])
        self._call(image, "forward", place, out)

    def backward(self, scan: Scan, routine: bytes, out: BackwardOut) -> None:
        image = Image()
        place = self._scan(image, scan, routine, out.blocks)
        matrices = self._matrices(scan, out.blocks)
        pointers = {
            name: self._tensors(image, getattr(out, name), count)
            for name, count in (
                ("dfinal", scan.states), ("dinitial", scan.states), ("dfresh", scan.states),
                ("dparameter", scan.slots), ("dmatrix", matrices),
            )
        }  # fmt: skip
        pointers["input_kind"] = image.put_at(out.input_kind, 4 * scan.gates)
        pointers["group"] = self._groups(image, out)
        pointers |= {n: image.tensor(getattr(out, n)) for n in _TENSORS if n in out._fields}
        offsets = {
            16 + 8 * i: pointers[name] for i, name in enumerate(out._fields[4:]) if name in pointers
        }
        self._call(image, "backward", place, image.structure(_BACKWARD_OUT.pack(*out), offsets))

    def apply(
        self, op: str, float64: bool, count: int, out: int, inputs: Sequence[int], value: float
    ) -> None:
        image = Image()
        places = [image.tensor(a) for a in (out, *inputs, 0, 0, 0)][:4]
        self._call(image, "apply", OPCODES[op], int(float64), count, *places, value)

    @staticmethod
    def _groups(image: Image, out: BackwardOut) -> int:
        groups = (_Group * out.groups).from_address(out.group)
        blocks = {
            ctypes.sizeof(_Group) * i + _Group.block.offset: image.put_at(
                ctypes.cast(group.block, ctypes.c_void_p).value or 0, 4 * group.count
            )
            for i, group in enumerate(groups)
        }
        return image.structure(bytes(groups), blocks)

    @staticmethod
    def _matrices(scan: Scan, blocks: int) -> int:
        """How many matrices these blocks are of."""
        return max(b.matrix for b in (_Block * blocks).from_address(scan.block)) + 1

    def _scan(self, image: Image, scan: Scan, routine: bytes, blocks: int) -> int:
        pointers = {n: image.tensor(getattr(scan, n)) for n in _TENSORS if n in scan._fields}
        for name, count in (
            ("initial", scan.states), ("fresh", scan.states), ("parameter", scan.slots),
            ("matrix", self._matrices(scan, blocks)),
        ):  # fmt: skip
            pointers[name] = self._tensors(image, getattr(scan, name), count)
        pointers["parameter_is_scalar"] = image.put_at(scan.parameter_is_scalar, max(1, scan.slots))
        pointers["block"] = image.put_at(scan.block, ctypes.sizeof(_Block) * blocks)
        offsets = {
            32 + 8 * i: pointers[name]
            for i, name in enumerate(scan._fields[8:])
            if name in pointers
        }
        code = _Routine.from_buffer_copy(routine)
        phases = [code.ends[i] for i in range(2 * code.phases)]
        for name, array, size in (
            ("ends", code.ends, 4 * len(phases)),
            ("instructions", code.instructions, ctypes.sizeof(_Instruction) * phases[-1]),
            ("operand", code.operand, ctypes.sizeof(_Operand) * code.operands),
            ("product", code.product, ctypes.sizeof(_Product) * code.products),
        ):
            at = _SCAN.size + getattr(_Routine, name).offset
            address = ctypes.cast(array, ctypes.c_void_p).value
            offsets[at] = image.put_at(address or 0, size)
        return image.structure(_SCAN.pack(*scan) + routine, offsets)

    @staticmethod
    def _tensors(image: Image, array: int, count: int) -> int:
        addresses = (ctypes.c_int64 * count).from_address(array) if count else ()
        return image.pointers([image.tensor(address) for address in addresses])

    def _call(self, image: Image, *arguments: object) -> None:
        head = (len(image.bytes), len(image.addresses))
        tail = b"".join(a.to_bytes(8, "little") for a in image.addresses)
        written = b"".join(n.to_bytes(8, "little") for n in head) + bytes(image.bytes) + tail
        self.image.write_bytes(written)
        words = [*self.command, str(self.image), *map(str, arguments)]
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
        after = self.image.read_bytes()[16:]
        for address, (place, size) in image.tensors.items():
            ctypes.memmove(address, after[place : place + size], size)
