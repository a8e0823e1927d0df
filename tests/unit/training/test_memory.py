"""Networks that no machine can hold are refused before anything of their size is made."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

import sampling
from elman._errors import ConfigError
from elman.cells import by_name
from elman.tasks import TASKS
from elman.training import _memory, config_class
from elman.training._memory import parameters, require_memory


def config(task: str = "language", **model: Any) -> Any:
    return config_class(task).parse({"model": model})


@pytest.mark.parametrize("cell", sampling.cells())
def test_the_count_is_that_of_the_cells(cell: str) -> None:
    model = config(cell=cell, hidden=37, embedding=21, layers=3).model
    made = [by_name(cell)(21, 37), *(by_name(cell)(37, 37) for _ in range(2))]
    assert parameters(model) == sum(p.numel() for each in made for p in each.parameters())


@pytest.mark.parametrize("task", [name for name, _ in TASKS])
@pytest.mark.parametrize(
    "model", [{"hidden": 10**9}, {"hidden": 10**19}, {"layers": 10**9}, {"hidden": 10**6}]
)
def test_absurd_sizes_are_refused_at_once(task: str, model: dict[str, int]) -> None:
    begun = time.monotonic()
    with pytest.raises(ConfigError, match=r"weights need at least \S+ GB .* use smaller sizes"):
        require_memory(config(task, **{"layers": 2, **model}), training=True)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("task", [name for name, _ in TASKS])
def test_the_defaults_fit(task: str) -> None:
    require_memory(config(task), training=True)


def test_training_takes_gradients_and_what_the_optimizer_keeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = config(hidden=1000, embedding=1000)
    size = 4 * parameters(asked.model) + _memory.LAYER
    monkeypatch.setattr(_memory, "_of_machine", lambda: size)
    require_memory(asked)
    with pytest.raises(ConfigError, match=r"in training \(4 copies\), and this machine has"):
        require_memory(asked, training=True)


def test_counting_draws_nothing() -> None:
    before = torch.get_rng_state()
    _memory._counting.cache_clear()
    parameters(config(hidden=5).model)
    assert torch.equal(torch.get_rng_state(), before)


def test_memory_is_never_below_that_of_the_process() -> None:
    assert _memory._of_machine() > 100_000_000
