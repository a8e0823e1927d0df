"""From evidence to findings: how a run came out is first, then why; remedies are the run's own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import elman.cells
import sampling
from elman.cells import PointwiseCell
from elman.cells import by_name as cell_named
from elman.diagnosis import CODES, GradientReach, LossCurve, Saturation
from elman.diagnosis._remedies import changed, memory
from elman.diagnosis._rules import findings
from elman.init import initialize
from elman.inspection import Bad
from elman.training import Config, config_class
from unit.diagnosis.runs import evidence, losses, standing

BAD = Bad("nan", "data", "add", "layer", 3, None, (), (1, 2), False, "")
BLIND = {"first": GradientReach(0.6, 9.0, 40), "last": GradientReach(0.7, 11.0, 40)}
LEVEL = losses(train=(0.7, 0.7, 0.7, 0.7), valid=(0.7, 0.7))

SICK: dict[str, dict[str, Any]] = {
    "E-UNLEARNED": {"standing": standing(margin=0.01)},
    "E-OVERFIT": {"losses": losses(valid=(0.6, 0.49, 0.85))},
    "E-NAN-DATA": {"bad": BAD},
    "E-NAN": {"bad": BAD.__class__(**{**BAD.__dict__, "source": "operation"})},
    "E-LR": {"ratio": 3.0},
    "E-EXPLODE": {"first": GradientReach(1.3, math.inf, 40)},
    "E-SATURATED": {"first_saturation": Saturation(0.8, "gate input of x", 0.0)},
    "E-DEAD": {"last_saturation": Saturation(0.1, "state h of x", 0.7)},
    "E-CLIP": {"clipped": 1.0, "train": {"max_steps": 9, "optimizer": "sgd"}},
    "E-TRUNCATED": {
        "bias": 0.4,
        "enough": 64,
        "task": "language",
        "data": {"name": "kjv"},
    },
    "E-VANISH": {"standing": standing(margin=0.0, gain=-0.01), **BLIND},
}


def codes(**values: Any) -> list[str]:
    return [finding.code for finding in findings(evidence(**values))]


def test_a_run_in_which_all_is_well_has_no_finding() -> None:
    assert codes() == []


@pytest.mark.parametrize("code", CODES)
def test_each_fault_is_named_by_its_measure(code: str) -> None:
    assert code in codes(**SICK[code])
    finding = next(f for f in findings(evidence(**SICK[code])) if f.code == code)
    assert finding.figure
    assert math.isnan(finding.value) or finding.value > finding.limit or code == "E-VANISH"


@pytest.mark.parametrize("code", [code for code in CODES if code not in ("E-NAN", "E-NAN-DATA")])
def test_how_the_run_came_out_is_first_and_its_cause_below(code: str) -> None:
    sick = {**SICK[code], "standing": standing(margin=0.02, gain=-0.01)}
    assert codes(**sick)[0] == "E-UNLEARNED"
    assert codes(**sick) == sorted(codes(**sick), key=list(CODES).index)
    assert code in codes(**sick)


def test_a_run_that_diverged_is_not_said_to_be_unlearned() -> None:
    events = [{"event": "diverged", "update": 3}]
    assert codes(standing=standing(margin=3.0), events=events) == []


@pytest.mark.parametrize(
    ("margin", "noise", "gain", "chance", "learned"),
    [
        (-0.5, 0.05, -0.5, 0.05, True),
        (-0.03, 0.05, -0.5, 0.05, False),  # within the noise of the best baseline
        (0.3, 0.05, -0.5, 0.05, False),  # better than chance, worse than a bag of words
        (-0.05, 0.04, -0.05, 0.04, False),  # by one standard error better than chance
        (-0.015, 0.0, -0.5, 0.0, False),
    ],
)
def test_what_counts_as_learned(
    margin: float, noise: float, gain: float, chance: float, learned: bool
) -> None:
    place = standing(margin=margin, noise=noise, gain=gain, chance=chance)
    assert ("E-UNLEARNED" not in codes(standing=place)) == learned


def test_what_is_right_throughout_is_learned_whatever_a_baseline_is() -> None:
    assert codes(standing=standing(margin=0.0, perfect=True)) == []


def test_the_figures_are_in_the_words() -> None:
    first, second = findings(
        evidence(standing=standing(margin=0.02), losses=losses(valid=(0.6, 0.49, 0.85)))
    )
    assert "validation accuracy 0.9, bag of words 0.8" in first.figure
    assert "E-OVERFIT" in first.figure
    assert "rose from 0.49 after update 20 to 0.85" in second.figure


@pytest.mark.parametrize(
    ("train", "valid", "named"),
    [
        ((0.7, 0.5, 0.3, 0.1), (0.6, 0.5, 0.7), True),
        ((0.7, 0.5, 0.3, 0.1), (0.6, 0.5, 0.52), False),  # it hardly rose
        ((0.7, 0.6, 0.6, 0.6), (0.6, 0.5, 0.7), False),  # training did not fall below validation
        ((0.7, 0.5, 0.3, 0.1), (0.6, 0.5, 0.4), False),  # it is still getting better
        ((0.7, 0.5, 0.3, 0.1), (0.5,), False),
        ((), (0.5, 0.9), False),
    ],
)
def test_overfitting_is_a_fall_in_training_and_a_rise_in_validation(
    train: tuple[float, ...], valid: tuple[float, ...], named: bool
) -> None:
    assert ("E-OVERFIT" in codes(losses=losses(train, valid))) == named


@pytest.mark.parametrize(
    ("train", "begun", "named"),
    [
        ((2.0, 1.0, 1.5, 1.9), 2.1, True),  # most of what was gained is lost
        ((90.0, 80.0, 92.0, 85.0), 9.2, True),  # it never came to where it began
        ((2.0, 1.0, 1.1, 1.2), 2.1, False),
        ((0.694, 0.691, 0.693, 0.694), 0.693, False),  # noise of what does not move
        ((), 0.7, False),
    ],
)
def test_a_loss_that_rises_is_a_rate_too_high(
    train: tuple[float, ...], begun: float, named: bool
) -> None:
    assert ("E-LR" in codes(losses=losses(train, (), begun))) == named


def test_a_rate_too_high_is_no_overfitting() -> None:
    wild = losses(train=(2.0, 1.0, 0.1, 1.8), valid=(2.0, 1.9, 5.0))
    assert codes(losses=wild) == ["E-LR"]


def test_clipping_is_no_fault_under_adam() -> None:
    assert codes(clipped=1.0) == []


def test_the_budget_is_a_remedy_only_where_no_cause_is_known() -> None:
    (alone,) = findings(evidence(standing=standing(margin=0.02), ratio=0.01, losses=LEVEL))
    assert [r.flags for r in alone.remedies] == ["--train.lr 0.02", "--train.max_steps 400"]
    (first, second) = findings(evidence(standing=standing(margin=0.02), ratio=3.0))
    assert not first.remedies
    assert second.remedies


class Gateless(PointwiseCell):
    """A cell without a gate to open."""

    gates, states = ("z",), ("h",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=torch.tanh(inp.z + rec.z))


def test_no_gate_is_opened_in_a_cell_that_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = (*elman.cells.CELLS, ("gateless", f"{__name__}:Gateless"))
    monkeypatch.setattr(elman.cells, "CELLS", cells)
    plain = evidence()
    object.__setattr__(plain.config.model, "cell", "gateless")
    schemes = [remedy.changes.get("model.init") for remedy in memory(plain)]
    assert not {"chrono", "forget_bias"} & set(schemes)
    assert "model.cell" in memory(plain)[0].changes


@pytest.mark.parametrize("cell", sampling.cells())
@pytest.mark.parametrize("code", CODES)
def test_remedies_are_settings_that_the_run_can_have(code: str, cell: str) -> None:
    m = evidence(**{**SICK[code], "model": {"cell": cell}})
    for finding in findings(m):
        for remedy in finding.remedies:
            if remedy.changes:
                builds(changed(m.config, remedy.changes))


def builds(config: Config) -> None:
    """The cell begins as the configuration says."""
    model: Any = config.model
    options = {"activation": model.activation} if model.activation else {}
    layer = elman.Recurrent(cell_named(model.cell)(3, 4, **options))  # type: ignore[arg-type]
    if model.init is not None:
        initialize(layer, model.init)


def test_the_loss_counts_even_if_one_line_is_logged() -> None:
    one = LossCurve("nats", ((100, 92.0),), (), 9.2)
    assert codes(losses=one) == ["E-LR"]
    assert config_class("classify") is type(evidence().config)
