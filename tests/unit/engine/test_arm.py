"""The same source on ARM: compiled for aarch64 and run by an emulator, with NEON's registers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from elman.engine import _native, _reference
from elman.engine.compiler._program import ELEMENTWISE
from elman.engine.runtime import _operators
from unit.engine import test_native, test_operations
from unit.engine.own_cells import NormedGRU, Peephole, Sine, Statistics
from unit.engine.remote import Remote

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
NATIVE = Path(__file__).parents[3] / "native"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which(COMPILER) and shutil.which("cmake") and shutil.which("ninja")),
        reason=f"needs the cross compiler {COMPILER}, CMake and ninja",
    ),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the library for aarch64."""
    folder = tmp_path_factory.mktemp("aarch64")
    subprocess.run(
        ["cmake", "-S", NATIVE, "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
         "-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
         f"-DCMAKE_CXX_COMPILER={COMPILER}"],
        check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(["cmake", "--build", folder], check=True, capture_output=True)
    return folder


@pytest.fixture
def arm(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """Its library in place of this machine's."""
    if not shutil.which(EMULATOR):
        pytest.skip(f"needs {EMULATOR} to run what was compiled")
    caller = built / "remote_call"
    if not caller.exists():
        source = Path(__file__).with_name("remote_call.cpp")
        subprocess.run(
            [COMPILER, "-O1", source, "-o", caller, built / "libelman.so", f"-Wl,-rpath,{built}"],
            check=True,
        )
    prefix = [EMULATOR, "-L", f"/usr/{COMPILER.removesuffix('-g++')}", str(caller)]
    remote = Remote(prefix, tmp_path / "image")
    for module in (_operators, test_operations):
        monkeypatch.setattr(module, "library", lambda: remote)
    return remote


def test_it_compiles_for_arm(built: Path) -> None:
    header = (built / "libelman.so").read_bytes()[:20]
    assert header[:4] == b"\x7fELF"
    assert int.from_bytes(header[18:20], "little") == 183  # EM_AARCH64


@pytest.mark.parametrize("op", [name for name in ELEMENTWISE if name != "constant"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_operations_equal_torch(arm: Remote, op: str, dtype: torch.dtype) -> None:
    test_operations.test_equals_torch(op, dtype)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", [test_native.GRU, Peephole, NormedGRU, Sine, Statistics])
def test_equals_the_reference(arm: Remote, kind: type, threads: int) -> None:
    test_native.share(threads, 9)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 5e-6)):
        for ragged, resets, reverse in test_native.OPTIONS:
            case = test_native.case(
                kind, (5, 9, 3, 19), dtype=dtype, ragged=ragged, resets=resets, reverse=reverse
            )
            got = test_native.results(_native, case)
            test_native.agree(got, test_native.results(_reference, case), tolerance)
