"""The nearest neighbor among the training rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 1024


class NearestRow:
    r"""The nearest training row, such as the image with the most similar pixels.

    .. math:: \arg\min_i \sum_j (x_j - x_{ij})^2

    Args:
        rows: training rows (rows, numbers).

    Example:
        >>> NearestRow(np.array([[0, 0], [9, 9]])).rows(np.array([[7, 6], [1, 2]]))
        array([1, 0])

    References:
        Cover & Hart 1967, "Nearest neighbor pattern classification".
    """

    def __init__(self, rows: NDArray[Any]) -> None:
        self._rows = rows

    def rows(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """The number of the nearest training row, for each row."""
        queries = rows.astype(np.float32)
        best = np.full(len(rows), np.inf, np.float32)
        neighbors = np.zeros(len(rows), np.int64)
        for start in range(0, len(self._rows), AT_ONCE):
            some = self._rows[start : start + AT_ONCE].astype(np.float32)
            # Without the square of the row itself, which is the same for all.
            apart = np.square(some).sum(1) - 2 * queries @ some.T
            nearest = apart.argmin(1)
            least = apart[np.arange(len(rows)), nearest]
            neighbors = np.where(least < best, start + nearest, neighbors)
            best = np.minimum(least, best)
        return neighbors
