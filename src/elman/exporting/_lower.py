"""From a traced step to a graph."""

from __future__ import annotations

from elman.exporting import _rules  # noqa: F401 - they say how operations are lowered
from elman.exporting._lowering import StepLowering
from elman.exporting._nodes import StepGraph
from elman.exporting._trace import Traced


def lower(traced: Traced, names: dict[int, str]) -> StepGraph:
    """The graph of a traced step.

    Args:
        traced: the step.
        names: of the model's parameters and buffers, by the address of their storage.

    Raises:
        ConfigError: an operation that no graph has; the message names it and its line.
    """
    return StepLowering(traced, names).graph()
