"""``elman selftest``: run elman's checks on this machine, and on a cell of your own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from elman._errors import ConfigError, EngineError
from elman.cli._output import Flag, emit

if TYPE_CHECKING:
    from elman.testing import Check

FACTS = ("elman", "torch", "python", "processor", "capability", "threads")


def selftest(
    *,
    cell: Annotated[str | None, Parameter(show_default=False)] = None,
    seed: int = 0,
    cases: int = 300,
    json: Flag = False,
) -> None:
    """Check that the engines compute correctly on this machine; takes about a minute.

    Exit code 0 if all checks pass, 1 if one fails.

    Parameters
    ----------
    cell
        Also check a cell of your own: FILE.py:Class or package.module:Class, which is executed.
    seed
        Seed of the random configurations.
    cases
        Number of random configurations.
    json
        Print one JSON object per line: the machine, each check, and the counts.
    """
    if cases < 1:
        raise ConfigError(f"--cases must be at least 1, got {cases}")
    if seed < 0:
        raise ConfigError(f"--seed must be at least 0, got {seed}")
    from elman.cells import options, resolve
    from elman.cli._info import collect

    cells = None if cell is None else {cell.rpartition(":")[2]: resolve(cell)}
    for kind in (cells or {}).values():
        options.construct(kind, {})
    from elman.testing import selftest as checks

    facts = {name: fact for name, fact in collect().items() if name in FACTS} | {"seed": seed}
    if json:
        emit({"event": "start", **facts})
    else:
        print(", ".join(f"{name} {fact}" for name, fact in facts.items()), flush=True)
    done: list[Check] = []
    for check in checks(cells, seed=seed, cases=cases):
        done.append(check)
        emit({"event": "check", **check._asdict()}) if json else print(line(check), flush=True)
    _conclude(done, json=json)


def line(check: Check) -> str:
    """A check as text: its status, name, details and time."""
    words = f"{check.status:7}  {check.name}"
    return f"{words}: {check.detail} ({check.seconds:.1f} s)".replace(":  (", " (")


def _conclude(done: list[Check], *, json: bool) -> None:
    names = {s: [c.name for c in done if c.status == s] for s in ("ok", "FAILED", "skipped")}
    if json:
        counts = {"passed": len(names["ok"]), "failed": len(names["FAILED"])}
        emit({"event": "end", **counts, "skipped": len(names["skipped"])})
    else:
        more = [f"{len(names[s])} {s.lower()}" for s in ("FAILED", "skipped") if names[s]]
        print(", ".join([f"{len(names['ok'])} checks passed", *more]))
    if names["FAILED"]:
        raise EngineError(
            f"{len(names['FAILED'])} of {len(done)} checks failed: {'; '.join(names['FAILED'])}. "
            'Until this is fixed, elman.use_engine("reference") avoids the engine'
        )
