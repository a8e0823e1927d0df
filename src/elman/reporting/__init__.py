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

from typing import TYPE_CHECKING

from elman._lazy import lazy

if TYPE_CHECKING:
    from elman.reporting._figures import figures as figures
    from elman.reporting._measure import measure as measure
    from elman.reporting._measures import (
        MEASURES_FILE as MEASURES_FILE,
        Curve as Curve,
        Exponents as Exponents,
        Jacobians as Jacobians,
        LayerMeasures as LayerMeasures,
        Measures as Measures,
        ReportTable as ReportTable,
    )
    from elman.reporting._page import report as report
    from elman.reporting._summary import sentence as sentence

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "_figures": "figures",
        "_measure": "measure",
        "_measures": "MEASURES_FILE Curve Exponents Jacobians LayerMeasures Measures ReportTable",
        "_page": "report",
        "_summary": "sentence",
    },
)
