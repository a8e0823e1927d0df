"""What the doctor measures on a run: its own first weights, its last ones, and what it logged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from elman._errors import ConfigError
from elman.diagnose import Bad, first_bad, gates, gradient_flow, truncation_bias
from elman.diagnose._look import calls_of
from elman.metrics import leading
from elman.tasks import Part, by_name
from elman.tasks._base import Metrics, NamedTask, evaluating
from elman.train import Config, Run, TrainConfig, config_class, load
from elman.train import _parts as parts

STEPS = 128
"""Of batches that are cut in time, so many steps are looked at, or four windows if that is more."""

BATCHES = 64
"""So many batches of training data are searched for values that are not finite."""

NORMS = 16
"""Where a run was not watched, the gradients' norms are measured on so many batches."""


class Reach(NamedTuple):
    """How the gradient of each row's last loss changes on its way back through time.

    Of the layer and the state in which it falls least, among layers of long sequences.

    Attributes:
        growth: the factor of its norm for a step back: above 1 it explodes, below it vanishes.
        horizon: how many steps back it first is below 1 %; inf if it never is.
        steps: how many there are.
    """

    growth: float
    horizon: float
    steps: int


class Use(NamedTuple):
    """How gates and states are used.

    Attributes:
        stuck: the share of values below 0.1 or above 0.9, of the gate of which it is largest; of a
            cell without gates that of its state's beyond 0.9 in size.
        where: which gate or state that is.
        dead: the share of units of a layer whose output is 0 throughout.
    """

    stuck: float
    where: str
    dead: float


@dataclass(frozen=True)
class Measures:
    """All that findings are made of.

    Attributes:
        config: the run's.
        events: the lines of its metrics.jsonl.
        bad: where the first value that is not finite arises, on the last checkpoint and the
            training data; None if nowhere.
        bad_rows: the rows of the training data it arises in, where that can be told.
        broke: where the first value that is not finite arose when the run diverged, if it did, in
            words.
        first: `Reach` of the weights that the run began with.
        last: the same of its last checkpoint.
        first_use, last_use: `Use` of the same two.
        clipped: the share of updates that clipping changed.
        norms: norms of gradients before clipping.
        ratio: how far the first update moves the weight matrices: the median of norm of the change
            over norm of the matrix, at the configured rate.
        bias: of truncated backpropagation, on the first weights or the last, where it is smaller;
            None where nothing is cut.
        enough: the smallest truncation measured whose bias is at most a tenth.
        scale: root mean square of what enters the first recurrent layer.
        losses: (first, lowest, last) of the training loss, as logged.
        margin: validation score against the best simple baseline's, 0 if equal, above 0 if worse;
            None if the run did not end or has no baseline.
        gain: the same against the weakest of them.
    """

    config: Config
    events: Sequence[Mapping[str, Any]]
    bad: Bad | None
    bad_rows: tuple[int, ...]
    broke: str | None
    first: Reach
    last: Reach
    first_use: Use
    last_use: Use
    clipped: float | None
    norms: tuple[float, ...]
    ratio: float
    bias: float | None
    enough: int | None
    scale: float
    losses: tuple[float, float, float] | None
    margin: float | None
    gain: float | None

    @property
    def steps(self) -> int:
        """How many steps a gradient can go back in training."""
        return min(_cut(self.config) or self.first.steps, self.first.steps)

    @property
    def watched(self) -> bool:
        return any(event["event"] == "watch" for event in self.events)

    @property
    def diverged(self) -> bool:
        return any(event["event"] == "diverged" for event in self.events)


class Head:
    """The first steps of a batch."""

    def __init__(self, batch: Any, steps: int) -> None:
        self._batch, self.steps = batch, steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)


def kind_of(run: Run, kind: type[NamedTask] | None) -> type[NamedTask]:
    """The class of a run's task: one's own, or that which its configuration names."""
    found = kind or by_name(str(run.config.get("task", "")))
    assert issubclass(found, NamedTask)
    return found


