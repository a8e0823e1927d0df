"""``elman cell check``: the contracts of a cell, its engine, its speed and its memory."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import Parameter

from elman._errors import ElmanError
from elman.cli._output import Flag, emit, number
from elman.cli._selftest import line

if TYPE_CHECKING:
    from elman.testing import CellMemory, CellSpeed, Check

SLOW = 1.5
"""Time per FLOP over the LSTM's from which a cell is called slow."""


def check(
    cell: str,
    /,
    *,
    option: Annotated[
        dict[str, str] | None, Parameter(name="--model.options", show_default=False)
    ] = None,
    full: Flag = False,
    seed: int = 0,
    cases: int = 300,
    json: Flag = False,
) -> None:
    """Check a cell: its contracts, the engine that runs it, its speed and its memory.

    Exit code 0 if it keeps all contracts, 1 if it breaks one.

    Parameters
    ----------
    cell
        FILE.py:Class or package.module:Class, which is executed; or a name of `elman cell list`.
    option
        An option of the constructor, as --model.options.NAME VALUE.
    full
        All contracts of the native engine and random configurations, which takes minutes.
    seed
        Random seed.
    cases
        With --full: number of random configurations.
    json
        Print one JSON object per line: facts, engine, checks, speed, memory, and the verdict.
    """
    from elman.cells import resolve
    from elman.cells.options import construct, parse_options

    kind = resolve(cell)
    options = parse_options(kind, option or {})
    construct(kind, options)
    make = partial(cast("Any", kind), **options)
    from elman import testing

    say = partial(_say, json=json)
    facts = testing.cell_facts(make)
    say("facts", facts._asdict(), _described(facts._asdict()))
    engine, why_not = testing.cell_engine(make)
    reason = f", not on native: {why_not}" if why_not else ""
    say("engine", {"engine": engine, "why_not_native": why_not}, f"runs on {engine}{reason}")
    done: list[Check] = []
    for each in testing.cell_checks(kind.__name__, make, seed=seed, cases=cases, full=full):
        done.append(each)
        say("check", each._asdict(), line(each))
    failed = [each.name for each in done if each.status == "FAILED"]
    speed = memory = None
    if not failed:
        speed, memory = testing.cell_speed(make), testing.cell_memory(make, seed=seed)
        say("speed", speed._asdict(), _fast(speed))
        say("memory", memory._asdict(), _long(memory))
    verdict = _verdict(kind.__name__, engine, failed, speed, memory)
    say("end", {"passed": not failed, "failed": failed, "verdict": verdict}, f"verdict: {verdict}")
    if failed:
        raise ElmanError(f"{len(failed)} of {len(done)} checks failed: {'; '.join(failed)}")


def _say(event: str, record: dict[str, Any], text: str, *, json: bool) -> None:
    emit({"event": event, **record}) if json else print(text, flush=True)


def _described(facts: dict[str, Any]) -> str:
    gates = f", gates {' '.join(facts['gates'])}" if facts["gates"] else ""
    return (
        f"{facts['name']}: {facts['kind']}, states {' '.join(facts['states'])}{gates}, "
        f"{facts['parameters']} parameters a unit"
    )


def _fast(speed: CellSpeed) -> str:
    return (
        f"speed: {1000 * speed.seconds:.3g} ms for a training pass, {1000 * speed.lstm:.3g} ms for "
        f"the LSTM's; {speed.per_flop:.2f} of its time per FLOP"
    )


def _long(memory: CellMemory) -> str:
    halves = ", ".join(f"{_steps(life)} by {name}" for name, life in memory.half_life.items())
    return (
        f"memory at the first weights: half-life of the gradient {halves}; "
        f"largest Lyapunov exponent {number(memory.lyapunov)} nats a step"
    )


def _steps(life: float) -> str:
    return f"{number(life)} steps" if math.isfinite(life) else "no decay"


def _verdict(
    name: str,
    engine: str,
    failed: list[str],
    speed: CellSpeed | None,
    memory: CellMemory | None,
) -> str:
    """What follows from the measurements, in a sentence."""
    if failed or speed is None or memory is None:
        return f"{name} breaks {len(failed)} of its contracts: repair it before training"
    runs = "fast" if engine == "native" and speed.per_flop < SLOW else "slow"
    if memory.lyapunov > 0:
        reach = "its gradient explodes at the first weights"
    else:
        longest = max(memory.half_life.values())
        reach = f"its gradient halves in {_steps(longest)} at the first weights"
    return f"{name} keeps its contracts, is {runs} on {engine}, and {reach}"
