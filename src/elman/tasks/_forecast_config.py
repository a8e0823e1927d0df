"""The sections of forecasting's configuration; torch is not imported here."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from elman.tasks._section import TRAINING, Sections
from elman.tasks._table_config import CELL_OR_NONE, FileData, RecurrentNet

NAMED: dict[str, dict[str, Any]] = {
    "co2": {"horizon": 52, "context": 104, "valid_steps": 260, "test_steps": 260, "stride": 4},
    "sunspots": {"horizon": 11, "context": 22, "valid_steps": 44, "test_steps": 44},
}
"""What is asked of the named data sets, unless told otherwise."""


class ForecastData(FileData):
    """Which series are read, how far they are forecast, and what of them is held out."""

    default: ClassVar[str] = "sunspots"

    time: str = Field("time", description="column of the time: dates or numbers")
    target: str = Field("value", description="column of the target; may have empty cells")
    series: str | None = Field(
        None, description="column with the name of the series; one series if unset"
    )
    known: list[str] = Field(
        [],
        description="covariates that are known ahead, also for the steps to forecast: a calendar, "
        "planned prices",
    )
    past: list[str] = Field(
        [],
        description="covariates that are measured with the target: they are read only before the "
        "first step to forecast",
    )
    missing: bool = Field(True, description="allow empty targets and missing steps")
    horizon: int = Field(12, ge=1, description="forecast horizon in steps")
    context: int | None = Field(
        None, ge=1, description="context length: maximum number of steps read; 2 horizons if unset"
    )
    season: int | None = Field(
        None, ge=1, description="steps of a season; estimated from the training steps if unset"
    )
    valid_steps: int | None = Field(
        None,
        ge=1,
        description="validation steps of each series, before the test; one horizon if unset",
    )
    test_steps: int | None = Field(
        None, ge=1, description="test steps at the end of each series; one horizon if unset"
    )
    stride: int = Field(
        1, ge=1, description="steps between the starts of validation and test forecasts"
    )

    @classmethod
    def implied(cls, settings: dict[str, Any]) -> dict[str, Any]:
        settings = {**NAMED.get(settings.get("name", ""), {}), **settings}
        try:
            horizon = int(settings.get("horizon", 12))
        except (TypeError, ValueError):
            return settings  # which is refused as it stands
        return {"context": 2 * horizon, "valid_steps": horizon, "test_steps": horizon, **settings}

    @model_validator(mode="after")
    def _columns_are_distinct(self) -> Self:
        columns = [self.time, self.target, *filter(None, [self.series]), *self.known, *self.past]
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise ValueError(f"a column has one part to play, and {', '.join(twice)} has two")
        return self

    @model_validator(mode="after")
    def _holds_a_forecast(self) -> Self:
        for name, steps in {"valid_steps": self.valid_steps, "test_steps": self.test_steps}.items():
            if (steps or 0) < self.horizon:
                raise ValueError(f"{name} must hold a whole horizon of {self.horizon}, got {steps}")
        return self


class ForecastNet(RecurrentNet):
    """A window of the past into recurrent layers, and from their last state all steps ahead."""

    cell: str = Field("gru", description=CELL_OR_NONE)
    hidden: int = Field(32, ge=1, description="hidden units per layer, and of the decoder")
    bidirectional: bool = Field(False, description="bidirectional layers over the window")
    output: Literal["gaussian", "negative-binomial", "quantiles"] = Field(
        "gaussian",
        description="output distribution: gaussian, negative-binomial for counts, or quantiles",
    )
    scale: Literal["standard", "mean"] | None = Field(
        None,
        description="scaling of a window: by its own mean and standard deviation (standard), or "
        "by 1 + its mean absolute value (mean), as negative-binomial needs",
    )
    interval: float = Field(0.9, gt=0, lt=1, description="coverage of the prediction interval")

    @model_validator(mode="after")
    def _counts_are_divided(self) -> Self:
        if self.output == "negative-binomial" and self.scale == "standard":
            raise ValueError("negative-binomial needs scale = mean: counts stay positive")
        return self

    @property
    def scaling(self) -> str:
        """The scale that is used."""
        return self.scale or ("mean" if self.output == "negative-binomial" else "standard")


SECTIONS = Sections(
    ForecastData,
    ForecastNet,
    {
        **TRAINING,
        "max_steps": 1200,
        "lr": 2e-3,
        "validate_every": 100,
    },
)
