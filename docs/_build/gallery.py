"""The gallery's pictures, from small runs of every task.

    python -m docs._build.gallery           # trains what is not trained yet, some ten minutes
    python -m docs._build.gallery music     # this one

The runs are kept in build/gallery; what they say of test rows, in docs/_build/gallery and, where it
is an image or a sound, in docs/gallery.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from docs._build.blocks import ROOT

import elman
from elman.data.music import KEYS, STEPS

RUNS = {
    "forecast": "elman train forecast --name forecast",
    "music": "elman train music --train.max_steps 200 --name music",
    "caption": "elman train caption --train.max_steps 700 --name caption",
    "translate": (
        "elman train translate --data.rows 20000 --model.cell gru --model.hidden 64 "
        "--data.batch 32 --train.lr 0.01 --train.max_steps 700 --name translate"
    ),
    "classify": "elman train classify --train.max_steps 300 --name classify",
}
MEASURED = {"gradients": "python -m docs._build.gallery gradients"}  # without training
KEPT = Path(__file__).parent / "gallery"
FILES = ROOT / "docs" / "gallery"
TRAINED = ROOT / "build" / "gallery"
TEMPO, RATE = 84, 11025
SENTENCES = (
    "The food was good, not bad at all.",
    "The food was bad, not good at all.",
    "One of the best films of the year.",
    "A long, dull and pointless film.",
)


def trained(name: str) -> Any:
    """The task with the network of this run, which is trained where it is not there."""
    run = TRAINED / "runs" / f"{name}-1"
    if not (run / "checkpoints" / "best").exists():
        TRAINED.mkdir(parents=True, exist_ok=True)
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        command = shlex.split(RUNS[name])
        environment = os.environ | {"PATH": programs}
        subprocess.run(command, cwd=TRAINED, env=environment, check=True)
    return elman.load(run)


def forecast(task: Any) -> dict[str, Any]:
    """The last window of the test data: what the network saw, what it said, and what came."""
    predictions = task.predict("test")
    series, interval = task.series, predictions.interval
    before = series.panel.values[:, 0].tolist()
    horizon = predictions.target.shape[1]
    value, low, _, high = (part[-1].tolist() for part in interval)
    seen = before[: len(before) - horizon][-5 * horizon :]
    last = len(before) - 1
    return {
        "first": series.grid.time(series.panel.place(0) + last - horizon - len(seen) + 1),
        "last": series.grid.time(series.panel.place(0) + last),
        "interval": task.model.interval,
        "seen": seen, "truth": predictions.target[-1].tolist(),
        "value": value, "low": low, "high": high,
    }  # fmt: skip


def music(task: Any) -> dict[str, Any]:
    """A chorale's first bars, and how the network goes on."""
    prime = np.asarray(task.part("test").sequences("frames")[0])[:16].astype(np.uint8)
    roll = task.compose(48, prime, temperature=0.7, seed=3)
    seconds = 60 / TEMPO * STEPS[task.data.step]
    FILES.mkdir(exist_ok=True)
    sound(roll, seconds, FILES / "chorale.wav")
    keys = [np.flatnonzero(frame).tolist() for frame in roll]
    return {"primed": len(prime), "seconds": seconds, "frames": keys}


