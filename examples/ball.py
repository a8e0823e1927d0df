"""Where will the ball go next? Four networks on the same video, and the picture of it.

    python examples/ball.py [FOLDER]

trains a simple recurrent network, an LSTM, a GRU and a network that sees one frame, each with the
same settings, into FOLDER (runs/ball unless given), and draws what they expect into ball.png and
ball.svg there. Runs that are in FOLDER already are not trained again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import elman
from elman.pictures import save
from elman.tasks import side_by_side
from elman.training import config_class, train

NETWORKS = {"simple RNN": "elman", "LSTM": "lstm", "GRU": "gru", "one frame": "feedforward"}


def trained(cell: str, path: Path) -> Any:
    if not (path / "checkpoints").exists():
        settings = {"model": {"cell": cell}, "train": {"threads": 1}}
        train(config_class("motion").parse(settings), path, force=True, report=said)
    return elman.load(path)


def said(event: dict[str, Any]) -> None:
    if event["event"] == "valid":
        print(f"  update {event['update']}: {event['rmse']:.4f}", flush=True)
    if event["event"] == "end":
        for name, metrics in {"network": event["metrics"], **event["baselines"]}.items():
            print(f"  {name}: {metrics['test']}", flush=True)


def main(folder: Path) -> None:
    tasks = {}
    for title, cell in NETWORKS.items():
        print(title, flush=True)
        tasks[title] = trained(cell, folder / cell)
    for file in save([side_by_side(tasks, row=2)], folder):
        print(file)


if __name__ == "__main__":
    main(Path(*sys.argv[1:2] or ["runs/ball"]))
