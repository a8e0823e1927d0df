"""Runs a model once on the reference, and keeps what each step inside each scan did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman import engine as engines
from elman._errors import ConfigError, DtypeError
from elman.cells import Cell, Weights
from elman.cells._base import watching
from elman.engine import Recurrence
from elman.engine._explain import uncompiled
from elman.layers import Recurrent
from elman.layers._base import Layer
from elman.layers._drop_in import DropIn, OnTorch
from elman.scan import restarts, scan

_THEIRS = (nn.RNNBase, nn.RNNCellBase)


@dataclass
class Track:
    """One cell's way through time, step by step, all in the order of time.

    A layer that is called again with the state it returned, as in a loop over steps or windows,
    goes on in its track; otherwise another call is another track, and its name ends in "#2".

    Attributes:
        name: where the layer is in the model, and the part of it, such as "lstm l0_reverse".
        owner: the layer.
        cell: its cell.
        weights: the cell's affine maps, if the layer keeps them.
        reverse: whether it runs from the last step to the first.
        inputs: what the cell projected for each step.
        before: the state that each step began with, after a reset if there was one.
        after: the state that each step returned, whether or not the row is at padding there; they
            are nodes of the graph that the loss is computed by.
        active: (row,) at each step: whether it is a real one, not padding.
        restarted: (row,) at each step: whether the row began anew there.
        seen: what the cell watched at each step (its gates), if that was asked for.
        outputs: what each call of the layer returned, (time, row, size); they and ``finals`` are
            nodes that only what is outside this track reads, never its own next step.
        finals: the state that each call returned, each with the number of steps until then.
    """

    name: str
    owner: nn.Module
    cell: Cell
    weights: Weights | None
    reverse: bool
    inputs: list[Any] = field(default_factory=list)
    before: list[Any] = field(default_factory=list)
    after: list[Any] = field(default_factory=list)
    active: list[Tensor] = field(default_factory=list)
    restarted: list[Tensor] = field(default_factory=list)
    seen: list[dict[str, Tensor]] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    finals: list[tuple[int, Any]] = field(default_factory=list)
    carried: Any = None

    def __len__(self) -> int:
        return len(self.after)

    @property
    def rows(self) -> int:
        """The rows of its batch."""
        return len(self.after[0][0])

    @property
    def order(self) -> range:
        """The steps in the order in which they were taken."""
        return range(len(self))[:: -1 if self.reverse else 1]

    def goes_on_at(self, state: Any) -> bool:
        """Whether a call from this state continues it."""
        return not self.reverse and all(
            old.shape == new.shape and torch.equal(old, new)
            for old, new in zip(self.carried, state, strict=True)
        )

    def goes_on_from(self, state: Any) -> Any:
        """That state as this track's own node, unless the caller cut the gradient there."""
        if self.carried is None or not all(s.requires_grad for s in state):
            return state
        return self.carried


@dataclass
class Recording:
    """What a model did.

    Attributes:
        tracks: every recurrence, in the order of their first steps.
        output: what the model returned, without its states; of a task the loss, summed.
        top: the last layer, stack or drop-in that was called, if any.
        entry: what it put out at each call, and the dimension of time there.
    """

    tracks: list[Track]
    output: Any = None
    top: nn.Module | None = None
    entry: list[tuple[Any, int]] = field(default_factory=list)

    def track(self, layer: str | int | None = None) -> Track:
        """The track of a layer, by name or number; the only one if None.

        Raises:
            ConfigError: there is no such layer, or there are several and none was chosen.
        """
        names = [track.name for track in self.tracks]
        if isinstance(layer, int) and -len(names) <= layer < len(names):
            return self.tracks[layer]
        if layer is None and len(names) == 1:
            return self.tracks[0]
        if layer in names:
            return self.tracks[names.index(layer)]
        wanted = "one of several layers" if layer is None else f"a layer, got {layer!r}"
        raise ConfigError(f"expected {wanted}: choose with layer= from {', '.join(names)}")


