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
from elman.engine.runtime import _library


def test_facts() -> None:
    facts = collect()
    assert facts["elman"] == elman.__version__
    assert facts["python"] == platform.python_version()
    assert facts["torch"] == torch.__version__
    assert facts["threads"] == torch.get_num_threads()
    assert facts["capability"] == torch.backends.cpu.get_cpu_capability()
    assert facts["engines"] == [name for name, _ in ENGINES]
    assert facts["processor"]


def test_a_missing_library_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_library, "missing", lambda: "there was no compiler")
    assert collect()["native"] == "there was no compiler"


@pytest.mark.skipif(_library.missing() is not None, reason="elman was installed without a compiler")
def test_a_library_says_what_it_runs_on() -> None:
    assert collect()["native"] == f"built, on {_library.library().isa}"


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
