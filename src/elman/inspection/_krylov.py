"""The size of a matrix that is known only by its products with vectors, for many rows at once.

Vectors are (number, row, S); a matrix is a function from and to such, and so is its transpose.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from elman.inspection._estimate import Estimate

Product = Callable[[Tensor], Tensor]


def spectral_norm(ahead: Product, back: Product, probes: Tensor, iterations: int = 3) -> Estimate:
    r"""By a randomized SVD of the matrix A; ``probes`` are normal vectors.

    .. math:: \|A\| \ge \|A^T Q\|, \qquad \|A\|^2 \le \|A^T Q\|^2 + \|(I - Q Q^T) A\|^2, \qquad
        \|(I - Q Q^T) A\| \le 10 \sqrt{2/\pi} \max_i \|(I - Q Q^T) A \omega_i\|

    Q spans what A does to the probes. The last bound fails for one in 10^probes.
    """
    q = _orthonormal(ahead(probes))
    for _ in range(iterations):
        q = _orthonormal(ahead(_orthonormal(back(q))))
    low = torch.linalg.matrix_norm(back(q).transpose(0, 1), 2)
    fresh = torch.randn(
        probes.shape, dtype=probes.dtype, generator=torch.Generator().manual_seed(1)
    )
    moved = ahead(fresh.to(probes.device))
    missed = moved - torch.einsum("nbs,mbs,mbt->nbt", moved, q, q)
    rest = 10 * math.sqrt(2 / math.pi) * missed.norm(dim=-1).amax(0)
    return Estimate(low, low, (low.square() + rest.square()).sqrt())


def frobenius_norm(moved: Tensor) -> Estimate:
    """From what the matrix does to normal vectors; the interval is two standard errors."""
    squares = moved.square().sum(-1)
    mean, error = squares.mean(0), squares.std(0) / math.sqrt(len(squares))
    low, high = ((mean + sign * 2 * error).clamp(min=0).sqrt() for sign in (-1, 1))
    return Estimate(mean.sqrt(), low, high)


def spectral_radius(ahead: Product, start: Tensor, size: int = 40) -> Estimate:
    """By Arnoldi's iteration from vectors (1, row, S); the interval is the residual."""
    size = min(size, start.shape[-1])
    basis = [start[0] / start[0].norm(dim=-1, keepdim=True)]
    h = start.new_zeros(start.shape[1], size + 1, size)
    for j in range(size):
        v = ahead(basis[-1][None])[0]
        for _ in range(2):  # twice is enough, for orthogonality to rounding
            for i, b in enumerate(basis):
                share = (b * v).sum(-1)
                h[:, i, j] += share
                v = v - share[:, None] * b
        h[:, j + 1, j] = v.norm(dim=-1)
        # The space is invariant once nothing new comes: a zero vector keeps it so.
        new = h[:, j + 1, j, None]
        basis.append(torch.where(new > 1e-14, v / new.clamp(min=1e-300), 0))
    values, vectors = torch.linalg.eig(h[:, :size])
    largest = values.abs().argmax(-1)
    rows = torch.arange(len(h), device=h.device)
    radius = values.abs()[rows, largest]
    residual = h[:, size, size - 1] * vectors[rows, size - 1, largest].abs()
    return Estimate(radius, (radius - residual).clamp(min=0), radius + residual)


def _orthonormal(vectors: Tensor) -> Tensor:
    q: Tensor = torch.linalg.qr(vectors.permute(1, 2, 0))[0]
    return q.permute(2, 0, 1)