def measure(path: Path, kind: type[NamedTask] | None = None) -> Measures:
    """Measure a run; nothing of it is changed.

    Raises:
        CheckpointError: it is no run folder, or has no checkpoint.
        ConfigError: its network has no recurrent layer.
    """
    run = Run.open(path)
    config = config_class(str(run.config.get("task", ""))).parse(run.config)
    run.load("last")  # a run without one is said to be that, before its data are read
    restored = kind_of(run, kind).restore(run.path, config.data, config.model)
    task: NamedTask = load(path, "last", task=restored)
    task.seed = config.train.seed
    events = run.events()
    good, (bad, rows) = _search(task, run.load("last").progress["epoch"])
    with torch.random.fork_rng():
        last, last_use = _seen(task, config, good)
        cut = _truncation(task, config, good)
        norms = _norms(task, config) if bad is None else ()
        device = task.device
        torch.manual_seed(config.train.seed)
        task.network = task.build().to(device).eval()  # what the run began with
        first, first_use = _seen(task, config, good)
        bias, enough = min(cut, _truncation(task, config, good), key=lambda found: found[0] or 0)
        scale = _scale(task, _head(good, config))
        ratio = _ratio(task, config, _head(good, config))
    clipped, logged = _of_updates(events)
    return Measures(
        config, events, bad, rows, _broke(events), first, last, first_use, last_use, clipped,
        logged or norms, ratio, bias, enough, scale, _losses(events, task.unit),
        *_margins(task, events),
    )  # fmt: skip


def _seen(task: NamedTask, config: Config, batch: Any) -> tuple[Reach, Use]:
    head = _head(batch, config)
    flow = gradient_flow(task, head)
    steps = flow.active.any(2).sum(1)
    # A layer over the letters of a word says nothing of how far a sentence is seen.
    long = 2 * steps >= steps.max()
    each: list[tuple[float, float]] = []
    for norms in flow.states.values():
        rates, horizons = norms.decay_rate.value[long], norms.horizon().value[long]
        each += zip(rates.tolist(), horizons.tolist(), strict=True)
    known = [(-rate, horizon) for rate, horizon in each if not math.isnan(rate)]
    rate, horizon = max(known, default=(-math.inf, 0.0))
    return Reach(math.exp(min(rate, 700.0)), horizon, int(steps.max())), _use(task, head)


def _use(task: NamedTask, batch: Any) -> Use:
    found = gates(task, batch)
    outputs = {s.layer: s for s in reversed(found.states)}  # a layer's first state
    stuck = {f"gate {g.name} of {g.layer}": (g.unit_low + g.unit_high).mean() for g in found.gates}
    stuck = stuck or {
        f"state {s.name} of {s.layer}": s.saturated.nan_to_num().mean() for s in outputs.values()
    }
    where = max(stuck, key=lambda name: float(stuck[name]))
    dead = max(float(s.dead.float().mean()) for s in outputs.values())
    return Use(float(stuck[where]), where, dead)


def _head(batch: Any, config: Config) -> Any:
    """The batch itself, or as much of its time as is worth looking at."""
    wanted = max(STEPS, 4 * (_cut(config) or 0))
    return Head(batch, wanted) if batch.steps > wanted else batch


def _cut(config: Config) -> int | None:
    """The steps that truncation lets a gradient go back; None if there is none."""
    train = config.train
    if not isinstance(train, TrainConfig) or train.bptt != "truncated":
        return None
    return train.k2 or train.k1


def _search(task: NamedTask, epoch: int) -> tuple[Any, tuple[Bad | None, tuple[int, ...]]]:
    """A batch whose loss is finite, and where the first is that is not."""
    good, found = None, None
    for batch in islice(task.batches("train", epoch), BATCHES):
        with evaluating(task.network):
            finite = bool(task.loss(batch, 0, batch.steps, None)[0].isfinite())
        if finite:
            good = good or batch
        elif found is None:
            found = first_bad(task, batch), _rows(task, batch)
        if good and found:
            break
    if good is None:
        raise ConfigError("expected a batch of training data whose loss is finite, found none")
    return good, found or (None, ())


def _rows(task: NamedTask, batch: Any) -> tuple[int, ...]:
    """Which rows of the data the loss of a batch of them is not finite for."""
    if not isinstance(batch, Part):
        return ()
    alone = [replace(batch, indices=batch.indices[i : i + 1]) for i in range(batch.rows)]
    with evaluating(task.network):
        wrong = [p for p in alone if not bool(task.criterion(p).isfinite())]  # type: ignore[attr-defined]
    return tuple(int(part.indices) for part in wrong)


