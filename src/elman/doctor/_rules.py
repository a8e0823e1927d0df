"""From measures to findings: one rule a fault, the likelier cause first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from types import MappingProxyType

from elman.doctor import _remedies as remedies
from elman.doctor._finding import Finding, Remedy
from elman.doctor._measure import Measures

RATIO, GROWTH, SATURATED, STUCK, DEAD = 0.5, 1.03, 0.6, 0.9, 0.5
CLIPPED, BIAS, LEARNED, NEAR, WHOLE = 0.9, 0.15, -0.02, 0.05, 0.5
"""Bounds of the rules below; chosen on seed 0 of the faults in benchmarks/doctor.py."""

CODES = MappingProxyType(
    {
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
"""Every code, and what it says."""


def findings(m: Measures) -> tuple[Finding, ...]:
    """All that is wrong, the likelier cause first."""
    found = tuple(finding for rule in RULES for finding in rule(m))
    # A network that learned nothing has gradients that vanish, whatever it is that keeps it so.
    return found or tuple(_vanishes(m))


def _nan(m: Measures) -> Iterator[Finding]:
    if m.bad is None:
        return
    if m.bad.source != "data":
        found = Finding("E-NAN", CODES["E-NAN"], str(m.bad), math.nan, 0.0)
        fits = remedies.fitting(m.config, remedies.slower(m.config, 10), remedies.tighter(m))
        yield found._replace(remedies=fits)
        return
    rows = f"; training rows {', '.join(map(str, m.bad_rows))}, counted from 0" * bool(m.bad_rows)
    mend = Remedy("leave out or mend these values: no setting does it", {}, "")
    yield Finding("E-NAN-DATA", CODES["E-NAN-DATA"], f"{m.bad}{rows}", math.nan, 0.0, (mend,))


def _rate(m: Measures) -> Iterator[Finding]:
    if m.ratio <= RATIO:
        return
    figure = f"the first update moves a weight matrix by {m.ratio:.2g} of its own size (median)"
    lower = remedies.slower(m.config, m.ratio / 0.05)
    fits = remedies.fitting(m.config, lower, remedies.slower(m.config, 10))
    yield Finding("E-LR", CODES["E-LR"], figure, m.ratio, RATIO, fits)


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
    scaled = Remedy("standardise the input", {"data.standardise": True}, remedies.LECUN)
    begin = "Glorot's first weights"
    init = remedies.initialisation(m.config, "glorot", begin, remedies.GLOROT)
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
    if m.clipped is None or m.clipped <= CLIPPED:
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
    if m.bias is None or m.bias <= BIAS or m.first.growth > GROWTH:
        return
    train = m.config.train
    used: int = train.k2 or train.k1  # type: ignore[attr-defined]
    figure = f"cut every {used} steps, the gradient is off by {m.bias:.0%} of its size"
    enough = m.enough or 8 * used
    each = [
        Remedy("windows as long as the gradient reaches", {"train.k1": enough}, remedies.AICHER),
        Remedy(
            "as many updates, each reaching further back", {"train.k2": enough}, remedies.AICHER
        ),
    ]
    fits = remedies.fitting(m.config, *each)
    yield Finding("E-TRUNCATED", CODES["E-TRUNCATED"], figure, m.bias, BIAS, fits)


def _broke(m: Measures) -> Iterator[Finding]:
    """After what may be the cause of it."""
    if m.bad is None and m.broke is not None:
        fits = remedies.fitting(m.config, remedies.slower(m.config, 10), remedies.tighter(m))
        yield Finding("E-NAN", CODES["E-NAN"], m.broke, math.nan, 0.0, fits)


def _vanishes(m: Measures) -> Iterator[Finding]:
    if m.margin is None or m.gain is None or m.first.horizon >= WHOLE * m.steps:
        return
    # What is far worse than a simple baseline has not even learned what is near, and what has
    # learned something with a gradient that now reaches back is on its way: they need training.
    on_its_way = m.gain < LEARNED and m.last.horizon >= WHOLE * m.steps
    if on_its_way or not LEARNED <= m.margin <= NEAR:
        return
    figure = (
        f"the gradient falls below 1 % within {m.first.horizon:.0f} of {m.steps} steps with the "
        f"first weights, {m.last.horizon:.0f} with the last, and the network learned what a simple "
        "baseline says and no more"
    )
    fits = remedies.fitting(m.config, *remedies.memory(m))
    value, limit = m.first.horizon, WHOLE * m.steps
    yield Finding("E-VANISH", CODES["E-VANISH"], figure, value, limit, fits)


RULES: tuple[Callable[[Measures], Iterator[Finding]], ...] = (
    _nan, _rate, _explodes, _saturated, _dead, _clips, _truncated, _broke,
)  # fmt: skip
