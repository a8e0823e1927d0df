"""From the words after ``elman train`` to a configuration."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from elman._errors import ConfigError
from elman.cli._request import parse_request, preset_file


def asked(*tokens: str) -> Any:
    return parse_request("train", "Train.", ["language", *tokens])


def test_files_replace_the_named_data_set_and_the_other_way_round(tmp_path: Path) -> None:
    toml = tmp_path / "a.toml"
    toml.write_text("[data]\nname = 'kjv'")
    data = asked("a.txt", "b.txt", "--config", str(toml)).config.data
    assert (data.name, data.train) == (None, [Path("a.txt"), Path("b.txt")])

    toml.write_text("[data]\ntrain = ['a.txt']")
    data = asked("--data", "kjv", "--config", str(toml)).config.data
    assert (data.name, data.train) == ("kjv", [])


def test_a_folder_may_be_named_as_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "kjv"):
        (tmp_path / name).mkdir()
    data = asked("--data", "photos").config.data
    assert (data.name, data.train) == (None, [Path("photos")])
    data = asked("--data", "kjv").config.data  # a name goes before a folder that is called so
    assert (data.name, data.train) == ("kjv", [])


def test_one_budget_replaces_the_other(tmp_path: Path) -> None:
    toml = tmp_path / "a.toml"
    toml.write_text("[train]\nmax_steps = 7")
    train = asked("--train.epochs", "3", "--config", str(toml)).config.train
    assert (train.epochs, train.max_steps) == (3, None)
    train = asked("--train.max_steps", "3", "--preset", "zaremba-small").config.train
    assert (train.epochs, train.max_steps) == (None, 3)
    train = asked("--train.max_steps", "3", "--train.epochs", "2").config.train
    assert (train.epochs, train.max_steps) == (2, 3)


def test_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml = tmp_path / "a.toml"
    toml.write_text("[model]\nhidden = 30\nlayers = 3\n[train]\nlr = 0.5\nseed = 3")
    monkeypatch.setenv("ELMAN_MODEL_HIDDEN", "40")
    monkeypatch.setenv("ELMAN_TRAIN_SEED", "4")
    found = asked("--preset", "zaremba-small", "--config", str(toml), "--seed", "5")
    config = found.config
    assert (config.train.seed, config.model.hidden) == (5, 40)
    assert (config.model.layers, config.train.lr) == (3, 0.5)
    assert config.train.epochs == 13
    assert found.options["preset"] == "zaremba-small"


def test_all_problems_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELMAN_MODEL_HIDEN", "3")
    with pytest.raises(ConfigError) as error:
        asked("--model.hiddn", "3", "--model.layers", "0", "--train.lr=fast")
    lines = str(error.value).splitlines()
    assert lines[0] == "unknown option --model.hiddn: did you mean '--model.hidden'?"
    assert lines[1].startswith("unknown variable ELMAN_MODEL_HIDEN: did you mean")
    assert any(line.startswith("model.layers: ") and line.endswith("got '0'") for line in lines)
    assert any(line.startswith("train.lr: ") and line.endswith("got 'fast'") for line in lines)


def test_unknown_flags_alone_are_an_error() -> None:
    with pytest.raises(ConfigError, match="unknown option --xyz"):
        asked("--xyz")


@pytest.mark.parametrize(
    ("tokens", "message"),
    [([], "expected a task, got none: choose from"), (["lang"], "'language'")],
)
def test_a_task_must_be_named(tokens: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_request("train", "Train.", tokens)


@pytest.mark.parametrize("tokens", [["--help"], ["language", "-h"]])
def test_help(tokens: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_request("train", "Train.", tokens) is None
    assert "--model.hidden INT" in capsys.readouterr().out


def test_a_preset_of_another_task() -> None:
    found = parse_request("train", "Train.", ["regress", "--preset", "adding-irnn"])
    assert found
    assert (found.config.model.activation, found.config.model.init) == ("relu", "identity")
    with pytest.raises(ConfigError, match="task must be 'language', got 'regress'"):
        asked("--preset", "adding-irnn")


@pytest.mark.parametrize("name", ["zaremba-small", "zaremba-medium"])
def test_presets_are_valid(name: str) -> None:
    assert asked("a.txt", "--preset", name).config.train.loss == "sum"
    assert preset_file(name).read_text().startswith("# ")


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in preset_file("recall").parent.iterdir())
)
def test_every_preset_is_a_configuration_of_its_task(name: str) -> None:
    task = tomllib.loads(preset_file(name).read_text(encoding="utf-8"))["task"]
    request = parse_request("train", "Train.", [task, "a.txt", "--preset", name])
    assert request.options["preset"] == name
    assert request.config.model.hidden >= 64
