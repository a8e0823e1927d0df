"""The doctor: what it finds, what it says it cannot know, and that it leaves a run alone."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import elman
from elman._errors import CheckpointError, ConfigError, Diverged
from elman.cli import main
from elman.cli._request import parse_request
from elman.cli._train import OPTIONS
from elman.diagnosis import (
    CODES,
    Finding,
    GradientReach,
    LossCurve,
    Remedy,
    Saturation,
    Standing,
    diagnose,
    try_remedies,
)
from elman.diagnosis._logged import compared, standing
from elman.diagnosis._remedies import changed
from elman.diagnosis._rules import findings
from elman.metrics import Metric
from elman.tasks import Regress
from elman.training import Run, config_class, fit, train

pytestmark = pytest.mark.slow

FAST = {"max_steps": 30, "lr": 0.01, "schedule": "constant", "log_every": 5, "threads": 1}


def config(*, cell: str = "gru", data: dict[str, Any] | None = None, **values: Any) -> Any:
    return config_class("regress").parse(
        {
            "data": {"rows": 200, "steps": 8, **(data or {})},
            "model": {"hidden": 8, "cell": cell},
            "train": {**FAST, **values},
        }
    )


def run(path: Path, **values: Any) -> Path:
    return train(config(**values), path).run.path


def codes(path: Path) -> list[str]:
    return [finding.code for finding in diagnose(path).findings]


def contents(path: Path) -> dict[str, str]:
    files = [f for f in sorted(path.rglob("*")) if f.is_file() and "doctor" not in f.parts]
    return {str(f.relative_to(path)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def too_fast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("runs") / "fast", lr=2.0)


def test_a_run_that_learns_has_no_finding(tmp_path: Path) -> None:
    path = run(tmp_path / "ok", max_steps=150, lr=0.02, watch=True)
    found = diagnose(path)
    assert not found.findings
    assert not found.unknown
    assert found.evidence.standing is not None
    assert found.evidence.standing.margin < 0
    assert "overfitting" in dict(found.checked)


def test_a_rate_that_is_too_high(too_fast: Path) -> None:
    finding = next(f for f in diagnose(too_fast).findings if f.code == "E-LR")
    assert finding.value > finding.limit
    assert f"{finding.value:.2g}" in finding.figure
    rates = [float(r.changes["train.lr"]) for r in finding.remedies]
    assert rates == sorted(rates)
    assert all(0 < rate < 2 for rate in rates)
    assert all(r.reference for r in finding.remedies)


def test_clipping_gets_its_threshold_from_the_norms(tmp_path: Path) -> None:
    path = run(tmp_path / "clip", optimizer="sgd", clip_limit=1e-3, watch=True)
    found = diagnose(path)
    finding = next(f for f in found.findings if f.code == "E-CLIP")
    limit = finding.remedies[0].changes["train.clip_limit"]
    norms = sorted(found.evidence.norms)
    assert len(norms) == 30
    assert limit == pytest.approx(norms[27], rel=0.05)
    assert limit > norms[20]


@pytest.mark.parametrize("cell", ["elman", "gru"])
def test_input_that_saturates(tmp_path: Path, cell: str) -> None:
    rows = tmp_path / "rows.jsonl"
    lines = [
        {"series": [[1e4 * ((i * k) % 7)] for k in range(1, 7)], "target": i} for i in range(90)
    ]
    rows.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    data = {"train": [str(rows)], "rows": None, "steps": None, "series": "series"}
    path = run(tmp_path / "run", cell=cell, data={**data, "standardize": False, "unique": False})
    finding = next(f for f in diagnose(path).findings if f.code == "E-SATURATED")
    assert finding.remedies[0].flags == "--data.standardize=true"
    for remedy in finding.remedies:
        asked = parse_request("train", "", ["regress", str(rows), *remedy.flags.split()], OPTIONS)
        assert asked is not None
        given = asked.config.toml()
        for key, value in remedy.changes.items():
            section, _, name = key.partition(".")
            assert given[section][name] == value
        assert given["data"]["train"] == [str(rows)]


class Spoiled(Regress):
    @classmethod
    def prepare(cls, *args: Any, **options: Any) -> Any:
        task = super().prepare(*args, **options)
        task.parts["train"]["x"].values[17 * 8 + 3, 0] = math.nan
        return task


def test_a_nan_in_the_data_is_found_in_a_run_that_diverged(tmp_path: Path) -> None:
    settings = config()
    task = Spoiled.prepare(settings.data, settings.model, tmp_path)
    with pytest.raises(Diverged):
        fit(task, settings.train, Run.create(tmp_path / "run", settings.toml()))
    found = diagnose(tmp_path / "run")
    assert found.findings[0].code == "E-NAN-DATA"
    assert "training rows 17," in found.findings[0].figure
    assert found.evidence.bad_rows == (17,)
    assert any("--watch" in line for line in found.unknown)
    assert not found.findings[0].remedies[0].changes


@pytest.mark.parametrize(
    ("margin", "gain", "last", "named"),
    [
        (0.0, -0.01, 9, True),  # as good as any baseline, and blind
        (0.0, -0.01, math.inf, True),  # what it came to see did not help
        (0.0, -0.2, 9, True),  # it learned what is near, and is blind
        (0.0, -0.2, math.inf, False),  # it learned something, and sees far by now
        (0.3, 0.1, 9, False),  # it has not even learned what is near
        (-0.1, -0.2, 9, False),  # it is better than all
    ],
)
def test_vanishing_gradients_are_a_fault_of_what_learned_no_more_than_a_baseline(
    too_fast: Path, margin: float, gain: float, last: float, named: bool
) -> None:
    measures = replace(
        diagnose(too_fast).evidence,
        ratio=0.01,
        standing=Standing("mse", 1.0, "mean", 1.0, margin, gain),
        losses=LossCurve("mse", (), (), 1.0),
        first=GradientReach(0.6, 9, 32),
        last=GradientReach(0.9, last, 32),
        first_saturation=Saturation(0.1, "", 0.0),
        last_saturation=Saturation(0.1, "", 0.0),
        clipped=0.0,
    )
    codes = [finding.code for finding in findings(measures)]
    assert ("E-VANISH" in codes) == named
    assert codes[: margin >= -0.02] == ["E-UNLEARNED"] * (margin >= -0.02)


def test_where_a_run_broke_comes_after_its_cause(tmp_path: Path) -> None:
    settings = config(lr=1e30)
    task = Regress.prepare(settings.data, settings.model, tmp_path)
    with pytest.raises(Diverged):
        fit(task, settings.train, Run.create(tmp_path / "run", settings.toml()))
    found = diagnose(tmp_path / "run")
    assert [finding.code for finding in found.findings] == ["E-LR", "E-NAN"]
    assert found.findings[1].figure == str(found.evidence.broke)
    assert found.findings[1].remedies
    assert not any("diverged" in line for line in found.unknown)


def test_a_baseline_without_the_metric_is_not_compared(too_fast: Path) -> None:
    task = elman.load(too_fast)
    end = {"event": "end", "metrics": {"valid": {"rmse": 3.0, "mse": 9.0}}}
    models = {"a": {"valid": {"rmse": 2.0, "mse": 4.0}}, "b": {"valid": {"rmse": 1.0}}}
    place = standing(task, [{**end, "baselines": models}])
    assert place is not None
    assert (place.name, place.margin, place.gain) == ("a", 1.25, 1.25)


def test_perplexity_is_compared_on_the_scale_of_the_loss() -> None:
    task: Any = SimpleNamespace(metric=Metric("perplexity"))
    models = {"bigram": {"perplexity": math.exp(4.0)}, "unigram": {"perplexity": math.exp(5.0)}}
    place = compared(task, {"perplexity": math.exp(4.5)}, models)
    assert (place.name, round(place.margin, 6), round(place.gain, 6)) == ("bigram", 0.125, -0.1)


def test_what_cannot_be_known_is_said(too_fast: Path) -> None:
    assert any("not recorded (train with --watch)" in line for line in diagnose(too_fast).unknown)


def test_a_run_without_a_checkpoint_is_an_error(too_fast: Path, tmp_path: Path) -> None:
    path = tmp_path / "none"
    shutil.copytree(too_fast, path)
    shutil.rmtree(path / "checkpoints")
    with pytest.raises(CheckpointError, match="no checkpoint 'last'"):
        diagnose(path)
    with pytest.raises(CheckpointError, match="not a run folder"):
        diagnose(tmp_path)


def test_a_network_without_recurrence_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no layer of elman ran"):
        diagnose(run(tmp_path / "run", cell="feedforward", max_steps=2))


def test_trials_compare_with_the_run_as_it_is(too_fast: Path) -> None:
    before = contents(too_fast)
    found = diagnose(too_fast).findings
    found = tuple(finding for finding in found if finding.remedies)
    control, *trials = try_remedies(too_fast, found[:1], steps=20)
    assert contents(too_fast) == before
    assert control.remedy is None
    assert [t.remedy for t in trials] == list(found[0].remedies)
    assert trials[0].score is not None
    assert control.score is not None
    assert trials[0].better == (trials[0].score < control.score)
    tried = Run.open(trials[0].run).config["train"]
    assert tried["lr"] == found[0].remedies[0].changes["train.lr"]
    assert tried["max_steps"] == 20
    assert tried["seed"] == Run.open(too_fast).config["train"]["seed"]


def test_the_control_is_the_run_again(too_fast: Path) -> None:
    control, *_ = try_remedies(too_fast, (), steps=30)
    assert control.metrics == Run.open(too_fast).events()[-1]["metrics"]["valid"]


def test_no_update_to_try_is_an_error(too_fast: Path) -> None:
    with pytest.raises(ConfigError, match="steps must be at least 1, got 0"):
        try_remedies(too_fast, (), steps=0)


def test_a_change_that_leaves_a_key_out() -> None:
    language = config_class("language").parse({"model": {"init_range": 2.0}})
    new = changed(language, {"model.init": "orthogonal", "model.init_range": None})
    assert new.model.init == "orthogonal"
    remedy = Remedy("", {"model.init": "orthogonal", "model.init_range": None}, "")
    assert (remedy.flags, remedy.without) == ("--model.init orthogonal", ("--model.init_range",))


def test_json_is_a_line_for_each(too_fast: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(too_fast), "--try", "--steps", "5", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [line["event"] for line in lines]
    assert kinds[0] == "finding"
    assert "trial" in kinds
    assert lines[-1]["findings"] == codes(too_fast)
    assert lines[0]["code"] in CODES
    flags = [remedy["flags"] for line in lines[:-1] for remedy in line.get("remedies", [])]
    assert flags[0].startswith("--train.lr")


def test_the_text_says_code_figure_and_change(
    too_fast: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(too_fast), "--try", "--steps", "5"]) == 0
    shown = capsys.readouterr().out
    first: Finding = next(f for f in diagnose(too_fast).findings if f.remedies)
    assert all(part in shown for part in (first.code, first.figure, first.remedies[0].flags))
    assert "unchanged" in shown
