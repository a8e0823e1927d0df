"""Asks of the sandbox: a probe of a recurrence that has not learned yet, and training."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from elman._errors import ConfigError
from elman.lab._lesson import Ask
from elman.lab._live import Live
from elman.lab._protocol import Event, thinned
from elman.lab._runs import folder_of
from elman.lab._sandbox_settings import (
    FEEDFORWARD,
    ProbeSettings,
    RecurrenceSettings,
    StepSettings,
    TrainSettings,
    command,
    config_of,
    config_tree,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from elman.cells import Cell
    from elman.inspection import Flow, Recording
    from elman.lab._asks import Place
    from elman.layers import Recurrent
    from elman.tasks import Task
    from elman.training import Config

ROWS = 16
"""Rows of noise that a probe runs on."""
UNITS = 32
"""Units whose states are shown."""
VANISHES, EXPLODES = 1e-2, 1e2
"""Ratios of the gradient at the first step to that at the last, beyond which it has a name."""
SCALE = 0.1
"""Size of the noise: so small that tanh is almost linear at first."""

Result = TypeVar("Result")
Report: TypeAlias = Callable[[Event], None]
"""Called with each event."""

OWN_RUN = re.compile(r"lab-\d+")
"""Runs of the sandbox, which alone it continues."""


def asks(place: Place) -> tuple[Ask, ...]:
    """The asks of the sandbox."""
    return (
        Ask("sandbox.probe", ProbeSettings, partial(probe, place=place)),
        Ask("sandbox.train", TrainSettings, partial(train, place=place)),
        Ask("sandbox.step", StepSettings, partial(step, place=place)),
    )


def cell_of(reference: str, place: Place) -> type[Cell]:
    """The class of a cell; that of the lab's own file is executed, again if it has changed.

    Raises:
        ConfigError: there is no such cell, or the file cannot be executed.
    """
    from elman.cells import by_name, resolve

    if reference != place.cell:
        return _at("cell", lambda: by_name(reference))
    return _at("cell", lambda: resolve(reference))


def probe(settings: ProbeSettings, place: Place) -> Iterator[Event]:
    """The gradient at every step, the states, and what the gates do."""
    yield measured(settings, cell_of(settings.cell, place))


def measured(settings: ProbeSettings, kind: type[Cell]) -> Event:
    """The event "probe" of a cell.

    Its fields: ``gradient``, ||dL/dh_t|| at each step for L = ||h_T||^2, and ``gradients``, of each
    state; ``ratio`` of its first to its last; ``half_life``, in steps back, with its 95 % interval;
    ``radius``, the largest absolute eigenvalue of W_hh; ``verdict``; ``states``, of one row, by
    unit; ``gates``, the mean of each at each step.
    """
    import torch

    from elman.inspection import gradient_flow, record_activations

    torch.manual_seed(settings.seed)
    layer = _layer(settings, kind)
    x = SCALE * torch.randn(ROWS, settings.steps, 1)
    flow = gradient_flow(layer, x, lambda h: h[:, -1].square().sum())
    return {
        "event": "probe",
        **_decay(flow),
        "radius": _radius(layer),
        **_insides(record_activations(layer, x)),
    }


def _layer(settings: RecurrenceSettings, kind: type[Cell]) -> Recurrent:
    """The recurrence with its first weights.

    Raises:
        ConfigError: it cannot be built so; each line begins with the setting.
    """
    from elman.cells.options import construct, options_of
    from elman.layers import Recurrent

    chosen = {} if settings.activation is None else {"activation": settings.activation}
    if chosen and "activation" not in options_of(kind):
        raise ConfigError(f"activation: the cell {settings.cell} has no activation to choose")
    construct(kind, chosen)
    layer = Recurrent(kind(1, settings.hidden, **chosen))
    prepare(layer, settings)
    return layer


def prepare(network: nn.Module, settings: RecurrenceSettings, *, initialize: bool = True) -> None:
    """Set the first weights: by the scheme, then the factor of W_hh and the bias of the gate.

    Raises:
        ConfigError: the cell has no such gate or weights.
    """
    import torch

    from elman import init

    if initialize and settings.init != "torch":
        _at("init", lambda: init.initialize(network, settings.init))
    cells = [pair for part in network.modules() for pair in _weights(part)]
    with torch.no_grad():
        for cell, weights in cells:
            weights.hh.mul_(settings.radius)
            if settings.forget_bias is not None:
                _set_forget_bias(cell, weights, settings.forget_bias)
    if not cells and (settings.radius != 1 or settings.forget_bias is not None):
        raise ConfigError("radius: this cell has no W_hh to change: leave radius at 1")


def _weights(part: nn.Module) -> list[tuple[Any, Any]]:
    """The cells in a module with their weights, as `elman.init` finds them."""
    own = getattr(part, "gated_weights", None)
    return [] if own is None else list(own())


def _set_forget_bias(cell: Any, weights: Any, value: float) -> None:
    if cell.memory_gate is None or weights.b_ih is None:
        raise ConfigError(
            f"forget_bias: {type(cell).__name__} has no gate that keeps the state: leave it unset"
        )
    place = cell.gates.index(cell.memory_gate)
    weights.b_ih.chunk(len(cell.gates))[place].fill_(value)
    weights.b_hh.chunk(len(cell.gates))[place].zero_()


def _at(setting: str, work: Callable[[], Result]) -> Result:
    """What the work returns; an error names the setting."""
    try:
        return work()
    except ConfigError as error:
        raise ConfigError(f"{setting}: {error}") from error


def _decay(flow: Flow) -> Event:
    norm = flow.norm[0].tolist()
    value, low, high = (float(part[0]) for part in flow.half_life)
    ratio = norm[0] / norm[-1] if norm[-1] else math.nan
    verdict = (
        "vanishes" if not ratio >= VANISHES else "explodes" if not ratio <= EXPLODES else "survives"
    )
    return {
        "gradient": norm,
        "gradients": {name: state.norm[0].tolist() for name, state in flow.states.items()},
        "ratio": ratio,
        "half_life": [value, low, high],
        "verdict": verdict,
    }


def _radius(layer: nn.Module) -> float | None:
    """The largest absolute eigenvalue of the recurrent matrices."""
    import torch

    matrices: list[Tensor] = [
        block
        for part in layer.modules()
        for cell, weights in _weights(part)
        for block in weights.hh.detach().chunk(len(cell.gates))
        if block.shape[0] == block.shape[1]
    ]
    if not matrices:
        return None
    return max(float(torch.linalg.eigvals(m).abs().max()) for m in matrices)


def _insides(recording: Recording) -> Event:
    """The states of the first row, by unit, and the mean of each gate at each step."""
    track = recording.tracks[0]
    states, gates = {}, {}
    for name, values in track.activations.items():
        if values.dim() != 3:
            continue
        if name in track.cell.states:
            rounded = [[round(v, 4) for v in unit] for unit in values[:, 0, :UNITS].T.tolist()]
            states[name] = rounded
        else:
            gates[name] = values.float().mean((1, 2)).tolist()
    return {"states": states, "gates": gates}


def train(settings: TrainSettings, place: Place) -> Live:
    """A training run: the event "run", then the events of its metrics.jsonl as they are.

    After each "watch" comes a "network", what `measured` has, of the trained network on validation
    rows.
    """
    return Live(lambda report: _trained(settings, place, report))


def _trained(settings: TrainSettings, place: Place, report: Report) -> None:
    if settings.cell != FEEDFORWARD:
        cell_of(settings.cell, place)
    run_training(settings, place, settings.cell, report)


def step(settings: StepSettings, place: Place) -> Live:
    """A few updates of a training run, with the events of `train`; it ends as stopped, or done.

    A run that is continued keeps its settings, and its weights are those of a training without
    pauses, bit for bit. A pause validates, so that the best checkpoint may be one more.
    """

    def work(report: Report) -> None:
        if settings.cell != FEEDFORWARD:
            cell_of(settings.cell, place)
        if settings.run:
            continue_training(folder_of(settings.run, place), settings.by, report)
        else:
            run_training(settings, place, settings.cell, report, pause_after=settings.by)

    return Live(work)


_paused: dict[Path, Task] = {}
"""The task of the run that was paused last, whose data are read and made."""


def continue_training(path: Path, updates: int, report: Report, *, cell: str | None = None) -> None:
    """Train a run of the sandbox for a few more updates.

    Args:
        path: its folder.
        updates: how many.
        report: called with each event.
        cell: the reference of the cell that it must have, any if None.

    Raises:
        ConfigError: it is another run, has another cell, or is at its end.
    """
    from elman.tasks import by_name
    from elman.training import Run, config_of, fit

    if not OWN_RUN.fullmatch(path.name):
        raise ConfigError(
            f"run: only runs of the sandbox, lab-N, are continued here, got {path.name}: use "
            f"elman train --resume {path}"
        )
    run = Run.open(path)
    config = config_of(run)
    if cell not in (None, getattr(config.model, "cell", FEEDFORWARD)):
        raise ConfigError(f"run: {path.name} began with another cell: train anew with this one")
    if run.load("last").progress["update"] >= (config.train.max_steps or math.inf):
        raise ConfigError(f"run: {path.name} has made all its updates: train again, with more")
    task = _paused.pop(path, None) or by_name(config.task).restore(path, config.data, config.model)
    report({"event": "run", "run": path.name, "command": None})
    _keep(path, task)
    fit(
        task,
        config.train,
        run,
        resume=True,
        pause_after=updates,
        report=_watching(task, config, report),
    )


def _keep(path: Path, task: Task) -> None:
    """Keep the task for the next step, and no other."""
    _paused.clear()
    _paused[path] = task


def _watching(task: Task, config: Config, report: Report) -> Callable[[dict[str, Any]], None]:
    """Reports a training's events, and after each "watch" what the network does now."""
    recurrent = getattr(config.model, "cell", FEEDFORWARD) != FEEDFORWARD

    def reported(event: dict[str, Any]) -> None:
        report(thinned(event))
        if event["event"] == "watch" and recurrent:
            report(thinned({**_network(task), "update": event["update"]}))

    return reported


