"""A look at a network while it trains: natively, and leaving everything as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from elman import engine as engines
from elman._errors import ConfigError
from elman.cells import Cell, Weights
from elman.cells._base import named
from elman.engine import Recurrence
from elman.inspection._observe import _network, _ran
from elman.scan import Observation

LOW, HIGH = 0.1, 0.9
"""Below and above which a gate counts as saturated, as in Karpathy, Johnson & Fei-Fei (2015)."""

POINTS = 32
"""Of a long sequence, the norms of so many steps are kept, evenly apart."""


@dataclass
class Call:
    """What one call of a layer showed, time first."""

    cell: Cell
    x: Tensor
    reverse: bool
    active: Tensor | None
    activations: dict[str, Tensor]
    probes: list[Tensor]


class Look:
    """Runs a piece of training once more, and sums up what happened inside every recurrence.

    Neither the modes and buffers of the network nor torch's random state are other ones afterwards,
    and no parameter gets a gradient. Dropout is off.

    Args:
        network: whose layers are looked at.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.GRU(3, 5))
        >>> look = Look(layer)
        >>> layers = look(lambda: layer(torch.randn(2, 7, 3))[0][:, -1].sum())
        >>> summary = layers["Recurrent"]
        >>> summary["gradient"]["h"][-1] ** 2  # of ten numbers whose sum is the loss
        10.0...
        >>> sorted(summary["gates"]), sorted(summary["gates"]["update"])
        (['reset', 'update'], ['high', 'low', 'mean', 'rms'])
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._names = {module: name for name, module in network.named_modules()}
        self._calls: dict[str, list[Call]] = {}

    def __call__(
        self, forward: Callable[[], Tensor], *, gradient: bool = True
    ) -> dict[str, dict[str, Any]]:
        """By layer: the shares of its gates and states, and the gradient that reached each step.

        Args:
            forward: computes the loss.
            gradient: whether to go back through it: norms over all rows and units of dL/dh_t, the
                total derivative inside the scan; of other states, what comes back to them from the
                next step, and not through the output of their own.
        """
        self._calls = {}
        with _left_alone(self._network), torch.set_grad_enabled(gradient):
            with engines.run_by(self._run):
                loss = forward()
            norms = iter(self._norms(loss) if gradient else ())
        layers = {name: self._summary(calls, norms) for name, calls in self._calls.items()}
        self._calls = {}
        return layers

    def _run(self, r: Recurrence) -> tuple[Tensor, Any]:
        observation = r.observe if isinstance(r.observe, Observation) else Observation()
        probes: list[Tensor] = []
        if torch.is_grad_enabled():
            sizes = r.cell.state_sizes
            probes = [r.x.new_zeros(*r.x.shape[:2], n).requires_grad_() for n in sizes]
            r = _probed(r, probes)
        with engines.run_by(None):
            output, final = engines.run(_with_observation(r, observation))
        activations = {name: value.detach() for name, value in observation.stacked(0).items()}
        call = Call(r.cell, r.x.detach(), r.reverse, r.active, activations, probes)
        self._calls.setdefault(self._name(r), []).append(call)
        return output, final

    def _name(self, r: Recurrence) -> str:
        owner = r.cell if r.layer is None else r.layer
        name = self._names.get(owner) or type(owner).__name__
        return " ".join(filter(None, (name, r.part)))

    def _norms(self, loss: Tensor) -> list[Tensor]:
        """Of the gradient at every step, for each probe in the order of the calls."""
        probes = [p for calls in self._calls.values() for call in calls for p in call.probes]
        if not probes or not loss.requires_grad:
            return [p.new_zeros(len(p)) for p in probes]
        grads = torch.autograd.grad(loss, probes, allow_unused=True)
        return [
            p.new_zeros(len(p)) if g is None else torch.linalg.vector_norm(g, dim=(1, 2))
            for p, g in zip(probes, grads, strict=True)
        ]

    def _summary(self, calls: list[Call], norms: Iterator[Tensor]) -> dict[str, Any]:
        states = calls[0].cell.states
        summary: dict[str, Any] = {"gates": {}, "states": {}}
        for name in calls[0].activations:
            kind = "states" if name in states else "gates"
            pieces = [(call.activations[name], call.active) for call in calls]
            if all(value.dim() == 3 for value, _ in pieces):
                summary[kind][name] = shares(pieces, state=name in states)
        by_call = [[next(norms) for _ in call.probes] for call in calls]
        if calls[0].probes:
            whole = [torch.cat(each) for each in zip(*by_call, strict=True)]
            steps = len(whole[0])
            at = torch.linspace(0, steps - 1, min(steps, POINTS)).round().long()
            summary["steps"] = at.tolist()
            summary["gradient"] = {
                name: each[at.to(each.device)].tolist()
                for name, each in zip(states, whole, strict=True)
            }
        return summary


