"""The lessons, a folder each: what it asks, its text, and its stage."""

from __future__ import annotations

__all__: list[str] = []


def __dir__() -> list[str]:
    return sorted(__all__)
