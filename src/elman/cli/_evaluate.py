"""``elman evaluate``: the metrics of a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

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
    json: Flag = False,
) -> None:
    """Measure a trained model on its test data, or on the files given.

    Parameters
    ----------
    run
        The run folder, such as runs/language-1.
    files
        Files or folders to measure on instead of the run's own data.
    split
        Which part of the run's data, where no files are given.
    lanes
        Rows of a batch: a text is cut into so many, and 1 reads it from beginning to end.
    beam
        Translations and captions: how many sequences the search goes on with side by side, of which
        the best wins. 1 is greedy, the likeliest token each time. Unless given it is the run's
        model.beam, whose default is 1.
    checkpoint
        Which weights.
    device
        Where to compute: cpu, cuda ...
    on_bad_row
        Rows of the files that cannot be used: as in training, unless given.
    pictures
        A folder for the task's pictures of this data, if it has any.
    json
        One JSON object instead of lines.
    """
    from elman.training._run_config import read_config

    read_config(run)  # a mistyped path is named before torch is loaded
    import elman
    from elman.pictures import save

    loaded = with_bad_rows(elman.load(run, checkpoint, device=device), on_bad_row)
    task = with_beam(loaded, beam).on(files, lanes)
    split = "test" if files else split
    with task.unchanged():
        metrics, tables, data = task.evaluate(split), task.tables(split), task.facts()
        drawn = [str(file) for file in save(task.pictures(split), pictures)] if pictures else []
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
        log(f"no picture: {task.name} draws none of its data")
