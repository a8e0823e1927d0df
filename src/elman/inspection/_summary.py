"""What a run logs of a network while it trains: gates, states and gradients, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from elman import engine as engines
from elman.inspection._on_engine import run_on_engine
from elman.inspection._recording import Recorder, Track

LOW, HIGH = 0.1, 0.9
"""Below and above which a gate counts as saturated, as in Karpathy, Johnson & Fei-Fei (2015)."""

POINTS = 32
"""Most steps of a long sequence whose gradient norms are kept, evenly spaced."""


def summarize(
    network: nn.Module, forward: Callable[[], Tensor], *, gradient: bool = True
) -> dict[str, dict[str, Any]]:
    """Run a piece of training once more, and sum up each layer's gates, states and gradients.

    It leaves everything as it was: the modes and buffers of the network, torch's random state, and
    the gradients of parameters. Dropout is off.

    Args:
        network: the network whose layers are recorded.
        forward: computes the loss.
        gradient: whether to go back through the loss: norms over all rows and units of dL/dh_t, the
            total derivative inside the scan; of other states, what comes back to them from the
            next step, and not through the output of their own.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.GRU(3, 5))
        >>> layers = summarize(layer, lambda: layer(torch.randn(2, 7, 3))[0][:, -1].sum())
        >>> summary = layers["Recurrent"]
        >>> summary["gradient"]["h"][-1] ** 2  # of ten numbers whose sum is the loss
        10.0...
        >>> sorted(summary["gates"]), sorted(summary["gates"]["update"])
        (['reset', 'update'], ['high', 'low', 'mean', 'rms'])
    """
    recorder = Recorder(network, run_on_engine)
    with _preserved(network), torch.set_grad_enabled(gradient):
        with engines.run_by(recorder):
            loss = forward()
        layers = recorder.recording.layers()
        summaries = {name: _activations(track) for name, track in layers.items()}
        if gradient:
            for name, norms in _gradient_norms(loss, layers).items():
                summaries[name] |= norms
    return summaries


def _activations(track: Track) -> dict[str, Any]:
    summary: dict[str, Any] = {"gates": {}, "states": {}}
    states = track.cell.states
    for name in track.calls[0].activations:
        pieces = [(call.activations[name], call.active) for call in track.calls]
        if all(values.dim() == 3 for values, _ in pieces):
            kind = "states" if name in states else "gates"
            summary[kind][name] = shares(pieces, state=name in states)
    return summary


def _gradient_norms(loss: Tensor, layers: dict[str, Track]) -> dict[str, dict[str, Any]]:
    """The norm of the gradient by each layer's states, at up to ``POINTS`` of the steps."""
    probes = [p for track in layers.values() for call in track.calls for p in call.probes]
    grads: Sequence[Tensor] = probes  # zeros
    if probes and loss.requires_grad:
        grads = torch.autograd.grad(loss, probes, allow_unused=True, materialize_grads=True)
    each = (torch.linalg.vector_norm(g, dim=(1, 2)) for g in grads)
    norms = {}
    for name, track in layers.items():
        by_call = [[next(each) for _ in call.probes] for call in track.calls]
        by_state = [torch.cat(calls) for calls in zip(*by_call, strict=True)]
        steps = torch.linspace(0, len(track) - 1, min(len(track), POINTS)).round().long()
        norms[name] = {
            "steps": steps.tolist(),
            "gradient": {
                state: norm[steps.to(norm.device)].tolist()
                for state, norm in zip(track.cell.states, by_state, strict=True)
            },
        }
    return norms


def shares(pieces: Sequence[tuple[Tensor, Tensor]], *, state: bool) -> dict[str, float]:
    """Statistics of (time, row, unit) values over the real steps, each piece with a mask of them.

    Of a gate, a value in [0, 1] throughout: the shares that are ``low`` and ``high``. Of a state:
    the share that is ``saturated``, beyond 0.9 in size, and of ``dead`` units, 0 at every step.
    """
    real = torch.cat([values[active] for values, active in pieces])
    if not real.numel():
        return {}
    stats = {"mean": real.mean(), "rms": real.square().mean().sqrt()}
    if state:
        stats["saturated"] = (real.abs() > HIGH).float().mean()
        stats["dead"] = (real == 0).all(0).float().mean()
    elif bool((real >= 0).all() & (real <= 1).all()):
        stats["low"], stats["high"] = (real < LOW).float().mean(), (real > HIGH).float().mean()
    return dict(zip(stats, torch.stack([v.float() for v in stats.values()]).tolist(), strict=True))


@contextmanager
def _preserved(network: nn.Module) -> Iterator[None]:
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
