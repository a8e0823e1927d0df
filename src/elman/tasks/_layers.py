"""Recurrent layers from a configuration, as every task builds them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, NamedTuple

from torch import nn

from elman import cells
from elman.layers import Bidirectional, Dropout, FeedForward, Layer, Recurrent, Stack
from elman.nn import Attention, BahdanauAttention, Embedding, LuongAttention, Pool
from elman.tasks._language_config import LanguageNet
from elman.tasks._table_config import FEEDFORWARD, RecurrentNet

Settings = RecurrentNet | LanguageNet


class ReceptiveField(NamedTuple):
    """What a network without recurrence sees at a step; see `elman.layers.FeedForward`."""

    steps: int = 1
    place: Literal["past", "around", "row"] = "past"


ONE_STEP = ReceptiveField()


def cell_options(settings: Settings) -> dict[str, Any]:
    """What the constructor of the cell takes beside its sizes."""
    activation = {} if settings.activation is None else {"activation": settings.activation}
    return {**activation, **(settings.options or {})}


def recurrent(
    settings: Settings,
    input_size: int,
    window: ReceptiveField = ONE_STEP,
    *,
    bidirectional: bool = False,
    drop_last: bool = True,
) -> Layer:
    """Layers one above the other, time first as engines want; dropout on each one's output.

    Without ``drop_last`` the last layer's output is left to the caller. ``window`` is that of the
    network without recurrence, which is a layer, too.
    """
    if settings.cell == FEEDFORWARD:
        return FeedForward(input_size, window.steps, settings.hidden, settings.layers, window.place)
    options = cell_options(settings)
    kind = cells.by_name(settings.cell)

    def layer(inputs: int, *, reverse: bool = False) -> Recurrent:
        return Recurrent(
            kind(inputs, settings.hidden, **options),
            batch_first=False,
            reverse=reverse,
            init=settings.init,
            engine=settings.engine,
        )

    width = settings.hidden * (1 + bidirectional)
    layers: list[Layer] = [
        Bidirectional(layer(below), layer(below, reverse=True)) if bidirectional else layer(below)
        for below, _ in pairwise([input_size, *[width] * settings.layers])
    ]
    if settings.dropout:
        dropped = len(layers) - (not drop_last)
        layers[:dropped] = [Dropout(layer, settings.dropout) for layer in layers[:dropped]]
    return Stack(*layers)


def embedding(size: int, width: int) -> Embedding:
    """A vector for each of ``size`` tokens, drawn small."""
    layer = Embedding(size, width)
    nn.init.normal_(layer.weight, std=0.1)
    return layer


def attention(kind: str, query_size: int, memory_size: int) -> Attention | None:
    """The attention of this name; None for "none"."""
    kinds = {"bahdanau": BahdanauAttention, "luong": LuongAttention}
    return kinds[kind](query_size, memory_size) if kind in kinds else None


def pooled(
    settings: Settings, input_size: int, steps: int, pool: str, *, bidirectional: bool
) -> tuple[Layer, Pool]:
    """Layers, and what makes one vector of their outputs, without dropout on the last one's.

    A network without recurrence reads ``steps`` steps as a whole, so there is nothing to pool.
    """
    window = ReceptiveField(steps, "row")
    layer = recurrent(settings, input_size, window, bidirectional=bidirectional, drop_last=False)
    if isinstance(layer, FeedForward):
        return layer, Pool("last", layer.output_size)
    return layer, Pool(pool, layer.output_size, 1 + bidirectional)
