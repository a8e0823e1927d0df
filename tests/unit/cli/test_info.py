"""``elman info``: facts for people, and for programs."""

from __future__ import annotations

import json
import platform

import pytest
import torch

import elman
from elman.cli import main
from elman.cli._info import collect
from elman.engine import ENGINES


def test_facts() -> None:
    facts = collect()
    assert facts["elman"] == elman.__version__
    assert facts["python"] == platform.python_version()
    assert facts["torch"] == torch.__version__
    assert facts["threads"] == torch.get_num_threads()
    assert facts["capability"] == torch.backends.cpu.get_cpu_capability()
    assert facts["engines"] == [name for name, _ in ENGINES]
    assert facts["processor"]


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == collect()


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert set(lines) == set(collect())
    assert lines["torch"] == torch.__version__
    assert "reference" in lines["engines"]


def test_an_extra_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ['nosuchthing>=2; extra == "data"', "torch>=2.11", "ruff; extra == 'dev'"]
    monkeypatch.setattr("elman.cli._info.requires", lambda _: wanted)
    monkeypatch.setattr(
        "elman.cli._info.installed", lambda package: "1" if package == "elman" else None
    )
    assert collect()["extras"] == {"data": {"nosuchthing": None}}
    main(["info"])
    assert "data: nosuchthing missing" in capsys.readouterr().out
