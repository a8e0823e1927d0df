"""The recording of a run of a model: what each step inside each recurrence did.

A recorder takes the place of the engine. There are two ways to run a recurrence and record it,
since no engine has everything. `elman.inspection._on_reference` keeps the states of every step as
nodes of the graph, which only the reference has. `elman.inspection._on_engine` keeps what any
engine returns, and gets gradients by probes. Both give a `LayerCall`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from elman._errors import ConfigError
from elman.cells import Cell, Weights
from elman.engine import Recurrence
from elman.scan import restarts


class CellStep(NamedTuple):
    """One step of a cell: what it projected, the state before, and the state that it returned.

    The states are nodes of the graph that a loss is computed by.
    """

    inp: Any
    before: Any
    after: Any


@dataclass
class LayerCall:
    """One call of a layer, time first.

    Attributes:
        x: its input, (time, row, features).
        active: (time, row): which steps are real, not padding.
        restarted: (time, row): where the row was reset.
        output: what it returned, (time, row, size).
        final: the state that it returned; like ``output``, a node that only the caller reads.
        carried: that state as the node from which a call that continues this one starts.
        activations: its gates and states by name, (time, row, units) each, without gradient.
        steps: each step, in the order of time; only on the reference.
        probes: zeros that were added to each state, (time, row, units), to get its gradient.
        drawn: names of the cell's tensors in whose place others were drawn, as `WeightDrop` does.
    """

    x: Tensor
    active: Tensor
    restarted: Tensor
    output: Tensor
    final: Any
    carried: Any
    activations: dict[str, Tensor] = field(default_factory=dict)
    steps: list[CellStep] = field(default_factory=list)
    probes: list[Tensor] = field(default_factory=list)
    drawn: tuple[str, ...] = ()

    @classmethod
    def of(cls, r: Recurrence, output: Tensor, final: Any, carried: Any, **more: Any) -> LayerCall:
        """What any engine knows of a recurrence that it ran."""
        every = torch.ones(r.x.shape[:2], dtype=torch.bool, device=r.x.device)
        active = r.active
        restarted = ~every if r.reset is None else restarts(r.reset, active, r.reverse)
        active = every if active is None else active
        drawn = tuple(r.drawn)
        return cls(r.x.detach(), active, restarted, output, final, carried, drawn=drawn, **more)


@dataclass
class Track:
    """One cell's way through time, step by step, all in the order of time.

    A layer that is called again with the state it returned, as in a loop over steps or windows,
    goes on in its track; otherwise another call is another track, and its name ends in "#2".

    Attributes:
        layer: where the layer is in the model, and the part of it, such as "lstm l0_reverse".
        number: which track of this layer it is, from 1 on.
        owner: the layer.
        cell: its cell.
        weights: the cell's affine maps, if the layer keeps them.
        reverse: whether it runs from the last step to the first.
        calls: the calls of the layer.
    """

    layer: str
    number: int
    owner: nn.Module
    cell: Cell
    weights: Weights | None
    reverse: bool
    calls: list[LayerCall] = field(default_factory=list)

    def continues_in(self, r: Recurrence) -> bool:
        """Whether a recurrence starts from the state that the last call returned."""
        return not self.reverse and all(
            old.shape == new.shape and torch.equal(old, new)
            for old, new in zip(self.calls[-1].carried, r.state, strict=True)
        )

    @property
    def name(self) -> str:
        """The layer, and which track of it if it is not the first."""
        return self.layer if self.number == 1 else f"{self.layer}#{self.number}"

    def __len__(self) -> int:
        return sum(len(call.x) for call in self.calls)

    @property
    def rows(self) -> int:
        """The rows of its batch."""
        return self.calls[0].x.shape[1]

    @property
    def order(self) -> range:
        """The steps in the order in which they were taken."""
        return range(len(self))[:: -1 if self.reverse else 1]

    # Cached, since steps are read one by one; a track is read only when it is complete.

    @cached_property
    def x(self) -> Tensor:
        """The layer's input, (time, row, features)."""
        return torch.cat([call.x for call in self.calls])

    @cached_property
    def active(self) -> Tensor:
        """(time, row): which steps are real, not padding."""
        return torch.cat([call.active for call in self.calls])

    @cached_property
    def restarted(self) -> Tensor:
        """(time, row): where the row was reset."""
        return torch.cat([call.restarted for call in self.calls])

    @cached_property
    def activations(self) -> dict[str, Tensor]:
        """The gates and states by name, (time, row, units) each, if they were recorded."""
        names = self.calls[0].activations
        return {name: torch.cat([c.activations[name] for c in self.calls]) for name in names}

    @cached_property
    def inputs(self) -> list[Any]:
        """What the cell projected for each step."""
        return [step.inp for call in self.calls for step in call.steps]

    @cached_property
    def before(self) -> list[Any]:
        """The state that each step began with, after a reset if there was one."""
        return [step.before for call in self.calls for step in call.steps]

    @cached_property
    def after(self) -> list[Any]:
        """The state that each step returned, whether or not the row is at padding there.

        They are nodes of the graph that the loss is computed by.
        """
        return [step.after for call in self.calls for step in call.steps]

    @cached_property
    def finals(self) -> list[tuple[int, Any]]:
        """The state that each call returned, each with the number of steps until then."""
        ends = torch.tensor([len(call.x) for call in self.calls]).cumsum(0).tolist()
        return [(end, call.final) for end, call in zip(ends, self.calls, strict=True)]


