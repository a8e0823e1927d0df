"""``elman flow``: measure what happens inside a trained model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from elman.cli._cells import CellFlag, TrustFlag, own_cells
from elman.cli._output import Flag, emit, log, number, table
from elman.cli._stages import Stages
from elman.pictures import MISSING, available

if TYPE_CHECKING:
    from elman.reporting import Measures


def flow(
    run: Path,
    /,
    *,
    text: str | None = None,
    checkpoint: Literal["best", "last"] = "best",
    cell: CellFlag = None,
    trust: TrustFlag = False,
    json: Flag = False,
) -> None:
    """Measure gradients, Jacobians, Lyapunov exponents and gates of a trained model.

    Parameters
    ----------
    run
        The run folder, such as runs/language-1. The measures are saved in its folder flow.
    text
        A text to record the gates on (default: the first validation row).
    checkpoint
        Checkpoint to load.
    json
        Print one JSON object.
    """
    from elman.training import read_config

    read_config(run)  # a mistyped path is named before torch is loaded
    with Stages() as stages:
        stages("loading elman")
        from elman.reporting import MEASURES_FILE, measure

        with own_cells([run], cell, trust=trust):
            measures = measure(run, text, which=checkpoint, stage=stages)
    if json:
        emit({"event": "end", "file": run / MEASURES_FILE, **measures.model_dump(mode="json")})
        return
    print(table(_rows(measures)))
    for layer in measures.layers:
        for what, why in layer.left_out.items():
            log(f"{layer.name}: {what} not measured: {why}")
    print(f"flow {run / MEASURES_FILE}")
    if not available():
        print(MISSING)


def _rows(measures: Measures) -> Iterator[list[str]]:
    yield ["layer", "state", "half-life", "to 1 %", "largest exponent"]
    for layer in measures.layers:
        largest = number(layer.lyapunov.value[0]) if layer.lyapunov else ""
        for state, curve in layer.gradient.items():
            reach = [number(curve.half_life[0]), number(curve.horizon[0])]
            yield [layer.name, state, *reach, largest]
