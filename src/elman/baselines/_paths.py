"""What can be said of the next position from one, and from two, that are known exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elman.baselines._bags import require_scikit_learn

Reals = NDArray[np.float64]


class Neighbors:
    r"""The best guess from where something is: the mean of what followed on the nearest places.

    .. math:: \hat p_{t+1} = p_t + \frac1k \sum_{q \in N_k(p_t)} (q' - q) \approx
        \mathbb{E}[p_{t+1} \mid p_t]

    It knows the position exactly, and no velocity: nothing that sees one frame can be better, but
    for the error of a mean of k.

    Args:
        places: all places in training (N, D).
        followed: where things were a step later (N, D).
        nearest: k.

    Raises:
        ConfigError: scikit-learn is not installed.

    Example:
        >>> x = np.linspace(0, 1, 50)[:, None]
        >>> Neighbors(x, x + 0.1, nearest=3)(np.array([[0.5]])).round(2)
        array([[0.6]])
    """

    def __init__(self, places: Reals, followed: Reals, nearest: int = 64) -> None:
        require_scikit_learn()
        from sklearn.neighbors import KNeighborsRegressor

        self._model = KNeighborsRegressor(min(nearest, len(places)))
        self._model.fit(places, followed - places)

    def __call__(self, places: Reals) -> Reals:
        """The next places (M, D) after those."""
        moved: Reals = self._model.predict(places)
        return places + moved
