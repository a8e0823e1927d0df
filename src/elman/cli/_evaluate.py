"""``elman evaluate``: the metrics of a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from elman.cli._output import Flag, emit, number, table


def evaluate(
    run: Path,
    /,
    *files: Path,
    split: Literal["train", "valid", "test"] = "test",
    lanes: int | None = None,
    checkpoint: Literal["best", "last"] = "best",
    device: str = "cpu",
    json: Flag = False,
) -> None:
    """Measure a trained model on its test text, or on the files given.

    Parameters
    ----------
    run
        The run folder, such as runs/language-1.
    files
        Text files or folders to measure on instead of the run's own text.
    split
        Which of the run's texts, where no files are given.
    lanes
        Rows that the text is cut into and read side by side; 1 reads it from beginning to end.
    checkpoint
        Which weights.
    device
        Where to compute: cpu, cuda ...
    json
        One JSON object instead of lines.
    """
    from elman.train import evaluate as measure

    metrics = measure(
        run, split=split, files=files or None, lanes=lanes, which=checkpoint, device=device
    )
    if json:
        emit({"event": "end", "metrics": metrics})
    else:
        print(table([name, number(value)] for name, value in metrics.items()))
