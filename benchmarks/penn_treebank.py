"""Penn Treebank words in Zaremba's small setting: elman's LSTM, or torch.nn.LSTM in the same loop.

    python benchmarks/penn_treebank.py FOLDER --layer elman|torch [--engine auto] [--threads 2]

FOLDER holds ptb.train.txt, ptb.valid.txt and ptb.test.txt (or .gz). The first weights, the order of
the data and everything else are the same for both layers. Reference: Zaremba, Sutskever & Vinyals
2014, "Recurrent neural network regularization", Table 1: test perplexity 114.5.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from elman.layers import Stack
from elman.tasks._language import LanguageModel
from elman.tasks._language_net import LanguageNetwork
from elman.training import config_class, fit
from elman.training._run import Run


class TorchLSTM(nn.Module):
    """torch.nn.LSTM over time-first input, with the weights and the call of a Stack of LSTMs."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.output_size, layers = stack.output_size, list(stack.layers)
        self.lstm = nn.LSTM(stack.input_size, stack.output_size, len(layers))
        for depth, layer in enumerate(layers):
            for name, value in layer.cell.named_parameters():
                getattr(self.lstm, f"{name}_l{depth}").data.copy_(value.data)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        output, final = self.lstm(x, state)
        return output, tuple(final)


class TorchLanguageModel(LanguageModel):
    def build(self) -> LanguageNetwork:
        network = super().build()
        network.recurrent = TorchLSTM(network.recurrent)  # type: ignore[assignment]
        return network


def settings(folder: Path, engine: str, threads: int | None) -> dict[str, Any]:
    def text(split: str) -> list[str]:
        return [str(next(folder.glob(f"ptb.{split}.txt*")))]

    return {
        "data": {
            "train": text("train"),
            "valid": text("valid"),
            "test": text("test"),
            "lanes": 20,
            "lowercase": False,
            "punctuation": False,
        },
        "model": {"cell": "lstm", "layers": 2, "hidden": 200, "init_range": 0.1, "engine": engine},
        "train": {
            "epochs": 13,
            "k1": 20,
            "loss": "sum",
            "optimizer": "sgd",
            "lr": 1.0,
            "schedule": "step",
            "decay_after": 4,
            "decay": 0.5,
            "clip": "norm",
            "clip_limit": 5.0,
            "log_every": 500,
            "threads": threads,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layer", choices=("elman", "torch"), default="elman")
    parser.add_argument("--engine", default="auto", help="what runs elman's layer")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    config = config_class("language").parse(settings(args.folder, args.engine, args.threads))
    run = Run.create_next(args.runs, f"ptb-{args.layer}", config.toml())
    kind = LanguageModel if args.layer == "elman" else TorchLanguageModel
    task = kind.prepare(config.data, config.model, run.path)  # type: ignore[arg-type]
    fit(task, config.train, run, report=lambda event: print(json.dumps(event), flush=True))


if __name__ == "__main__":
    main()
