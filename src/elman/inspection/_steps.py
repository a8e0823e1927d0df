"""The Jacobians of a track's steps, as products with vectors, in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from elman._errors import ConfigError, nearest
from elman.cells import WEIGHT_NAMES, Cell, Weights, map_tensors
from elman.inspection._recording import Track


class _Stepping(nn.Module):
    """A cell whose call is its step, so that it can be called with other parameters."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, *args: Any, **weights: Any) -> Any:
        return self.cell.step(*args, **weights)


class Steps:
    """The derivative of each step of a track by its state, all states concatenated.

    The steps are linearized where the model was; the derivative is computed in float64 whatever the
    model's dtype, so that long products keep their digits.

    Args:
        track: of a recording.

    Raises:
        ConfigError: weights were drawn at random for the recording.

    Vectors are (number, row, S), S being the units of all states together.
    """

    def __init__(self, track: Track) -> None:
        drawn = [name for call in track.calls for name in call.drawn]
        if drawn:
            raise ConfigError(
                f"the derivatives of single steps need fixed weights, got {drawn[0]} of "
                f"{track.name}, drawn anew at each call: use eval()"
            )
        self.track, self.cell = track, track.cell
        self.sizes = list(track.cell.state_sizes)
        self.size = sum(self.sizes)
        self._stepping = _Stepping(track.cell)
        tensors = {**dict(track.cell.named_parameters()), **dict(track.cell.named_buffers())}
        self.tensors = {name: _double(t) for name, t in tensors.items() if not t.is_meta}
        if track.weights is not None:
            self.tensors |= {
                part: _double(t)
                for part, t in zip(WEIGHT_NAMES, track.weights, strict=True)
                if t is not None
            }
        self._own = [name for name in tensors if name in self.tensors]

    def __len__(self) -> int:
        return len(self.track)

    @property
    def device(self) -> torch.device:
        return self.track.active.device

    def part(self, state: str | None) -> slice:
        """The slice of a state in the S units; the whole for "all", the first state if None."""
        names = self.cell.states
        if state == "all":
            return slice(0, self.size)
        if state is not None and state not in names:
            raise ConfigError(f"unknown state {state!r}: {nearest(state, [*names, 'all'])}")
        i = 0 if state is None else names.index(state)
        return slice(sum(self.sizes[:i]), sum(self.sizes[: i + 1]))

    def between(self, t: int, k: int) -> list[int]:
        """The steps after k up to t in the order in which the layer took them.

        Raises:
            ConfigError: a step is out of range, or the layer takes t before k.
        """
        steps = len(self)
        for name, value in (("t", t), ("k", k)):
            if not -steps <= value < steps:
                raise ConfigError(f"{name} must be from {-steps} to {steps - 1}, got {value}")
        t, k = t % steps, k % steps
        if t != k and (t < k) != self.track.reverse:
            way = "backwards, so t <= k" if self.track.reverse else "forwards, so t >= k"
            raise ConfigError(
                f"the state after step {t} does not depend on the state after step {k}: "
                f"{self.track.name} runs {way}"
            )
        return list(range(k - 1, t - 1, -1) if self.track.reverse else range(k + 1, t + 1))

    def call(
        self, t: int, state: Sequence[Tensor], other: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """Step t from this state, of rows that may be many times the track's."""
        tensors = {**self.tensors, **(other or {})}
        many = len(state[0]) // self.track.rows
        inp = map_tensors(lambda i: _many(i, many), self.track.inputs[t])
        own = {f"cell.{name}": tensors[name] for name in self._own}
        weights = {}
        if self.track.weights is not None:
            weights["weights"] = Weights(*(tensors.get(part) for part in WEIGHT_NAMES))  # type: ignore[arg-type]
        args = inp, self.cell.State(*state)
        new: tuple[Tensor, ...] = functional_call(self._stepping, own, args, weights)
        return new

    def before(self, t: int, many: int = 1) -> tuple[Tensor, ...]:
        """The state before step t, repeated ``many`` times for all rows."""
        return tuple(_many(s, many) for s in self.track.before[t])

    def back(self, t: int, v: Tensor) -> Tensor:
        """J_t^T v, J_t being the derivative of the state after step t by the state before it."""
        with torch.enable_grad():
            before = [s.requires_grad_() for s in self.before(t, len(v))]
            after = torch.cat(self.call(t, before), -1)
        v_after = v.reshape(after.shape)
        grads = torch.autograd.grad(
            after, before, v_after, allow_unused=True, materialize_grads=True
        )
        return self._where_real(t, torch.cat(grads, -1).reshape(v.shape), v)

    def ahead(self, t: int, v: Tensor) -> Tensor:
        """J_t v, as the derivative of J_t^T u by u, which is linear in it."""
        with torch.enable_grad():
            before = [s.requires_grad_() for s in self.before(t, len(v))]
            after = torch.cat(self.call(t, before), -1)
            u = torch.zeros_like(after).requires_grad_()
            grads = torch.autograd.grad(after, before, u, create_graph=True, allow_unused=True)
            pulled = [f for f in grads if f is not None]
        parts = zip(grads, torch.split(v.reshape(after.shape), self.sizes, -1), strict=True)
        along = [part for f, part in parts if f is not None]
        (moved,) = torch.autograd.grad(pulled, [u], along) if pulled else (torch.zeros_like(u),)
        return self._where_real(t, moved.reshape(v.shape), v)

    def _where_real(self, t: int, moved: Tensor, v: Tensor) -> Tensor:
        """The identity at padding, and 0 where a row is reset."""
        moved = torch.where(self.track.active[t][:, None], moved, v)
        return moved.masked_fill(self.track.restarted[t][:, None], 0)

    def identity(self, part: slice) -> Tensor:
        """The unit vectors of a part, for every row."""
        unit = torch.eye(self.size, dtype=torch.float64, device=self.device)[part]
        return unit[:, None].expand(-1, self.track.rows, -1)


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().double() if tensor.is_floating_point() else tensor.detach()


def _many(tensor: Tensor, many: int) -> Tensor:
    """All rows repeated ``many`` times, in float64 if they are floating-point."""
    return _double(tensor).expand(many, *tensor.shape).flatten(0, 1)
