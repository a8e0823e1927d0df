"""The command line: one module per command. Nothing else in elman prints."""

from __future__ import annotations

from elman.cli._main import app, main

__all__ = ["app", "main"]


def __dir__() -> list[str]:
    return sorted(__all__)
