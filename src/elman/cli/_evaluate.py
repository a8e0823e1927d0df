"""``elman evaluate``: the metrics of a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from elman.cli._cells import CellFlag, TrustFlag, own_cells
from elman.cli._output import Flag, emit, log, number, table, titled, with_bad_rows, with_beam
from elman.cli._progress import facts


def evaluate(
    run: Path,
    /,
    *files: Path,
    split: Literal["train", "valid", "test"] = "test",
    lanes: int | None = None,
    beam: int | None = None,
    checkpoint: Literal["best", "last"] = "best",
    device: str = "cpu",
    on_bad_row: Literal["error", "skip"] | None = None,
    pictures: Path | None = None,
    cell: CellFlag = None,
    trust: TrustFlag = False,
    json: Flag = False,
) -> None:
    """Evaluate a trained model on its test data, or on other files.

    Parameters
    ----------
    run
        The run folder, such as runs/language-1.
    files
        Files or folders to evaluate on instead of the run's own data.
    split
        Part of the run's data to evaluate on, if no files are named.
    lanes
        Batch size: a text is cut into this many parallel streams; 1 reads it from start to end.
    beam
        Translations and captions: beam width, the number of sequences that the search keeps at each
        step. 1 is greedy decoding. Default: the run's model.beam.
    checkpoint
        Checkpoint to load.
    device
        Device to compute on: cpu, cuda ...
    on_bad_row
        How to treat rows that cannot be used (default: as in training).
    pictures
        Folder to save the task's plots of this data in.
    json
        Print one JSON object.
    """
    from elman.training import read_config

    read_config(run)  # a mistyped path is named before torch is loaded
    import elman
    from elman.pictures import save

    with own_cells([run], cell, trust=trust):
        loaded = with_bad_rows(elman.load(run, checkpoint, device=device), on_bad_row)
    task = with_beam(loaded, beam).with_data(files, lanes)
    split = "test" if files else split
    predictions, data = task.predict(split), task.facts()
    metrics, tables = task.metrics(predictions), task.tables(predictions)
    drawn = [str(file) for file in save(task.plots(predictions), pictures)] if pictures else []
    if json:
        more = {t.title: [dict(zip(t.columns, row, strict=True)) for row in t.rows] for t in tables}
        end = {"event": "end", "metrics": metrics}
        kept = {"tables": more, "data": data, "pictures": drawn}
        emit(end | {name: value for name, value in kept.items() if value})
        return
    for line in facts(data):
        log(line)
    print(table([name, number(value)] for name, value in metrics.items()))
    for more_of_it in tables:
        print(titled(more_of_it))
    for file in drawn:
        print(f"picture {file}")
    if pictures and not drawn:
        log(f"no plots: {task.name} has none for its data")