def _network(task: Task) -> Event:
    """The event "network": what `measured` has but its radius, of a task on validation rows."""
    from elman.inspection import gradient_flow, record_activations

    batch = task.excerpt(ROWS).batch
    flow = gradient_flow(task, batch)
    return {"event": "network", **_decay(flow), **_insides(record_activations(task, batch))}


def run_training(
    settings: TrainSettings,
    place: Place,
    cell: str,
    report: Report,
    *,
    pause_after: int | None = None,
) -> None:
    """Train in the next folder runs/lab-N.

    Args:
        settings: what to train.
        place: where the folder is.
        cell: the reference of the cell, whose class this process has.
        report: called with each event.
        pause_after: updates after which it pauses.

    Raises:
        ConfigError: a setting that the task refuses, at that setting.
        Interrupted: it was stopped, and saved.
        Diverged, DataError: from training.
    """
    from elman import cells
    from elman.tasks import by_name
    from elman.training import Run, cell_file, fit, require_memory

    tree = config_tree(settings, cell)
    config = config_of(settings, tree)
    if cell != FEEDFORWARD:
        _layer(settings, cells.by_name(cell))
    require_memory(config, training=True)
    run = Run.create_next(place.directory, "lab", config.toml())
    adjusted = settings.radius != 1 or settings.forget_bias is not None
    report({"event": "run", "run": run.path.name, "command": command(settings, tree)})
    try:
        cell_file.save(run.path, config.model)
        task = by_name(config.task).prepare(config.data, config.model, run.path)
        if adjusted:
            _adjust_first(task, settings)
        if pause_after is not None:
            _keep(run.path, task)
        reported = _watching(task, config, report)
        fit(task, config.train, run, pause_after=pause_after, report=reported)
    finally:
        if not run.begun:
            _remove(run.path)


def _remove(path: Path) -> None:
    """Remove the folder of a run that trained nothing."""
    import shutil

    shutil.rmtree(path, ignore_errors=True)


def _adjust_first(task: Any, settings: TrainSettings) -> None:
    """Have the task build its network with the first weights that the settings ask for."""
    build = task.build

    def built() -> nn.Module:
        network: nn.Module = build()
        prepare(network, settings, initialize=False)
        return network

    task.build = built
