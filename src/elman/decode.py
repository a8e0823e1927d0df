"""Decoding: from a model's scores to tokens, one step at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import count
from typing import Any, NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils._pytree import tree_map

from elman._errors import ConfigError

__all__ = ["Hypothesis", "Step", "beam", "choose", "sample"]

Step: TypeAlias = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""``step(tokens, state) -> (scores, state)``: tokens (B,), scores of the next tokens (B, V)."""


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
        temperature: tau; below 1 favors the likely ones, and 0 always takes the likeliest.
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


class Hypothesis(NamedTuple):
    """A sequence without its end, its log-probability in nats, and what it is ranked by."""

    tokens: list[int]
    log_probability: float
    score: float


@torch.no_grad()
def beam(
    step: Step,
    scores: Float[Tensor, "B V"],
    state: Any,
    *,
    end: int,
    width: int = 5,
    length: int | Int[Tensor, "B"] = 100,
    penalty: float = 0.0,
    forbidden: Collection[int] = (),
) -> list[list[Hypothesis]]:
    r"""The likeliest sequences of every row of a batch, searched side by side.

    .. math:: s(y) = \frac{1}{|y|^\alpha} \sum_{t=1}^{|y|} \ln p(y_t \mid y_{<t})

    A sequence ends with the token ``end``, which counts, or when it is as long as is allowed. After
    each token the ``width`` likeliest are kept; one that has ended keeps its place. A row is done
    when none that goes on can overtake its best. Width 1 always takes the likeliest token; a width
    beyond the number of sequences searches through all of them. Rows do not depend on each other.

    Args:
        step: runs the model for one token of each of B x ``width`` rows; those of one row of the
            batch lie side by side.
        scores: scores of the first token, (B, V).
        state: the state from which they came: tensors in tuples, each with B as first size.
        end: the token that ends a sequence.
        width: how many sequences of each row are kept.
        length: the most tokens, with ``end``; a number, or one for each row.
        penalty: alpha, how much the length is made up for: at 0 nothing, so that short ones have it
            easy, at 1 the mean is compared.
        forbidden: tokens that are never taken, such as ``<unk>``.

    Returns:
        For each row the sequences that had ended when it was done, the best first: at least one.

    Raises:
        ConfigError: width < 1, length < 1 or penalty < 0.

    Example:
        >>> table = torch.tensor([[0.0, 0.6, 0.4], [0.4, 0.3, 0.3], [0.9, 0.05, 0.05]]).log()
        >>> def step(tokens, state):  # of three tokens, each decides on the next; 0 is the end
        ...     return table[tokens], state
        >>> greedy, wide = (beam(step, table[:1], (), end=0, width=w)[0][0] for w in (1, 2))
        >>> greedy.tokens, wide.tokens  # 0.6 * 0.4 < 0.4 * 0.9
        ([1], [2])

    References:
        Sutskever, Vinyals & Le (2014), https://arxiv.org/abs/1409.3215, for the search.
        Wu et al. (2016), https://arxiv.org/abs/1609.08144, for penalties of the length.
    """
    limit = torch.as_tensor(length, device=scores.device).expand(len(scores))
    for name, value, least in (
        ("width", width, 1),
        ("length", int(limit.min()) if len(limit) else 1, 1),
        ("penalty", penalty, 0),
    ):
        if not value >= least:
            raise ConfigError(f"{name} must be at least {least}, got {value}")
    never = torch.tensor(list(forbidden), device=scores.device, dtype=torch.long)
    scores, state = _repeated((scores, state), width)
    beams = _Beams.begin(len(limit), width, scores)
    for place in count(1):
        logs = scores.log_softmax(-1).index_fill(-1, never, -torch.inf)
        beams, parents = beams.grown(logs.view(-1, width, logs.shape[-1]), end)
        beams = beams.ended_by(limit <= place, limit, penalty)
        if not beams.living.any():
            return beams.ranked(end, penalty)
        state = _select_rows(state, parents)
        scores, state = step(beams.tokens[:, :, -1].flatten(), state)
    raise AssertionError("counted to the end")


