"""The rolls of a .mat file: run as a program of its own, since a damaged one may end the process.

scipy's reader is C code that trusts sizes in the file: a flipped bit can make it read beyond its
memory. What the structure looks like cannot be checked beforehand without reading it as scipy does,
so it is read here, with as much memory and time as `elman.data._music` grants, and handed back as
an .npz archive on the standard output: the rolls as bytes, or the reason why there is none as text.

This file imports nothing of elman, so that it starts quickly.
"""

from __future__ import annotations

import io
import sys
import zlib
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

UNREADABLE = 3
"""The exit status where there is a reason."""


def limit(memory: int, seconds: int) -> None:
    """No more than this memory beside what is used already, and this processor time."""
    if sys.platform != "linux":  # elsewhere only the caller's time is a limit
        return
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for kind, most in ((resource.RLIMIT_AS, used + memory), (resource.RLIMIT_CPU, seconds)):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard < 0 else min(most, hard), hard))


def rolls(
    path: str, names: list[str], keys: int, frames: int
) -> dict[str, NDArray[np.uint8] | NDArray[np.str_]]:
    """Each roll of each cell array, as ``NAME NUMBER``; a text says why it is none."""
    cells = loadmat(path, variable_names=names)
    pieces: dict[str, NDArray[np.uint8] | NDArray[np.str_]] = {}
    for name in (name for name in names if name in cells):
        cell = cells[name]
        if cell.dtype != object:
            why = f"a cell array of rolls was expected, got {cell.dtype} {cell.shape}"
            pieces[f"{name} 1"] = np.array(why)
            continue
        for number, piece in enumerate(cell.ravel(), 1):
            pieces[f"{name} {number}"] = checked(piece, keys, frames)
    return pieces


def checked(piece: object, keys: int, frames: int) -> NDArray[np.uint8] | NDArray[np.str_]:
    """The roll (frames, keys) as bytes, or why it is none."""
    roll = np.asarray(piece)
    if roll.ndim != 2 or roll.shape[1] != keys or roll.dtype.kind not in "biuf":
        return np.array(f"a roll of {keys} keys was expected, got {roll.dtype} {roll.shape}")
    if len(roll) > frames:
        return np.array(f"at most {frames:,} frames were expected, got {len(roll):,}")
    if not np.isin(roll, (0, 1)).all():
        return np.array("a roll of 0 and 1 was expected, got other numbers")
    return roll.astype(np.uint8)


def refuse(why: str) -> NoReturn:
    """End with a reason."""
    print(" ".join(why.split()), file=sys.stderr)  # noqa: T201 - this is its answer
    sys.exit(UNREADABLE)


def main() -> None:
    """PATH MEMORY SECONDS KEYS FRAMES NAME...: an archive on the standard output.

    Why a file cannot be read is a line on the standard error, and the status is `UNREADABLE`.
    """
    path, memory, seconds, keys, frames, *names = sys.argv[1:]
    limit(int(memory), int(seconds))
    archive = io.BytesIO()
    try:
        np.savez(archive, **rolls(path, names, int(keys), int(frames)))  # type: ignore[arg-type]
    except MemoryError:
        refuse(f"it needs more than {int(memory):,} bytes of memory")
    except (
        MatReadError,
        OSError,
        ValueError,
        TypeError,
        LookupError,
        NotImplementedError,
        OverflowError,
        RecursionError,
        zlib.error,
    ) as error:
        refuse(str(error) or type(error).__name__)
    sys.stdout.buffer.write(archive.getbuffer())


if __name__ == "__main__":
    main()
