"""The rules that turn evidence into findings, the likeliest cause first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType

from elman.diagnosis import _remedies as remedies
from elman.diagnosis._evidence import Evidence, Standing
from elman.diagnosis._finding import Finding, Remedy

RATIO, GROWTH, SATURATED, STUCK, DEAD = 0.5, 1.03, 0.6, 0.9, 0.5
CLIPPED, BIAS, LEARNED, NEAR, WHOLE = 0.9, 0.15, -0.02, 0.05, 0.5
RISE, ABOVE, WORSE, SICK, CHANCE = 0.5, 0.1, 0.1, 0.05, 2.0
"""Bounds of the rules, tuned on the tuning seeds of benchmarks/doctor.py."""

CODES = MappingProxyType(
    {
        "E-UNLEARNED": "the run is no better than a simple baseline",
        "E-OVERFIT": "the run overfits its training data",
        "E-NAN-DATA": "the data contain NaN or infinity",
        "E-NAN": "a weight or an operation produces NaN or infinity",
        "E-LR": "the learning rate is too high",
        "E-EXPLODE": "gradients explode through time",
        "E-SATURATED": "gates or units are saturated",
        "E-DEAD": "units are dead",
        "E-CLIP": "almost every gradient is clipped",
        "E-TRUNCATED": "backpropagation is truncated too early",
        "E-VANISH": "gradients vanish through time",
    }
)
"""All codes with their meaning: first how a run ended, then possible causes."""


def findings(run: Evidence) -> tuple[Finding, ...]:
    """All findings: first how the run ended, then its causes, the likeliest first."""
    causes = tuple(finding for rule in RULES for finding in rule(run))
    wild = any(
        finding.code == "E-LR" for finding in causes
    )  # then the validation loss goes up and down
    overfit = () if wild else tuple(_overfits(run))
    # Gradients vanish in any network that has not learned, so this is reported only without other
    # causes; a network that overfits does not lack memory.
    causes = causes or (() if overfit else tuple(_vanishes(run)))
    return (*_unlearned(run, (*overfit, *causes)), *overfit, *causes)


def _learned(place: Standing) -> bool:
    """Whether a run beats its best baseline, and significantly the weakest one."""
    beats = place.margin <= min(LEARNED, -place.noise)
    return place.perfect or (beats and place.gain <= min(LEARNED, -CHANCE * place.chance))


def _unlearned(run: Evidence, causes: Sequence[Finding]) -> Iterator[Finding]:
    place = run.standing
    if run.diverged or place is None or _learned(place):
        return
    limit, each = min(LEARNED, -place.noise), []
    figure = str(place)
    if run.losses.falling:
        figure += "; the training loss is still falling"
    if causes:
        figure += f"; likely cause: {causes[0].code}, below"
    if all(
        finding.code == "E-VANISH" for finding in causes
    ):  # gradients vanish in untrained networks, too
        goes_on = not causes or run.losses.falling is not False
        each = [remedies.faster(run), *([remedies.longer(run)] if goes_on else [])]
    fits = remedies.fitting(run.config, *each)
    yield Finding("E-UNLEARNED", CODES["E-UNLEARNED"], figure, place.margin, limit, fits)


def _overfits(run: Evidence) -> Iterator[Finding]:
    losses = run.losses
    if run.diverged or losses.worse <= WORSE or not losses.train:
        return
    best, lowest = losses.best
    before, after = losses.trained(best)
    if after >= min(before, lowest):
        return
    figure = (
        f"validation {losses.unit} rose from {lowest:.3g} after update {best:,} to "
        f"{losses.valid[-1][1]:.3g}, while training {losses.unit} fell from {before:.3g} to "
        f"{after:.3g}"
    )
    fits = remedies.fitting(run.config, *remedies.regular(run))
    yield Finding("E-OVERFIT", CODES["E-OVERFIT"], figure, losses.worse, WORSE, fits)


def _nan(run: Evidence) -> Iterator[Finding]:
    bad = run.bad or run.broke
    if bad is None or (run.bad is None and bad.source != "data"):
        return
    if bad.source != "data":
        finding = Finding("E-NAN", CODES["E-NAN"], str(bad), math.nan, 0.0)
        fits = remedies.fitting(run.config, remedies.slower(run.config, 10), remedies.tighter(run))
        yield finding._replace(remedies=fits)
        return
    numbers = ", ".join(map(str, run.bad_rows))
    rows = f"; training rows {numbers}, counted from 0" if numbers else ""
    mend = Remedy("remove or correct these values in the data", {}, "")
    yield Finding("E-NAN-DATA", CODES["E-NAN-DATA"], f"{bad}{rows}", math.nan, 0.0, (mend,))


def _rate(run: Evidence) -> Iterator[Finding]:
    if run.ratio <= RATIO:
        return
    figure = f"the first update changes a weight matrix by {run.ratio:.2g} of its norm (median)"
    lower = remedies.slower(run.config, run.ratio / 0.05)
    fits = remedies.fitting(run.config, lower, remedies.slower(run.config, 10))
    yield Finding("E-LR", CODES["E-LR"], figure, run.ratio, RATIO, fits)


def _rises(run: Evidence) -> Iterator[Finding]:
    """The rate is too high by the course of the loss, whatever the first update was."""
    losses = run.losses
    if run.ratio > RATIO or not (losses.rise > RISE or losses.above > ABOVE):
        return
    figure = (
        f"training {losses.unit} is {losses.last:.3g} at the end; it was {losses.begun:.3g} at the "
        f"start and {losses.lowest:.3g} at its lowest"
    )
    factors = (100, 10) if losses.above > ABOVE else (10, 100)
    fits = remedies.fitting(run.config, *(remedies.slower(run.config, by) for by in factors))
    yield Finding("E-LR", CODES["E-LR"], figure, losses.rise, RISE, fits)


def _explodes(run: Evidence) -> Iterator[Finding]:
    growth = run.first.growth
    if growth <= GROWTH or growth**run.first.steps < 100:
        return
    figure = (
        f"with the initial weights the gradient norm grows by a factor of {growth:.3g} per step, "
        f"{growth ** min(run.first.steps, 500):.2g} over {run.first.steps} steps"
    )
    init, tight = remedies.orthogonal(run.config), remedies.tighter(run)
    fits = remedies.fitting(run.config, init, tight, remedies.slower(run.config, 10))
    yield Finding("E-EXPLODE", CODES["E-EXPLODE"], figure, growth, GROWTH, fits)


def _saturated(run: Evidence) -> Iterator[Finding]:
    begun = run.first_saturation.stuck > SATURATED  # trained gates open and close for good reasons
    saturation, limit = (run.first_saturation, SATURATED) if begun else (run.last_saturation, STUCK)
    if saturation.stuck <= limit:
        return
    when = "initial" if begun else "last"
    figure = (
        f"{saturation.stuck:.0%} of the values of {saturation.where} are saturated with the "
        f"{when} weights; the root mean square of the input is {run.scale:.3g}"
    )
    scaled = Remedy("standardize the input", {"data.standardize": True}, remedies.LECUN)
    begin = "Glorot initialization"
    init = remedies.initialization(run.config, "glorot", begin, remedies.GLOROT)
    each = [scaled, init, remedies.slower(run.config, 10)]
    fits = remedies.fitting(run.config, *each)
    yield Finding("E-SATURATED", CODES["E-SATURATED"], figure, saturation.stuck, limit, fits)


def _dead(run: Evidence) -> Iterator[Finding]:
    dead = max(run.first_saturation.dead, run.last_saturation.dead)
    if dead <= DEAD:
        return
    when = "initial" if dead == run.first_saturation.dead else "last"
    figure = f"{dead:.0%} of the units are 0 at every step of a batch with the {when} weights"
    tanh = Remedy("tanh, whose gradient is never 0", {"model.activation": "tanh"}, remedies.LECUN)
    init = remedies.orthogonal(run.config)
    fits = remedies.fitting(run.config, init, tanh, remedies.slower(run.config, 10))
    yield Finding("E-DEAD", CODES["E-DEAD"], figure, dead, DEAD, fits)


def _clips(run: Evidence) -> Iterator[Finding]:
    # Adam divides by the size of its gradients, so clipping hardly changes its updates.
    if run.clipped is None or run.clipped <= CLIPPED or run.config.train.optimizer != "sgd":
        return
    figure = f"{run.clipped:.0%} of the updates were clipped"
    if run.norms:
        median = sorted(run.norms)[len(run.norms) // 2]
        figure += f"; the median of {len(run.norms)} norms is {median:.3g}"
    each = [remedies.clipping(run), remedies.slower(run.config, 3)]
    fits = remedies.fitting(run.config, *each)
    yield Finding("E-CLIP", CODES["E-CLIP"], figure, run.clipped, CLIPPED, fits)


def _truncated(run: Evidence) -> Iterator[Finding]:
    learned = run.standing is None or _learned(run.standing)
    limit = BIAS if learned else SICK
    if run.bias is None or run.bias <= limit or run.first.growth > GROWTH:
        return
    train = run.config.train
    used: int = train.k2 or train.k1  # type: ignore[attr-defined]
    figure = f"truncated after {used} steps, the gradient is off by {run.bias:.0%} of its norm"
    enough = max(run.enough or 8 * used, 2 * used)
    each = [
        Remedy("longer windows", {"train.k1": enough}, remedies.AICHER),
        Remedy(
            "the same windows, with gradients that flow further back",
            {"train.k2": enough},
            remedies.AICHER,
        ),
    ]
    fits = remedies.fitting(run.config, *each)
    yield Finding("E-TRUNCATED", CODES["E-TRUNCATED"], figure, run.bias, limit, fits)


def _broke(run: Evidence) -> Iterator[Finding]:
    """NaN or infinity in a run that diverged; its possible causes come first."""
    if run.bad is None and run.broke is not None and run.broke.source != "data":
        fits = remedies.fitting(run.config, remedies.slower(run.config, 10), remedies.tighter(run))
        yield Finding("E-NAN", CODES["E-NAN"], str(run.broke), math.nan, 0.0, fits)


def _vanishes(run: Evidence) -> Iterator[Finding]:
    if run.standing is None or run.first.horizon >= WHOLE * run.steps:
        return
    place, blind = run.standing, run.last.horizon < WHOLE * run.steps
    something = place.gain <= min(-NEAR, -CHANCE * place.chance)
    # A run that learned something and whose gradient now reaches back is making progress; one that
    # is far below its baseline and learned nothing fails at short spans already.
    near = place.margin <= NEAR or something
    if _learned(place) or (something and not blind) or not near:
        return
    figure = (
        f"the gradient falls below 1% within {run.first.horizon:.0f} of {run.steps} steps with "
        f"the initial weights, within {run.last.horizon:.0f} with the last"
    )
    fits = remedies.fitting(run.config, *remedies.memory(run))
    value, limit = run.first.horizon, WHOLE * run.steps
    yield Finding("E-VANISH", CODES["E-VANISH"], figure, value, limit, fits)


RULES: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    _nan, _rate, _explodes, _rises, _saturated, _dead, _clips, _truncated, _broke,
)  # fmt: skip
