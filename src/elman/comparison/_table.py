"""A comparison as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from elman.comparison._result import Candidate, Comparison, Spread


def markdown(comparison: Comparison) -> str:
    """The page: conditions, table, verdict with its rule, failed runs and plots."""
    parts = [
        f"# {comparison.task}: {', '.join(c.name for c in comparison.candidates)}",
        _conditions(comparison),
    ]
    if comparison.done:
        parts += [
            _cells(comparison),
            _baselines(comparison),
            _verdict(comparison),
            _lengths(comparison),
        ]
    parts.append(_ended_otherwise(comparison))
    parts += [
        f"![{file.stem}]({file.relative_to(comparison.path)})"
        for file in comparison.pictures
        if file.suffix == ".png"
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _conditions(comparison: Comparison) -> str:
    amounts = {"epochs": comparison.epochs, "updates": comparison.max_steps}
    budget = ", ".join(f"{value:,} {name}" for name, value in amounts.items() if value)
    equal = "Equal hidden sizes"
    if comparison.target is not None:
        off = max(
            abs(c.parameters - comparison.target) / comparison.target for c in comparison.candidates
        )
        equal = f"Equal parameters: {comparison.target:,}, matched to within {off:.1%}"
    return (
        f"{equal}. Equal budget: {budget}. Seeds {', '.join(map(str, comparison.seeds))}; "
        f"runs in parallel {comparison.jobs}, threads per run {comparison.threads}. "
        "The best checkpoint by validation is evaluated; ± is the standard deviation over seeds. "
        "Memory is the peak of the whole process."
        + "".join(_input_size(candidate) for candidate in comparison.candidates)
    )


def _input_size(candidate: Candidate) -> str:
    """The input length of a network without recurrence, as a sentence."""
    steps = next((run.input_steps for run in candidate.done if run.input_steps), None)
    return f" {candidate.name} reads {steps:,} step{'s' * (steps > 1)}." if steps else ""


def rows(comparison: Comparison) -> list[list[str]]:
    """The table as text: a header, then a row per candidate."""
    heads = ["", "hidden", "parameters", *(f"{s} {comparison.metric}" for s in comparison.splits)]
    table = [[*heads, "seconds", "memory, MB", "seeds"]]
    for candidate in comparison.candidates:
        memory = candidate.spread("peak_memory")
        table.append(
            [
                candidate.name,
                str(candidate.hidden),
                f"{candidate.parameters:,}",
                *(
                    spread_text(candidate.metric(split, comparison.metric))
                    for split in comparison.splits
                ),
                spread_text(candidate.spread("seconds"), digits=2),
                f"{memory.mean / 1e6:,.0f}" if memory else "",
                _seeds(candidate, comparison),
            ]
        )
    return table


def spread_text(spread: Spread | None, digits: int = 4) -> str:
    """The mean and deviation as text.

    >>> spread_text(Spread.of([0.5, 0.75])), spread_text(None)
    ('0.625 ± 0.18', '')
    """
    if spread is None:
        return ""
    mean = f"{spread.mean:,.0f}" if spread.mean >= 10_000 else f"{spread.mean:.{digits}g}"
    return mean if spread.deviation is None else f"{mean} ± {spread.deviation:.2g}"


def _seeds(candidate: Candidate, comparison: Comparison) -> str:
    done = len(candidate.done)
    return str(done) if done == len(comparison.seeds) else f"{done} of {len(comparison.seeds)}"


def _cells(comparison: Comparison) -> str:
    return _table(rows(comparison))


def baseline_rows(comparison: Comparison) -> list[list[str]]:
    """The baselines as text: a header, then a row each; empty if there are none."""
    body = [
        [
            name,
            *(
                f"{measured[s][comparison.metric]:.4g}" if s in measured else ""
                for s in comparison.splits
            ),
        ]
        for name, measured in comparison.baselines.items()
        if all(comparison.metric in values for values in measured.values())
    ]
    return (
        [["baseline", *(f"{s} {comparison.metric}" for s in comparison.splits)], *body]
        if body
        else []
    )


def _baselines(comparison: Comparison) -> str:
    cells = baseline_rows(comparison)
    return _table(cells) if cells else ""


def _verdict(comparison: Comparison) -> str:
    if comparison.verdict is None:
        return ""
    sentences = "\n".join(f"- {sentence}" for sentence in comparison.verdict.sentences)
    return f"{sentences}\n\nThe rule: {comparison.verdict.rule}."


def _lengths(comparison: Comparison) -> str:
    groups, columns = comparison.by_length()
    if not groups:
        return ""
    cells = [
        [group, *(f"{column[i][0]:.4g}" for column in columns.values())]
        for i, group in enumerate(groups)
    ]
    name = next(run.by_length_of for run in comparison.done if run.by_length)
    return f"{comparison.splits[-1]} {name} by steps:\n\n{_table([['steps', *columns], *cells])}"


def _ended_otherwise(comparison: Comparison) -> str:
    return "\n".join(
        f"- {candidate.name}, seed {run.seed}, {run.status}: {run.message}"
        for candidate in comparison.candidates
        for run in candidate.runs
        if run.status != "done"
    )


def _table(cells: Iterable[Sequence[str]]) -> str:
    head, *body = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *body])
