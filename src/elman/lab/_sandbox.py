"""Asks of the sandbox: a probe of a recurrence that has not learned yet, and training."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from elman._errors import ConfigError
from elman.lab._lesson import Ask
from elman.lab._live import Live
from elman.lab._protocol import Event, thinned
from elman.lab._runs import folder_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from elman.cells import Cell
    from elman.inspection import Flow, Recording
    from elman.lab._asks import Place
    from elman.layers import Recurrent
    from elman.tasks import Task
    from elman.training import Config

FEEDFORWARD = "feedforward"
"""In the place of a cell: a network without recurrence."""
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

Activation = Literal["tanh", "relu", "identity", "sigmoid", "gelu"]
Init = Literal["torch", "orthogonal", "identity", "glorot", "forget_bias", "chrono"]


class RecurrenceSettings(BaseModel):
    """What probe and training have in common."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    cell: str = Field("elman", max_length=300, description="name of a cell, or the lab's own")
    activation: Activation | None = Field(
        None, description="of a cell that lets one choose it; tanh if unset"
    )
    init: Init = Field("torch", description="initialization scheme, see elman.init")
    radius: float = Field(
        1.0, gt=0, le=4, description="factor of W_hh at the start: its radius, if orthogonal"
    )
    forget_bias: float | None = Field(
        None, ge=-10, le=10, description="bias of the gate that keeps the state; as init if unset"
    )
    hidden: int = Field(32, ge=1, le=256, description="hidden units")
    seed: int = Field(0, ge=0, lt=2**31, description="random seed")


class ProbeSettings(RecurrenceSettings):
    """A recurrence over noise."""

    init: Init = Field("orthogonal", description="initialization scheme, see elman.init")
    steps: int = Field(50, ge=2, le=256, description="time steps")


class DataChoice(NamedTuple):
    """Where a choice of data comes from: the task, and the name of the data set."""

    task: str
    name: str


SOURCES = {
    "adding": DataChoice("regress", "adding"),
    "parity": DataChoice("classify", "parity"),
    "recall": DataChoice("classify", "recall"),
    "echo": DataChoice("tag", "delayed-echo"),
    "copy": DataChoice("tag", "copy-memory"),
    "digits": DataChoice("classify", "digits"),
}
"""Data that need no file. ``recall`` is "I grew up in France"."""
FILES = {"numbers": "regress", "labels": "classify", "text": "language"}
"""The task for the user's own file: a table with a number or a label, or a text."""
Data = Literal["adding", "parity", "recall", "echo", "copy", "digits", "numbers", "labels", "text"]


class TrainSettings(RecurrenceSettings):
    """A training run, which goes into runs/lab-N as one of `elman train` does."""

    data: Data = "adding"
    file: str = Field("", max_length=1000, description="numbers, labels, text: path of the file")
    layers: int = Field(1, ge=1, le=4, description="recurrent layers")
    steps: int = Field(30, ge=1, le=400, description="length of generated sequences")
    rows: int = Field(6000, ge=30, le=20_000, description="rows of generated data")
    batch: int = Field(32, ge=1, le=128, description="batch size")
    updates: int = Field(900, ge=1, le=20_000, description="updates")
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(0.01, gt=0, le=1000, description="learning rate")
    clip: Literal["norm", "value", "adaptive", "none"] = "norm"
    clip_limit: float = Field(1.0, gt=0, le=1e6, description="clipping threshold")
    k1: int = Field(32, ge=1, le=400, description="text: steps between backward passes")
    k2: int | None = Field(
        None, ge=1, le=400, description="text: steps that the gradient flows back; k1 if unset"
    )
    baselines: bool = Field(
        False, description="score the baselines at the end, which takes a while"
    )


class StepSettings(TrainSettings):
    """A few updates of a training run: the first ones, or the next ones of a paused run."""

    run: str = Field("", max_length=300, description="run to continue; a new one if empty")
    by: int = Field(1, ge=1, le=1000, description="updates")


OWN_RUN = re.compile(r"lab-\d+")
"""Runs of the sandbox, which alone it continues."""

