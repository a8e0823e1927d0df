"""Simple models of piano rolls: marginal frequencies, and the last frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rolls = Sequence[NDArray[Any]]
Reals = NDArray[np.float64]


class Marginal:
    r"""Each key independently, with the share of all frames in which it sounds.

    .. math:: p_i = \frac{c_i + 1/2}{N + 1}

    Args:
        rolls: training pieces, 0 and 1 (frames, keys).

    Example:
        >>> model = Marginal([np.array([[1, 0], [1, 0], [0, 0]])])
        >>> model.probabilities(np.array([[0, 1]]))
        array([[0.625, 0.125]])
    """

    def __init__(self, rolls: Rolls) -> None:
        frames = np.concatenate(rolls).astype(bool)
        self._shares: Reals = (frames.sum(0) + 0.5) / (len(frames) + 1)

    def probabilities(self, frames: NDArray[Any]) -> Reals:
        """P(key sounds) in the frame after each of these: the same for all."""
        return np.tile(self._shares, (len(frames), 1))


class LastFrame:
    r"""A Markov chain for each key: how often it goes on, and how often it begins.

    .. math:: P(v_{t,i} = 1 \mid v_{t-1,i} = a) = \frac{c_i(a, 1) + 1/2}{c_i(a) + 1}

    Args:
        rolls: training pieces, 0 and 1 (frames, keys).

    Example:
        >>> model = LastFrame([np.array([[1, 0], [1, 0], [0, 0]])])
        >>> model.probabilities(np.array([[1, 0]]))  # one of two goes on, none of two begins
        array([[0.5       , 0.16666667]])
    """

    def __init__(self, rolls: Rolls) -> None:
        before = np.concatenate([roll[:-1] for roll in rolls]).astype(bool)
        after = np.concatenate([roll[1:] for roll in rolls]).astype(bool)
        self._goes_on: Reals = _share(before & after, before)
        self._begins: Reals = _share(~before & after, ~before)

    def probabilities(self, frames: NDArray[Any]) -> Reals:
        """P(key sounds) in the frame after each of these (frames, keys)."""
        return np.where(frames.astype(bool), self._goes_on, self._begins)


def _share(hits: NDArray[np.bool_], of: NDArray[np.bool_]) -> Reals:
    shares: Reals = (hits.sum(0) + 0.5) / (of.sum(0) + 1)
    return shares
