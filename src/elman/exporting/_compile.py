"""Exported C, compiled for this machine and loaded, so that it can be compared with the model."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman._errors import ElmanError

COMPILERS = ("cc", "gcc", "clang")
"""The commands that are looked for, in this order."""

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
"""The flags that an exported file compiles with, without a warning."""

_LONGEST = 600


def compiler() -> str | None:
    """The path of a C compiler; None where there is none."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


class CompiledC:
    """The code of an export, as the compiler made it.

    Args:
        texts: the files, by name.
        name: what they begin with.
        reads_tokens: whether a step takes a token.
        output_size: how many numbers a step gives.
        flags: further flags of the compiler.
        command: the compiler; the first that is there if None.

    Raises:
        ElmanError: there is no compiler, or it refuses the files.
    """

    def __init__(
        self,
        texts: Mapping[str, str],
        name: str,
        *,
        reads_tokens: bool,
        output_size: int,
        flags: Sequence[str] = ("-O2",),
        command: str | None = None,
    ) -> None:
        self.name, self.reads_tokens, self.output_size = name, reads_tokens, output_size
        program = command or compiler()
        if program is None:
            raise ElmanError(
                f"expected a C compiler ({', '.join(COMPILERS)}), got none: install one"
            )
        with tempfile.TemporaryDirectory(prefix="elman-export-") as folder:
            library = _compiled(program, Path(folder), texts, name, flags)
            self._c = ctypes.CDLL(str(library))
        size = self._c[f"{name}_state_size"]
        size.restype = ctypes.c_size_t
        # Every field is of numbers of four bytes, so that a state is an array of them.
        self.state = np.zeros(max(1, size() // 4), np.float32)
        self.begin()

    def begin(self) -> None:
        """Goes back to the initial state."""
        self._c[f"{self.name}_init"](_address(self.state))

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Runs some steps more: inputs (steps, ...) to outputs (steps, size)."""
        dtype = np.int32 if self.reads_tokens else np.float32
        data = np.ascontiguousarray(inputs, dtype)
        outputs = np.empty((len(data), self.output_size), np.float32)
        self._c[f"{self.name}_run"](
            _address(self.state), _address(data), ctypes.c_size_t(len(data)), _address(outputs)
        )
        return outputs

    def token(self, text: str) -> int:
        """What the file's own function makes of a text."""
        return int(self._c[f"{self.name}_token"](text.encode()))

    def address(self, function: str) -> Any:
        """A function of the file."""
        return self._c[f"{self.name}_{function}"]


def _address(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _compiled(
    command: str, folder: Path, texts: Mapping[str, str], name: str, flags: Sequence[str]
) -> Path:
    _write(texts, folder)
    size = f"size_t {name}_state_size(void) {{ return sizeof({name}_state); }}"
    declaration = f"size_t {name}_state_size(void);"
    (folder / "size.c").write_text(
        f'#include "{name}.h"\n{declaration}\n{size}\n', encoding="ascii"
    )
    library = folder / f"lib{name}.so"
    line = [
        command, *WARNINGS, *flags, "-fPIC", "-shared", "-o", str(library), f"{name}.c", "size.c",
        "-lm",
    ]  # fmt: skip
    _run(line, folder)
    return library


def code_size(texts: Mapping[str, str], name: str) -> int | None:
    """Bytes of machine code, small rather than fast; None where no command tells them."""
    command, size = compiler(), shutil.which("size")
    if command is None or size is None:
        return None
    with tempfile.TemporaryDirectory(prefix="elman-export-") as place:
        folder = Path(place)
        _write(texts, folder)
        _run([command, "-std=c99", "-Os", "-c", "-o", "small.o", f"{name}.c"], folder)
        lines = _run([size, "-A", "small.o"], folder).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(".text"))


def _write(texts: Mapping[str, str], folder: Path) -> None:
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="ascii")


def _run(line: Sequence[str], folder: Path) -> str:
    try:
        done = subprocess.run(
            line, cwd=folder, capture_output=True, text=True, timeout=_LONGEST, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ElmanError(f"{line[0]}: did not run: {error}; check the compiler") from error
    if done.returncode:
        messages = "\n".join((done.stderr or done.stdout).splitlines()[:12])
        raise ElmanError(f"{line[0]}: refused the exported file:\n{messages}")
    return done.stdout