KEYS = {
    "model.cell": "cell",
    "model.activation": "activation",
    "model.init": "init",
    "model.hidden": "hidden",
    "model.layers": "layers",
    "data.train": "file",
    "data.name": "data",
    "data.steps": "steps",
    "data.rows": "rows",
    "data.batch": "batch",
    "train.max_steps": "updates",
    "train.optimizer": "optimizer",
    "train.lr": "lr",
    "train.clip": "clip",
    "train.clip_limit": "clip_limit",
    "train.k1": "k1",
    "train.k2": "k2",
    "train.seed": "seed",
    "model": "cell",
}
"""Keys of a run's configuration, and the settings that they come from."""


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

    A run that is continued keeps its settings; the result is that of a training without pauses, bit
    for bit.
    """

    def work(report: Report) -> None:
        if settings.cell != FEEDFORWARD:
            cell_of(settings.cell, place)
        if settings.run:
            _continue(folder_of(settings.run, place), settings.by, report)
        else:
            run_training(settings, place, settings.cell, report, pause_after=settings.by)

    return Live(work)


_paused: dict[Path, Task] = {}
"""The task of the run that was paused last, whose data are read and made."""


def _continue(path: Path, updates: int, report: Report) -> None:
    """Train a run of the sandbox for a few more updates.

    Raises:
        ConfigError: it is another run, or at its end.
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
    config = _config(settings, tree)
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


def config_tree(settings: TrainSettings, cell: str) -> dict[str, dict[str, Any]]:
    """The configuration of the run, section by section, without what is unset."""
    task, data = _data(settings)
    model: dict[str, Any] = {"cell": cell, "hidden": settings.hidden, "layers": settings.layers}
    if settings.activation is not None:
        model["activation"] = settings.activation
    if settings.init != "torch":
        model["init"] = settings.init
    plain = {"bidirectional": False, "dropout": 0.0}
    if task == "classify":
        model |= {**plain, "pool": "last"}
    if task == "tag":
        model |= {**plain, "characters": 0}
    updates = settings.updates
    train: dict[str, Any] = {
        "max_steps": updates,
        "optimizer": settings.optimizer,
        "lr": settings.lr,
        "schedule": "constant",
        "clip": settings.clip,
        "clip_limit": settings.clip_limit,
        "seed": settings.seed,
        "log_every": max(1, updates // 40),
        "validate_every": max(1, updates // 10),
        "watch": True,
        "watch_every": max(1, updates // 16),
        "baselines": settings.baselines,
    }
    if task == "language":
        train["k1"] = settings.k1
        if settings.k2 is not None:
            train["k2"] = settings.k2
    return {"data": data, "model": model, "train": train}


def _data(settings: TrainSettings) -> tuple[str, dict[str, Any]]:
    """The task and the section of its data.

    Raises:
        ConfigError: a file is missing.
    """
    if settings.data in SOURCES:
        task, name = SOURCES[settings.data]
        data: dict[str, Any] = {"name": name, "batch": settings.batch, "seed": settings.seed}
        if settings.data != "digits":
            data |= {"steps": settings.steps, "rows": settings.rows}
        return task, data
    if not settings.file:
        raise ConfigError(f"file: expected the path of a file for data = {settings.data}, got none")
    task = FILES[settings.data]
    batch = "lanes" if task == "language" else "batch"
    return task, {"train": [settings.file], batch: settings.batch}


def _config(settings: TrainSettings, tree: dict[str, dict[str, Any]]) -> Config:
    """The configuration.

    Raises:
        ConfigError: each line begins with the setting that is wrong.
    """
    from elman.training import config_class

    task, _ = _data(settings)
    try:
        return config_class(task).parse(tree)
    except ConfigError as error:
        lines, fields = [], TrainSettings.model_fields
        for line in str(error).splitlines():
            key, _, message = line.partition(": ")
            name = KEYS.get(key) or next((w for w in message.split() if w in fields), None)
            lines.append(f"{name}: {message}" if name else line)
        raise ConfigError("\n".join(lines)) from error


def command(settings: TrainSettings, tree: dict[str, dict[str, Any]]) -> str | None:
    """The command that trains the same, where one does: it cannot change first weights."""
    if settings.radius != 1 or settings.forget_bias is not None:
        return None
    task, _ = _data(settings)
    words = ["elman", "train", task]
    for section, values in tree.items():
        for key, value in values.items():
            match value:
                case bool():
                    words.append(f"--{section}.{'' if value else 'no-'}{key}")
                case list():
                    words += [*value]
                case _:
                    words += [f"--{section}.{key}", str(value)]
    return shlex.join(words)
