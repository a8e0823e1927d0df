"""``elman info``: versions and hardware, for bug reports."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import requires
from pathlib import Path
from typing import Any

from elman import __version__
from elman.cli._output import Flag, emit, installed


def info(*, json: Flag = False) -> None:
    """Print versions, hardware, engines and extras, for bug reports.

    Parameters
    ----------
    json
        Print one JSON object.
    """
    facts = collect()
    if json:
        return emit(facts)
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:{width}}  {_text(value)}")
    return None


def collect() -> dict[str, Any]:
    """The facts by name, as values that JSON can hold."""
    import torch

    from elman.engine import ENGINES
    from elman.engine.runtime import library, missing

    cuda = torch.cuda.is_available()
    return {
        "elman": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "torch": torch.__version__,
        **{name: installed(name) for name in ("numpy", "tokenizers", "safetensors", "pydantic")},
        "processor": processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if cuda
        else [],
        "engines": [name for name, _ in ENGINES],
        "native": missing() or f"built, on {library().isa}",
        "extras": _extras(),
    }


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _extras() -> dict[str, dict[str, str | None]]:
    """The packages of each user extra and their versions, None if missing."""
    extras: dict[str, dict[str, str | None]] = {}
    for requirement in (installed("elman") and requires("elman")) or []:
        match = re.match(r"([\w.-]+).*extra\s*==\s*['\"](\w+)['\"]", requirement)
        if match and match[2] not in ("dev", "docs"):
            extras.setdefault(match[2], {})[match[1]] = installed(match[1])
    return extras


def _text(value: Any) -> str:
    match value:
        case None:
            return "not installed"
        case list() | dict() if not value:
            return "none"
        case list():
            return ", ".join(value)
        case dict():
            return "; ".join(f"{name}: {_packages(packages)}" for name, packages in value.items())
    return str(value)


def _packages(packages: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {number or 'missing'}" for name, number in packages.items())
