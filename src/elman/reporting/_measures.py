"""What `flow` keeps of a run: the measures as plain numbers, in a file of JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from elman._errors import CheckpointError
from elman.data._files import replacing
from elman.data._plain_file import read_plain, why

FILE = Path("flow", "flow.json")
FORMAT: Literal[4] = 4
ANEW = "`elman flow` writes it again"

Steps = list[float]
Three = tuple[float, float, float]
"""A value, and the bounds of its 95 % interval."""


class _JsonModel(BaseModel):
    # JSON has no infinity: a half-life that is one is the text "Infinity", and is read as a number.
    model_config = ConfigDict(ser_json_inf_nan="strings", extra="forbid")


class Curve(_JsonModel):
    """How the gradient falls at one state: its norm by steps before the loss, 1 at the loss."""

    fall: Steps
    half_life: Three
    horizon: Three


class Jacobians(_JsonModel):
    """Of all states of a layer, the mean over rows: see `elman.inspection.spectrum`."""

    times: list[int]
    step_norm: Steps
    step_radius: Steps
    norm: Steps


class Exponents(_JsonModel):
    """The largest Lyapunov exponents and their intervals, in nats a step."""

    value: list[float]
    interval: list[tuple[float, float]]


class LayerMeasures(_JsonModel):
    """What one layer does.

    Attributes:
        gradient: by the name of the state.
        contribution: ||dL_tau/dh_t|| of the first state: a list over time for each loss step.
        words: what the steps of the maps read; empty where they have no names.
        maps: what gates and states are at each step of the excerpt: (step, unit).
        gates: which of the maps are gates, in [0, 1].
        units: the numbers of the units in the maps, those that change most from step to step.
        left_out: what could not be measured, and why.
    """

    name: str
    cell: str
    gradient: dict[str, Curve] = {}
    contribution: list[Steps] = []
    jacobian: Jacobians | None = None
    lyapunov: Exponents | None = None
    words: list[str] = []
    maps: dict[str, list[Steps]] = {}
    gates: list[str] = []
    units: list[int] = []
    left_out: dict[str, str] = {}


class ReportTable(_JsonModel):
    """A table of what the model says, see `elman.tasks.Table`."""

    title: str
    columns: list[str]
    rows: list[list[str | float | None]]


class Measures(_JsonModel):
    """What `elman flow` found in a run.

    Attributes:
        task, checkpoint: what was measured.
        rows, steps: of the batch whose gradients are measured.
        loss_steps: the loss steps of the contributions.
        text: what was read for the maps, where it was given.
        layers: in the order of their first steps.
        tables: the task's tables, and what it says of the text.
        pictures: the task's pictures, by name, in the folder of the measures.
    """

    format: Literal[4] = FORMAT
    task: str
    checkpoint: str
    rows: int
    steps: int
    loss_steps: list[int]
    text: str | None = None
    layers: list[LayerMeasures]
    tables: list[ReportTable] = []
    pictures: list[str] = []

    def save(self, run: Path) -> None:
        """Write them into a run folder.

        Raises:
            DataError: they cannot be written.
        """
        with replacing(run / FILE) as file:
            file.write(self.model_dump_json().encode())

    @classmethod
    def load(cls, run: Path) -> Measures | None:
        """Those of a run folder; None if nobody has measured it.

        Raises:
            CheckpointError: the file is damaged or has another format.
        """
        try:
            content = read_plain(run / FILE)
            return cls.model_validate_json(content)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CheckpointError(f"{run / FILE}: cannot be read: {why(error)}; {ANEW}") from error
        except ValidationError as error:
            raise CheckpointError(f"{run / FILE}: {_problem(content)}: {ANEW}") from error


def _problem(content: bytes) -> str:
    """Why a file does not hold `Measures`: most likely another version of elman wrote it."""
    try:
        version = json.loads(content).get("format")
    except (ValueError, AttributeError, RecursionError):
        return "damaged"
    return "damaged" if version == FORMAT else f"the format must be {FORMAT}, got {version!r}"
