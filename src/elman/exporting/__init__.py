"""Export: a trained model, or a layer with any cell, as code that keeps its state elsewhere.

A step of the model is traced into a graph that knows no language, and a module of `TARGETS` prints
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman._lazy import lazy

if TYPE_CHECKING:
    from elman.exporting._compile import CompiledC as CompiledC, compiler as compiler
    from elman.exporting._export import (
        TARGETS as TARGETS,
        Exported as Exported,
        export as export,
    )
    from elman.exporting._model import ExportCheck as ExportCheck, StepModel as StepModel
    from elman.exporting._report import Sizes as Sizes
    from elman.exporting._target import Files as Files, ExportOptions as ExportOptions

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "_compile": "CompiledC compiler",
        "_export": "TARGETS Exported export",
        "_model": "ExportCheck StepModel",
        "_report": "Sizes",
        "_target": "Files ExportOptions",
    },
)
