"""The measures of a run as plain numbers, and their JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from elman._errors import CheckpointError
from elman._files import read_plain, replacing, why

MEASURES_FILE = Path("flow", "flow.json")
"""Where the measures of a run are, in its folder."""
FORMAT: Literal[4] = 4
ANEW = "`elman flow` writes it again"

Steps = list[float]
Three = tuple[float, float, float]
"""A value and the bounds of its 95% interval."""


class _JsonModel(BaseModel):
    # JSON has no infinity: an infinite half-life is stored as the string "Infinity".
    model_config = ConfigDict(ser_json_inf_nan="strings", extra="forbid")


class Curve(_JsonModel):
    """The gradient norm of one state by steps before the loss, relative to that at the loss."""

    fall: Steps
    half_life: Three
    horizon: Three


class Jacobians(_JsonModel):
    """Jacobians of all states of a layer, averaged over rows; see `elman.inspection.spectrum`."""

    times: list[int]
    step_norm: Steps
    step_radius: Steps
    norm: Steps


class Exponents(_JsonModel):
    """The largest Lyapunov exponents and their intervals, in nats per step."""

    value: list[float]
    interval: list[tuple[float, float]]


class LayerMeasures(_JsonModel):
    """The measures of one layer.

    Attributes:
        gradient: by the name of the state.
        contribution: ||dL_tau/dh_t|| of the first state: a list over time for each loss step.
        words: the input of each step of the maps; empty if steps have no names.
        maps: gates and states at each step of the excerpt, by name: (step, unit).
        gates: the maps that are gates, with values in [0, 1].
        units: indices of the units in the maps, those that change most from step to step.
        left_out: measures that could not be taken, and why.
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
    """A table of predictions, see `elman.tasks.Table`."""

    title: str
    columns: list[str]
    rows: list[list[str | float | None]]
    by_length: bool = False


class Measures(_JsonModel):
    """The measures of a trained model, as `elman flow` saves them.

    Attributes:
        task, checkpoint: the model that was measured.
        rows, steps: size of the batch that gradients were measured on.
        loss_steps: the loss steps of the contributions.
        text: the text of the maps, if one was passed.
        layers: in the order of their first steps.
        tables: the task's tables, and its prediction for the text.
        pictures: names of the task's plots in the folder of the measures.
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
        """Save the measures in a run folder.

        Raises:
            DataError: the file cannot be written.
        """
        with replacing(run / MEASURES_FILE) as file:
            file.write(self.model_dump_json().encode())

    @classmethod
    def load(cls, run: Path) -> Measures | None:
        """Load the measures of a run folder; None if there are none.

        Raises:
            CheckpointError: the file is damaged or has another format.
        """
        try:
            content = read_plain(run / MEASURES_FILE)
            return cls.model_validate_json(content)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CheckpointError(
                f"{run / MEASURES_FILE}: cannot be read: {why(error)}; {ANEW}"
            ) from error
        except ValidationError as error:
            raise CheckpointError(f"{run / MEASURES_FILE}: {_problem(content)}: {ANEW}") from error


def _problem(content: bytes) -> str:
    """Why a file does not hold `Measures`: most likely another version of elman wrote it."""
    try:
        version = json.loads(content).get("format")
    except (ValueError, AttributeError, RecursionError):
        return "damaged"
    return "damaged" if version == FORMAT else f"the format must be {FORMAT}, got {version!r}"
