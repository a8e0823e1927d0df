"""The library of another processor, in a process of its own that gets a copy of the memory."""

from __future__ import annotations

import ctypes
import gc
import subprocess
from array import array
from collections.abc import Sequence
from pathlib import Path

import torch

from elman.engine.runtime._library import _SCAN, OPCODES, Scan, _Program, _Routine, _Scan


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

    def structure(self, data: bytes, pointers: dict[int, int]) -> int:
        """The place of a structure, given the place that each of its pointers points to."""
        at = self.put(data)
        for offset, place in pointers.items():
            self.bytes[at + offset : at + offset + 8] = place.to_bytes(8, "little")
            self.addresses += [at + offset] if place else []
        return at


class Remote:
    """Stands in for elman.engine.runtime._library.Library."""

    def __init__(self, command: Sequence[str], image: Path) -> None:
        self.command, self.image = command, image

    def forward(self, scan: Scan, tensors: array[int]) -> None:
        self._run("forward", scan, tensors)

    def backward(self, scan: Scan, tensors: array[int]) -> None:
        self._run("backward", scan, tensors)

    def apply(self, op: str, value: float, tensors: array[int]) -> None:
        image = Image()
        place = self._tensors(image, tensors)
        self._call(image, "apply", OPCODES[op], value, place, len(tensors))

    def _run(self, name: str, scan: Scan, tensors: array[int]) -> None:
        image = Image()
        program = self._program(image, _Program.from_address(scan.program))
        at = image.structure(_SCAN.pack(*scan), {_Scan.program.offset: program})
        self._call(image, name, at, self._tensors(image, tensors), len(tensors))

    def _program(self, image: Image, p: _Program) -> int:
        tables = (
            ("width", p.inputs), ("input_grad", p.gates), ("slot", p.slots), ("block", p.blocks),
        )  # fmt: skip
        offsets = {getattr(_Program, n).offset: self._table(image, p, n, k) for n, k in tables}
        blocks = {
            ctypes.sizeof(group) * i + type(group).block.offset: self._table(
                image, group, "block", group.count
            )
            for i, group in enumerate(p.group[i] for i in range(p.groups))
        }
        groups = b"".join(bytes(p.group[i]) for i in range(p.groups))
        offsets[_Program.group.offset] = image.structure(groups, blocks)
        for name in ("forward", "inference", "backward"):
            routine, begin = getattr(p, name), getattr(_Program, name).offset
            for table, count in (
                ("ends", 2 * routine.phases), ("instructions", routine.lines),
                ("operand", routine.operands), ("product", routine.products),
            ):  # fmt: skip
                place = self._table(image, routine, table, count)
                offsets[begin + getattr(_Routine, table).offset] = place
        return image.structure(bytes(p), offsets)

    @staticmethod
    def _table(image: Image, owner: ctypes.Structure, name: str, count: int) -> int:
        table = getattr(owner, name)
        size = ctypes.sizeof(table._type_) * max(1, count)
        return image.put_at(ctypes.cast(table, ctypes.c_void_p).value or 0, size)

    @staticmethod
    def _tensors(image: Image, tensors: array[int]) -> int:
        offsets, at = {}, 0
        while at < len(tensors):
            offsets[8 * at] = image.tensor(tensors[at])
            how = tensors[at + 1]
            at += 2 + (how & 7) * (2 if how & 8 else 1)
        return image.structure(tensors.tobytes(), offsets)

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
