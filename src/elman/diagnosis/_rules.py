"""From measures to findings: one rule a fault, the likelier cause first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType

from elman.diagnosis import _remedies as remedies
from elman.diagnosis._finding import Finding, Remedy
from elman.diagnosis._measures import Measures, Standing

RATIO, GROWTH, SATURATED, STUCK, DEAD = 0.5, 1.03, 0.6, 0.9, 0.5
CLIPPED, BIAS, LEARNED, NEAR, WHOLE = 0.9, 0.15, -0.02, 0.05, 0.5
RISE, ABOVE, WORSE, SICK, CHANCE = 0.5, 0.1, 0.1, 0.05, 2.0
"""Bounds of the rules below; chosen on the tuning seeds of the faults in benchmarks/doctor.py."""

CODES = MappingProxyType(
    {
        "E-UNLEARNED": "the run is no better than a simple baseline",
        "E-OVERFIT": "the run overfits: it learns its training data by heart",
        "E-NAN-DATA": "values in the data are not finite",
        "E-NAN": "a weight or an operation gives values that are not finite",
        "E-LR": "the learning rate is too high",
        "E-EXPLODE": "gradients explode on their way back through time",
        "E-SATURATED": "gates, or units, are saturated",
        "E-DEAD": "units are dead",
        "E-CLIP": "clipping cuts almost every gradient",
        "E-TRUNCATED": "truncation is too short for what is to be learned",
        "E-VANISH": "gradients vanish before they reach what matters",
    }
)
"""Every code, and what it says: first how a run came out, then what may be the cause."""


def findings(m: Measures) -> tuple[Finding, ...]:
    """All that is wrong: how the run came out, then its causes, the likelier one first."""
    causes = tuple(finding for rule in RULES for finding in rule(m))
    wild = any(finding.code == "E-LR" for finding in causes)  # then validation rises and falls
    overfit = () if wild else tuple(_overfits(m))
    # A network that learned nothing has gradients that vanish, whatever it is that keeps it so;
    # one that knows its training data by heart does not want for memory.
    causes = causes or (() if overfit else tuple(_vanishes(m)))
    return (*_unlearned(m, (*overfit, *causes)), *overfit, *causes)


def _learned(place: Standing) -> bool:
    """Whether a run is better than its best baseline, and not by chance better than the weakest."""
    beats = place.margin <= min(LEARNED, -place.noise)
    return place.perfect or (beats and place.gain <= min(LEARNED, -CHANCE * place.chance))


def _unlearned(m: Measures, causes: Sequence[Finding]) -> Iterator[Finding]:
    place = m.standing
    if m.diverged or place is None or _learned(place):
        return
    limit, each = min(LEARNED, -place.noise), []
    figure = str(place)
    if m.course.falling:
        figure += "; the training loss still falls"
    if causes:
        figure += f"; a likely cause is below: {causes[0].code}"
    if all(finding.code == "E-VANISH" for finding in causes):  # so they do in what is untrained
        goes_on = not causes or m.course.falling is not False
        each = [remedies.faster(m), *([remedies.longer(m)] if goes_on else [])]
    fits = remedies.fitting(m.config, *each)
    yield Finding("E-UNLEARNED", CODES["E-UNLEARNED"], figure, place.margin, limit, fits)


def _overfits(m: Measures) -> Iterator[Finding]:
    course = m.course
    if m.diverged or course.worse <= WORSE or not course.train:
        return
    best, lowest = course.best
    before, after = course.trained(best)
    if after >= min(before, lowest):
        return
    figure = (
        f"validation {course.unit} rose from {lowest:.3g} after update {best:,} to "
        f"{course.valid[-1][1]:.3g}, while that of training fell from {before:.3g} to {after:.3g}"
    )
    fits = remedies.fitting(m.config, *remedies.regular(m))
    yield Finding("E-OVERFIT", CODES["E-OVERFIT"], figure, course.worse, WORSE, fits)


def _nan(m: Measures) -> Iterator[Finding]:
    bad = m.bad or m.broke
    if bad is None or (m.bad is None and bad.source != "data"):
        return
    if bad.source != "data":
        finding = Finding("E-NAN", CODES["E-NAN"], str(bad), math.nan, 0.0)
        fits = remedies.fitting(m.config, remedies.slower(m.config, 10), remedies.tighter(m))
        yield finding._replace(remedies=fits)
        return
    rows = f"; training rows {', '.join(map(str, m.bad_rows))}, counted from 0" * bool(m.bad_rows)
    mend = Remedy("leave out or mend these values: no setting does it", {}, "")
    yield Finding("E-NAN-DATA", CODES["E-NAN-DATA"], f"{bad}{rows}", math.nan, 0.0, (mend,))


def _rate(m: Measures) -> Iterator[Finding]:
    if m.ratio <= RATIO:
        return
    figure = f"the first update moves a weight matrix by {m.ratio:.2g} of its own size (median)"
    lower = remedies.slower(m.config, m.ratio / 0.05)
    fits = remedies.fitting(m.config, lower, remedies.slower(m.config, 10))
    yield Finding("E-LR", CODES["E-LR"], figure, m.ratio, RATIO, fits)


def _rises(m: Measures) -> Iterator[Finding]:
    """The loss itself says that the rate is too high, whatever the first update did."""
    course = m.course
    if m.ratio > RATIO or not (course.rise > RISE or course.above > ABOVE):
        return
    figure = (
        f"the training {course.unit} came to {course.last:.3g}: it began at {course.begun:.3g}, "
        f"and {course.lowest:.3g} was the lowest that was logged"
    )
    factors = (100, 10) if course.above > ABOVE else (10, 100)
    fits = remedies.fitting(m.config, *(remedies.slower(m.config, by) for by in factors))
    yield Finding("E-LR", CODES["E-LR"], figure, course.rise, RISE, fits)


def _explodes(m: Measures) -> Iterator[Finding]:
    growth = m.first.growth
    if growth <= GROWTH or growth**m.first.steps < 100:
        return
    figure = (
        f"with the first weights the gradient's norm grows by a factor of {growth:.3g} a step, "
        f"{growth ** min(m.first.steps, 500):.2g} over {m.first.steps} steps"
    )
    init, tight = remedies.orthogonal(m.config), remedies.tighter(m)
    fits = remedies.fitting(m.config, init, tight, remedies.slower(m.config, 10))
    yield Finding("E-EXPLODE", CODES["E-EXPLODE"], figure, growth, GROWTH, fits)


def _saturated(m: Measures) -> Iterator[Finding]:
    begun = m.first_use.stuck > SATURATED  # in training gates come to open and close by right
    use, limit = (m.first_use, SATURATED) if begun else (m.last_use, STUCK)
    if use.stuck <= limit:
        return
    when = "first" if begun else "last"
    figure = (
        f"{use.stuck:.0%} of the values of {use.where} are saturated with the {when} weights; "
        f"what enters has a root mean square of {m.scale:.3g}"
    )
    scaled = Remedy("standardize the input", {"data.standardize": True}, remedies.LECUN)
    begin = "Glorot's first weights"
    init = remedies.initialization(m.config, "glorot", begin, remedies.GLOROT)
    each = [scaled, init, remedies.slower(m.config, 10)]
    fits = remedies.fitting(m.config, *each)
    yield Finding("E-SATURATED", CODES["E-SATURATED"], figure, use.stuck, limit, fits)


def _dead(m: Measures) -> Iterator[Finding]:
    dead = max(m.first_use.dead, m.last_use.dead)
    if dead <= DEAD:
        return
    when = "first" if dead == m.first_use.dead else "last"
    figure = f"{dead:.0%} of the units are 0 at every step of a batch with the {when} weights"
    tanh = Remedy(
        "tanh, which has a slope everywhere", {"model.activation": "tanh"}, remedies.LECUN
    )
    init = remedies.orthogonal(m.config)
    fits = remedies.fitting(m.config, init, tanh, remedies.slower(m.config, 10))
    yield Finding("E-DEAD", CODES["E-DEAD"], figure, dead, DEAD, fits)


def _clips(m: Measures) -> Iterator[Finding]:
    # Adam divides by the size of its gradients, so that a bound on it changes next to nothing.
    if m.clipped is None or m.clipped <= CLIPPED or m.config.train.optimizer != "sgd":
        return
    figure = f"{m.clipped:.0%} of the updates were clipped"
    if m.norms:
        figure += (
            f"; the median of {len(m.norms)} norms is {sorted(m.norms)[len(m.norms) // 2]:.3g}"
        )
    each = [remedies.clipping(m), remedies.slower(m.config, 3)]
    fits = remedies.fitting(m.config, *each)
    yield Finding("E-CLIP", CODES["E-CLIP"], figure, m.clipped, CLIPPED, fits)


def _truncated(m: Measures) -> Iterator[Finding]:
    learned = m.standing is None or _learned(m.standing)
    limit = BIAS if learned else SICK
    if m.bias is None or m.bias <= limit or m.first.growth > GROWTH:
        return
    train = m.config.train
    used: int = train.k2 or train.k1  # type: ignore[attr-defined]
    figure = f"cut every {used} steps, the gradient is off by {m.bias:.0%} of its size"
    enough = max(m.enough or 8 * used, 2 * used)
    each = [
        Remedy("windows as long as the gradient reaches", {"train.k1": enough}, remedies.AICHER),
        Remedy(
            "as many updates, each reaching further back", {"train.k2": enough}, remedies.AICHER
        ),
    ]
    fits = remedies.fitting(m.config, *each)
    yield Finding("E-TRUNCATED", CODES["E-TRUNCATED"], figure, m.bias, limit, fits)


def _broke(m: Measures) -> Iterator[Finding]:
    """After what may be the cause of it."""
    if m.bad is None and m.broke is not None and m.broke.source != "data":
        fits = remedies.fitting(m.config, remedies.slower(m.config, 10), remedies.tighter(m))
        yield Finding("E-NAN", CODES["E-NAN"], str(m.broke), math.nan, 0.0, fits)


def _vanishes(m: Measures) -> Iterator[Finding]:
    if m.standing is None or m.first.horizon >= WHOLE * m.steps:
        return
    place, blind = m.standing, m.last.horizon < WHOLE * m.steps
    something = place.gain <= min(-NEAR, -CHANCE * place.chance)
    # What learned something with a gradient that reaches back by now is on its way; and what is
    # far worse than a simple baseline, and learned nothing, has not even learned what is near.
    near = place.margin <= NEAR or something
    if _learned(place) or (something and not blind) or not near:
        return
    figure = (
        f"the gradient falls below 1 % within {m.first.horizon:.0f} of {m.steps} steps with the "
        f"first weights, {m.last.horizon:.0f} with the last"
    )
    fits = remedies.fitting(m.config, *remedies.memory(m))
    value, limit = m.first.horizon, WHOLE * m.steps
    yield Finding("E-VANISH", CODES["E-VANISH"], figure, value, limit, fits)


RULES: tuple[Callable[[Measures], Iterator[Finding]], ...] = (
    _nan, _rate, _explodes, _rises, _saturated, _dead, _clips, _truncated, _broke,
)  # fmt: skip
