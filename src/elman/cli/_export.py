"""``elman export``: a trained model as code that runs without Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from elman.cli._cells import CellFlag, TrustFlag, own_cells
from elman.cli._output import Flag, emit, log, table

if TYPE_CHECKING:
    from elman.exporting import ExportCheck, Exported, Sizes

NOT_RUN = "not checked: no C compiler was found (cc, gcc or clang)"


def export(
    run: Path,
    /,
    *,
    to: Literal["c"] = "c",
    path: Path = Path(),
    name: str = "net",
    weights: Literal["float32", "int8"] = "float32",
    no_libm: Flag = False,
    max_loss: float = 0.01,
    report: Annotated[bool, Parameter(negative=())] = False,
    checkpoint: Literal["best", "last"] = "best",
    cell: CellFlag = None,
    trust: TrustFlag = False,
    json: Flag = False,
) -> None:
    """Export a trained model as a C header and file, checked on its validation data.

    Parameters
    ----------
    run
        The run folder, such as runs/classify-1.
    to
        What to write: c, a header and a file in C99.
    path
        Folder to write into.
    name
        What the files, functions and types begin with.
    weights
        Weights of 32 bits, or of 8 bits with a scale a row.
    no_libm
        Write code that needs no math.h.
    max_loss
        Largest share of the metric that the export may cost: 0.01 is 1 %.
    report
        Print flash, RAM and operations a step, too.
    checkpoint
        Checkpoint to load.
    json
        Print one JSON object.
    """
    from elman.training import read_config

    read_config(run)  # a mistyped path is named before torch is loaded
    import elman

    with own_cells([run], cell, trust=trust):
        exported = elman.export(
            run,
            to=to,
            path=path,
            name=name,
            weights=weights,
            libm=not no_libm,
            max_loss=max_loss,
            checkpoint=checkpoint,
        )
    if json:
        emit({"event": "end", **_record(exported)})
        return
    for file in exported.files:
        print(f"wrote {file}")
    if exported.check is None:
        log(NOT_RUN)
    else:
        print("\n".join(_compared(exported.check)))
    if report:
        print(table(_sizes(exported.sizes)))


def _record(exported: Exported) -> dict[str, Any]:
    sizes, check = exported.sizes, exported.check
    record: dict[str, Any] = {
        "files": list(map(str, exported.files)),
        "sizes": {**sizes._asdict(), "flash": sizes.flash, "ram": sizes.ram},
        "check": None,
    }
    if check is not None:
        record["check"] = {
            "data": check.data,
            "steps": check.steps,
            "difference": check.difference,
            "metric": check.metric and check.metric.name,
            "before": check.before if check.metric else None,
            "after": check.after if check.metric else None,
        }
    return record


def _compared(check: ExportCheck) -> Iterator[str]:
    yield f"largest difference {check.difference:.2g}, over {check.steps:,} steps of {check.data}"
    if check.metric is not None:
        yield f"{check.metric.name} {check.before:.6g} before, {check.after:.6g} after"


def _sizes(sizes: Sizes) -> Iterator[list[str]]:
    code = "unknown" if sizes.code is None else f"{sizes.code:,}"
    yield ["flash, bytes", f"{sizes.flash:,}"]
    yield ["  weights", f"{sizes.weights:,}"]
    yield ["  vocabulary", f"{sizes.vocabulary:,}"]
    yield ["  code, for this machine", code]
    yield ["RAM, bytes", f"{sizes.ram:,}"]
    yield ["  state of a stream", f"{sizes.state:,}"]
    yield ["  arrays of a step", f"{sizes.stack:,}"]
    yield ["operations a step", f"{sizes.operations:,}"]
    yield ["  multiply-adds", f"{sizes.multiply_adds:,}"]
    yield ["  exp, tanh ...", f"{sizes.functions:,}"]
    yield ["  others", f"{sizes.others:,}"]
