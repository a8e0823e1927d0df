"""Tables of time and memory, from the result files of benchmarks.speed and word_model.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.speed._plan import Shape
from benchmarks.speed._result import OURS, MemoryRow, Result, Row, counted, geometric_mean
from benchmarks.speed._table import markdown_table, memory_table, timed_table, times

KEPT = Path(__file__).parent / "results" / "speed"
# The floor's rates are measured before and after the candidates, on a machine whose speed moves.
NOISE = 0.93


def read(name: str) -> Result:
    """A result file, refused if a figure in it cannot be."""
    result = Result.model_validate_json((KEPT / f"{name}.json").read_text(encoding="utf-8"))
    wrong = list(impossible(result))
    if wrong:
        raise ValueError(f"benchmarks/results/speed/{name}.json: {'; '.join(wrong)}")
    return result


def impossible(result: Result) -> Iterator[str]:
    """Every figure that cannot be, in words."""
    if not (result.environment.get("commit") or "+").isalnum():
        yield "it names no commit, or one with changes that were not committed"
    for row in result.rows:
        where = f"{row.title}, {row.shape} {row.cell}"
        for name, timing in row.timings.items():
            if row.floor and timing.median < NOISE * row.floor and not row.busy:
                yield (
                    f"{where}: {name} takes {timing.median:.3g} s, and the floor is "
                    f"{row.floor:.3g} s"
                )
    for memory in result.memory:
        needed = output_bytes(memory)
        for name, held in memory.candidates.items():
            if held.peak < needed:
                yield (
                    f"memory, {memory.shape} {memory.cell}: {name} holds {held.peak:,} bytes at "
                    f"most, and the output alone has {needed:,}"
                )


def output_bytes(row: MemoryRow) -> int:
    """What the outputs of all layers take in float32, which training has to keep."""
    shape = Shape.parse(row.shape)
    return 4 * shape.batch * shape.steps * shape.hidden_size * shape.layers


# ---- what a page says of a result ----


def origin(name: str) -> str:
    """Where, with what and by which command."""
    result = read(name)
    facts, packages = result.environment, result.environment["packages"]
    versions = ", ".join(f"{p} {v}" for p, v in packages.items() if v and p != "elman")
    peaks = "".join(
        f"; on {counted(m.threads)} {m.flops / 1e9:.0f} GFLOP/s by {m.flops_by}"
        for m in result.machines
    )
    forced = "".join(f" {k}={v}" for k, v in facts["variables"].items())
    return (
        f"Commit {facts['commit']}, {facts['date'][:10]}; {facts['cores']} cores of "
        f"{facts['processor']} ({facts['capability']}){peaks}; Python {facts['python']}, "
        f"{versions}.\n\n```text\n{f'{forced} {result.command}'.strip()}\n```"
    )


def timed(name: str, title: str) -> str:
    """The rows of one mode, with what is left out and the means."""
    rows = [row for row in read(name).rows if row.title == title]
    if not rows:
        raise ValueError(f"benchmarks/results/speed/{name}.json has no rows of {title!r}")
    return "\n\n".join(timed_table(rows))


def memory(name: str) -> str:
    return "\n\n".join(memory_table(read(name).memory))


def one_line_each(name: str, peers: Sequence[str]) -> str:
    """Forward and training of a cell at a shape in one row, of the peers only their ratios."""
    rows: dict[tuple[str, str], dict[str, Row]] = {}
    for row in read(name).rows:
        rows.setdefault((row.shape, row.cell), {})[row.mode] = row

    def cells(row: Row | None) -> list[str]:
        if row is None:
            return ["-"] * (1 + len(peers))
        ratios = [
            "-" if (ratio := row.ratio(p)) is None else f"{times(ratio)}x{'~' * (p in row.noisy)}"
            for p in peers
        ]
        return [f"{row.timings[OURS].median * 1e3:.3g}{'~' * (OURS in row.noisy)}", *ratios]

    heads = ["shape", "cell"]
    for mode in ("forward", "training"):
        heads += [f"{mode}, ms", *peers]
    return markdown_table(
        heads,
        [
            [*key, *cells(modes.get("inference")), *cells(modes.get("training"))]
            for key, modes in rows.items()
        ],
    )


# ---- what falls short ----


def slower(name: str) -> str:
    """Rows in which a peer is faster than elman by more than a twentieth."""
    found = [
        f"{row.title}, {row.shape} {row.cell}: {times(ratio)} of the speed of {row.best_peer}"
        for row in read(name).rows
        if (ratio := row.ratio(row.best_peer)) is not None and ratio < 0.95
    ]
    return bullets(found, "In no row is a peer faster by more than a twentieth.")


def far_from_floor(name: str) -> str:
    """Rows of the larger shapes that take much longer than the floor."""
    found = [
        f"{row.title}, {row.shape} {row.cell}: {times(row.over_floor)} times the floor"
        for row in read(name).rows
        if row.shape in ("S3", "S4", "S5", "S7", "S8")
        and (row.over_floor or 0) > (2.0 if row.training else 1.7)
    ]
    return bullets(found, "None of S3, S4, S5, S7 and S8 is beyond these.")


def means(name: str) -> str:
    """Geometric means over the shapes, of torch's time over elman's."""
    rows = [row for row in read(name).rows if row.ratio("torch") is not None]
    table = [
        [
            cell,
            *(
                times(geometric_mean([
                    row.ratio("torch") or 0 for row in rows if row.cell == cell and row.mode == mode
                ]))
                for mode in ("inference", "training")
            ),
        ]
        for cell in dict.fromkeys(row.cell for row in rows)
    ]  # fmt: skip
    return markdown_table(["torch's time over elman's", "forward", "training"], table)


def bullets(lines: Iterable[str], none: str) -> str:
    return "\n".join(f"- {line}" for line in lines) or none


# ---- the word model ----


def words() -> dict[str, Any]:
    kept: dict[str, Any] = json.loads((KEPT / "word_model.json").read_text(encoding="utf-8"))
    return kept


def word_steps() -> str:
    settings = words()["settings"]
    rows = [
        [name, *(f"{median(s['ms'][name]):.1f}" for s in settings.values())]
        for name in ("elman", "torch", "torch, fused")
    ]
    ratios = (median(s["ms"]["torch"]) / median(s["ms"]["elman"]) for s in settings.values())
    rows.append(["torch / elman", *(f"{ratio:.2f}" for ratio in ratios)])
    return markdown_table(["ms a step", *settings], rows)


def word_parts() -> str:
    settings = words()["settings"]
    profiles = [s["profile"] for s in settings.values()]
    rows = [
        [
            part,
            *(
                " / ".join(f"{median(p[who][part]):.2f}" for who in ("elman", "torch"))
                for p in profiles
            ),
        ]
        for part in profiles[0]["elman"]
    ]
    return markdown_table(["part, ms: elman / torch", *settings], rows)


def word_layer() -> str:
    rows = []
    for size, ms in words()["output layer"].items():
        ours, theirs = median(ms["elman"]), median(ms["torch"])
        rows.append([size, f"{ours:.1f}", f"{theirs:.1f}", f"{theirs / ours:.2f}"])
    heads = ["rows x H x words", "elman, ms", "torch, ms", "torch / elman"]
    return markdown_table(heads, rows)


def word_origin() -> str:
    kept = words()
    facts = kept["environment"]
    return (
        f"Commit {facts['commit']}, {facts['date'][:10]}; {facts['cores']} cores of "
        f"{facts['processor']} ({facts['capability']}); torch {facts['packages']['torch']}; "
        f"`{kept['command']}`."
    )


TABLES: Mapping[str, Callable[[], str]] = {
    "speed origin": partial(origin, "speed"),
    "speed means": partial(means, "speed"),
    "inference": partial(timed, "speed", "inference, 2 threads"),
    "training": partial(timed, "speed", "training, 2 threads"),
    "slower than the best peer": partial(slower, "speed"),
    "far from the floor": partial(far_from_floor, "speed"),
    "avx2 origin": partial(origin, "avx2"),
    "avx2": partial(one_line_each, "avx2", ["torch"]),
    "memory origin": partial(origin, "memory"),
    "memory": partial(memory, "memory"),
    "compile origin": partial(origin, "compile"),
    "compile": partial(timed, "compile", "custom, 2 threads"),
    "custom origin": partial(origin, "custom"),
    "custom": partial(timed, "custom", "custom, 2 threads"),
    "streaming origin": partial(origin, "streaming"),
    "streaming": partial(timed, "streaming", "streaming, 2 threads"),
    "ragged origin": partial(origin, "ragged"),
    "ragged inference": partial(timed, "ragged", "ragged inference, 2 threads"),
    "ragged training": partial(timed, "ragged", "ragged training, 2 threads"),
    "one thread origin": partial(origin, "one_thread"),
    "one thread": partial(one_line_each, "one_thread", ["torch", "onnxruntime"]),
    "one thread slower": partial(slower, "one_thread"),
    "word model": word_steps,
    "word model parts": word_parts,
    "word model layer": word_layer,
    "word model origin": word_origin,
}
