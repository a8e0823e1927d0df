"""Recurrent layers from a configuration, as every task builds them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Protocol

from elman import cells
from elman.layers import Bidirectional, Dropout, Layer, Recurrent, Stack


class Settings(Protocol):
    """What of a configuration is read here."""

    @property
    def cell(self) -> str: ...
    @property
    def layers(self) -> int: ...
    @property
    def hidden(self) -> int: ...
    @property
    def dropout(self) -> float: ...
    @property
    def activation(self) -> str | None: ...
    @property
    def options(self) -> Mapping[str, Any] | None: ...
    @property
    def init(self) -> str | None: ...
    @property
    def engine(self) -> str: ...


def cell_options(settings: Settings) -> dict[str, Any]:
    """What the constructor of the cell takes beside its sizes."""
    activation = {} if settings.activation is None else {"activation": settings.activation}
    return {**activation, **(settings.options or {})}


def recurrent(
    settings: Settings, input_size: int, *, bidirectional: bool = False, drop_last: bool = True
) -> Stack:
    """Layers one above the other, time first as engines want; dropout on each one's output.

    Without ``drop_last`` the last layer's output is left to the caller.
    """
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
