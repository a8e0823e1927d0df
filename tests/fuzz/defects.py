"""What a broken reader does: the fuzzer must see each."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from elman._errors import DataError


def segfault() -> None:
    ctypes.string_at(0)


def hang() -> None:
    while True:
        pass


def memory() -> None:
    bytearray(2 << 30)


def exception() -> None:
    raise RecursionError("too deep")


def unnamed() -> None:
    raise DataError("something is wrong somewhere")


DEFECTS: dict[str, Callable[[], None]] = {
    defect.__name__: defect for defect in (segfault, hang, memory, exception, unnamed)
}
