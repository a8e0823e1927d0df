"""A comparison as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from elman.comparison._result import Candidate, Comparison, Spread


def markdown(found: Comparison) -> str:
    """The table, the verdict and its rule, how it was done, and where the pictures are."""
    parts = [f"# {found.task}: {', '.join(c.name for c in found.candidates)}", _conditions(found)]
    if found.done:
        parts += [_cells(found), _baselines(found), _verdict(found), _lengths(found)]
    parts.append(_ended_otherwise(found))
    parts += [
        f"![{file.stem}]({file.relative_to(found.path)})"
        for file in found.pictures
        if file.suffix == ".png"
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _conditions(found: Comparison) -> str:
    amounts = {"epochs": found.epochs, "updates": found.max_steps}
    budget = ", ".join(f"{value:,} {name}" for name, value in amounts.items() if value)
    equal = "Equal hidden sizes"
    if found.target is not None:
        off = max(abs(c.parameters - found.target) / found.target for c in found.candidates)
        equal = f"Equal parameters: {found.target:,}, met to {off:.1%}"
    return (
        f"{equal}. Equal budget: {budget}. Seeds {', '.join(map(str, found.seeds))}; "
        f"runs at once {found.jobs}, threads of each {found.threads}. The best checkpoint by "
        "validation is measured; ± is the standard deviation over seeds. Memory is the peak of the "
        "whole process." + "".join(_seen(candidate) for candidate in found.candidates)
    )


def _seen(candidate: Candidate) -> str:
    """The size of the input of a network that has no recurrence."""
    steps = next((run.input_steps for run in candidate.done if run.input_steps), None)
    return f" {candidate.name} sees {steps:,} step{'s' * (steps > 1)}." if steps else ""


def rows(found: Comparison) -> list[list[str]]:
    """The comparison as cells of text, a row a candidate, under a head."""
    heads = ["", "hidden", "parameters", *(f"{s} {found.metric}" for s in found.splits)]
    table = [[*heads, "seconds", "memory, MB", "seeds"]]
    for candidate in found.candidates:
        memory = candidate.spread("peak_memory")
        table.append(
            [
                candidate.name,
                str(candidate.hidden),
                f"{candidate.parameters:,}",
                *(shown(candidate.metric(split, found.metric)) for split in found.splits),
                shown(candidate.spread("seconds"), digits=2),
                f"{memory.mean / 1e6:,.0f}" if memory else "",
                _seeds(candidate, found),
            ]
        )
    return table


def shown(spread: Spread | None, digits: int = 4) -> str:
    """Mean and deviation.

    >>> shown(Spread.of([0.5, 0.75])), shown(None)
    ('0.625 ± 0.18', '')
    """
    if spread is None:
        return ""
    mean = f"{spread.mean:,.0f}" if spread.mean >= 10_000 else f"{spread.mean:.{digits}g}"
    return mean if spread.deviation is None else f"{mean} ± {spread.deviation:.2g}"


def _seeds(candidate: Candidate, found: Comparison) -> str:
    done = len(candidate.done)
    return str(done) if done == len(found.seeds) else f"{done} of {len(found.seeds)}"


def _cells(found: Comparison) -> str:
    return _table(rows(found))


def baseline_rows(found: Comparison) -> list[list[str]]:
    """The simple models as cells of text, a row each, under a head; none where there are none."""
    body = [
        [name, *(f"{measured[s][found.metric]:.4g}" if s in measured else "" for s in found.splits)]
        for name, measured in found.baselines.items()
        if all(found.metric in values for values in measured.values())
    ]
    return [["baseline", *(f"{s} {found.metric}" for s in found.splits)], *body] if body else []


def _baselines(found: Comparison) -> str:
    cells = baseline_rows(found)
    return _table(cells) if cells else ""


def _verdict(found: Comparison) -> str:
    if found.verdict is None:
        return ""
    said = "\n".join(f"- {sentence}" for sentence in found.verdict.sentences)
    return f"{said}\n\nThe rule: {found.verdict.rule}."


def _lengths(found: Comparison) -> str:
    groups, columns = found.by_length()
    if not groups:
        return ""
    cells = [
        [group, *(f"{column[i][0]:.4g}" for column in columns.values())]
        for i, group in enumerate(groups)
    ]
    name = next(run.by_length_of for run in found.done if run.by_length)
    return f"{found.splits[-1]} {name} by steps:\n\n{_table([['steps', *columns], *cells])}"


def _ended_otherwise(found: Comparison) -> str:
    return "\n".join(
        f"- {candidate.name}, seed {run.seed}, {run.status}: {run.message}"
        for candidate in found.candidates
        for run in candidate.runs
        if run.status != "done"
    )


def _table(cells: Iterable[Sequence[str]]) -> str:
    head, *body = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *body])
