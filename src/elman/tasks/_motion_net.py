"""The network of motion: a detector of positions in frames, and recurrence over positions."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from elman.tasks._layers import recurrent
from elman.tasks._motion_config import MotionNet

LARGE = 4.0
"""Positions enter with their middle at 0 and so many times larger, so that steps are not small."""


class Detected(NamedTuple):
    """The position of each ball in a frame (..., balls, 2), and the confidence (..., balls, 1)."""

    places: Tensor
    confidence: Tensor


class Rollout(NamedTuple):
    """Positions in the frames, the next after each (steps, batch, balls, 2), and the roll-out."""

    detected: Detected
    following: Tensor
    ahead: Tensor


class Eye(nn.Module):
    r"""Positions from frames: a convolutional network, and the mean place of what it responds to.

    .. math:: z_k = \sum_{ij} \mathrm{softmax}_{ij}(a_k)\, (x_j, y_i), \qquad
        c_k = \sigma(w_k \max_{ij} a_k + b_k)

    References:
        Levine, Finn, Darrell & Abbeel 2016, "End-to-end training of deep visuomotor policies",
        for the softmax over places.
    """

    def __init__(self, balls: int, channels: int) -> None:
        super().__init__()
        self.balls = balls
        self.layers = nn.Sequential(
            nn.Conv2d(1, channels, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, balls, 3, padding=1),
        )
        self.scale, self.offset = nn.Parameter(torch.ones(balls)), nn.Parameter(torch.ones(balls))

    def forward(self, frames: Tensor) -> Detected:
        """Frames (N, size, size)."""
        maps = self.layers(frames.unsqueeze(1))
        height, width = maps.shape[-2:]
        x = (torch.arange(width, device=maps.device) + 0.5) / width
        y = 1 - (torch.arange(height, device=maps.device) + 0.5) / height
        shares = maps.flatten(2).softmax(-1).view_as(maps)
        places = torch.stack([shares.sum(-2) @ x, shares.sum(-1) @ y], -1)
        confidence = torch.sigmoid(self.scale * maps.amax((-2, -1)) + self.offset)
        return Detected(places, confidence.unsqueeze(-1))


class LinearEye(nn.Module):
    """Positions from frames by one matrix: the place of a lone ball is linear in the pixels."""

    def __init__(self, balls: int, size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(size * size, 3 * balls)

    def forward(self, frames: Tensor) -> Detected:
        """Frames (N, size, size)."""
        numbers = self.layer(frames.flatten(1)).view(len(frames), -1, 3)
        return Detected(numbers[..., :2] + 0.5, torch.sigmoid(numbers[..., 2:]))


class Brush(nn.Module):
    r"""A frame from positions: each pixel by where it is, and where it is from each ball.

    .. math:: I_{ij} = \sigma(f(x_j, y_i, x_j - p_x, y_i - p_y))

    What a ball looks like is learned once, wherever it is.

    References:
        Watters, Matthey, Burgess & Lerchner 2019, "Spatial broadcast decoder".
    """

    def __init__(self, balls: int, size: int, hidden: int = 32) -> None:
        super().__init__()
        self.size = size
        sizes = [2 + 2 * balls, hidden, hidden]
        layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, 1))

    def forward(self, places: Tensor) -> Tensor:
        """Logits of the pixels of frames (N, size, size) with balls at (N, balls, 2)."""
        line = (torch.arange(self.size, device=places.device) + 0.5) / self.size
        grid = torch.stack(torch.meshgrid(line, line.flip(0), indexing="xy"), -1)
        away = LARGE * (grid[:, :, None] - places[:, None, None]).flatten(3)
        pixels = torch.cat([grid.expand(len(places), -1, -1, -1), away], -1)
        logits: Tensor = self.layers(pixels)[..., 0]
        return logits


class MotionNetwork(nn.Module):
    r"""Sees frames, and says where each ball is next; then goes on from what it said.

    .. math:: \hat p_{t+1} = c_t z_t + W h_t + b, \qquad
        h_t = \mathrm{cell}([c_t z_t; c_t], h_{t-1})

    :math:`z_t` is where the eye sees the ball in frame t and :math:`c_t` how surely. A roll-out has
    no frames: there :math:`z_t = \hat p_t` and :math:`c_t = 1`.

    Example:
        >>> network = MotionNetwork(MotionNet(hidden=8), size=12, balls=2)
        >>> detected = network.detect(torch.rand(5, 3, 12, 12))  # 5 frames of 3 films
        >>> ahead, state = network(detected, torch.tensor([5, 4, 5]))
        >>> ahead.shape, network.go_on(ahead[-1], state, 7).shape
        (torch.Size([5, 3, 2, 2]), torch.Size([7, 3, 2, 2]))
    """

    def __init__(self, config: MotionNet, size: int, balls: int) -> None:
        super().__init__()
        conv = config.encoder == "conv"
        self.eye = Eye(balls, config.channels) if conv else LinearEye(balls, size)
        self.recurrent = recurrent(config, 3 * balls)
        self.output = nn.Linear(config.hidden, 2 * balls)
        self.brush = Brush(balls, size) if config.predict == "frames" else None

    def detect(self, frames: Tensor) -> Detected:
        """What is where in frames (time, batch, size, size)."""
        detected: Detected = self.eye(frames.flatten(0, 1))
        return Detected(*(part.view(*frames.shape[:2], *part.shape[1:]) for part in detected))

    def forward(self, detected: Detected, lengths: Tensor) -> tuple[Tensor, Any]:
        """Where each ball is after each step (time, batch, balls, 2), and the last state."""
        held, x = _input(detected)
        hidden, state = self.recurrent(x, lengths=lengths)
        return self._next(held, hidden), state

    def go_on(self, places: Tensor, state: Any, steps: int) -> Tensor:
        """So many steps more after (batch, balls, 2), each from the one before it, time first."""
        paths = []
        for _ in range(steps):
            held, x = _input(Detected(places, torch.ones_like(places[..., :1])))
            hidden, state = self.recurrent.step(x, state)
            places = self._next(held, hidden)
            paths.append(places)
        return torch.stack(paths) if paths else places.new_empty(0, *places.shape)

    def _next(self, held: Tensor, hidden: Tensor) -> Tensor:
        moved: Tensor = self.output(hidden)
        return 0.5 + held + moved.view_as(held) / LARGE


def _input(detected: Detected) -> tuple[Tensor, Tensor]:
    """Positions from the middle, times the confidence; and the input of the recurrence."""
    held = detected.confidence * (detected.places - 0.5)
    return held, torch.cat([LARGE * held, detected.confidence], -1).flatten(-2)
