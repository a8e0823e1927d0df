"""The network of music: recurrent layers over frames, and two ways to say the next one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.bptt import State
from elman.data.music import KEYS
from elman.tasks._layers import ReceptiveField, recurrent
from elman.tasks._music_config import MusicNet

SELDOM = -3.0
"""The scores' first bias: of 88 keys about four sound."""


class Frames(nn.Module):
    r"""The keys of a frame, each for itself.

    .. math:: p(v \mid h) = \prod_i \sigma(z_i)^{v_i} (1 - \sigma(z_i))^{1 - v_i}, \qquad
        z = W h + b
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.keys = nn.Linear(size, KEYS)
        nn.init.constant_(self.keys.bias, SELDOM)

    def forward(self, hidden: Tensor, frames: Tensor) -> Tensor:
        """Scores (N, 88) for hidden states (N, H); the frames do not matter."""
        scores: Tensor = self.keys(hidden)
        return scores

    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        """Frames (N, 88): the keys whose score is above their noise."""
        scores: Tensor = self.keys(hidden)
        return (scores > noise).float()


class Chords(nn.Module):
    r"""The keys of a frame one after the other, from the lowest up, each given those before it.

    .. math:: p(v \mid h) = \prod_i p(v_i \mid v_{<i}, h), \qquad
        z_i = b_i(h) + U_i \tanh\Big(c(h) + \sum_{j < i} v_j W_j\Big)

    :math:`b` and :math:`c` are linear. What is in the brackets changes only where a key sounds, so
    it is computed once for every note of a chord and not for every key.

    Example:
        >>> chords = Chords(5, units=3)
        >>> frames = (torch.rand(2, 88) < 0.1).float()
        >>> chords(torch.randn(2, 5), frames).shape
        torch.Size([2, 88])

    References:
        Larochelle & Murray 2011, "The neural autoregressive distribution estimator".
        Boulanger-Lewandowski, Bengio & Vincent 2012, "Modeling temporal dependencies in
        high-dimensional sequences", the RNN-NADE.
    """

    def __init__(self, size: int, units: int, keys: int = KEYS) -> None:
        super().__init__()
        self.keys, self.before = nn.Linear(size, keys), nn.Linear(size, units)
        nn.init.constant_(self.keys.bias, SELDOM)
        self.below = nn.Linear(keys, units, bias=False)
        self.joint = nn.Linear(units, keys, bias=False)

    def forward(self, hidden: Tensor, frames: Tensor) -> Tensor:
        """Scores (N, 88) of each key given the keys of the frames (N, 88) below it."""
        rank = frames.cumsum(-1).long()  # of a note in its chord, from 1
        stages = torch.arange(int(rank.max()) + 1, device=hidden.device)
        heard = frames.unsqueeze(1) * (rank.unsqueeze(1) <= stages.unsqueeze(1))
        units = torch.tanh(self.before(hidden).unsqueeze(1) + self.below(heard))
        below = rank - frames.long()
        joint: Tensor = self.joint(units).gather(1, below.unsqueeze(1)).squeeze(1)
        scores: Tensor = self.keys(hidden) + joint
        return scores

    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        """Frames (N, 88): from the lowest key up, those whose score is above their noise."""
        frames = torch.zeros_like(noise)
        keys, before = self.keys(hidden), self.before(hidden)
        place = torch.arange(noise.shape[-1], device=hidden.device)
        left = torch.ones_like(noise, dtype=torch.bool)  # keys not yet decided
        while True:
            scores = keys + self.joint(torch.tanh(before + self.below(frames)))
            sounds = (scores > noise) & left
            more = sounds.any(-1)
            if not more.any():
                return frames
            lowest = sounds.int().argmax(-1)
            frames[more, lowest[more]] = 1
            left &= more.unsqueeze(-1) & (place > lowest.unsqueeze(-1))


class MusicNetwork(nn.Module):
    r"""Frames of keys, recurrent layers, and the frame that comes next.

    .. math:: h_t = \mathrm{recurrent}(\mathrm{drop}(v_{t-1}), h_{t-1}), \qquad
        p(v_t \mid v_{<t}) = p(v_t \mid \mathrm{drop}(h_t))

    Example:
        >>> network = MusicNetwork(MusicNet(hidden=8, units=4))
        >>> hidden, state = network(torch.zeros(5, 2, 88))
        >>> hidden.shape, network.output.draw(hidden[-1], torch.zeros(2, 88)).shape
        (torch.Size([5, 2, 8]), torch.Size([2, 88]))
    """

    def __init__(self, config: MusicNet) -> None:
        super().__init__()
        self.dropout, self.frame_dropout = config.dropout, config.frame_dropout
        self.recurrent = recurrent(config, KEYS, ReceptiveField(config.window), drop_last=False)
        self.output: Frames | Chords = (
            Chords(config.hidden, config.units)
            if config.output == "chords"
            else Frames(config.hidden)
        )

    def forward(
        self, frames: Tensor, state: State = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Frames (time, batch, 88) to hidden states (time, batch, H) of the frames after them."""
        x = F.dropout(frames, self.frame_dropout, self.training)
        hidden, state = self.recurrent(x, state, lengths=lengths)
        return hidden, state

    def initial_state(self, rows: int) -> State:
        state: State = self.recurrent.initial_state(rows)
        return state