def calls_of(model: Any, x: Any, **options: Any) -> dict[str, list[Call]]:
    """What every layer showed while a model, or a task, ran on some data; natively, by its name.

    The model stays in its mode.
    """
    module = _network(model)
    look = Look(module)
    with torch.no_grad(), engines.run_by(look._run):
        _ran(model, module, x, options)
    if not look._calls:
        raise ConfigError(f"no layer of elman ran inside {type(module).__name__}")
    return look._calls


def shares(pieces: Sequence[tuple[Tensor, Tensor | None]], *, state: bool) -> dict[str, float]:
    """What (time, row, unit) values come to, at real steps only.

    Of a gate, a value in [0, 1] throughout: the shares that are ``low`` and ``high``. Of a state:
    the share that is ``saturated``, beyond 0.9 in size, and of ``dead`` units, 0 at every step.
    """
    real = torch.cat([v.flatten(0, 1) if on is None else v[on] for v, on in pieces])
    if not real.numel():
        return {}
    stats = {"mean": real.mean(), "rms": real.square().mean().sqrt()}
    if state:
        stats["saturated"] = (real.abs() > HIGH).float().mean()
        stats["dead"] = (real == 0).all(0).float().mean()
    elif bool((real >= 0).all() & (real <= 1).all()):
        stats["low"], stats["high"] = (real < LOW).float().mean(), (real > HIGH).float().mean()
    return dict(zip(stats, torch.stack([v.float() for v in stats.values()]).tolist(), strict=True))


class _Probed(Cell):
    """A cell with a probe, which is 0, added to each of its new states.

    Its gradient is that at the state which goes out and on, however the engine computes it.
    """

    def __init__(self, cell: Cell, kind: type | None) -> None:
        super().__init__(cell.input_size, cell.hidden_size)
        self.cell, self.kind = cell, kind
        self.states = cell.states  # type: ignore[misc]

    @property
    def State(self) -> Any:  # noqa: N802 - as the cell's own is called
        return self.cell.State

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.cell.state_sizes

    def project(self, x: Tensor) -> Any:
        sizes = self.state_sizes
        return _beside(self.cell.project(x), [x.new_zeros(*x.shape[:-1], n) for n in sizes], self)

    def step(self, inp: Any, state: Any) -> Any:
        count = len(self.states)
        own, probes = inp[:-count], inp[-count:]
        new = self.cell.step(own[0] if self.kind is None else self.kind(*own), state)
        return self.State(*(s + probe for s, probe in zip(new, probes, strict=True)))


def _beside(projected: Any, probes: list[Tensor], cell: Cell) -> Any:
    """What a cell projected, and the probes, as a NamedTuple."""
    alone = isinstance(projected, Tensor)
    fields = ("inp",) if alone else projected._fields
    own = (projected,) if alone else projected
    return named("Probed", (*fields, *(f"{name}_probe" for name in cell.states)))(*own, *probes)


def _probed(r: Recurrence, probes: list[Tensor]) -> Recurrence:
    projected = r.projected()
    cell = r.cell if r.weights is None else _with_weights(r.cell, r.weights)
    kind = None if isinstance(projected, Tensor) else type(projected)
    probed = replace(r, cell=_Probed(cell, kind), weights=None)
    probed.found["projected"] = _beside(projected, probes, cell)
    return probed


def _with_weights(cell: Any, weights: Weights) -> Any:
    """A cell that has the weights which a layer keeps for it."""
    twin = copy(cell)
    ih, hh, b_ih, b_hh, hr = weights
    own = {"weight_ih": ih, "weight_hh": hh, "bias_ih": b_ih, "bias_hh": b_hh}
    if hr is not None:  # a projected cell's are those of the cell that it wraps
        twin._modules = {"cell": _with_weights(cell.cell, weights._replace(hr=None))}
        own = {"weight_hr": hr}
    twin._parameters = {**cell._parameters, **own}
    return twin


def _with_observation(r: Recurrence, observation: Observation) -> Recurrence:
    """The same recurrence, seen; what was found out about it stays."""
    other = replace(r, observe=observation)
    other.found.update({k: v for k, v in r.found.items() if k == "projected"})
    return other


@contextmanager
def _left_alone(network: nn.Module) -> Iterator[None]:
    """In evaluation mode; afterwards modes, buffers and torch's random state are as they were."""
    modes = {module: module.training for module in network.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    devices = {p.get_device() for p in network.parameters() if p.is_cuda}
    network.eval()
    try:
        with torch.random.fork_rng(sorted(devices)):
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
