"""The rolls of a .mat file: a program for `elman.data._apart`.

It hands on an .npz archive: the rolls as bytes, or as a text the reason why a roll cannot be read.
"""

from __future__ import annotations

import io
import sys
import zlib

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from elman.data._apart import limit, refuse

Piece = NDArray[np.uint8] | NDArray[np.str_]


def rolls(path: str, names: list[str], keys: int, frames: int) -> dict[str, Piece]:
    """Each roll of each cell array, as ``NAME NUMBER``; a text where it cannot be read."""
    cells = loadmat(path, variable_names=names)
    pieces: dict[str, Piece] = {}
    for name in (name for name in names if name in cells):
        cell = cells[name]
        if cell.dtype != object:
            why = f"expected a cell array of rolls, got {cell.dtype} {cell.shape}"
            pieces[f"{name} 1"] = np.array(why)
            continue
        for number, piece in enumerate(cell.ravel(), 1):
            pieces[f"{name} {number}"] = checked(piece, keys, frames)
    return pieces


def checked(piece: object, keys: int, frames: int) -> Piece:
    """The roll (frames, keys) as bytes, or the reason why it cannot be read."""
    roll = np.asarray(piece)
    if roll.ndim != 2 or roll.shape[1] != keys or roll.dtype.kind not in "biuf":
        return np.array(f"expected a roll of {keys} keys, got {roll.dtype} {roll.shape}")
    if len(roll) > frames:
        return np.array(f"expected at most {frames:,} frames, got {len(roll):,}")
    if not np.isin(roll, (0, 1)).all():
        return np.array("expected a roll of 0 and 1, got other numbers")
    return roll.astype(np.uint8)


def main() -> None:
    """PATH MEMORY SECONDS KEYS FRAMES NAME..., as `elman.data.music` gives them."""
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
        ArithmeticError,
        RecursionError,
        zlib.error,
    ) as error:
        refuse(f"not a readable .mat file: {str(error) or type(error).__name__}")
    sys.stdout.buffer.write(archive.getbuffer())


if __name__ == "__main__":
    main()