def _truncation(task: NamedTask, config: Config, batch: Any) -> tuple[float | None, int | None]:
    used = _cut(config)
    if used is None:
        return None, None
    head = _head(batch, config)
    lengths = sorted({used, *(2**i for i in range(head.steps.bit_length()))})
    try:
        found = truncation_bias(task, head, k2=[k for k in lengths if k <= head.steps])
    except ConfigError:  # the full gradient is 0, or not finite: nothing to compare with
        return None, None
    at = found.k2.tolist()
    bias = float(found.bias[at.index(used)]) if used in at else 0.0
    return bias, found.smallest(bias=0.1)


def _gradient(task: NamedTask, config: Config, batch: Any) -> list[nn.Parameter]:
    """The parameters of a task's network, with the gradient of a window of a batch."""
    steps = min(batch.steps, getattr(config.train, "k1", batch.steps))
    task.network.zero_grad()
    loss, _ = task.loss(batch, 0, steps, None)
    terms = batch.count(0, steps) if config.train.loss == "mean" else batch.rows
    (loss / max(1, terms)).backward()
    return [p for p in task.network.parameters() if p.grad is not None]


def _norms(task: NamedTask, config: Config) -> tuple[float, ...]:
    found = []
    for batch in islice(task.batches("train"), NORMS):
        grads = [p.grad for p in _gradient(task, config, batch) if p.grad is not None]
        found.append(float(nn.utils.get_total_norm(grads)))
    task.network.zero_grad()
    return tuple(found)


def _ratio(task: NamedTask, config: Config, batch: Any) -> float:
    parameters = _gradient(task, config, batch)
    matrices = [p for p in parameters if p.dim() > 1]
    before = [p.detach().clone() for p in matrices]
    parts.clip(config.train)(parameters)
    parts.optimizer(config.train, parameters).step()
    with torch.no_grad():
        moved = [(p - b).norm() / b.norm() for p, b in zip(matrices, before, strict=True)]
    return float(torch.stack(moved).nan_to_num(0.0).median())


def _scale(task: NamedTask, batch: Any) -> float:
    first = next(iter(calls_of(task, batch).values()))[0].x
    return float(first.square().mean().sqrt())


def _of_updates(events: Sequence[Mapping[str, Any]]) -> tuple[float | None, tuple[float, ...]]:
    """The share of updates that were clipped, and the norms, as far as they were written."""
    logged = [e for e in events if e["event"] == "train"]
    watched = [e for e in events if e["event"] == "watch"]
    norms = tuple(n for e in watched for n in e["norms"] if n is not None)
    if logged:
        return sum(e["clipped"] for e in logged) / len(logged), norms
    if watched:
        whole = sum(e["clipped"] * len(e["norms"]) for e in watched)
        return whole / max(1, sum(len(e["norms"]) for e in watched)), norms
    return None, norms


def _broke(events: Sequence[Mapping[str, Any]]) -> str | None:
    """Where the run broke, as training found it."""
    found = next((e.get("first_bad") for e in reversed(events) if e["event"] == "diverged"), None)
    if found is None:
        return None
    lists = {key: tuple(value) for key, value in found.items() if isinstance(value, list)}
    return str(Bad(**{**found, **lists}))


def _losses(events: Sequence[Mapping[str, Any]], unit: str) -> tuple[float, float, float] | None:
    logged = [e[unit] for e in events if e["event"] == "train" and e.get(unit) is not None]
    return (logged[0], min(logged), logged[-1]) if logged else None


def _margins(
    task: NamedTask, events: Sequence[Mapping[str, Any]]
) -> tuple[float | None, float | None]:
    """Against the best and against the weakest baseline."""
    end = next((e for e in reversed(events) if e["event"] == "end"), None)
    if end is None or "valid" not in end["metrics"]:
        return None, None
    models = [of["valid"] for of in end["baselines"].values() if of.get("valid")]
    if not models:
        return None, None
    own, *simple = _scores(task, [end["metrics"]["valid"], *models])
    best, weakest = ((own - s) / max(abs(s), 1e-9) for s in (min(simple), max(simple)))
    return best, weakest


def _scores(task: NamedTask, measured: Sequence[Metrics]) -> list[float]:
    """Lower is better: the task's score, or the leading measure where a model has no other."""
    try:
        return [task.score(metrics) for metrics in measured]
    except KeyError:
        name, higher = leading(measured[0])
        return [-metrics[name] if higher else metrics[name] for metrics in measured]
