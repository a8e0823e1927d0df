"""Hidden sizes for equal numbers of parameters."""

from __future__ import annotations

import pytest

from elman._errors import ConfigError
from elman.comparison import Design
from elman.comparison._sizes import counting, nearest, resized
from elman.tasks import by_name
from elman.training import Config, config_class

CONFIG = config_class("classify").parse(
    {"data": {"name": "parity", "rows": 40, "steps": 5}, "model": {"hidden": 12, "layers": 2}}
)


def test_no_other_size_is_nearer() -> None:
    design = Design(cells=["elman", "lstm", "gru", "feedforward"])
    with counting(CONFIG) as count:
        target = count(CONFIG)
        for name, settings in design.settings(CONFIG).items():
            found = nearest(settings, target, count)
            size = found.model.hidden  # type: ignore[attr-defined]
            off = [abs(count(resized(found, h)) - target) for h in (size - 1, size, size + 1)]
            assert min(off) == off[1], name
            if name == "lstm":  # the settings' own cell
                assert (size, off[1]) == (12, 0)


def test_what_is_counted_is_what_is_trained() -> None:
    task = by_name("classify").prepare(CONFIG.data, CONFIG.model)  # type: ignore[attr-defined]
    with counting(CONFIG) as count:
        assert count(CONFIG) == sum(p.numel() for p in task.build().parameters())


def test_a_network_that_is_too_large_at_one_unit_has_one_unit() -> None:
    assert nearest(CONFIG, 1, _hidden_plus_ten).model.hidden == 1  # type: ignore[attr-defined]


def test_a_network_that_does_not_grow_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="target is 50 parameters, and 131,072 hidden units have only 5"
    ):
        nearest(CONFIG, 50, lambda _: 5)


def _hidden_plus_ten(config: Config) -> int:
    return int(config.model.hidden) + 10  # type: ignore[attr-defined]