@dataclass
class Recording:
    """The recurrences inside one run of a model.

    Attributes:
        tracks: every recurrence, in the order of their first steps.
        output: what the model returned, without its states; of a task the loss, summed.
        top: the last layer, stack or drop-in that was called, if any.
        entry: its output at each call, and the time dimension of that output.
    """

    tracks: list[Track]
    output: Any = None
    top: nn.Module | None = None
    entry: list[tuple[Any, int]] = field(default_factory=list)

    def track(self, layer: str | int | None = None) -> Track:
        """The track of a layer, by name or number; the only one if None.

        Raises:
            ConfigError: no such layer, or several layers and none was chosen.
        """
        names = [track.name for track in self.tracks]
        if isinstance(layer, int) and -len(names) <= layer < len(names):
            return self.tracks[layer]
        if layer is None and len(names) == 1:
            return self.tracks[0]
        if layer in names:
            return self.tracks[names.index(layer)]
        target = "one of several layers" if layer is None else f"a layer, got {layer!r}"
        raise ConfigError(f"expected {target}: choose with layer= from {', '.join(names)}")

    def layers(self) -> dict[str, Track]:
        """All calls of each layer as one track, whatever state they started from."""
        layers: dict[str, Track] = {}
        for t in self.tracks:
            empty = Track(t.layer, 1, t.owner, t.cell, t.weights, t.reverse)
            layers.setdefault(t.layer, empty).calls.extend(t.calls)
        return layers


class Recorder:
    """Takes the place of the engine inside :func:`elman.engine.run_by`, and records what runs.

    Args:
        network: its modules' names are those of the tracks.
        run: runs a recurrence, as the next call of a track.
    """

    def __init__(self, network: nn.Module, run: Callable[[Recurrence, Track], LayerCall]) -> None:
        self._network, self._names = network, module_names(network)
        self._run = run
        self.recording = Recording([])
        self._latest: dict[str, Track] = {}

    def __call__(self, r: Recurrence) -> tuple[Tensor, Any]:
        track = self._track(r)
        call = self._run(r, track)
        track.calls.append(call)
        return call.output, call.final

    def complete(self) -> Recording:
        """The recording.

        Raises:
            ConfigError: no recurrence ran.
        """
        if not self.recording.tracks:
            raise ConfigError(
                f"no layer of elman ran inside {type(self._network).__name__}: expected a "
                "Recurrent, a Stack, a Bidirectional, an RNN, an LSTM, a GRU or one of their cells"
            )
        return self.recording

    def _track(self, r: Recurrence) -> Track:
        layer = layer_name(r, self._names)
        latest = self._latest.get(layer)
        if latest is not None and latest.continues_in(r):
            return latest
        number = 1 if latest is None else latest.number + 1
        track = Track(layer, number, owner_of(r), r.cell, r.weights, r.reverse)
        self.recording.tracks.append(track)
        self._latest[layer] = track
        return track


def owner_of(r: Recurrence) -> nn.Module:
    """The layer that runs it; of a cell on its own the cell."""
    return r.cell if r.layer is None else r.layer


def module_names(network: nn.Module) -> dict[nn.Module, str]:
    return {module: name for name, module in network.named_modules()}


def layer_name(r: Recurrence, names: Mapping[nn.Module, str]) -> str:
    """Where its layer is in the model, and the part of it, such as "lstm l0_reverse"."""
    owner = owner_of(r)
    return " ".join(filter(None, (names.get(owner) or type(owner).__name__, r.part)))
