"""Measures of a model's predictions, as plain functions of sums and tensors."""

from __future__ import annotations

import math

from torch import Tensor

from elman._errors import ShapeError


def perplexity(nats: float) -> float:
    r"""The number of equally likely choices that would be as uncertain.

    .. math:: \mathrm{PPL} = \exp\Big(-\frac{1}{N} \sum_t \ln p(w_t \mid w_{<t})\Big)

    Args:
        nats: mean negative log-probability of a token, in nats.

    >>> round(perplexity(math.log(50)), 6)
    50.0
    """
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf


def bits_per_char(nats: float, tokens_per_char: float = 1.0) -> float:
    r"""Mean code length of a character in bits.

    .. math:: \mathrm{BPC} = \frac{\mathrm{tokens}}{\mathrm{characters}}
        \cdot \frac{\mathrm{nats}}{\ln 2}

    Args:
        nats: mean negative log-probability of a token, in nats.
        tokens_per_char: tokens for each character of the text; 1 where characters are the tokens.

    >>> bits_per_char(math.log(2))
    1.0
    """
    return tokens_per_char * nats / math.log(2)


def accuracy(predicted: Tensor, target: Tensor, mask: Tensor | None = None) -> float:
    """The share of predictions that are right, among those that count.

    Args:
        predicted: class indices, any shape.
        target: class indices, the same shape.
        mask: True where a prediction counts, the same shape; None for everywhere.

    Returns:
        A number from 0 to 1; NaN when nothing counts.

    Raises:
        ShapeError: the shapes differ.

    >>> import torch
    >>> target = torch.tensor([1, 2, 3])
    >>> accuracy(torch.tensor([1, 2, 0]), target, mask=target < 3)
    1.0
    """
    shapes = {tuple(t.shape) for t in (predicted, target, mask) if t is not None}
    if len(shapes) > 1:
        raise ShapeError(
            f"predicted, target and mask must have one shape, got {tuple(predicted.shape)}, "
            f"{tuple(target.shape)} and {None if mask is None else tuple(mask.shape)}"
        )
    right = predicted == target
    if mask is not None:
        right = right[mask.bool()]
    return float(right.double().mean())
