"""Measures a trained model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch

from elman import pictures
from elman._errors import ConfigError
from elman.inspection import (
    Estimate,
    Flow,
    Norms,
    Track,
    gradient_flow,
    lyapunov,
    record,
    record_activations,
    spectrum,
)
from elman.reporting._figures import figures as drawings
from elman.reporting._measures import (
    MEASURES_FILE,
    Curve,
    Exponents,
    Jacobians,
    LayerMeasures,
    Measures,
    ReportTable,
    Three,
)
from elman.tasks import LanguageModel, Supervised, Table, Task
from elman.training import load

Stage: TypeAlias = Callable[[str], object]
"""Called with the name of each stage."""

ROWS = 16
"""Rows of the batch that gradients are measured on."""
JACOBIAN_ROWS = 2
LOSS_STEPS = 12
JACOBIANS = 32
"""Number of evenly spaced steps whose Jacobians are decomposed."""
EXPONENTS = 12
WORDS = 32
"""Steps of a map of a validation row."""
UNITS = 24
"""Units of a map; more would be too thin on a phone."""
NEXT = 10
BEGINNING = 8
"""Words of the validation text whose next word is predicted, if no text is passed."""
FRACTION = 0.01
SAMPLES, LIKELIEST = 8, 3
"""Places of the validation text whose next word is predicted, and words that are shown there."""


def _ignore(_: str) -> None:
    """Report nothing."""


def measure(
    path: Path | str,
    text: str | None = None,
    *,
    which: str = "best",
    task: Task | None = None,
    figures: bool = True,
    stage: Stage = _ignore,
) -> Measures:
    """Measure a trained model, and save the measures in its run folder.

    Gradients are those of the task's own loss on validation rows; gates are recorded on a text or
    on the first of these rows.

    Args:
        path: the run folder.
        text: a text to record the gates on, for tasks that read text.
        which: the checkpoint, "best" or "last".
        task: your own task, for a run of `elman.training.fit`.
        figures: whether to draw the figures, too; `report` draws its own.
        stage: called with the name of each stage, since measuring takes some seconds.

    Raises:
        CheckpointError: no such run or checkpoint.
        ConfigError: the task does not read text, or its network has no recurrent layer.

    Example:
        >>> import tempfile
        >>> from elman.training import config_class, train
        >>> data = {"name": "adding", "rows": 40, "steps": 12}
        >>> tree = {"data": data, "model": {"hidden": 4}, "train": {"max_steps": 1}}
        >>> run = train(config_class("regress").parse(tree), Path(tempfile.mkdtemp(), "a")).run
        >>> measures = measure(run.path)
        >>> measures.steps, measures.layers[0].cell, list(measures.layers[0].gradient)
        (12, 'GRU', ['h'])
        >>> measures == Measures.load(run.path)
        True
    """
    path = Path(path)
    stage("loading the run")
    task = load(path, which, task=task)
    task.network.eval()
    stage("measuring gradients")
    flow = _flow(task)
    stage("measuring Jacobians, Lyapunov exponents and gates")
    measures = Measures(
        task=task.name,
        checkpoint=which,
        rows=flow.per_row.shape[2],
        steps=flow.norm.shape[1],
        loss_steps=list(flow.loss_steps),
        text=text,
        layers=_layers(task, flow, text),
    )
    stage("predicting")
    predictions = task.predict(_split(task))
    measures.tables = _tables(task, predictions, text)
    stage("drawing plots")
    _draw(task, predictions, measures, path, figures=figures)
    measures.save(path)
    return measures


def _flow(task: Task) -> Flow:
    """The gradient flow, with the contributions of evenly spaced loss steps."""
    batch = task.excerpt(ROWS).batch
    with torch.no_grad():
        steps = len(record(task, batch).tracks[-1])
    return gradient_flow(task, batch, loss_steps=_evenly(steps, LOSS_STEPS))


def _evenly(count: int, most: int) -> list[int]:
    """At most ``most`` evenly spaced indices below ``count``, including the last.

    >>> _evenly(10, 4), _evenly(3, 4)
    ([0, 3, 6, 9], [0, 1, 2])
    """
    return sorted({round(i) for i in torch.linspace(0, count - 1, min(count, most)).tolist()})


def _layers(task: Task, flow: Flow, text: str | None) -> list[LayerMeasures]:
    batch = task.excerpt(JACOBIAN_ROWS).batch
    with torch.no_grad():
        tracks = record(task, batch).tracks
    excerpt = task.excerpt(1, text)
    mapped = record_activations(task, excerpt.batch).layers()
    layers = []
    for number, track in enumerate(tracks):
        first = track.cell.states[0]
        layer = LayerMeasures(
            name=flow.layers[number],
            cell=type(track.cell).__name__,
            gradient={n: _curve(s, number) for n, s in flow.states.items() if s.norm[number].any()},
            contribution=flow.states[first].contribution[number].tolist(),
        )
        for name, of in (("jacobian", _jacobian), ("lyapunov", _lyapunov)):
            try:
                setattr(layer, name, of(task, batch, number, track))
            except ConfigError as error:
                layer.left_out[name] = str(error)
        read = [words for name, words in excerpt.first.items() if layer.name.startswith(name)]
        if read or not excerpt.first:  # layers that read something else, such as letters: no map
            layer.words = [*next(iter(read), [])][: WORDS if text is None else None]
            if layer.name in mapped:
                _maps(layer, mapped[layer.name])
        layers.append(layer)
    return layers


def _curve(norms: Norms, layer: int) -> Curve:
    half, horizon = norms.half_life, norms.horizon(FRACTION)
    return Curve(
        fall=norms.fall(layer).tolist(),
        half_life=_three(half, layer),
        horizon=_three(horizon, layer),
    )


def _three(estimate: Estimate, layer: int) -> Three:
    value, low, high = (float(part[layer]) for part in estimate)
    return value, low, high


def _jacobian(task: Task, batch: Any, layer: int, track: Track) -> Jacobians:
    after = list(track.order)[1:]
    times = [after[i] for i in _evenly(len(after), JACOBIANS)] if after else None
    sizes = spectrum(task, batch, times=times, state="all", layer=layer, probes=8)
    return Jacobians(
        times=list(sizes.times),
        step_norm=sizes.step_norm.value.mean(1).tolist(),
        step_radius=sizes.step_radius.value.mean(1).tolist(),
        norm=sizes.norm.value.mean(1).tolist(),
    )


def _lyapunov(task: Task, batch: Any, layer: int, track: Track) -> Exponents:
    k = min(EXPONENTS, sum(track.cell.state_sizes))
    estimate = lyapunov(task, batch, k, layer=layer)
    return Exponents(value=estimate.exponents.tolist(), interval=estimate.interval.tolist())


def _maps(layer: LayerMeasures, track: Track) -> None:
    """Record the gates and states of a layer for the units that change most."""
    states, steps = track.cell.states, len(layer.words) or None
    values = {
        name: each[:steps, 0].float() for name, each in track.activations.items() if each.dim() == 3
    }
    whole = values[states[0]]
    order = whole.std(0, correction=0).argsort(descending=True, stable=True)
    units = order[:UNITS].sort().values
    layer.units = units.tolist()
    for name, each in values.items():
        if each.shape[1] == whole.shape[1]:
            layer.maps[name] = [[round(v, 4) for v in step] for step in each[:, units].tolist()]
    layer.gates = [
        name
        for name in layer.maps
        if name not in states and bool(((values[name] >= 0) & (values[name] <= 1)).all())
    ]


def _tables(task: Task, predictions: Any, text: str | None) -> list[ReportTable]:
    tables = list(task.tables(predictions))
    if samples := task.samples(predictions):
        tables.insert(0, samples)
    match task:
        case LanguageModel():
            tables.insert(0, _next_words(task))
            prompt = text or _beginning(task)
            likely = task.next_words(prompt, NEXT)
            tables.insert(0, Table(f"{prompt} ...", ["next", "probability"], likely))
        case Supervised() if text is not None:
            (answer,) = task.answers([task.row_of(text)])
            rows = [[name, _short(value)] for name, value in answer.items()]
            tables.insert(0, Table("prediction for the text", ["", ""], rows))
    return [
        ReportTable(
            title=t.title,
            columns=list(t.columns),
            rows=[list(row) for row in t.rows],
            by_length=t.by_length,
        )
        for t in tables
    ]


def _next_words(task: LanguageModel) -> Table:
    """The likeliest words after some places of the validation text, beside the true one."""
    read = task.excerpt(1).first[""]
    cells: list[list[str | float | int]] = []
    for end in range(BEGINNING, len(read), BEGINNING)[:SAMPLES]:
        prompt = _decoded(task, read[end - BEGINNING : end])
        likely = task.next_words(prompt, LIKELIEST)
        words = ", ".join(f"{word} {probability:.2g}" for word, probability in likely)
        cells.append([f"{prompt} ...", words, read[end], task.probability(prompt, read[end])])
    columns = ["input", "predictions", "target", "probability of the target"]
    return Table("samples", columns, cells)


def _decoded(task: LanguageModel, words: Sequence[str]) -> str:
    return task.vocabulary.decode(map(task.vocabulary.index, words)).strip()


def _beginning(task: LanguageModel) -> str:
    """The first words of the validation text."""
    return _decoded(task, task.excerpt(1).first[""][:BEGINNING])


def _short(value: Any) -> str | float:
    """A part of a prediction as a cell of a table.

    >>> _short({"yes": 0.75, "no": 0.25}), _short(["DET", "NOUN"])
    ('yes 0.75, no 0.25', 'DET NOUN')
    """
    match value:
        case dict():
            return ", ".join(f"{name} {_short(v)}" for name, v in value.items())
        case list() | tuple():
            return " ".join(str(_short(v)) for v in value)
        case float():
            return float(f"{value:.4g}")
    return str(value)


def _split(task: Task) -> str:
    return "test" if "test" in task.splits else task.splits[-1]


def _draw(task: Task, predictions: Any, measures: Measures, path: Path, *, figures: bool) -> None:
    if not pictures.available():
        return
    folder = path / MEASURES_FILE.parent
    if figures:
        pictures.save((figure.picture for figure in drawings({path.name: measures})), folder)
    own = [p._replace(name=f"task-{p.name}") for p in task.plots(predictions)]
    pictures.save(own, folder)
    pictures.save_dark(own, folder)
    measures.pictures = [picture.name for picture in own]