class _Recorder:
    """Runs recurrences on the reference, and keeps their tracks."""

    def __init__(self, model: nn.Module, gates: bool) -> None:
        self._names = {module: name for name, module in model.named_modules()}
        self._gates = gates
        self.tracks: list[Track] = []
        self._latest: dict[str, Track] = {}

    def __call__(self, r: Recurrence) -> tuple[Tensor, Any]:
        track = self._track(r)
        steps = _Steps(r.step, self._gates)
        state = r.cell.State(*map(_differentiable, track.goes_on_from(r.state)))
        projected, active = r.projected(), r.active
        output, final = scan(
            steps,
            projected,
            state,
            active=active,
            reset=r.reset,
            start=r.start,
            reverse=r.reverse,
            observe=r.observe,
        )
        way = -1 if r.reverse else 1
        track.inputs += steps.inputs[::way]
        track.before += steps.before[::way]
        track.after += steps.after[::way]
        track.seen += steps.seen[::way]
        track.active += _flags(active, output, True)
        began = None if r.reset is None else restarts(r.reset, active, r.reverse)
        track.restarted += _flags(began, output, False)
        track.outputs.append(output)
        track.carried = final
        alias = r.cell.State(*(s.view_as(s) for s in final))
        track.finals.append((len(track), alias))
        return output, alias

    def _track(self, r: Recurrence) -> Track:
        owner = r.cell if r.layer is None else r.layer
        name = self._names.get(owner) or type(owner).__name__
        name = " ".join(filter(None, (name, r.part)))
        latest = self._latest.get(name)
        if latest is not None and not r.reverse and latest.goes_on_at(r.state):
            return latest
        count = sum(t.name.split("#")[0] == name for t in self.tracks) + 1
        track = Track(_numbered(name, count), owner, r.cell, r.weights, r.reverse)
        self.tracks.append(track)
        self._latest[name] = track
        return track


def _numbered(name: str, count: int) -> str:
    return name if count == 1 else f"{name}#{count}"


class _Steps:
    """A cell's step that keeps what it was given and what it gave."""

    def __init__(self, step: Callable[[Any, Any], Any], gates: bool) -> None:
        self._step, self._gates = step, gates
        self.inputs: list[Any] = []
        self.before: list[Any] = []
        self.after: list[Any] = []
        self.seen: list[dict[str, Tensor]] = []

    def __call__(self, inp: Any, state: Any) -> Any:
        if self._gates:
            with watching(len(state[0])) as seen:
                new = self._step(inp, state)
            self.seen.append(seen)
        else:
            new = self._step(inp, state)
        # A state that a cell hands on as it is would be one node for two steps.
        new = type(new)(*(n.view_as(n) if any(n is s for s in state) else n for n in new))
        self.inputs.append(inp)
        self.before.append(state)
        self.after.append(new)
        return new


def _differentiable(state: Tensor) -> Tensor:
    """The state, so that every later one is in the graph, even if all weights are frozen."""
    wanted = torch.is_grad_enabled() and not state.requires_grad
    return state.detach().requires_grad_() if wanted else state


def _flags(mask: Tensor | None, output: Tensor, usual: bool) -> list[Tensor]:
    if mask is None:
        mask = torch.full(output.shape[:2], usual, device=output.device)
    return list(mask.unbind(0))


def record(model: Any, x: Any, *, gates: bool = False, **options: Any) -> Recording:
    """Runs a model, or a task, on some data and records every recurrence inside it.

    It runs on the reference, whichever engine the layers have or were trained by; the model stays
    in its mode, so that dropout falls only if it is training.

    Args:
        model: a cell, a layer, any module that holds some, or a task with its network.
        x: what the model is called with, or a batch of the task.
        gates: also keep what the cells watch.
        **options: what else the model is called with: ``lengths=``, ``reset=`` ...

    Raises:
        DtypeError: it is neither a module nor a task.
        ConfigError: no layer of elman ran, or one of torch.nn is inside; options for a task.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.GRU(3, 5))
        >>> recording = record(layer, torch.randn(2, 7, 3))
        >>> track = recording.track()
        >>> track.name, len(track), track.after[-1].h.shape
        ('Recurrent', 7, torch.Size([2, 5]))
    """
    module = _network(model)
    with _recording(module, gates) as recording:
        recording.output = _ran(model, module, x, options)
    _check_found(recording, module)
    return recording


