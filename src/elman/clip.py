"""Gradient clipping: policies that bound the gradients in place, and report what they did."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from elman._errors import ConfigError

__all__ = ["AdaptiveClip", "Clip", "ClipByNorm", "ClipByValue", "ClipReport", "NoClip"]


class ClipReport(NamedTuple):
    """What a clipping policy found and did; tensors, so that the host need not wait for them.

    ``norm`` is the Euclidean norm of all gradients together before clipping, ``clipped`` whether
    any gradient was changed; both have the shape ().
    """

    norm: Tensor
    clipped: Tensor


class Clip(ABC):
    """Called with parameters after the backward pass; changes their gradients in place."""

    def __call__(self, parameters: Iterable[nn.Parameter]) -> ClipReport:
        """Clip the gradients of those parameters that have one, dense or with sparse rows.

        >>> weight = nn.Parameter(torch.zeros(2))
        >>> weight.grad = torch.tensor([30.0, 40.0])
        >>> report = ClipByNorm(5.0)([weight])
        >>> float(report.norm), bool(report.clipped), weight.grad
        (50.0, True, tensor([3.0000, 4.0000]))
        """
        with torch.no_grad():
            pairs = [_rows(p) for p in parameters if p.grad is not None]
            weights, gradients = [w for w, _ in pairs], [g for _, g in pairs]
            norm = nn.utils.get_total_norm(gradients)
            return ClipReport(norm, self._clip(weights, gradients, norm))

    @abstractmethod
    def _clip(self, weights: list[Tensor], gradients: list[Tensor], norm: Tensor) -> Tensor:
        """Change the gradients in place; whether any was changed, shape ()."""


class NoClip(Clip):
    """Leaves the gradients alone and only measures their norm."""

    def _clip(self, weights: list[Tensor], gradients: list[Tensor], norm: Tensor) -> Tensor:
        return torch.zeros((), dtype=torch.bool, device=norm.device)


class ClipByNorm(Clip):
    r"""Scales all gradients together when their norm is too large; their direction stays.

    .. math:: g \leftarrow g \cdot c / \max(c, \lVert g \rVert)

    Args:
        max_norm: largest norm, c.

    Raises:
        ConfigError: max_norm is not above 0.

    References:
        Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks".
    """

    def __init__(self, max_norm: float) -> None:
        self.max_norm = _positive("max_norm", max_norm)

    def _clip(self, weights: list[Tensor], gradients: list[Tensor], norm: Tensor) -> Tensor:
        torch._foreach_mul_(gradients, self.max_norm / norm.clamp(min=self.max_norm))
        return norm > self.max_norm


class ClipByValue(Clip):
    r"""Bounds each element of each gradient on its own.

    .. math:: g_i \leftarrow \min(\max(g_i, -c), c)

    Args:
        limit: largest absolute value, c.

    Raises:
        ConfigError: limit is not above 0.

    References:
        Graves 2013, "Generating sequences with recurrent neural networks".
    """

    def __init__(self, limit: float) -> None:
        self.limit = _positive("limit", limit)

    def _clip(self, weights: list[Tensor], gradients: list[Tensor], norm: Tensor) -> Tensor:
        largest = torch.stack(torch._foreach_norm(gradients, torch.inf)).max()
        torch._foreach_clamp_max_(gradients, self.limit)
        torch._foreach_clamp_min_(gradients, -self.limit)
        return largest > self.limit


class AdaptiveClip(Clip):
    r"""Bounds each unit's gradient by a fraction of the norm of the unit's own weights (AGC).

    .. math:: g_u \leftarrow g_u \cdot \min\Big(1, \lambda
        \frac{\max(\lVert W_u \rVert, \epsilon)}{\lVert g_u \rVert}\Big)

    A unit is a row of a matrix (all but the first dimension), or a whole vector.

    Args:
        factor: the fraction lambda.
        eps: least norm taken for a unit's weights, so that units at 0 can move.

    Raises:
        ConfigError: factor or eps is not above 0.

    References:
        Brock, De, Smith & Simonyan 2021, "High-performance large-scale image recognition without
        normalization".
    """

    def __init__(self, factor: float, eps: float = 1e-3) -> None:
        self.factor, self.eps = _positive("factor", factor), _positive("eps", eps)

    def _clip(self, weights: list[Tensor], gradients: list[Tensor], norm: Tensor) -> Tensor:
        limits = [_unit_norms(w).clamp_(min=self.eps) * self.factor for w in weights]
        sizes = [_unit_norms(g) for g in gradients]
        scales = [limit / size.maximum(limit) for size, limit in zip(sizes, limits, strict=True)]
        torch._foreach_mul_(gradients, scales)
        return torch.stack([scale.min() for scale in scales]).min() < 1


def _rows(parameter: nn.Parameter) -> tuple[Tensor, Tensor]:
    """The weights and their gradient; of a sparse gradient, the rows that it has."""
    weight, gradient = parameter.detach(), parameter.grad
    assert gradient is not None
    if not gradient.is_sparse:
        return weight, gradient
    # Each row once, or the norm of a row would not be that of its sum.
    parameter.grad = gradient = gradient.coalesce()
    return weight[gradient.indices()[0]], gradient.values()


def _unit_norms(tensor: Tensor) -> Tensor:
    """The norm of each unit, shaped to multiply the tensor."""
    dims = tuple(range(1, tensor.ndim)) or None
    norms: Tensor = torch.linalg.vector_norm(tensor, dim=dims, keepdim=True)
    return norms


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ConfigError(f"{name} must be above 0, got {value}")
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
