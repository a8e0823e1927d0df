"""Layers of settings: what wins, what is refused, and with which words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from elman._errors import ConfigError
from elman.cli._settings import merged, read_toml, settings_of


class Net(BaseModel):
    cell: Literal["lstm", "gru"] = Field("lstm", description="the cell")
    hidden: int = Field(200, description="units")
    clip: float | None = None


class Data(BaseModel):
    files: list[Path] = []
    betas: tuple[float, float] = (0.9, 0.99)


class Settings(BaseModel):
    format: Literal[1] = 1
    model: Net = Net()
    data: Data = Data()


CONFIG = Settings(model=Net(hidden=64))


def toml(folder: Path, text: str, name: str = "a.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_leaves_have_dotted_keys_and_the_values_of_the_instance() -> None:
    found = {setting.key: setting for setting in settings_of(CONFIG)}
    assert list(found) == ["model.cell", "model.hidden", "model.clip", "data.files", "data.betas"]
    assert found["model.hidden"].default == 64
    assert found["model.hidden"].description == "units"


def test_flags_over_environment_over_later_file_over_earlier(tmp_path: Path) -> None:
    first = toml(tmp_path, "[model]\ncell = 'gru'\nhidden = 1\nclip = 0.5\n[data]\nfiles = ['x']")
    second = toml(tmp_path, "[model]\ncell = 'lstm'\nhidden = 2\n", "b.toml")
    variables = {"ELMAN_MODEL_HIDDEN": "3", "ELMAN_MODEL_CELL": "gru", "PATH": "/bin"}
    tree, problems = merged(CONFIG, [first, second], {"model.hidden": "4"}, variables)
    assert not problems
    assert tree == {
        "model": {"cell": "gru", "hidden": "4", "clip": 0.5},
        "data": {"files": ["x"]},
    }


@pytest.mark.parametrize(
    ("flags", "variables", "kept"),
    [
        ({}, {}, True),
        ({"model.cell": "lru"}, {}, True),
        ({"model.cell": "gru"}, {}, False),
        ({}, {"ELMAN_MODEL_CELL": "gru"}, False),
        ({"model.cell": "lru"}, {"ELMAN_MODEL_CELL": "gru"}, True),
    ],
)
def test_options_belong_to_the_cell_that_is_named_with_them(
    flags: dict[str, str], variables: dict[str, str], kept: bool, tmp_path: Path
) -> None:
    named = toml(tmp_path, "[model]\ncell = 'lru'\n[model.options]\nmax_phase = 1\n")
    tree, _ = merged(CONFIG, [named], flags, variables)
    assert tree["model"].get("options") == ({"max_phase": 1} if kept else None)
    alone = toml(tmp_path, "[model.options]\nmax_phase = 1\n", "b.toml")
    tree, _ = merged(CONFIG, [alone], flags, variables)
    assert tree["model"]["options"] == {"max_phase": 1}  # of whichever cell is chosen
    other = toml(tmp_path, "[model]\ncell = 'gru'\n", "c.toml")
    assert merged(CONFIG, [named, other], {}, {})[0]["model"] == {"cell": "gru"}


def test_variables_of_lists_and_of_nothing() -> None:
    variables = {
        "ELMAN_DATA_FILES": os.pathsep.join(["a", "b"]),
        "ELMAN_DATA_BETAS": os.pathsep.join(["0.8", "0.9"]),
        "ELMAN_MODEL_CLIP": "none",
    }
    tree, _ = merged(CONFIG, [], {}, variables)
    assert tree == {
        "data": {"files": ["a", "b"], "betas": ["0.8", "0.9"]},
        "model": {"clip": None},
    }
    assert Settings.model_validate(tree).data.betas == (0.8, 0.9)


def test_an_unknown_variable_of_a_section_is_a_problem_and_others_are_not_ours() -> None:
    variables = {"ELMAN_MODEL_HIDEN": "3", "ELMAN_HOME": "x", "ELMANN": "y"}
    tree, problems = merged(CONFIG, [], {}, variables)
    assert tree == {}
    assert problems == [
        "unknown variable ELMAN_MODEL_HIDEN: did you mean 'ELMAN_MODEL_HIDDEN'?",
    ]


def test_a_value_in_the_place_of_a_section_stays_to_be_refused(tmp_path: Path) -> None:
    file = toml(tmp_path, "model = 3")
    tree, _ = merged(CONFIG, [file], {"model.hidden": "4"}, {})
    assert tree == {"model": 3}


def test_options_that_are_no_settings_are_left_out() -> None:
    assert merged(CONFIG, [], {"json": True, "model.hidden": "4"}, {})[0] == {
        "model": {"hidden": "4"}
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"[model\n", "line 1"), (b"a = '\xff'", "utf-8"), (None, "No such file")],
)
def test_a_file_that_is_no_toml_is_named(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "bad.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"bad\.toml: cannot be read as TOML: .*{reason}"):
        read_toml(path)
