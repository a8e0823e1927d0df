"""``elman init``: a file that says everything and changes nothing."""

from __future__ import annotations

import tomllib

import pytest

from elman.cli import main
from elman.cli._request import preset_file
from elman.cli._settings import settings_of
from elman.tasks import TASKS
from elman.training import config_class

NAMES = [name for name, _ in TASKS]


@pytest.mark.parametrize("task", NAMES)
def test_the_file_gives_the_defaults_back(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", task]) == 0
    text = capsys.readouterr().out
    default = config_class(task).parse({})
    assert config_class(task).parse(tomllib.loads(text)) == default
    for setting in settings_of(default):
        assert setting.description, f"{setting.key} says nothing about itself"
        assert f"# {setting.description}" in text
        assert f"{setting.key.partition('.')[2]} =" in text


def test_a_key_without_a_value_is_a_comment(capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "language"])
    assert "\n# patience =\n" in capsys.readouterr().out


def test_a_preset_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "language", "--preset", "zaremba-small"]) == 0
    written = config_class("language").parse(tomllib.loads(capsys.readouterr().out))
    given = tomllib.loads(preset_file("zaremba-small").read_text())
    assert written == config_class("language").parse(given)
    assert (written.train.epochs, written.train.max_steps) == (13, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["languge"], "'language'"), (["language", "--preset", "zaremba"], "zaremba-small")],
)
def test_an_unknown_name_is_answered_with_the_nearest(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", *arguments]) == 2
    assert f"did you mean {message}" in capsys.readouterr().err.replace("'zar", "zar")