def record_loss(
    model: Any, x: Any, loss: Callable[[Any], Tensor] | None = None, **options: Any
) -> tuple[Recording, Tensor]:
    """Records a model or a task, and computes its loss, with the graph between the two.

    Args:
        model: what :func:`record` takes.
        x: what the model is called with, or a batch of the task.
        loss: a function of the model's output alone to a scalar. A task has its own: the mean that
            training descends, from a state of zeros.
        **options: see :func:`record`.

    Raises:
        ConfigError: a model without a loss, a task with one, or a loss that is no scalar.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.LSTM(3, 5))
        >>> recording, loss = record_loss(layer, torch.randn(2, 7, 3), lambda h: h[:, -1].sum())
        >>> c = recording.track().after[2].c
        >>> torch.autograd.grad(loss, c)[0].shape
        torch.Size([2, 5])
    """
    with torch.enable_grad():
        if _is_task(model):
            if loss is not None:
                raise ConfigError("a task has its own loss: leave out loss")
            recording = record(model, x, **options)
            return recording, _scalar(recording.output) / x.count(0, x.steps)
        if loss is None:
            raise ConfigError(
                "expected loss=, a function of the model's output to a scalar; only a task has a "
                "loss of its own"
            )
        recording = record(model, x, **options)
        return recording, _scalar(loss(recording.output))


def _is_task(model: Any) -> bool:
    """By its shape, since tasks and measures do not know one another."""
    return not isinstance(model, nn.Module) and hasattr(model, "network") and hasattr(model, "loss")


def _network(model: Any) -> nn.Module:
    """What is looked inside: the model, or a task's network."""
    return _module(model.network if _is_task(model) else model)


def _ran(model: Any, module: nn.Module, x: Any, options: Mapping[str, Any]) -> Any:
    """What a model returns, without its states; of a task the loss of a batch, summed."""
    if not _is_task(model):
        return _without_state(module(x, **options))
    if options:
        raise ConfigError(f"a task reads a batch itself: leave out {', '.join(options)}")
    return model.loss(x, 0, x.steps, None)[0]


def _module(model: Any) -> nn.Module:
    if isinstance(model, Cell):
        return Recurrent(model)
    if not isinstance(model, nn.Module):
        raise DtypeError(
            "expected a cell, a layer, a model that holds one, or a task with its network, got "
            f"{type(model).__name__}: get the task of a run with elman.load(path)"
        )
    for part in model.modules():
        if isinstance(part, _THEIRS) and not isinstance(part, OnTorch):
            raise ConfigError(
                f"torch.nn.{type(part).__name__} cannot be seen inside: elman.convert(model) makes "
                "it elman's, with the same weights"
            )
    return model


@contextmanager
def _recording(model: nn.Module, gates: bool) -> Iterator[Recording]:
    recorder = _Recorder(model, gates)
    recording = Recording(recorder.tracks)

    def note(module: Any, _: Any, result: Any) -> None:
        if recording.top is not module:
            recording.top, recording.entry[:] = module, []
        output = _without_state(result)
        packed = isinstance(output, PackedSequence)
        batch_first = not packed and module.batch_first and output.dim() == 3
        recording.entry.append((output, int(batch_first)))

    hooks = [part.register_forward_hook(note) for part in _outermost(model)]
    try:
        with engines.run_by(recorder), uncompiled():
            yield recording
    finally:
        for hook in hooks:
            hook.remove()


def _outermost(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of a model that are in no other."""
    if isinstance(module, Layer | DropIn):
        yield module
        return
    for part in module.children():
        yield from _outermost(part)


def _without_state(result: Any) -> Any:
    """(output, state[, observed]) as layers return it, or an output alone."""
    if isinstance(result, tuple) and not isinstance(result, PackedSequence):
        return result[0]
    return result


def _scalar(loss: Any) -> Tensor:
    if not isinstance(loss, Tensor) or loss.dim():
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ConfigError(f"expected the loss as a scalar tensor, got {got}: sum it")
    if not loss.requires_grad:
        raise ConfigError("the loss does not depend on the model's output by a gradient")
    return loss


def _check_found(recording: Recording, model: nn.Module) -> None:
    if not recording.tracks:
        raise ConfigError(
            f"no layer of elman ran inside {type(model).__name__}: expected a Recurrent, a Stack, "
            "a Bidirectional, an RNN, an LSTM, a GRU or one of their cells"
        )
