"""The steps of trained tasks: preprocessing, network and head, so that they stand for the model."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman._errors import ConfigError
from elman.data import Rows, Vocabulary
from elman.exporting._model import (
    ExportCheck,
    Runner,
    StepModel,
    equations_of,
    frozen_copy,
    largest_difference,
)
from elman.exporting._pools import StreamingPool
from elman.tasks import (
    Classify,
    LanguageModel,
    Predictions,
    Regress,
    Series,
    Task,
    Text,
)

MOST_STEPS = 20_000
"""Steps of the validation data that exported code is checked on; fewer where rows end."""

AT_ONCE = 1 << 21
"""Outputs that are held at a time."""

LEAST = 1e-38
"""A probability below this is taken as this."""


def of_task(task: Task) -> StepModel:
    """A trained task as a step.

    Raises:
        ConfigError: the task, or its network, cannot be computed step by step.
    """
    kinds: tuple[tuple[type[Task], Callable[[Any], StepModel]], ...] = (
        (LanguageModel, _language),
        (Classify, _classify),
        (Regress, _regress),
    )
    for kind, make in kinds:
        if isinstance(task, kind):
            return make(task)
    why = _WHY_NOT.get(task.name, "export its network's layer, as elman.export(task.network...)")
    raise ConfigError(f"a run of {task.name} cannot be exported as steps: {why}")


_WHY_NOT = {
    "caption": "its decoder searches by beam; export the recurrent layer, task.network's own",
    "translate": "its encoder reads a sentence from both ends, and its decoder attends to it and "
    "searches by beam",
    "forecast": "a window is scaled by its own mean, which is known at its end",
    "tag": "the characters of each word are read from both ends",
    "music": "the notes of a chord are drawn one after the other",
    "motion": "its input are frames, and its roll-out goes on from what it said itself",
}


class _Head(nn.Module):
    """A network whose output is finished as the task finishes it."""

    def __init__(self, network: Any, finish: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.finish = network, finish

    def initial_state(self, rows: int) -> Any:
        return self.network.initial_state(rows)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        output, state = self.network.step(x, state)
        return self.finish(output), state


def _softmax(scores: Tensor) -> Tensor:
    return scores.softmax(-1)


# ---- language ----


def _language(task: LanguageModel) -> StepModel:
    step = _Head(frozen_copy(task.network), _softmax)
    vocabulary = task.vocabulary
    return StepModel(
        step,
        torch.zeros(1, dtype=torch.long),
        lambda run: _check_language(task, run),
        title="a language model: from a token to the probability of each token after it",
        notes=[*_about_tokens(vocabulary), *_about_lines(vocabulary)],
        vocabulary=vocabulary,
        equations=equations_of(step),
    )


def _about_lines(vocabulary: Vocabulary) -> list[str]:
    if vocabulary.eos is None:
        return []
    return [f"A line ends with the token {vocabulary.eos}, and a text begins with it."]


def _about_tokens(vocabulary: Vocabulary) -> list[str]:
    if vocabulary.kind in ("bpe", "unigram"):
        pieces = f"Tokens are numbers of {vocabulary.kind} pieces: "
        return [f"{pieces}a text is cut into them by the tokenizer of the run, not here."]
    cut = (
        "words, between white space, and punctuation marks"
        if vocabulary.kind == "word"
        else "characters"
    )
    return [f"Tokens are {cut}; the caller cuts a text into them."]


@torch.no_grad()
def _check_language(task: LanguageModel, run: Runner) -> ExportCheck:
    """Probabilities of the next token, and the metric, over the beginning of each lane."""
    split = "valid" if "valid" in task.splits else task.splits[-1]
    lanes, size = task.lanes(split), len(task.vocabulary)
    steps = min(lanes.steps, max(1, MOST_STEPS // lanes.lanes))
    inputs, targets = lanes.window(0, steps)
    network = task.network.eval()
    difference, nats = 0.0, np.zeros(2)
    for row in range(lanes.lanes):
        run.begin()
        state = None
        for start in range(0, steps, max(1, AT_ONCE // size)):
            part = slice(start, min(steps, start + max(1, AT_ONCE // size)))
            tokens, aims = inputs[row, part].long(), targets[row, part].long().numpy()
            hidden, state = network.hidden(tokens.unsqueeze(1).to(task.device), state)
            expected = network.output(hidden[:, 0]).double().softmax(-1).cpu().numpy()
            got = run(tokens.numpy())
            difference = float(
                np.maximum(difference, largest_difference(expected, got))
            )  # NaN stays
            for place, p in enumerate((expected, got.astype(np.float64))):
                nats[place] -= np.log(p[np.arange(len(aims)), aims].clip(LEAST)).sum()
    total = lanes.lanes * steps
    before, after = (
        task.metrics(Predictions(split, float(n) / total))[task.metric.name] for n in nats
    )
    return ExportCheck(f"{split} text", total, difference, task.metric, before, after)


# ---- one vector of a sequence ----


class _Sequence(nn.Module):
    """A network that makes one vector of a sequence, of the steps up to now."""

    def __init__(self, network: Any, prepare: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.prepare = network, prepare
        self.pool = StreamingPool(network.pool, network.recurrent.output_size)

    def initial_state(self, rows: int) -> dict[str, Any]:
        return {
            "recurrent": self.network.recurrent.initial_state(rows),
            "pool": self.pool.initial_state(rows),
        }

    def step(self, x: Tensor, state: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        vector = self.network.first(self.prepare(x))
        hidden, recurrent = self.network.recurrent.step(vector, state["recurrent"])
        pooled, pool = self.pool.step(hidden, state["pool"])
        return self.network.output(pooled), {"recurrent": recurrent, "pool": pool}


def _classify(task: Classify) -> StepModel:
    temperature = float(task.network.get_buffer("temperature"))
    return _of_sequence(
        task,
        lambda scores: (scores / temperature).softmax(-1),
        predicted="probabilities",
        title="a classifier: the probability of each label, by the steps up to now",
        labels=task.labels,
    )


def _regress(task: Regress) -> StepModel:
    mean, deviation = task.number.mean, task.number.deviation
    return _of_sequence(
        task,
        lambda output: output * deviation + mean,
        predicted="numbers",
        title="a regression: the number, by the steps up to now",
    )


def _of_sequence(
    task: Classify | Regress, finish: Callable[[Tensor], Tensor], *, predicted: str, **about: Any
) -> StepModel:
    """The step of a task on whole sequences; ``predicted`` names the field of its predictions."""
    network, feature = frozen_copy(task.network), task.input

    def check(run: Runner) -> ExportCheck:
        part, rows, split = _checked_rows(task)
        expected = part.predict(split)
        of_model = getattr(expected, predicted)
        of_code = torch.from_numpy(_last_outputs(feature, rows, run)).double()
        of_code = of_code.reshape(of_model.shape)
        difference = float((of_model - of_code).abs().max())
        got = expected._replace(**{predicted: of_code})
        return _compared(part, split, expected, got, rows, difference)

    return StepModel(
        _Head(_Sequence(network, _preparing(feature)), finish),
        _example(feature),
        check,
        notes=_about_input(feature),
        vocabulary=feature.tokens if isinstance(feature, Text) else None,
        equations=equations_of(network),
        **about,
    )


def _preparing(feature: Text | Series) -> Callable[[Tensor], Tensor]:
    """What is done to an input first: numbers are standardized as those of training were."""
    if isinstance(feature, Text):
        return lambda x: x
    mean, deviation = torch.tensor(feature.mean), torch.tensor(feature.deviation)
    if bool((mean == 0).all()) and bool((deviation == 1).all()):
        return lambda x: x
    return lambda x: (x - mean) / deviation


def _example(feature: Text | Series) -> Tensor:
    if isinstance(feature, Text):
        return torch.zeros(1, dtype=torch.long)
    return torch.zeros(1, len(feature.mean))


def _about_input(feature: Text | Series) -> list[str]:
    end = "first" if feature.keep == "head" else "last"
    notes = [f"In training at most the {end} {feature.max_length:,} steps of a row were read."]
    if isinstance(feature, Text):
        return [*_about_tokens(feature.tokens), *notes]
    if feature.order is not None:
        notes.append("The steps of a row come in the order of data.permute.")
    return ["Numbers come in as they were measured: they are standardized here.", *notes]


def _checked_rows(task: Any) -> tuple[Any, Rows, str]:
    """The task with the first rows of a split alone, those rows, and the split."""
    split = "valid" if "valid" in task.parts else next(iter(task.parts), "")
    rows = task.part(split)
    steps = rows.lengths("x").clamp(max=task.input.max_length).cumsum(0)
    count = max(1, int((steps <= MOST_STEPS).sum()))
    part = copy(task)
    part.parts = {split: rows.select(torch.arange(count))}
    return part, part.parts[split], split


def _last_outputs(feature: Text | Series, rows: Rows, run: Runner) -> NDArray[np.float32]:
    """What comes out after the last step of each row."""
    outputs = []
    for row in rows.sequences("x").unbind():
        kept = row[-feature.max_length :] if feature.keep == "tail" else row[: feature.max_length]
        if isinstance(feature, Series):
            mean, deviation = torch.tensor(feature.mean), torch.tensor(feature.deviation)
            kept = kept * deviation + mean
        run.begin()
        outputs.append(run(kept.numpy())[-1])
    return np.stack(outputs)


def _compared(
    part: Any, split: str, expected: Any, got: Any, rows: Rows, difference: float
) -> ExportCheck:
    before, after = (float(part.metrics(p)[part.metric.name]) for p in (expected, got))
    steps = int(rows.lengths("x").clamp(max=part.input.max_length).sum())
    return ExportCheck(f"{split} rows", steps, difference, part.metric, before, after)
