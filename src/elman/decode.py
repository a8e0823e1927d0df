"""Decoding: from a model's scores to tokens, one step at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import count
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elman._errors import ConfigError

Step: TypeAlias = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""``step(token, state) -> (scores, state)``: token (1,), scores of the next token (1, V)."""


def sample(
    step: Step,
    scores: Float[Tensor, "B V"],
    state: Any,
    *,
    length: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    forbidden: Collection[int] = (),
    generator: torch.Generator | None = None,
) -> Iterator[int]:
    r"""Draw one token after the other, each given all before it.

    .. math:: w_{t+1} \sim \mathrm{softmax}(z_t / \tau)

    Args:
        step: runs the model for one token.
        scores: scores of the first token to draw, (1, V).
        state: the state from which they came.
        length: how many tokens; None never ends.
        temperature: tau; below 1 favours the likely ones, and 0 always takes the likeliest.
        top_k: draw from so many likeliest tokens only.
        forbidden: tokens that are never drawn, such as ``<unk>``.
        generator: where the randomness comes from; torch's own if None.

    Raises:
        ConfigError: temperature < 0, top_k < 1 or length < 0.

    Example:
        >>> def step(token, state):  # always one more than the token before
        ...     return torch.nn.functional.one_hot((token + 1) % 5, 5) * 50.0, state
        >>> list(sample(step, torch.tensor([[0.0, 9, 0, 0, 0]]), None, length=4, temperature=0))
        [1, 2, 3, 4]
    """
    for name, value, least in (("temperature", temperature, 0), ("length", length or 0, 0)):
        if not value >= least:
            raise ConfigError(f"{name} must be at least {least}, got {value}")
    if top_k is not None and top_k < 1:
        raise ConfigError(f"top_k must be at least 1, got {top_k}")
    return _draw(step, scores, state, length, temperature, top_k, list(forbidden), generator)


def _draw(
    step: Step,
    scores: Float[Tensor, "B V"],
    state: Any,
    length: int | None,
    temperature: float,
    top_k: int | None,
    forbidden: list[int],
    generator: torch.Generator | None,
) -> Iterator[int]:
    for left in count(-1, -1) if length is None else range(length - 1, -1, -1):
        token = choose(scores, temperature, top_k, forbidden, generator)
        yield int(token)
        if left:
            scores, state = step(token, state)


def choose(
    scores: Float[Tensor, "B V"],
    temperature: float,
    top_k: int | None,
    forbidden: list[int],
    generator: torch.Generator | None,
) -> Int[Tensor, "B"]:
    """One token of each row of scores (B, V): (B,)."""
    scores = scores.index_fill(
        -1, torch.tensor(forbidden, device=scores.device, dtype=torch.long), -torch.inf
    )
    if temperature == 0:
        return scores.argmax(-1)
    if top_k is not None and top_k < scores.shape[-1]:
        least = scores.topk(top_k, -1).values[..., -1:]
        scores = scores.masked_fill(scores < least, -torch.inf)
    return torch.multinomial((scores / temperature).softmax(-1), 1, generator=generator)[..., 0]
