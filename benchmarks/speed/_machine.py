"""The machine: what it is, and what it can do at best, which no candidate can beat."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from benchmarks.speed._problem import Problem
from benchmarks.speed._result import Machine
from torch.nn import functional as F

import elman
from elman.cli._info import processor

PACKAGES = ("torch", "numpy", "onnxruntime", "onnx", "jax", "jaxlib")
# What changes the instructions or the threads that candidates use.
VARIABLES = ("ELMAN_ISA", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")


def environment() -> dict[str, Any]:
    """Versions, processor and commit: what a reader needs to repeat or doubt a table."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "packages": {"elman": elman.__version__} | {name: _version(name) for name in PACKAGES},
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit that the package's source is at, with a + if it was changed; None outside git."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    tracked = described.returncode == 0 and described.stdout.strip()
    return tracked or None


def _fastest(call: Callable[[], Any], repeats: int = 20) -> float:
    call()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)


@torch.no_grad()
def _matrix_product() -> tuple[float, Callable[[], Any]]:
    a, b = torch.randn(512, 512), torch.randn(512, 512)
    return 2 * 512**3, lambda: a @ b


@torch.no_grad()
def _onednn_linear() -> tuple[float, Callable[[], Any]]:
    a, b = torch.randn(512, 512).to_mkldnn(), torch.randn(512, 512).to_mkldnn()
    linear: Any = torch._C._nn.mkldnn_linear
    return 2 * 512**3, lambda: linear(a, b)


@torch.no_grad()
def _onednn_convolution() -> tuple[float, Callable[[], Any]]:
    x = torch.randn(1, 128, 28, 28).to(memory_format=torch.channels_last)
    w = torch.randn(128, 128, 3, 3).to(memory_format=torch.channels_last)
    return 2 * 28 * 28 * 9 * 128 * 128, lambda: F.conv2d(x, w, padding=1)


PROBES = {"torch.mm": _matrix_product}
if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
    PROBES |= {"oneDNN linear": _onednn_linear, "oneDNN convolution": _onednn_convolution}


_best: list[tuple[float, str]] = []


def peak() -> tuple[float, str]:
    """float32 operations a second, now, and which of ``PROBES`` reached them.

    The speed of a virtual machine moves, so that each row has a peak of its own beside it.

    A matrix product of torch is not the peak: MKL may run it on narrower instructions than the
    machine has. The best that a well-known library reaches from cache is taken.
    """
    reached = []
    with torch.no_grad():
        for name, probe in PROBES.items():
            operations, call = probe()
            reached.append((operations / _fastest(call), name))
    _best.append(max(reached))
    return max(reached)


_bandwidths: dict[int, float] = {}


def bandwidth(size: int) -> float:
    """Bytes a second at which all threads together read ``size`` bytes again and again.

    Each thread has its own share, as when each computes some of the units: what fits a core's own
    cache is read from there.
    """
    if size not in _bandwidths:
        _bandwidths[size] = _read_again(size)
    return _bandwidths[size]


def _read_again(size: int) -> float:
    threads = torch.get_num_threads()
    share = max(1, size // 4 // threads)
    again = max(4, min(500, 2**25 // (share * threads)))
    buffer = torch.ones(threads, 1, share).expand(threads, again, share)
    return 4 * share * threads * again / _fastest(lambda: buffer.sum(-1))


def flops(problem: Problem) -> float:
    """Of the matrix products alone: 2 for each weight, row and step; three times that in training.

    The gradient of the input is left out where it is not asked for.
    """
    case = problem.case
    rows = case.shape.batch * case.shape.steps
    if problem.lengths is not None:
        rows = int(problem.lengths.sum())
    weights = {name: p.numel() for name, p in problem.parameters.items() if p.dim() == 2}
    total = 2.0 * rows * sum(weights.values())
    if not case.training:
        return total
    unasked = 0 if case.shape.input_gradient else weights.get("0.weight_ih", 0)
    return 3 * total - 2.0 * rows * unasked


def floor(problem: Problem, peak: float) -> float:
    r"""Seconds that this machine needs at least.

    .. math:: \max(flops / peak, \; steps \cdot bytes / bandwidth)

    where bytes are those of the recurrent weights, read once in every step forward and, in
    training, once in every step backward.

    Args:
        problem: the case with its numbers.
        peak: float32 operations a second, as :func:`peak` measured beside it.
    """
    steps = problem.case.shape.steps * (2 if problem.case.training else 1)
    reading = 0.0
    for layer in range(problem.case.shape.layers):
        size = 4 * sum(
            p.numel()
            for name, p in problem.parameters.items()
            if p.dim() == 2 and name.startswith(f"{layer}.") and not name.endswith("weight_ih")
        )
        reading += steps * size / bandwidth(size)
    return max(flops(problem) / peak, reading)


def machine() -> Machine:
    """The best peak of the run, and every bandwidth that a floor was computed from."""
    reached, by = max(_best)
    return Machine(
        threads=torch.get_num_threads(),
        flops=reached,
        flops_by=by,
        bandwidth=dict(sorted(_bandwidths.items())),
    )
