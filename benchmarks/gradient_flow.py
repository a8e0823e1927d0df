"""How far back the gradient reaches on the adding problem: networks untrained and trained.

    python -m benchmarks.gradient_flow [--updates 3000] [--hidden 64] [--steps 200] [--runs runs]
        [--only NAME ...] [--json FILE]

Each is measured on the first 256 validation rows, whose loss is on the last step alone: the
half-life of the gradient by the first state, and by an LSTM's c, each with its 95 % interval over
these rows; what the gradient by the first step's state is of that by the last; and the error on all
validation rows. Training takes whatever engine there is, measuring the reference. Reference: Le,
Jaitly & Hinton 2015, "A simple way to initialize recurrent networks of rectified linear units", for
the networks and a forget bias of 4; the GRU's update gate, which keeps the state as an LSTM's
forget gate does, gets the same.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from benchmarks.speed._machine import environment
from torch import nn

from elman import init
from elman.inspection import Estimate, Flow, gradient_flow
from elman.tasks import Part, Regress
from elman.training import Config, config_class, fit
from elman.training._run import Run


class Network(NamedTuple):
    """Settings of the model, and the bias at first of the gate that keeps the state."""

    model: dict[str, Any]
    bias: float | None = None


NETWORKS: Mapping[str, Network] = {
    "tanh RNN, torch's initialization": Network({"cell": "elman"}),
    "relu RNN, identity": Network({"cell": "elman", "activation": "relu", "init": "identity"}),
    "LSTM, torch's initialization": Network({"cell": "lstm"}),
    "LSTM, forget bias 1": Network({"cell": "lstm"}, 1.0),
    "LSTM, forget bias 4": Network({"cell": "lstm"}, 4.0),
    "GRU, torch's initialization": Network({"cell": "gru"}),
    "GRU, update bias 4": Network({"cell": "gru"}, 4.0),
}


class Adding(Regress):
    bias: float | None = None

    def build(self) -> nn.Module:
        network = super().build()
        if self.bias is not None:
            init.initialize(network, partial(init.forget_bias, value=self.bias))
        return network


def settings(model: dict[str, Any], args: argparse.Namespace) -> Config:
    train: dict[str, Any] = {"max_steps": max(1, args.updates), "threads": args.threads}
    if model.get("activation") == "relu":
        train |= {"lr": 1e-4}
    return config_class("regress").parse(
        {
            "data": {"name": "adding", "steps": args.steps},
            "model": {**model, "hidden": args.hidden},
            "train": train,
        }
    )


def measured(task: Adding) -> Flow:
    rows = task.part("valid")
    indices = torch.arange(min(256, len(rows)))
    return gradient_flow(task, Part(rows, indices, len(indices), task.device))


def bounds(estimate: Estimate) -> list[float]:
    """The value, and its interval."""
    return [bound[0].item() for bound in estimate]


def row(name: str, when: str, flow: Flow, error: float) -> dict[str, Any]:
    far = flow.states.get("c", flow)
    return {
        "network": name,
        "when": when,
        "state": "c" if "c" in flow.states else "h",
        "half_life_by_h": bounds(flow.half_life),
        "half_life": bounds(far.half_life),
        "share": (far.norm[0][0] / far.norm[0][-1]).item(),
        "mse": error,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=3000)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the figures go, too")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=[*NETWORKS], metavar="NAME")
    args = parser.parse_args()
    began, rows = environment(), []

    def keep(name: str, when: str, task: Adding) -> None:
        rows.append(row(name, when, measured(task), task.evaluate("valid")["mse"]))
        print(json.dumps(rows[-1]), flush=True)

    for name in args.only:
        network = NETWORKS[name]
        config = settings(network.model, args)
        run = Run.create_next(args.runs, "flow", config.toml())
        task = Adding.prepare(config.data, config.model, run.path)  # type: ignore[arg-type]
        task.bias = network.bias
        torch.manual_seed(0)
        task.network = task.build().eval()
        keep(name, "untrained", task)
        if not args.updates:
            continue
        fit(task, config.train, run)
        keep(name, "trained", task)
    if args.json:
        command = shlex.join(["python", "-m", "benchmarks.gradient_flow", *sys.argv[1:]])
        result = {"command": command, "environment": began, "rows": rows}
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
