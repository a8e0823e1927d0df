"""Lessons in a browser: what is shown is what elman computes, and its numbers reach the goals."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import elman
import sampling
from browser.conftest import Visit, wait_for
from elman.lab import LESSONS

Visits = Callable[..., Visit]
pytestmark = pytest.mark.timeout(900)

full = pytest.mark.skipif(not sampling.is_full(), reason="trains for long: runs under --full")


def ratio(radius: float, steps: int = 50) -> float:
    """The gradient at the first step over that at the last, of lesson 5's network."""
    torch.manual_seed(0)
    layer = elman.Recurrent(elman.cells.Elman(4, 32), init="orthogonal").double()
    layer.cell.weight_hh.data *= radius
    x = 0.1 * torch.randn(16, steps, 4).double()
    (norm,) = elman.inspection.gradient_flow(layer, x, lambda h: h[:, -1].square().sum()).norm
    return float(norm[0] / norm[-1])


@pytest.mark.parametrize(
    ("radius", "verdict", "goal"),
    [(0.5, "vanish", "break"), (2.0, "explode", None), (1.0, "", "cure")],
)
def test_the_gradient_of_lesson_five_is_that_of_the_library(
    visit: Visits, radius: float, verdict: str, goal: str | None
) -> None:
    each = visit()
    page = each.begin("gradients", "?radius=1.5&activation=tanh&steps=50&inputs=0.1&seed=0")
    wait_for(lambda: bool(each.latest("flow")))
    each.turn("radius", radius)
    expected = ratio(radius)
    wait_for(lambda: each.latest("flow")["ratio"] == pytest.approx(expected, rel=0.05))
    wait_for(lambda: verdict in page.inner_text(".stage").lower())
    if goal is not None:
        page.wait_for_selector(f".goal.reached[data-goal={goal}]")


def test_lesson_five_is_done_by_keyboard_alone(visit: Visits) -> None:
    each = visit()
    page = each.go("#/gradients")
    keys = page.keyboard

    def tab_to(condition: str) -> None:
        for _ in range(120):
            keys.press("Tab")
            if page.evaluate(f"(element => {condition})(document.activeElement)"):
                return
        raise AssertionError(f"no Tab leads to {condition}")

    tab_to("element.classList.contains('guess')")
    keys.press("Enter")
    page.wait_for_selector(".lesson.begun .sheet")
    wait_for(lambda: bool(each.latest("flow")))
    said = page.inner_text(".say")
    tab_to("element.name === 'radius'")
    keys.press("Home")  # the least radius
    page.wait_for_selector(".goal.reached[data-goal=break]")
    wait_for(lambda: page.inner_text(".say") != said)
    page.evaluate("document.querySelector('main h1').focus()")
    tab_to("element.closest('[data-goal=cure]') && element.tagName === 'BUTTON'")
    keys.press("Enter")
    page.wait_for_selector(".goal.reached[data-goal=cure]")


def test_the_terms_of_lesson_four_add_up_to_autograd(visit: Visits) -> None:
    each = visit()
    each.begin("bptt")
    wait_for(lambda: bool(each.latest("sum")))
    shown = each.latest("sum")
    assert shown["difference"] < 1e-6
    total = sum(term for row in shown["table"] for term in row if term is not None)
    assert total >= shown["sum"] - 1e-6  # sizes of the terms: their sum is at least the sum's
    assert shown["sum"] == pytest.approx(shown["autograd"], abs=1e-6)


@full
@pytest.mark.parametrize(("cure", "cured"), [("none", False), ("GRU", True)])
def test_the_cures_of_lesson_seven_work_as_they_claim(
    visit: Visits, cure: str, cured: bool
) -> None:
    each = visit()
    page = each.begin("cures", f"?cure={cure}&task=adding&rate=0.01&seed=0")
    page.click(".sheet button:text-is('Train')")
    wait_for(lambda: bool(each.latest("result")))
    assert (each.latest("result")["mse"] < 0.01) is cured


@pytest.mark.parametrize("slug", sampling.cases([slug for slug, _ in LESSONS], 1))
def test_a_guess_opens_the_stage_and_is_kept(visit: Visits, slug: str) -> None:
    each = visit()
    page = each.go(f"#/{slug}")
    assert not page.is_visible(".stage")
    page.click(".guess >> nth=0")
    page.wait_for_selector(".lesson.begun .sheet")
    assert page.inner_text(".answer").startswith(("Yes.", "Not quite."))
    page.reload()
    page.wait_for_selector(".lesson.begun .sheet")
    assert page.get_attribute(".guess >> nth=0", "aria-pressed") == "true"
