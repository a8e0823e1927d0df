"""What checks shapes at every call while the tests run; see scripts/test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

# An int will do where a float is asked for, as type checkers have it.
_checked = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Functions that state a shape, such as ``Float[Tensor, "B T I"]``; mypy sees to the others."""
    stated = any("[Tensor, " in str(hint) for hint in function.__annotations__.values())
    return _checked(function) if stated else function
