"""Reports of runs: measures of what happens inside a trained model, figures, and an HTML page.

`measure` measures a trained model and saves the measures in the run folder; `report` writes one
self-contained HTML file about one run, or several side by side. The run folder gets

==================  ===========================================================================
flow/flow.json      `Measures`
flow/NAME.png, .svg  figures of these measures
report/report.html  the page; its figures are beside it as PNG and SVG
==================  ===========================================================================
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.reporting._figures import figures
    from elman.reporting._measure import measure
    from elman.reporting._measures import (
        MEASURES_FILE,
        Curve,
        Exponents,
        Jacobians,
        LayerMeasures,
        Measures,
        ReportTable,
    )
    from elman.reporting._page import report

__all__ = [
    "MEASURES_FILE",
    "Curve",
    "Exponents",
    "Jacobians",
    "LayerMeasures",
    "Measures",
    "ReportTable",
    "figures",
    "measure",
    "report",
]

_HOMES = {
    "_figures": ("figures",),
    "_measure": ("measure",),
    "_measures": (
        "MEASURES_FILE",
        "Curve",
        "Exponents",
        "Jacobians",
        "LayerMeasures",
        "Measures",
        "ReportTable",
    ),
    "_page": ("report",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
