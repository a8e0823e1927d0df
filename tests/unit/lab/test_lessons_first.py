"""Lessons 1 to 6: what they answer is what elman measures, and their bounds hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from elman.lab import LESSONS, lesson, read_text

FIRST = ("ball", "shapes", "network", "bptt", "gradients", "cures")
SLUGS = [slug for slug, _ in LESSONS if slug in FIRST]
TRAINS = {"shapes.learn": {"updates": 20}, "cures.train": {"updates": 30}}
"""Settings that keep a test short."""


def events(name: str, **settings: object) -> list[dict[str, Any]]:
    slug = name.partition(".")[0]
    [ask] = [ask for ask in lesson(slug).asks if ask.name == name]
    return list(ask.answer(ask.settings.model_validate(settings)))


def event(name: str, sought: str, /, **settings: object) -> dict[str, Any]:
    return next(each for each in events(name, **settings) if each["event"] == sought)


def arrays(value: Any) -> Iterator[list[Any]]:
    if isinstance(value, dict):
        value = list(value.values())
    elif isinstance(value, list):
        yield value
    if isinstance(value, list):
        for inner in value:
            yield from arrays(inner)


ASKS = [ask for slug in SLUGS for ask in lesson(slug).asks]


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.name)
def test_answers_fit_a_message_and_come_again(ask: Any) -> None:
    settings = {**(ask.recorded[-1] if ask.recorded else {}), **TRAINS.get(ask.name, {})}
    first, again = (list(ask.answer(ask.settings.model_validate(settings))) for _ in range(2))
    assert first
    assert json.dumps(first) == json.dumps(again)
    for each in first:
        assert isinstance(each["event"], str)
        assert all(len(array) <= 256 for array in arrays(each))


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.name)
def test_settings_are_bounded(ask: Any) -> None:
    with pytest.raises(ValidationError):
        ask.settings.model_validate({"unknown": 1})
    for name, field in ask.settings.model_fields.items():
        for bound in field.metadata:
            for limit, outside in (("ge", -1), ("le", 1)):
                if hasattr(bound, limit):
                    with pytest.raises(ValidationError):
                        ask.settings.model_validate({name: getattr(bound, limit) + outside})
    numbers = [f for f in ask.settings.model_fields.values() if f.annotation in (int, float)]
    assert all(len(field.metadata) == 2 for field in numbers)


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.name)
def test_what_is_recorded_can_be_asked(ask: Any) -> None:
    for settings in ask.recorded:
        ask.settings.model_validate(settings)
    assert len({json.dumps(each) for each in ask.recorded}) == len(ask.recorded)


@pytest.mark.parametrize("slug", SLUGS)
def test_the_code_of_the_text_runs(slug: str) -> None:
    text = read_text(slug)
    exec(compile(text.python, f"{slug}/lesson.md", "exec"), {})  # noqa: S102
    assert text.title == lesson(slug).title
    assert set(text.goals) == {"break", "cure"}


def test_a_feed_forward_network_refuses_other_lengths() -> None:
    six, seven = (event("shapes.criteria", "criteria", words=n) for n in (6, 7))
    assert six["refusal"] is None
    assert "cannot be multiplied" in seven["refusal"]
    for each in (six, seven):  # the order and no other, as the question of the lesson says
        assert each["taken"] == [6]
        assert each["first_word"] is None
        assert each["order_words"] == 6
        assert each["order"] > 0.01
        assert not each["shared"]


def test_the_recurrent_network_meets_the_criteria_and_the_bag_of_words_has_no_order() -> None:
    recurrent = event("shapes.criteria", "criteria", network="recurrent", words=12)
    assert recurrent["refusal"] is None
    assert recurrent["taken"] == list(range(2, 13))
    assert recurrent["shared"]
    assert min(recurrent["first_word"], recurrent["order"]) > 1e-4
    bag = event("shapes.criteria", "criteria", network="bag", words=12)
    assert bag["order"] < 1e-6 < bag["first_word"]
    assert bag["taken"] == recurrent["taken"]


@pytest.mark.parametrize("shape", ["one-to-one", "one-to-many", "many-to-many", "translation"])
def test_a_shape_learns(shape: str) -> None:
    made = events("shapes.learn", shape=shape, updates=40)
    curve = [each["loss"] for each in made if each["event"] == "curve"]
    assert curve[-1] < 0.8 * curve[0]
    rows = made[-1]["rows"]
    if shape == "many-to-many":
        assert all(len(row["written"]) == len(row["read"]) for row in rows)
    if shape.startswith("one"):
        assert all(len(row["pixels"]) == 20 and len(row["pixels"][0]) == 20 for row in rows)


def test_a_shape_is_right_on_rows_it_has_not_seen() -> None:
    assert events("shapes.learn", shape="many-to-one", updates=120)[-1]["accuracy"] > 0.9


@pytest.mark.parametrize("s_h", ["tanh", "relu", "identity"])
def test_the_terms_sum_to_the_gradient_of_autograd(s_h: str) -> None:
    made = events("bptt.walk", hidden=4, steps=5, s_h=s_h, t=4)
    total = next(each for each in made if each["event"] == "sum")
    assert total["terms"] == 15
    assert total["autograd"] > 0
    assert total["difference"] < 1e-12
    assert [row.count(None) for row in total["table"]] == [4, 3, 2, 1, 0]


def test_the_walk_of_one_unit_multiplies_its_factors() -> None:
    steps = event("bptt.walk", "walk", steps=6, w_hh=0.8)["steps"]
    product = 1.0
    for step in steps[1:]:
        product *= step["factor"]
        assert step["product"] == pytest.approx(product)
        whole = step["loss_state"] * step["product"] * step["state_weight"]
        assert step["term"] == pytest.approx(whole)
    identity = event("bptt.walk", "walk", steps=6, w_hh=0.8, s_h="identity")["steps"]
    assert identity[-1]["product"] == pytest.approx(0.8**5)


def test_losses_are_of_the_outputs() -> None:
    made = event("bptt.walk", "losses")
    errors = torch.tensor(made["y"]) - torch.tensor(made["target"])
    assert torch.allclose(errors.square() / 2, torch.tensor(made["losses"]))
    assert made["total"] == pytest.approx(sum(made["losses"]))


@pytest.mark.parametrize(
    ("radius", "activation", "verdict"),
    [
        (0.5, "tanh", "vanishes"),
        (1.0, "tanh", "holds"),
        (2.0, "tanh", "explodes"),
        (1.2, "relu", "vanishes"),
        (1.5, "relu", "explodes"),
        (2.0, "sigmoid", "vanishes"),
    ],
)
def test_verdicts_on_gradients(radius: float, activation: str, verdict: str) -> None:
    made = event("gradients.flow", "flow", radius=radius, activation=activation)
    assert made["verdict"] == verdict
    assert made["ratio"] == pytest.approx(made["gradient"][0] / made["gradient"][-1])


def test_an_identity_multiplies_by_its_radius_at_each_step() -> None:
    made = event("gradients.flow", "flow", radius=1.5, activation="identity", steps=50)
    assert made["ratio"] == pytest.approx(1.5**49, rel=1e-5)
    assert event("gradients.derivative", "derivative", activation="sigmoid")["largest"] == 0.25


def test_the_clouds_are_near_and_france_is_far() -> None:
    for network in ("tanh", "gru"):
        assert event("gradients.recall", "recall", network=network, kind="clouds")["right"]
    far = {n: event("gradients.recall", "recall", network=n, between=10) for n in ("tanh", "gru")}
    assert far["gru"]["right"]
    assert far["gru"]["probability"] > 0.9 > far["tanh"]["probability"]
    words = far["gru"]["words"]
    assert words[:4] == ["i", "grew", "up", "in"]
    assert len(words) == len(far["gru"]["gradient"])
    # The tanh network's gradient is far smaller where the country stands.
    assert far["tanh"]["gradient"][4] < far["gru"]["gradient"][4]


def test_the_feed_forward_network_expects_one_place_for_two_pasts() -> None:
    made = event("network.problems", "pasts")
    assert made["same_image"]
    assert made["apart"]["feedforward"] < 1e-6
    assert made["apart"]["gru"] > 0.03


def test_more_images_help_the_recurrent_network_alone() -> None:
    made = {e["network"]: e["errors"] for e in events("ball.errors")}
    assert made["gru"][0] > 0.05
    assert min(made["gru"]) < 0.03
    assert min(made["feedforward"]) > 0.05


def test_a_unit_with_weight_one_holds_a_bit() -> None:
    settings = {"bits": "1000000000", "s_h": "identity"}
    held = event("network.step", "steps", w_hh=1, **settings)["steps"]
    assert [step["h"] for step in held] == [1.0] * 10
    lost = event("network.step", "steps", w_hh=0, **settings)["steps"]
    assert lost[-1]["h"] == 0


def test_a_descent_is_thrown_off_the_cliff_unless_it_is_clipped() -> None:
    free, clipped = (e for e in events("cures.cliff") if e["event"] == "descent")
    assert max(free["w"]) > 20
    assert max(clipped["w"]) <= 6


def test_a_window_loses_nothing_where_nothing_arrives() -> None:
    tanh, kept = (event("cures.windows", "bias", network=n) for n in ("tanh", "orthogonal"))
    assert tanh["chosen_bias"] < 1e-3
    assert kept["chosen_bias"] > 0.3
    assert tanh["windows"][-1] == [81, 100]


def test_a_high_rate_without_clipping_diverges() -> None:
    assert events("cures.train", cure="relu", rate=3, clip=0, updates=60)[-1]["diverged"]
