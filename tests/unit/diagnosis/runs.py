"""Small runs that the tests of the doctor share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elman.diagnosis import Evidence, GradientReach, LossCurve, Saturation, Standing
from elman.training import config_class, train

BASE = {"max_steps": 30, "lr": 0.01, "schedule": "constant", "log_every": 5, "threads": 1}


def trained(path: Path, task: str, data: Any, model: Any, **values: Any) -> Path:
    tree = {"data": data, "model": model, "train": {**BASE, **values}}
    return train(config_class(task).parse(tree), path).run.path


def evidence(task: str = "classify", **values: Any) -> Evidence:
    """Those of a run in which all is well, but for what is given."""
    train = values.pop("train", {"max_steps": 100})
    config = config_class(task).parse(
        {
            "data": values.pop("data", {"name": "parity"}),
            "model": values.pop("model", {}),
            "train": train,
        }
    )
    usual: dict[str, Any] = {
        "config": config,
        "events": [],
        "bad": None,
        "bad_rows": (),
        "broke": None,
        "first": GradientReach(0.95, 30.0, 40),
        "last": GradientReach(0.99, 40.0, 40),
        "first_saturation": Saturation(0.1, "gate input of x", 0.0),
        "last_saturation": Saturation(0.2, "gate input of x", 0.0),
        "clipped": 0.1,
        "norms": (0.5, 1.0, 2.0),
        "ratio": 0.05,
        "bias": None,
        "enough": None,
        "scale": 1.0,
        "losses": losses(),
        "standing": standing(),
        "rows": 16,
    }
    return Evidence(**{**usual, **values})


def losses(
    train: tuple[float, ...] = (0.7, 0.5, 0.4, 0.3, 0.2),
    valid: tuple[float, ...] = (0.6, 0.5, 0.4),
    begun: float = 0.7,
) -> LossCurve:
    """Losses that were logged every ten updates."""
    lines, checks = (
        tuple((10 * i, loss) for i, loss in enumerate(each, 1)) for each in (train, valid)
    )
    return LossCurve("nats", lines, checks, begun)


def standing(margin: float = -0.5, gain: float = -0.8, **more: Any) -> Standing:
    return Standing("accuracy", 0.9, "bag_of_words", 0.8, margin, gain, **more)
