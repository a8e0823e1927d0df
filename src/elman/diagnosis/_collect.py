"""Collects the evidence of a run: from its initial weights, its last ones, and its log."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from elman._errors import ConfigError
from elman.diagnosis import _logged as logged
from elman.diagnosis._evidence import Evidence, GradientReach, LossCurve, Saturation, cut
from elman.diagnosis._sample import BatchWindow, measured, spoiled, windows
from elman.inspection import gates, gradient_flow, record_activations, truncation_bias
from elman.tasks import Task, evaluating
from elman.training import Config, Run, config_of, load, parts

NORMS = 16
"""Windows for measuring gradient norms that the run did not record."""

BEGUN = 4
"""Windows for measuring the loss of the initial weights."""

Stage = Callable[[str], object]
"""Called with the name of each stage."""


def collect_evidence(path: Path, task: Task | None = None, stage: Stage | None = None) -> Evidence:
    """Measure a run, without changing it or the task.

    Raises:
        CheckpointError: the folder is not a run, or has no checkpoint.
        ConfigError: the network has no recurrent layer, or no batch has a finite loss.
    """
    begins = stage or (lambda _: None)
    begins("reading the run")
    run = Run.open(path)
    at = run.load("last").progress  # fails at once if there is no checkpoint
    of: Task = load(path, "last", task=None if task is None else copy(task))
    config, events = config_of(run, of), run.events()
    of.seed = config.train.seed
    begins("searching for NaN and infinity")
    bad, rows = spoiled(of, config, at, _failed(events))
    batch = measured(of, config)
    with torch.random.fork_rng():
        begins("measuring the last weights")
        last, last_saturation = _reach(of, batch), _saturation(of, batch)
        truncation = _truncation(of, config, batch)
        norms = _norms(of, config) if bad is None else ()
        begins("measuring the initial weights")
        of.network = _first_network(of, config.train.seed)
        first, first_saturation = _reach(of, batch), _saturation(of, batch)
        bias, enough = min(
            truncation, _truncation(of, config, batch), key=lambda pair: pair[0] or 0
        )
        begun = _begun(of, config)
        standing = logged.standing(of, events)
        scale, ratio = _scale(of, batch), _ratio(of, config, batch)
    clipped, watched = logged.of_updates(events)
    losses = LossCurve(
        of.unit,
        logged.training_losses(events, of.unit),
        logged.validation_losses(of, events),
        begun,
    )
    return Evidence(
        config, events, bad, rows, logged.broke(events), first, last, first_saturation,
        last_saturation, clipped, watched or norms, ratio, bias, enough, scale, losses, standing,
        batch.rows,
    )  # fmt: skip


def _first_network(task: Task, seed: int) -> nn.Module:
    """The network with the initial weights of the run."""
    device = task.device
    torch.manual_seed(seed)
    return task.build().to(device).eval()


def _failed(events: logged.Events) -> int | None:
    """The number of updates before the run diverged; None if it did not."""
    return next((e["update"] for e in reversed(events) if e["event"] == "diverged"), None)


def _reach(task: Task, batch: Any) -> GradientReach:
    flow = gradient_flow(task, batch)
    steps = flow.active.any(2).sum(1)
    # A layer over the letters of a word does not tell how far back a sentence is remembered.
    long = 2 * steps >= steps.max()
    each: list[tuple[float, float]] = []
    for norms in flow.states.values():
        rates, horizons = norms.decay_rate.value[long], norms.horizon().value[long]
        each += zip(rates.tolist(), horizons.tolist(), strict=True)
    known = [(-rate, horizon) for rate, horizon in each if not math.isnan(rate)]
    rate, horizon = max(known, default=(-math.inf, 0.0))
    return GradientReach(math.exp(min(rate, 700.0)), horizon, int(steps.max()))


def _saturation(task: Task, batch: Any) -> Saturation:
    uses = gates(task, batch)
    outputs = {s.layer: s for s in reversed(uses.states)}  # a layer's first state
    stuck = {f"gate {g.name} of {g.layer}": (g.unit_low + g.unit_high).mean() for g in uses.gates}
    stuck = stuck or {
        f"state {s.name} of {s.layer}": s.saturated.nan_to_num().mean() for s in outputs.values()
    }
    where = max(stuck, key=lambda name: float(stuck[name]))
    dead = max(float(s.dead.float().mean()) for s in outputs.values())
    return Saturation(float(stuck[where]), where, dead)


def _truncation(task: Task, config: Config, batch: Any) -> tuple[float | None, int | None]:
    used = cut(config)
    if used is None:
        return None, None
    lengths = [used * 2**i for i in range(batch.steps.bit_length()) if used * 2**i <= batch.steps]
    try:
        bias = truncation_bias(task, batch, k2=lengths or [batch.steps])
    except ConfigError:  # the full gradient is 0 or not finite, so there is no bias
        return None, None
    at = bias.k2.tolist()
    return float(bias.bias[at.index(used)]) if used in at else 0.0, bias.smallest(bias=0.1)


def _gradient(task: Task, config: Config, window: BatchWindow) -> list[nn.Parameter]:
    """The parameters of a task's network, with the gradient of a window."""
    task.network.zero_grad()
    terms = window.terms if config.train.loss == "mean" else window.batch.rows
    (window.loss(task) / terms).backward()  # type: ignore[no-untyped-call]
    return [p for p in task.network.parameters() if p.grad is not None]


def _norms(task: Task, config: Config) -> tuple[float, ...]:
    norms = []
    for window in islice(windows(task, config), NORMS):
        grads = [p.grad for p in _gradient(task, config, window) if p.grad is not None]
        norms.append(float(nn.utils.get_total_norm(grads)))
    task.network.zero_grad()
    return tuple(norms)


def _ratio(task: Task, config: Config, batch: Any) -> float:
    """The relative size of the first update; it changes the network."""
    window = BatchWindow(batch, 0, min(batch.steps, cut(config) or batch.steps))
    parameters = _gradient(task, config, window)
    matrices = [p for p in parameters if p.dim() > 1]
    before = [p.detach().clone() for p in matrices]
    parts.clip(config.train)(parameters)
    parts.optimizer(config.train, parameters).step()
    with torch.no_grad():
        moved = [(p - b).norm() / b.norm() for p, b in zip(matrices, before, strict=True)]
    return float(torch.stack(moved).nan_to_num(0.0).median())


def _begun(task: Task, config: Config) -> float:
    """The mean loss of a few windows."""
    with evaluating(task.network):
        some = [(float(w.loss(task)), w.terms) for w in islice(windows(task, config), BEGUN)]
    return sum(loss for loss, _ in some) / max(1, sum(terms for _, terms in some))


def _scale(task: Task, batch: Any) -> float:
    first = record_activations(task, batch).tracks[0].calls[0]
    return float(first.x.square().mean().sqrt())