class _Beams(NamedTuple):
    """The sequences kept for each row, (rows, width, ...); those not in use have ln P = -inf."""

    tokens: Tensor
    total: Tensor  # ln P
    sizes: Tensor
    ended: Tensor

    @classmethod
    def begin(cls, rows: int, width: int, like: Tensor) -> _Beams:
        """One empty sequence a row."""
        total = like.new_full((rows, width), -torch.inf)
        total[:, 0] = 0
        zeros = torch.zeros(rows, width, dtype=torch.long, device=like.device)
        return cls(zeros.new_empty(rows, width, 0), total, zeros, zeros.bool())

    @property
    def living(self) -> Tensor:
        return ~self.ended & (self.total > -torch.inf)

    def grown(self, logs: Tensor, end: int) -> tuple[_Beams, Tensor]:
        """The best of all sequences with one token more, and the rows (rows x width) they go on."""
        rows, width, size = logs.shape
        best, token = logs.topk(min(width, size), -1)
        best[self.ended], token[self.ended] = -torch.inf, end
        best[..., 0].masked_fill_(self.ended, 0)  # what has ended goes on as it is, once
        total = (self.total.unsqueeze(-1) + best).flatten(1)
        safe = self.ended.repeat_interleave(best.shape[-1], 1) & (total > -torch.inf)
        taken = total.masked_fill(safe, torch.inf).topk(width, -1).indices
        parent = taken // best.shape[-1]
        token = token.flatten(1).gather(1, taken)
        before = self.tokens.gather(1, parent.unsqueeze(-1).expand(-1, -1, self.tokens.shape[-1]))
        ended = self.ended.gather(1, parent)
        beams = _Beams(
            torch.cat([before, token.unsqueeze(-1)], -1),
            total.gather(1, taken),
            self.sizes.gather(1, parent) + ~ended,
            ended | (token == end),
        )
        first = torch.arange(0, rows * width, width, device=logs.device)
        return beams, (parent + first.unsqueeze(1)).flatten()

    def ended_by(self, over: Tensor, limit: Tensor, penalty: float) -> _Beams:
        """Rows at their limit end; in rows that nothing can change any more the rest is dropped."""
        beams = self._replace(ended=self.ended | over.unsqueeze(1))
        best = beams.scores(penalty).masked_fill(~beams.ended, -torch.inf).amax(1)
        # ln P only falls, and no sequence is longer than the limit.
        hope = beams.total.masked_fill(~beams.living, -torch.inf).amax(1) / limit**penalty
        dropped = beams.living & (hope <= best).unsqueeze(1)
        return beams._replace(total=beams.total.masked_fill(dropped, -torch.inf))

    def scores(self, penalty: float) -> Tensor:
        return self.total / self.sizes.clamp(min=1) ** penalty

    def ranked(self, end: int, penalty: float) -> list[list[Hypothesis]]:
        scores, sizes, total = (
            self.scores(penalty).tolist(),
            self.sizes.tolist(),
            self.total.tolist(),
        )
        rankings = []
        for row, tokens in enumerate(self.tokens.tolist()):
            these = [
                Hypothesis(_without(words[: sizes[row][i]], end), total[row][i], scores[row][i])
                for i, words in enumerate(tokens)
                if total[row][i] > -float("inf")
            ]
            rankings.append(sorted(these, key=lambda h: -h.score))
        return rankings


def _without(tokens: list[int], end: int) -> list[int]:
    return tokens[:-1] if tokens[-1] == end else tokens


def _repeated(state: Any, times: int) -> Any:
    return tree_map(lambda s: s.repeat_interleave(times, 0), state)


def _select_rows(state: Any, rows: Tensor) -> Any:
    return tree_map(lambda s: s.index_select(0, rows), state)


def __dir__() -> list[str]:
    return sorted(__all__)
