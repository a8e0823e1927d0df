"""Hidden sizes at which networks have equal numbers of parameters, found by building them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from elman._errors import ConfigError
from elman.tasks import Reading, by_name
from elman.training import Config

LARGEST = 2**17
"""Largest hidden size that is tried."""

Count = Callable[[Config], int]


@contextmanager
def counting(config: Config, reading: Reading | None = None) -> Iterator[Count]:
    """A function that counts the parameters of the network for given settings.

    The data are read only once.
    """
    kind = by_name(config.task)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        kind.prepare(config.data, config.model, folder, reading).save(folder)

        def count(other: Config) -> int:
            with torch.random.fork_rng():
                network = kind.restore(folder, config.data, other.model).build()
            return sum(p.numel() for p in network.parameters() if p.requires_grad)

        yield count


def resized(config: Config, hidden: int) -> Config:
    """The settings with another hidden size."""
    tree: dict[str, Any] = config.toml()
    tree["model"]["hidden"] = hidden
    return type(config).parse(tree)


def nearest(config: Config, target: int, count: Count) -> Config:
    """The settings with the hidden size whose number of parameters is nearest to the target.

    Raises:
        ConfigError: the target cannot be reached.
    """

    @cache
    def parameters(hidden: int) -> int:
        return count(resized(config, hidden))

    low = high = 1
    while parameters(high) < target:
        low, high = high, 2 * high
        if high > LARGEST:
            raise ConfigError(
                f"the target is {target:,} parameters, and {high // 2:,} hidden units have only "
                f"{parameters(high // 2):,}: compare with --equal hidden"
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if parameters(middle) < target else (low, middle)
    return resized(config, min((low, high), key=lambda size: abs(parameters(size) - target)))
