from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest
import tomli_w

from elman._errors import ConfigError
from elman.tasks import LanguageData, LanguageNet
from elman.training import TrainConfig, config_class
from elman.training._config import FORMAT

Language = config_class("language")


def test_everything_has_a_default() -> None:
    config = Language.parse({})
    assert isinstance(config.data, LanguageData)
    assert isinstance(config.model, LanguageNet)
    assert isinstance(config.train, TrainConfig)


def test_the_task_has_defaults_of_its_own() -> None:
    assert Language.parse({}).train.max_steps is not None
    with pytest.raises(ConfigError, match="a run needs a budget"):
        TrainConfig.parse({})


@pytest.mark.parametrize(("given", "other"), [("epochs", "max_steps"), ("max_steps", "epochs")])
def test_a_budget_that_is_given_replaces_the_default(given: str, other: str) -> None:
    train = Language.parse({"train": {given: 7}}).train
    assert getattr(train, given) == 7
    assert getattr(train, other) is None
    both = Language.parse({"train": {given: 7, other: 8}}).train
    assert (getattr(both, given), getattr(both, other)) == (7, 8)


def test_toml_round_trip() -> None:
    config = Language.parse(
        {
            "data": {"train": ["a.txt"], "lanes": 3},
            "model": {"tied": True},
            "train": {"epochs": 2, "betas": [0.8, 0.99]},
        }
    )
    text = tomli_w.dumps(config.toml())
    assert Language.parse(tomllib.loads(text)) == config
    assert config.toml()["task"] == "language"


@pytest.mark.parametrize(
    "values", [{"task": "cooking"}, {"format": FORMAT + 1}, {"format": str(FORMAT)}, {"task": None}]
)
def test_the_file_of_another_task_or_format_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        Language.parse(values)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Language.parse(
            {
                "model": {"hidden": 0, "dropout": 1.5, "cell": "ltsm"},
                "train": {"lrr": 1, "k1": "five", "optimizer": "sdg"},
                "dta": {},
            }
        )
    lines = str(caught.value).splitlines()
    assert len(lines) == 7
    for start in (
        "model.hidden: input should be greater than or equal to 1, got 0",
        "model.cell: unknown cell 'ltsm': did you mean 'lstm'?",
        "model.dropout: input should be less than 1, got 1.5",
        "train.lrr: unknown key; did you mean 'lr'?",
        "train.k1: ",
        "train.optimizer: ",
        "dta: unknown key; did you mean 'data'?",
    ):
        assert any(line.startswith(start) for line in lines), start


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"k1": 20, "k2": 10}, "k2 must be at least k1"),
        ({"epochs": 0}, "epochs"),
        ({"lr": float("nan")}, "lr"),
        ({"lr": float("inf")}, "lr"),
        ({"momentum": 1.0}, "momentum"),
        ({"clip_limit": 0}, "clip_limit"),
        ({"patience": 0}, "patience"),
        ({"seed": -1}, "seed"),
        ({"bptt": "some"}, "bptt"),
        ({"betas": [0.9, 1.0]}, "betas"),
        ({"warmup": -1}, "warmup"),
    ],
)
def test_bounds(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig.parse({"epochs": 1, **values})


def test_unknown_task() -> None:
    with pytest.raises(ConfigError, match="did you mean 'language'"):
        config_class("langage")


def test_no_torch_is_imported_for_a_configuration() -> None:
    code = "import sys, elman.training as t; t.config_class('tag'); exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_full_bptt_of_a_text_says_how_far() -> None:
    config = config_class("language")
    with pytest.raises(ConfigError, match=r"limit it with data\.length"):
        config.parse({"train": {"bptt": "full"}})
    assert config.parse({"train": {"bptt": "full"}, "data": {"length": 40}}).data.length == 40