def sound(roll: np.ndarray[Any, Any], seconds: float, file: Path) -> None:
    """Each key a few harmonics that fade; a key that is held sounds on."""
    frame = round(seconds * RATE)
    out = np.zeros(frame * (len(roll) + 3))
    for key in range(KEYS):
        pitch = 27.5 * 2 ** (key / 12)
        start = None
        for step, on in enumerate([*roll[:, key].tolist(), 0]):
            if on and start is None:
                start = step
            elif not on and start is not None:
                length = frame * (step - start + 1)
                t = np.arange(length) / RATE
                tone = sum(np.sin(2 * np.pi * k * pitch * t) / k**2 for k in (1, 2, 3, 4))
                fade = np.minimum(1, t / 0.01) * np.exp(-1.4 * t)
                fade *= np.clip((length / RATE - t) / seconds, 0, 1)
                begin = frame * start
                out[begin : begin + length] += tone * fade
                start = None
    scaled = np.round(127.5 + 115 * out / np.abs(out).max()).astype(np.uint8)
    with wave.open(str(file), "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(1)
        written.setframerate(RATE)
        written.writeframes(scaled.tobytes())


def caption(task: Any) -> dict[str, Any]:
    """Test images with their captions, and where the decoder looked at each word of one."""
    from PIL import Image

    rows = task.part("test").take(torch.arange(6))
    part = task.part("test").select(torch.arange(6))
    best = task.captions(part)
    FILES.mkdir(exist_ok=True)
    images = []
    for i, hypothesis in enumerate(best):
        pixels = rows["image"][i].permute(1, 2, 0).to(torch.uint8).numpy()
        Image.fromarray(pixels).resize((160, 160), Image.Resampling.NEAREST).save(
            FILES / f"scene-{i}.png", optimize=True
        )
        images.append({"file": f"scene-{i}.png", "caption": task.text(hypothesis)})
    looked = task.attended(rows["image"][0], best[0])
    weights = [[round(w, 3) for w in grid.flatten().tolist()] for grid in looked.weights]
    return {
        "images": images,
        "words": list(looked.words), "side": looked.weights.shape[-1], "weights": weights,
    }  # fmt: skip


def translate(task: Any) -> dict[str, Any]:
    """Words with their phonemes, and where the decoder looked."""
    rows = task.part("test")
    places = rows.lengths("x").eq(10).nonzero().flatten()[:2].tolist()
    words = []
    for place in places:
        row = rows.select(torch.tensor([place]))
        [[best, *_]] = task.translations(row)
        looked = task.alignment(row, best)
        weights = [[round(w, 3) for w in line] for line in looked.weights.tolist()]
        words.append({"source": looked.source, "target": looked.target, "weights": weights})
    return {"words": words}


def classify(task: Any) -> dict[str, Any]:
    """Sentences with the probability that each is a good review."""
    answers = task.answers([{"text": sentence} for sentence in SENTENCES])
    return {
        "sentences": [
            {"text": sentence, "positive": answer["probabilities"]["positive"]}
            for sentence, answer in zip(SENTENCES, answers, strict=True)
        ]
    }


def gradients() -> dict[str, Any]:
    """The gradient over fifty steps of networks that begin with a radius, and of two LSTMs."""
    norms = {}
    for name, radius in (
        ("tanh, radius 0.5", 0.5),
        ("tanh, radius 1", 1.0),
        ("tanh, radius 2", 2.0),
    ):
        torch.manual_seed(0)
        cell = elman.cells.Elman(8, 32)
        with torch.no_grad():
            torch.nn.init.orthogonal_(cell.weight_hh).mul_(radius)
        norms[name] = flow(elman.Recurrent(cell))
    torch.manual_seed(0)
    layer = elman.Recurrent(elman.cells.LSTM(8, 32), init="chrono")
    norms["LSTM, chrono, by c"] = flow(layer, "c")
    return {"norms": norms}


def flow(layer: Any, state: str = "h") -> list[float]:
    """The norm of the gradient by a state, from the loss on, relative to that at the loss."""
    x = 0.1 * torch.randn(16, 50, 8, generator=torch.Generator().manual_seed(0))
    seen = elman.inspection.gradient_flow(layer, x, loss=lambda out: out[:, -1].square().sum())
    norm = seen.states[state].norm[0].flip(0)  # (time,), the loss first
    return [float(f"{value:.3g}") for value in (norm / norm[0]).tolist()]


MADE: dict[str, Callable[..., dict[str, Any]]] = {
    "gradients": gradients,
    "forecast": forecast,
    "music": music,
    "caption": caption,
    "translate": translate,
    "classify": classify,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="all unless given")
    names = parser.parse_args().names or list(MADE)
    unknown = [name for name in names if name not in MADE]
    if unknown:
        parser.error(f"no run {', '.join(unknown)}: choose from {', '.join(MADE)}")
    KEPT.mkdir(exist_ok=True)
    for name in names:
        print(name, flush=True)
        if name in MEASURED:
            made = {"command": MEASURED[name], **MADE[name]()}
        else:
            made = {"command": RUNS[name], **MADE[name](trained(name))}
        (KEPT / f"{name}.json").write_text(json.dumps(made) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
