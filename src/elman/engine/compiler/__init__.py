"""From a cell in Python to a program: what a step computes, and its gradient, as instructions."""

from __future__ import annotations

__all__: list[str] = []


def __dir__() -> list[str]:
    return []
