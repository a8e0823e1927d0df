"""A score for every token and the cross-entropy of the right one, without holding the scores."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elman._errors import ConfigError, DtypeError, ShapeError, nearest
from elman.engine import cross_entropy as engine
from elman.nn._embedding import Embedding, OutputLayer

Reduction = Literal["mean", "sum", "none"]
_REDUCTIONS = ("mean", "sum", "none")


def linear_cross_entropy(
    h: Float[Tensor, "*batch H"],
    weight: Float[Tensor, "V H"],
    target: Int[Tensor, "*batch"],
    bias: Float[Tensor, "V"] | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The cross-entropy of a linear map's outputs, as a function of the map's weights.

    .. math:: z = W h + b, \qquad
        L = \ln \sum_v e^{z_v} - (1 - \varepsilon) z_y - \frac{\varepsilon}{V} \sum_v z_v

    Equal to ``cross_entropy(linear(h, weight, bias), target)`` of ``torch.nn.functional``, to
    rounding. On the CPU, in float32 and float64, the native library computes it, forward and
    backward, and never holds all of z: at most 96 rows of it at a time, or H / 2 if that is more.
    Elsewhere, and under the transforms of ``torch.func``, in forward mode and for second
    derivatives, torch does, and holds them; `LinearCrossEntropy.engine` says so.
    ``elman.use_engine("reference")`` chooses torch, ``"native"`` raises where it cannot be had.
    With "mean" or "sum" the gradients are made along with the loss; with "none" the backward pass
    computes z once more.

    Args:
        h: hidden states.
        weight: W, a row for each token.
        target: the right tokens, y.
        bias: b.
        ignore_index: a target of this value counts as nothing.
        label_smoothing: epsilon, the share of the target spread evenly over all tokens.
        reduction: "mean" over the targets that count, "sum", or "none".

    Raises:
        ShapeError: the shapes do not fit together.
        DtypeError: the targets are not int64.
        ConfigError: the smoothing is outside of [0, 1], or the reduction has another name.
        IndexError: a target is not a token.

    Example:
        >>> h, weight, target = torch.randn(4, 8), torch.randn(100, 8), torch.tensor([1, 5, 9, 2])
        >>> loss = linear_cross_entropy(h, weight, target)
        >>> expected = torch.nn.functional.cross_entropy(h @ weight.T, target)
        >>> bool(torch.isclose(loss, expected))
        True

    References:
        Hsu et al. 2024, "Liger Kernel", https://arxiv.org/abs/2410.10989, for gradients in the
        forward pass. Milakov & Gimelshein 2018, "Online normalizer calculation for softmax".
        Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, for label smoothing.
    """
    _check(label_smoothing, reduction)
    _check_shapes(h, weight, target, bias)
    rows, targets = h.reshape(-1, h.shape[-1]), target.reshape(-1)
    spec = engine.LossSpec(rows, weight, bias, targets, ignore_index, label_smoothing)
    loss = engine.cross_entropy(spec, reduction)
    return loss.view(target.shape) if reduction == "none" else loss


class LinearCrossEntropy(torch.nn.Module):
    r"""An output layer and its cross-entropy in one, see `linear_cross_entropy`.

    .. math:: z = W_{hy} h + b_y, \qquad
        L = \ln \sum_v e^{z_v} - (1 - \varepsilon) z_y - \frac{\varepsilon}{V} \sum_v z_v

    Args:
        input_size: the length of the hidden state (H).
        vocabulary_size: how many tokens (V).
        bias: whether there is a b_y.
        tie: an `Embedding` of these sizes, whose weight is then W_hy too: one parameter.
        ignore_index: a target of this value counts as nothing.
        label_smoothing: the share epsilon of the target that is spread over all tokens.
        reduction: "mean" over the targets that count, "sum", or "none".

    Shapes: states (..., H) and targets (...) to a loss: (), or (...) with "none". ``weight`` is
    (V, H), ``bias`` (V,), as those of an `OutputLayer`: their state dicts fit each other.

    Raises:
        ConfigError: a size, the smoothing, the reduction or the tied embedding is not possible.

    Example:
        >>> embedding = Embedding(100, 8)
        >>> loss = LinearCrossEntropy(8, 100, tie=embedding)
        >>> loss(torch.randn(2, 5, 8), torch.randint(0, 100, (2, 5))).backward()
        >>> loss.weight.grad is embedding.weight.grad
        True

    References:
        Press & Wolf (2017), https://arxiv.org/abs/1608.05859, for tied weights.
    """

    bias: Tensor | None

    def __init__(
        self,
        input_size: int,
        vocabulary_size: int,
        *,
        bias: bool = True,
        tie: Embedding | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        _check(label_smoothing, reduction)
        made = OutputLayer(
            input_size, vocabulary_size, bias=bias, tie=tie, device=device, dtype=dtype
        )
        self.weight = made.weight
        self.register_parameter("bias", made.bias)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing
        self.reduction: Reduction = reduction

    def forward(self, h: Float[Tensor, "*batch H"], target: Int[Tensor, "*batch"]) -> Tensor:
        return linear_cross_entropy(
            h,
            self.weight,
            target,
            self.bias,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
        )

    @property
    def engine(self) -> str:
        """What computes the loss of states with the weight's device and dtype, and why."""
        return engine.chosen(self.weight[:1], self.weight, self.bias)

    def extra_repr(self) -> str:
        vocabulary_size, input_size = self.weight.shape
        return (
            f"{input_size}, {vocabulary_size}, bias={self.bias is not None}, "
            f"reduction={self.reduction!r}, engine={self.engine!r}"
        )


def _check(label_smoothing: float, reduction: str) -> None:
    if not 0 <= label_smoothing <= 1:
        raise ConfigError(f"label_smoothing must be between 0 and 1, got {label_smoothing}")
    if reduction not in _REDUCTIONS:
        raise ConfigError(f"unknown reduction {reduction!r}: {nearest(reduction, _REDUCTIONS)}")


def _check_shapes(h: Tensor, weight: Tensor, target: Tensor, bias: Tensor | None) -> None:
    if target.dtype != torch.int64:
        raise DtypeError(f"targets must be token indices, int64, got {target.dtype}")
    if weight.dim() != 2 or h.dim() == 0 or h.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"expected states (..., H) and a weight (V, H), got {tuple(h.shape)} and "
            f"{tuple(weight.shape)}"
        )
    if target.shape != h.shape[:-1]:
        raise ShapeError(
            f"expected a target for each state, {tuple(h.shape[:-1])}, got {tuple(target.shape)}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"expected a bias ({len(weight)},), got {tuple(bias.shape)}")
