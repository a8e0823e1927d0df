"""What is exported: a step of one row, and what it means to people."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman._errors import ConfigError, DtypeError, ElmanError
from elman.data import Vocabulary
from elman.layers import DropIn, Layer
from elman.metrics import Metric
from elman.nn import OneHot


class Runner(Protocol):
    """Exported code as it can be run here."""

    def begin(self) -> None:
        """Goes back to the initial state."""

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Runs some steps more: inputs (steps, ...) to outputs (steps, size)."""


class ExportCheck(NamedTuple):
    """What exported code computes beside what the model does.

    Attributes:
        data: what was run.
        steps: how many steps there were.
        difference: the largest one of an output.
        metric: what the task is measured by; None for a layer.
        before: the metric of the model.
        after: the metric of the exported code.
    """

    data: str
    steps: int
    difference: float
    metric: Metric | None = None
    before: float = 0.0
    after: float = 0.0

    @property
    def loss(self) -> float:
        """By which share the metric is worse after the export; negative where it is better."""
        if self.metric is None:
            return 0.0
        worse = (
            self.before - self.after if self.metric.higher_is_better else self.after - self.before
        )
        return worse / max(abs(self.before), 1e-12)


@dataclass(frozen=True)
class StepModel:
    """A model as a step of one row.

    Attributes:
        step: a module with ``step(x_t, state)`` and ``initial_state(rows)``, in float32.
        example: an input of one row: numbers (1, I), or a token (1,).
        check: runs code on data and compares it with the model.
        title: what it is, in a line.
        notes: what the caller has to know, a sentence each.
        labels: the names of the outputs, where they have some.
        vocabulary: of the tokens that come in.
    """

    step: Any
    example: Tensor
    check: Callable[[Runner], ExportCheck]
    title: str
    notes: Sequence[str] = ()
    labels: Sequence[str] = ()
    vocabulary: Vocabulary | None = None
    equations: Mapping[str, str] = field(default_factory=dict)

    @property
    def reads_tokens(self) -> bool:
        """Whether a token comes in, and no numbers."""
        return not self.example.is_floating_point()


STEPS = 200
"""The random inputs that a layer is checked on."""


def of_module(model: nn.Module) -> StepModel:
    """A layer, a drop-in, or a module that steps like one.

    Raises:
        ConfigError: it cannot step, or it is not known what goes in.
        DtypeError: it has no ``step``.
    """
    if not all(callable(getattr(model, name, None)) for name in ("step", "initial_state")):
        raise DtypeError(
            "expected a layer, a module with step(x_t, state) and initial_state(batch_size), a "
            f"task or the path of a run, got {type(model).__name__}"
        )
    frozen = frozen_copy(model)
    example = _example(frozen)

    def check(run: Runner) -> ExportCheck:
        generator = torch.Generator().manual_seed(0)
        if example.is_floating_point():
            inputs = torch.randn(STEPS, example.shape[1], generator=generator)
        else:
            inputs = torch.randint(token_count(frozen), (STEPS,), generator=generator)
        expected = stepped(frozen, inputs)
        run.begin()
        difference = largest_difference(expected, run(inputs.numpy()))
        return ExportCheck("random inputs", STEPS, difference)

    return StepModel(frozen, example, check, title=_title(frozen), equations=equations_of(frozen))


def largest_difference(model: NDArray[Any], code: NDArray[Any]) -> float:
    """The largest difference of two outputs; NaN where one of them is infinite or NaN."""
    with np.errstate(invalid="ignore"):
        return float(np.abs(model - code).max())


def frozen_copy(model: nn.Module) -> Any:
    """A copy in float32 without dropout, whose one-hot vectors are compared and not scattered."""
    frozen = copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
    for module in list(frozen.modules()):
        for name, child in module.named_children():
            if isinstance(child, OneHot):
                setattr(module, name, _UnitVector(child.output_size))
    return frozen


class _UnitVector(nn.Module):
    """A one-hot vector as a comparison with the numbers of all tokens."""

    tokens: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.output_size = size
        self.register_buffer("tokens", torch.arange(size), persistent=False)

    def forward(self, index: Tensor) -> Tensor:
        return (index.unsqueeze(-1) == self.tokens).float()


def _example(model: nn.Module) -> Tensor:
    if isinstance(model, Layer | DropIn):
        return torch.zeros(1, model.input_size)
    if isinstance(getattr(model, "embedding", None), nn.Module):
        return torch.zeros(1, dtype=torch.long)
    size = getattr(model, "input_size", None)
    if not isinstance(size, int):
        raise ConfigError(
            f"{type(model).__name__} must have an input_size, or an embedding of tokens, got "
            "neither: set model.input_size to how many numbers a step takes"
        )
    return torch.zeros(1, size)


def token_count(model: Any) -> int:
    """How many tokens its embedding has."""
    size = getattr(model.embedding, "num_embeddings", None) or model.embedding.output_size
    return int(size)


@torch.no_grad()
def stepped(model: Any, inputs: Tensor) -> NDArray[np.float32]:
    """The model's own steps over a sequence."""
    state, outputs = model.initial_state(1), []
    for x in inputs:
        output, state = model.step(x.unsqueeze(0), state)
        outputs.append(output.reshape(-1))
    return torch.stack(outputs).numpy()


def require_steps(model: Any, example: Tensor) -> None:
    """Runs a step, so that what cannot step says so.

    Raises:
        ConfigError: with the reason.
    """
    try:
        with torch.no_grad():
            model.step(example, model.initial_state(1))
    except ElmanError as error:
        hint = "; a task's network has one direction with --model.no-bidirectional"
        hint = hint if "bidirectional" in str(error) else ""
        raise ConfigError(f"this model cannot be exported as steps: {error}{hint}") from error


def _title(model: nn.Module) -> str:
    return " ".join(repr(model).split()) if len(repr(model)) < 500 else type(model).__name__


def equations_of(model: nn.Module) -> dict[str, str]:
    """The equations of the cells in a model, from their docstrings, by class name."""
    from elman.cells import Cell

    cells = {type(m) for m in model.modules() if isinstance(m, Cell)}
    texts = {kind.__name__: _equation(kind.__doc__ or "") for kind in cells}
    return {name: text for name, text in sorted(texts.items()) if text}


def _equation(docstring: str) -> str:
    """The lines of the first ``.. math::``, which are indented."""
    lines = docstring.splitlines()
    starts = [place for place, line in enumerate(lines) if line.strip().startswith(".. math::")]
    if not starts:
        return ""
    first = lines[starts[0]]
    depth, lines = len(first) - len(first.lstrip()), [first.strip().removeprefix(".. math::")]
    for line in lines[starts[0] + 1 :]:
        if line.strip() and len(line) - len(line.lstrip()) <= depth:
            break
        lines.append(line.strip())
    return "\n".join(filter(None, (line.strip() for line in lines)))
