"""A result as Markdown: a table for each mode and number of threads, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from benchmarks.speed._result import (
    BUSY,
    NEW_TENSORS,
    NOISY,
    OURS,
    Machine,
    MemoryRow,
    Result,
    Row,
    counted,
    geometric_mean,
)

MARK = "~"


def markdown(result: Result) -> str:
    """Everything in the result that a reader needs."""
    parts = ["# Benchmark of elman", *_environment(result)]
    rows = sorted(result.rows, key=lambda row: row.title)  # stable: shapes stay in order
    for title, members in groupby(rows, key=lambda row: row.title):
        parts += [f"## {title}", *timed_table(list(members))]
    memory = sorted(result.memory, key=lambda row: row.threads)
    for threads, group in groupby(memory, key=lambda row: row.threads):
        parts += [f"## memory of training, {counted(threads)}", *memory_table(list(group))]
    return "\n\n".join(parts) + "\n"


def _environment(result: Result) -> Iterator[str]:
    facts = dict(result.environment)
    packages = facts.pop("packages", {})
    facts |= {name: number or "not installed" for name, number in packages.items()}
    facts |= facts.pop("variables", {})
    yield markdown_table(["", ""], [[name, _shown(value)] for name, value in facts.items()])
    for machine in result.machines:
        yield _floor_of(machine)
    yield (
        "Medians of interleaved blocks; behind each time, in brackets, how many times elman's time "
        f"it is. {MARK} behind a time: the median is more than {NOISY} times the minimum; behind a "
        f"shape: other processes took more than {BUSY:.0%} of the processors. Neither is a result."
    )


def _shown(value: Any) -> str:
    return "unknown" if value is None else str(value)


def _floor_of(machine: Machine) -> str:
    read = ", ".join(
        f"{size / 1024:,.0f} KiB at {rate / 1e9:.0f} GB/s"
        for size, rate in sorted(machine.bandwidth.items())
    )
    return (
        f"{counted(machine.threads)}: float32 peak {machine.flops / 1e9:.0f} GFLOP/s "
        f"({machine.flops_by}); weights read in every step: {read or 'not measured'}."
    )


def timed_table(rows: list[Row]) -> Iterator[str]:
    """The table of rows of one title, their means, and what is left out."""
    stream = rows[0].mode == "streaming"
    unit, scale = ("us a step", 1e6) if stream else ("ms", 1e3)
    ours_too = [NEW_TENSORS] if any(NEW_TENSORS in row.timings for row in rows) else []
    peers = [*ours_too, *dict.fromkeys(peer for row in rows for peer in row.peers)]
    custom = any(row.over_yardstick is not None for row in rows)
    heads = ["shape", "cell", "engine", f"{OURS}, {unit}", *peers, "best peer", "over floor"]
    heads += ["per FLOP, over LSTM"] if custom else []
    yield markdown_table(heads, [_cells_of(row, peers, scale, custom=custom) for row in rows])
    yield from _means(rows)
    yield from _notes(rows)


def _cells_of(row: Row, peers: Sequence[str], scale: float, *, custom: bool) -> list[str]:
    def time(name: str) -> str:
        if name not in row.timings:
            return "-"
        timing = row.timings[name]
        mark = MARK if timing.noisy else ""
        shown = f"{timing.median * scale / row.calls:.3g}{mark}"
        ratio = row.ratio(name)
        return shown if ratio is None or name == OURS else f"{shown} ({times(ratio)}x)"

    best = row.ratio(row.best_peer)
    shape = f"{row.shape}{MARK if row.busy else ''}"
    cells = [shape, row.cell, row.engine, time(OURS), *map(time, peers)]
    cells += ["-" if best is None else f"{times(best)}x ({row.best_peer})", times(row.over_floor)]
    return cells + ([times(row.over_yardstick)] if custom else [])


def times(value: float | None) -> str:
    """A factor in three digits."""
    return "-" if value is None else f"{value:#.3g}".rstrip(".")


def _means(rows: list[Row]) -> Iterator[str]:
    """For each cell: how many times faster than torch, and than the best peer, over the shapes."""
    lines = []
    for cell in dict.fromkeys(row.cell for row in rows):
        members = [row for row in rows if row.cell == cell]
        if len(members) < 2:
            continue
        compared: list[tuple[str, Callable[[Row], str | None]]] = [
            *((name, lambda _, name=name: name) for name in ("torch", "torch packed", "eager")),
            ("best peer", lambda row: row.best_peer),
        ]
        shown = [
            f"{name} {times(geometric_mean(ratios))} ({times(min(ratios))} to {times(max(ratios))})"
            for name, peer in compared
            if (ratios := [r for row in members if (r := row.ratio(peer(row))) is not None])
        ]
        if shown:
            lines.append(f"- {cell}: {', '.join(shown)}")
    if lines:
        yield "Times of elman's, geometric mean over the shapes (least to most):"
        yield "\n".join(lines)


def _notes(rows: Sequence[Row | MemoryRow]) -> Iterator[str]:
    """Why a ratio is missing, and which peers are."""
    missing: dict[str, list[str]] = {}
    names = [f"{row.shape} {row.cell}" for row in rows]
    for row, where in zip(rows, names, strict=True):
        if isinstance(row, Row) and row.broken is not None:
            missing.setdefault(f"no ratio: {row.engine} is broken: {row.broken}", []).append(where)
        for name, reason in row.left_out.items():
            missing.setdefault(f"left out: {name}: {reason}", []).append(where)
    if missing:
        shown = {why: ", ".join(where) for why, where in missing.items()}
        if len(names) > 2:  # a list of all of many rows says nothing
            shown |= {why: "all rows" for why, where in missing.items() if where == names}
        yield "\n".join(f"- {why} ({where})" for why, where in shown.items())


def memory_table(rows: list[MemoryRow]) -> Iterator[str]:
    """The table of peaks, and what is left out."""
    peers = list(dict.fromkeys(name for row in rows for name in row.candidates if name != OURS))

    def cell(row: MemoryRow, name: str) -> str:
        if name not in row.candidates:
            return "-"
        memory, ratio = row.candidates[name], row.ratio(name)
        shown = f"{memory.peak / 2**20:.1f}, {memory.growth / 2**20:+.1f}"
        return shown if ratio is None or name == OURS else f"{shown} ({times(ratio)}x)"

    yield "Peak in MiB above what was held before the first step, growth in the second half."
    yield markdown_table(
        ["shape", "cell", "engine", "steps", OURS, *peers],
        [
            [row.shape, row.cell, row.engine, str(row.candidates[OURS].steps)]
            + [cell(row, name) for name in (OURS, *peers)]
            for row in rows
        ],
    )
    yield from _notes(rows)


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summary(row: Row | MemoryRow) -> str:
    """A row in one line, for those who wait."""
    if isinstance(row, MemoryRow):
        held = (f"{name} {m.peak / 2**20:.1f} MiB" for name, m in row.candidates.items())
        return f"memory {row.shape} {row.cell}: {', '.join(held)}"
    ours = row.timings[OURS].median / row.calls
    ratios = [f"{name} {times(r)}x" for name in row.peers if (r := row.ratio(name)) is not None]
    said = [f"{ours * 1e3:.3g} ms on {row.engine}", *ratios]
    said += [f"noisy: {', '.join(row.noisy)}"] if row.noisy else []
    said += [f"other processes took {row.others:.0%} of the processors"] if row.busy else []
    said += [f"no ratios: {row.broken}"] if row.broken is not None else []
    return f"{row.title}, {row.shape} {row.cell}: {'; '.join(said)}"
