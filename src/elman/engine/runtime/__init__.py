"""The native library: programs and tensors handed over, operators of torch around them."""

from __future__ import annotations

__all__: list[str] = []


def __dir__() -> list[str]:
    return []
