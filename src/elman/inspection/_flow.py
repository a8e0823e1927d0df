"""How far back the gradient of a loss reaches: its norm at every state, and its decay."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman._errors import ConfigError
from elman.inspection._direct import by_step, direct, gradients, last_steps, nodes
from elman.inspection._estimate import Estimate, first_below, log_curve, of_curve, slope
from elman.inspection._record import record_loss
from elman.inspection._recording import Recording, Track


@dataclass(frozen=True)
class Norms:
    r"""The norm of the gradient by one state, and how fast it decays, in float64.

    Attributes:
        norm: (layer, time): over all rows together; 0 where the layer has no such step or state.
        per_row: (layer, time, row): of each row; 0 where the layer has no such row.
        contribution: (layer, loss step, time): the part of it that each chosen loss step causes.
        falls: for each layer (lag, row): the norm relative to lag 0, counted from the last step of
            the row at which the loss enters the layer; nan where there is no such step.
    """

    norm: Float[Tensor, "L T"] = field(repr=False)
    per_row: Float[Tensor, "L T B"] = field(repr=False)
    contribution: Tensor = field(repr=False)
    falls: tuple[Tensor, ...] = field(repr=False)
    tiny: float = field(repr=False)

    def fall(self, layer: int) -> Float[Tensor, "lag"]:
        """The norm by lag, the number of steps before the loss, relative to the norm at the loss.

        It is the root mean square over the rows that have such a lag, up to the lag that fewer than
        half of them have, or at which it is 0. Rows are aligned at the last step with a loss.
        """
        return log_curve(self.falls[layer], self.tiny).exp()

    @property
    def decay_rate(self) -> Estimate:
        r"""The decay of the logarithm of the norm for each step back, (layer,).

        .. math:: \|\frac{dL}{dh_{\tau-k}}\| \approx e^{-rate \cdot k} \|\frac{dL}{dh_\tau}\|

        The slope of the whole curve by least squares; negative where the gradient grows.
        """
        return self._estimate(lambda curve: -slope(curve))

    @property
    def half_life(self) -> Estimate:
        """Steps back in which the norm halves at that rate, (layer,); inf if it does not decay."""
        return self._estimate(lambda curve: _half_life(-slope(curve)))

    def horizon(self, fraction: float = 0.01) -> Estimate:
        """The first lag at which the norm is below a fraction of its start, (layer,).

        It is inf where the norm stays above that fraction over the whole sequence.

        Raises:
            ConfigError: the fraction is not between 0 and 1.
        """
        if not 0 < fraction < 1:
            raise ConfigError(f"fraction must be between 0 and 1, got {fraction}")
        return self._estimate(lambda curve: first_below(curve, fraction))

    def _estimate(self, measure: Callable[[Tensor], float]) -> Estimate:
        each = [of_curve(measure, falls, self.tiny) for falls in self.falls]
        return Estimate(*torch.tensor(each, dtype=torch.float64).T)


@dataclass(frozen=True)
class Flow(Norms):
    r"""What :func:`gradient_flow` returns: :class:`Norms` of each layer's first state, and more.

    Attributes:
        layers: the name of each layer, in the order of their first steps.
        states: the :class:`Norms` of every state by its name. An LSTM remembers in c, so look there
            for how far back it learns; what goes through h has gone through a gate first.
        active: (layer, time, row): which steps are real.
        loss_steps: the chosen loss steps, from the start.
    """

    layers: tuple[str, ...]
    states: Mapping[str, Norms] = field(repr=False)
    active: Bool[Tensor, "L T B"] = field(repr=False)
    loss_steps: tuple[int, ...]


def gradient_flow(
    model: Any,
    x: Any,
    loss: Callable[[Any], Tensor] | None = None,
    *,
    loss_steps: Sequence[int] = (),
    **options: Any,
) -> Flow:
    r"""The norm of the gradient at every state inside every scan.

    .. math:: \|\frac{dL}{dh_t}\|, \qquad \|\frac{dL}{dc_t}\|, \qquad
        \frac{dL}{dh_t} = \sum_{\tau \ge t} \frac{\partial L_\tau}{\partial h_\tau}
        \prod_{j=t+1}^{\tau} \frac{\partial h_j}{\partial h_{j-1}}

    They are total derivatives: dL/dc_t counts every path from c_t, also through h_t of the same
    step. A layer's output would not do: with a loss on the last step its gradient is exactly 0 at
    all others. The model runs once on the reference, whichever engine it has, in the mode it is in.

    Args:
        model: a cell, a layer, any module that holds some, or a task with its network.
        x: what the model is called with; a batch of the task.
        loss: a function of the model's output alone to a scalar; a task has its own.
        loss_steps: steps whose contributions to compute, from the end if negative. L_tau is the
            part of the loss that enters at step tau of the model's last recurrent layer: at its
            output, or at its final state if tau is a row's last step. Each costs one more backward
            pass.
        **options: what else the model is called with: ``lengths=``, ``reset=`` ...

    Returns:
        A :class:`Flow`: the norms of each layer's first state, and of every state by name.

    Raises:
        ConfigError: no recurrent layer, no loss, or a loss step that is out of range.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.Elman(3, 8))
        >>> x = torch.randn(16, 40, 3)
        >>> flow = gradient_flow(layer, x, loss=lambda h: h[:, -1].square().sum())
        >>> flow.norm.shape, flow.per_row.shape
        (torch.Size([1, 40]), torch.Size([1, 40, 16]))
        >>> bool(flow.norm[0, 20] < 0.01 * flow.norm[0, -1])  # it vanishes
        True
        >>> 0 < flow.half_life.value.item() < flow.horizon(0.01).value.item()
        True

    References:
        Hochreiter 1991, "Untersuchungen zu dynamischen neuronalen Netzen";
        Bengio, Simard & Frasconi 1994, "Learning long-term dependencies with gradient descent is
        difficult"; Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural
        networks".
    """
    recording, total = record_loss(model, x, loss, **options)
    tracks = recording.tracks
    whole = _gradients(tracks, [total])
    chosen = _loss_steps(recording, loss_steps)
    entering = _Entering.of(recording, total) if chosen else None
    pieces = [_gradients(tracks, *entering.at_step(step)) for step in chosen] if entering else []
    last = [_of_last(total, track, steps) for track, steps in zip(tracks, whole, strict=True)]
    tiny = torch.finfo(total.dtype).tiny

    def measured(names: Sequence[str]) -> dict[str, Any]:
        per_row = _each_layer(whole, names)
        contribution = [_each_layer(piece, names).norm(dim=2) for piece in pieces]
        none = per_row.new_zeros(len(tracks), 0, per_row.shape[1])
        return {
            "norm": per_row.norm(dim=2),
            "per_row": per_row,
            "contribution": torch.stack(contribution, 1) if pieces else none,
            "falls": tuple(
                _falls(track, steps, start, name)
                for track, (steps, start), name in zip(tracks, last, names, strict=True)
            ),
            "tiny": tiny,
        }

    names = dict.fromkeys(name for track in tracks for name in track.cell.states)
    return Flow(
        **measured([track.cell.states[0] for track in tracks]),
        layers=tuple(track.name for track in tracks),
        states={name: Norms(**measured([name] * len(tracks))) for name in names},
        active=_layers([track.active for track in tracks]),
        loss_steps=chosen,
    )


def _gradients(
    tracks: Sequence[Track], of: Sequence[Tensor], grad_outputs: Sequence[Tensor] | None = None
) -> list[list[Any]]:
    """For each track a state of gradients for each step."""
    flat = gradients(of, [node for track in tracks for node in nodes(track)], grad_outputs)
    by_track = []
    for track in tracks:
        count = len(track) * len(track.cell.states)
        by_track.append(by_step(track, flat[:count]))
        flat = flat[count:]
    return by_track


def _row_norms(steps: Sequence[Any], name: str) -> Float[Tensor, "T B"]:
    """The norms of one state at each step; 0 if the cell has no state of that name."""
    if name not in steps[0]._fields:
        return torch.zeros(len(steps), len(steps[0][0]), dtype=torch.float64)
    each = [torch.linalg.vector_norm(getattr(s, name), dim=-1, dtype=torch.float64) for s in steps]
    return torch.stack(each).cpu()


def _layers(each: Sequence[Tensor]) -> Float[Tensor, "L T B"] | Bool[Tensor, "L T B"]:
    """Stacked, padded with zeros where a layer has fewer steps or rows."""
    steps, rows = (max(t.shape[d] for t in each) for d in (0, 1))
    whole = each[0].new_zeros(len(each), steps, rows, device="cpu")
    for layer, values in zip(whole, each, strict=True):
        layer[: values.shape[0], : values.shape[1]] = values
    return whole


def _each_layer(tracks: Sequence[Sequence[Any]], names: Sequence[str]) -> Float[Tensor, "L T B"]:
    return _layers([_row_norms(f, name) for f, name in zip(tracks, names, strict=True)])


def _top(recording: Recording) -> tuple[list[Track], list[tuple[Any, int]]]:
    """The tracks of the last recurrent layer, and its outputs if it was called as a whole."""
    last, top = recording.tracks[-1], recording.top
    inside = set() if top is None else set(top.modules())
    if last.owner not in inside:
        return [last], []
    return [track for track in recording.tracks if track.owner in inside], recording.entry


def _loss_steps(recording: Recording, loss_steps: Sequence[int]) -> tuple[int, ...]:
    steps = len(recording.tracks[-1])
    wrong = [step for step in loss_steps if not -steps <= step < steps]
    if wrong:
        raise ConfigError(f"expected loss steps from {-steps} to {steps - 1}, got {wrong[0]}")
    return tuple(step % steps for step in loss_steps)


class _Entering(NamedTuple):
    """Where the loss enters the last recurrent layer: at its outputs, and at final states."""

    outputs: list[tuple[Tensor, int, Tensor]]  # each with its time's dimension and its gradient
    finals: list[tuple[Tensor, Tensor, Tensor]]  # each with the last step of its rows, and gradient

    @classmethod
    def of(cls, recording: Recording, loss: Tensor) -> _Entering:
        """One backward pass, however many loss steps follow."""
        tracks, entry = _top(recording)
        if any(isinstance(output, PackedSequence) for output, _ in entry):
            raise ConfigError("a PackedSequence does not keep loss steps apart: use lengths=")
        ends = [
            (s, last_steps(t, until)) for t in tracks for until, final in t.finals for s in final
        ]
        of = [output for output, _ in entry] + [state for state, _ in ends]
        grads = gradients([loss], of)
        outputs = [(*each, gradient) for each, gradient in zip(entry, grads, strict=False)]
        rest = grads[len(entry) :]
        return cls(outputs, [(*end, gradient) for end, gradient in zip(ends, rest, strict=True)])

    def at_step(self, step: int) -> tuple[list[Tensor], list[Tensor]]:
        """The nodes at which the loss enters, and its derivative by them at one step alone."""
        grad_outputs, begin = [], 0
        for _, time, gradient in self.outputs:
            steps = torch.arange(begin, begin + gradient.shape[time])
            grad_outputs.append(gradient.clone())
            grad_outputs[-1].movedim(time, 0)[steps != step] = 0
            begin += len(steps)
        for _, last, gradient in self.finals:
            grad_outputs.append(gradient.clone())
            grad_outputs[-1][last != step] = 0
        return [node for node, *_ in (*self.outputs, *self.finals)], grad_outputs


def _of_last(loss: Tensor, track: Track, whole: Sequence[Any]) -> tuple[Sequence[Any], Tensor]:
    """The gradient of the loss that enters a track at each row's last loss step, and that step.

    Steps (row,) are counted in the order of the scan; -1 where no loss enters.
    """
    entering = direct(loss, track)
    there = torch.stack([torch.stack([s.any(1) for s in step]).any(0) for step in entering])
    order = torch.tensor(list(track.order))
    there = there.cpu()[order]
    start = len(there) - 1 - there.flip(0).int().argmax(0)
    # Where each row has one such step, it is the gradient of the loss itself.
    last = _from(track, entering, order[start]) if bool((there.sum(0) > 1).any()) else whole
    return last, torch.where(there.any(0), start, -1)


def _falls(track: Track, steps: Sequence[Any], start: Tensor, name: str) -> Float[Tensor, "T B"]:
    """A state's norm by lag and row, from that row's start."""
    order = torch.tensor(list(track.order))
    norms = _row_norms(steps, name)[order]
    restarted = track.restarted.cpu()[order]
    rows = [
        _one_fall(norms[:, row], restarted[:, row], begin)
        for row, begin in enumerate(start.tolist())
    ]
    return torch.stack(rows, 1)


def _from(track: Track, entering: Sequence[Any], start: Tensor) -> list[Any]:
    """The gradient of the loss that enters at one step of each row, by every state."""
    of, grad_outputs = [], []
    for t in sorted(set(start.tolist())):
        here = (start == t).to(track.active[t].device)[:, None]
        of += list(track.after[t])
        grad_outputs += [gradient * here for gradient in entering[t]]
    return by_step(track, gradients(of, nodes(track), grad_outputs))


def _one_fall(norms: Tensor, restarted: Tensor, start: int) -> Tensor:
    """One row's norms back from a step to its last reset, relative to that step; nan before it."""
    back = norms[: start + 1].flip(0)
    begun = restarted[: start + 1].flip(0).int()
    back = back[: int((begun.cumsum(0) - begun == 0).sum())]
    fall = torch.full_like(norms, math.nan)
    if len(back) and back[0] > 0:
        fall[: len(back)] = back / back[0]
    return fall


def _half_life(rate: float) -> float:
    if math.isnan(rate):
        return math.nan
    return math.log(2) / rate if rate > 0 else math.inf
