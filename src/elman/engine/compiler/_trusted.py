"""Whose functions give the same for the same arguments, and which of theirs do not."""

from __future__ import annotations

import builtins
import sys
import types
from collections.abc import Callable
from typing import Any

# Packages whose functions depend on their arguments alone, but for those named below.
_PACKAGES = frozenset([
    "torch", "elman", "math", "cmath", "operator", "_operator", "builtins", "functools",
    "_functools", "itertools", "collections", "_collections", "typing", "types", "dataclasses",
    "enum", "abc", "_abc", "numbers", "fractions", "contextlib", "numpy", "jaxtyping"
])  # fmt: skip
_AS_USERS = frozenset({"bench", "testing"})  # parts of elman with cells as users write them
# Modules of theirs that hold settings, generators or devices.
_WITH_STATE = frozenset([
    "torch.random", "torch.backends", "torch.cuda", "torch.mps", "torch.xpu", "torch.cpu",
    "torch.accelerator", "torch.compiler", "torch.jit", "torch.distributed", "torch.hub",
    "torch.overrides", "torch.profiler", "torch.utils.data", "numpy.random"
])  # fmt: skip
# torch.get_default_dtype is part of every key.
_READS_STATE = frozenset([
    "get_num_threads", "get_num_interop_threads", "is_grad_enabled", "is_inference_mode_enabled",
    "is_autocast_enabled", "is_autocast_cpu_enabled", "is_autocast_cache_enabled",
    "get_autocast_dtype", "get_autocast_cpu_dtype", "get_autocast_gpu_dtype",
    "are_deterministic_algorithms_enabled", "is_deterministic_algorithms_warn_only_enabled",
    "get_deterministic_debug_mode", "is_anomaly_enabled", "is_anomaly_check_nan_enabled",
    "get_float32_matmul_precision", "is_warn_always_enabled", "initial_seed", "seed",
    "get_rng_state", "default_generator", "get_default_device", "set_default_dtype",
    "set_default_device", "set_num_threads", "manual_seed", "set_rng_state"
])  # fmt: skip
_REFUSED_BUILTINS = {
    **dict.fromkeys(
        ("eval", "exec", "compile", "globals", "locals", "vars", "dir", "__import__"),
        "through which it could read anything",
    ),
    **dict.fromkeys(("getattr", "hasattr"), "handed on, so that the name it reads is not known"),
    **dict.fromkeys(("setattr", "delattr"), "and a program changes no attribute"),
    **dict.fromkeys(
        ("print", "input", "open", "breakpoint"), "which a program would not call at each step"
    ),
    "id": "which is another number in each process",
}
# They read attributes by names that are arguments, and so in no code.
_DYNAMIC = frozenset({"attrgetter", "methodcaller"})


def is_trusted(module: str | None) -> bool:
    """Whether functions of this module depend on their arguments alone, with known exceptions."""
    package, _, rest = (module or "").partition(".")
    return package in _PACKAGES and not (package == "elman" and rest.partition(".")[0] in _AS_USERS)


def is_of_python(module: str | None) -> bool:
    """Whether it comes with Python, so that it is not followed as one's own code is."""
    return module is not None and module.partition(".")[0] in sys.stdlib_module_names


def objection(value: Any) -> str:
    """Why a foreign function, class or module cannot be called in a step; "" if it can."""
    name = getattr(value, "__name__", "")
    if name in _REFUSED_BUILTINS and getattr(builtins, name) is value:
        return _REFUSED_BUILTINS[name]
    if isinstance(value, types.ModuleType):
        return "whose state could change unnoticed" if _within(name, _WITH_STATE) else ""
    module = _home(value)
    if _within(module or "", _WITH_STATE) or (is_trusted(module) and name in _READS_STATE):
        return "which depends on more than its arguments"
    if name in _DYNAMIC and module in ("operator", "_operator"):
        return "which reads by a name that is not known"
    if not is_trusted(module):
        return "of a library that is not known to give the same for the same arguments"
    return ""


def home(function: Callable[..., Any]) -> str | None:
    """The module that a function's globals belong to, whatever its ``__module__`` says."""
    name: str | None = getattr(function, "__globals__", {}).get("__name__")
    return name


def is_check_of_shapes(function: types.FunctionType) -> bool:
    """Whether this is a wrapper that checks the shapes of another function's arguments."""
    return (home(function) or "").startswith("jaxtyping.") and hasattr(function, "__wrapped__")


def reads_state(module: str, attribute: str) -> bool:
    """Whether what a module has under this name depends on more than its arguments."""
    return attribute in _READS_STATE or _within(f"{module}.{attribute}", _WITH_STATE)


def _home(value: Any) -> str | None:
    if isinstance(value, types.FunctionType):
        return home(value)
    module: str | None = getattr(value, "__module__", None)
    if module is None:  # a method of a type that is written in C
        owner = getattr(value, "__objclass__", None) or getattr(value, "__self__", None)
        module = getattr(owner, "__module__", None) if isinstance(owner, type) else None
    return module


def _within(name: str, packages: frozenset[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
