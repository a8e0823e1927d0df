"""`python -m benchmarks.speed`: elman against its peers on this machine, and their tables."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from benchmarks.speed._plan import BUILT_IN, CUSTOM, MODES, SHAPES, Plan
from benchmarks.speed.peers import PEERS, SLOW
from cyclopts import App, CycloptsError, Parameter

from elman._errors import ConfigError, ElmanError, EngineError
from elman._files import replacing, writing_in
from elman.cli._output import Flag, emit, log

if TYPE_CHECKING:
    from benchmarks.speed._result import Result
    from benchmarks.speed._run import Measured

FILES = ("bench.json", "bench.md", "bench.svg")


def _help(text: str) -> Parameter:
    return Parameter(help=text, show_default=False)


Shapes = Annotated[
    str | None,
    _help(
        f"of {', '.join(SHAPES)}, or sizes as in 20x35x200x200x2: batch, steps, input, hidden and "
        "layers"
    ),
]
Cells = Annotated[
    str | None,
    _help(
        f"of {', '.join(BUILT_IN)}; in mode custom of {', '.join(CUSTOM)}, a name of `elman cell "
        "list`, FILE.py:Class or package.module:Class"
    ),
]
Modes = Annotated[
    str | None,
    _help("of " + ", ".join(f"{name} ({mode.line})" for name, mode in MODES.items())),
]
Threads = Annotated[
    str | None, _help("numbers of threads, as in 1,2, each in a process of its own; all cores")
]
Peers = Annotated[
    str | None,
    _help(
        f"of {', '.join(name for name, _ in PEERS)}, or a Python file; all but {', '.join(SLOW)}, "
        "which takes minutes a row, unless told otherwise"
    ),
]


def bench(
    *,
    shapes: Shapes = None,
    cells: Cells = None,
    modes: Modes = None,
    threads: Threads = None,
    peers: Peers = None,
    repeats: int | None = None,
    engine: str | None = None,
    config: Path | None = None,
    output: Path | None = None,
    force: Flag = False,
    json: Flag = False,
    quiet: Flag = False,
) -> None:
    """Measure elman against its peers: interleaved, contract tests first.

    Lists are written with commas and no spaces, as in --shapes S1,S3.

    Parameters
    ----------
    repeats
        Timed blocks of each candidate in each row (9); training steps in mode memory.
    engine
        Run elman on this engine; "auto" chooses.
    config
        A TOML file with these settings; what is given here wins over it.
    output
        A folder for bench.md, bench.json and bench.svg, written after every row.
    force
        Write over what the folder has.
    json
        One JSON object a row instead of tables.
    quiet
        No progress on stderr.
    """
    given = {
        "shapes": _words(shapes),
        "cells": _words(cells),
        "modes": _words(modes),
        "threads": _numbers(threads),
        "peers": _words(peers),
        "repeats": repeats,
        "engine": engine,
    }
    given = {name: value for name, value in given.items() if value is not None}
    plan = Plan.read(config, given) if config else Plan.of(given)
    if output is not None:
        _claim(output, force=force)
    result = _measure(plan, output, json=json, quiet=quiet)
    if not json:
        from benchmarks.speed._table import markdown

        print(markdown(result), end="")
    broken = sorted({f"{row.engine} with {row.cell}" for row in result.rows if row.broken})
    if broken:
        raise EngineError(
            f"no ratios, because results are wrong or contract tests failed: {'; '.join(broken)}"
        )


def _words(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(word for word in text.split(",") if word)


def _numbers(text: str | None) -> tuple[int, ...] | None:
    words = _words(text)
    if words is not None and not all(word.isdecimal() for word in words):
        raise ConfigError(f"expected --threads as numbers between commas, as in 1,2, got {text!r}")
    return None if words is None else tuple(map(int, words))


def _claim(folder: Path, *, force: bool) -> None:
    taken = [name for name in FILES if (folder / name).exists()]
    if taken and not force:
        raise ConfigError(f"{folder} has {', '.join(taken)}; choose another folder, or add --force")
    with writing_in(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _measure(plan: Plan, output: Path | None, *, json: bool, quiet: bool) -> Result:
    from benchmarks.speed._result import Machine
    from benchmarks.speed._run import run
    from benchmarks.speed._table import summary

    said: set[str] = set()

    def report(result: Result, new: Measured) -> None:
        if output is not None:
            _save(result, output)
        if json:
            emit({"event": type(new).__name__.lower(), **new.model_dump()})
        if quiet or isinstance(new, Machine):
            return
        for peer, reason in new.left_out.items():
            if reason not in said:
                log(f"left out: {peer}: {reason}")
                said.add(reason)
        log(summary(new))

    result = run(
        plan, report, command=shlex.join(["python", "-m", "benchmarks.speed", *sys.argv[1:]])
    )
    if json:
        emit({"event": "end", "environment": result.environment, "plan": result.plan})
    return result


def _save(result: Result, folder: Path) -> None:
    from benchmarks.speed._plot import svg
    from benchmarks.speed._table import markdown

    texts = {"bench.json": result.model_dump_json(indent=1) + "\n", "bench.md": markdown(result)}
    for name, text in {**texts, "bench.svg": svg(result)}.items():
        if text is not None:
            with replacing(folder / name) as file:
                file.write(text.encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs ``python -m benchmarks.speed ARGUMENTS`` and returns its exit code."""
    app = App(name="python -m benchmarks.speed", default_command=bench, result_action="return_none")
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except (CycloptsError, ElmanError, OSError) as error:
        log(f"benchmarks: {error}")
        return error.exit_code if isinstance(error, ElmanError) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
