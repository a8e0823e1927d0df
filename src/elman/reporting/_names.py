"""Names of layers for people."""

from __future__ import annotations

from elman.reporting._measures import Measures

_DIRECTIONS = {"0": "forward", "1": "backward"}


def layer_names(run: Measures) -> list[str]:
    """The layers of a run, by what tells them apart: their part, their number, their direction.

    >>> from elman.reporting import LayerMeasures
    >>> paths = ["encoder.layers.0.directions.0", "encoder.layers.0.directions.1", "decoder.layer"]
    >>> layers = [LayerMeasures(name=path, cell="GRU") for path in paths]
    >>> options = {"checkpoint": "best", "rows": 1, "steps": 1, "loss_steps": []}
    >>> layer_names(Measures(task="translate", layers=layers, **options))
    ['encoder, layer 1, forward', 'encoder, layer 1, backward', 'decoder']
    >>> layer_names(Measures(task="classify", layers=layers[:2], **options))
    ['forward', 'backward']
    """
    paths = [layer.name for layer in run.layers]
    words = [_words(path) for path in paths]
    shared = set.intersection(*map(set, words)) if len(words) > 1 else set()
    names = [
        ", ".join(w for w in own if w not in shared) or path
        for own, path in zip(words, paths, strict=True)
    ]
    return names if len(set(names)) == len(names) else paths


def _words(path: str) -> list[str]:
    parts = iter(path.split("."))
    words = []
    for part in parts:
        if part in {"layers", "directions"} and (number := next(parts, "")).isdecimal():
            named = f"layer {int(number) + 1}" if part == "layers" else _DIRECTIONS.get(number)
            words.append(named or f"{part}.{number}")
        elif part not in {"layer", "recurrent"}:
            words.append(part)
    return words
