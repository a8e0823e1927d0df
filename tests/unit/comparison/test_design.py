"""Who takes part, with which settings, and how processors are divided."""

from __future__ import annotations

import os
from typing import Any

import pytest

from elman._errors import ConfigError
from elman.comparison import Design
from elman.comparison._design import Share
from elman.training import Config, config_class


def settings(**sections: Any) -> Config:
    return config_class("classify").parse(sections)


def test_a_candidate_has_its_cell_and_its_own_settings() -> None:
    design = Design(
        cells=["lstm", "irnn=elman", "feedforward"],
        changes=["irnn:model.activation=relu", "irnn:train.lr=0.5", "feedforward:model.steps=7"],
    )
    lstm, irnn, feedforward = design.settings(settings(train={"lr": 0.25})).values()
    assert (lstm.model.cell, lstm.model.activation, lstm.train.lr) == ("lstm", None, 0.25)  # type: ignore[attr-defined]
    assert (irnn.model.cell, irnn.model.activation, irnn.train.lr) == ("elman", "relu", 0.5)  # type: ignore[attr-defined]
    assert feedforward.model.steps == 7  # type: ignore[attr-defined]


def test_none_is_a_name_or_nothing_as_the_setting_has_it() -> None:
    design = Design(cells=["gru"], changes=["gru:train.clip=none", "gru:model.init=none"])
    (found,) = design.settings(settings(model={"init": "chrono"})).values()
    assert (found.train.clip, found.model.init) == ("none", None)  # type: ignore[attr-defined]


def test_an_embedding_that_follows_the_hidden_size_is_held() -> None:
    for model, expected in (({"hidden": 30}, 30), ({"hidden": 30, "embedding": 5}, 5)):
        (found,) = Design(cells=["gru"]).settings(settings(model=model)).values()
        assert found.model.embedding == expected  # type: ignore[attr-defined]
    tied = config_class("language").parse({"model": {"hidden": 30, "tied": True}})
    (found,) = Design(cells=["gru"]).settings(tied).values()
    assert found.model.embedding is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cells": ["gru", "gru"]}, "candidates must have different names, got gru twice"),
        (
            {"cells": ["gru"], "changes": ["lstm:train.lr=1"]},
            "expected a change for one of gru, got lstm",
        ),
        ({"cells": ["gru"], "changes": ["gru:train.max_steps=1"]}, "must be the same for all"),
        ({"cells": ["gru"], "changes": ["gru:data.rows=9"]}, "must be the same for all"),
        ({"cells": ["gru"], "changes": ["gru:lr"]}, "expected NAME:KEY=VALUE"),
        ({"cells": []}, "cells"),
        ({"seeds": 0}, "seeds"),
    ],
)
def test_a_plan_that_makes_no_sense(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Design.parse(given)


def test_a_setting_that_a_candidate_cannot_have_is_named_with_it() -> None:
    design = Design(cells=["elman", "lstm"], changes=["lstm:model.activation=relu"])
    with pytest.raises(ConfigError, match="lstm: model: the cell lstm has no activation"):
        design.settings(settings())
    with pytest.raises(ConfigError, match=r"gruu: model.cell: unknown cell"):
        Design(cells=["gruu"]).settings(settings())


@pytest.mark.parametrize(
    ("design", "train", "expected"),
    [
        ({}, {}, (8, 1)),
        ({"seeds": 1}, {}, (3, 2)),
        ({}, {"threads": 4}, (2, 4)),
        ({"jobs": 2}, {}, (2, 4)),
        ({}, {"device": "cuda"}, (1, 8)),
    ],
)
def test_processors_are_divided(
    design: Any, train: Any, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    assert tuple(Share.of(Design(**design), settings(train=train))) == expected
