"""The doctor's table in the documentation, from the results of benchmarks/doctor.py.

python benchmarks/doctor_table.py    # prints it
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "doctor.json"
HEAD = ("fault", "how", "named: strong", "mild", "first", "first remedy better: strong", "mild")


def table() -> str:
    """A row for each fault and for each kind of healthy run, on the seeds kept out."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    rows = [HEAD, ("---",) * len(HEAD), *_rows(results["faults"])]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _rows(faults: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for name, row in faults.items():
        strong, mild = row["strong"], row.get("mild")
        if mild is None:
            yield name, row["how"], _of(strong, "named"), "", "", "", ""
            continue
        both = {key: strong[key] + mild[key] for key in strong}
        named = _of(strong, "named"), _of(mild, "named"), _of(both, "first")
        fault = f"`{row['code']}` {name}"
        yield (
            fault,
            row["how"],
            *named,
            *(_of(grade, "better", "tried") for grade in (strong, mild)),
        )


def _of(counts: Mapping[str, int], key: str, whole: str = "runs") -> str:
    """How many of those there are; a dash where there are none.

    >>> _of({"runs": 3, "named": 2, "tried": 0}, "named"), _of({"tried": 0}, "better", "tried")
    ('2 of 3', '-')
    """
    count = counts[whole]
    if not 0 <= counts.get(key, 0) <= count:
        raise ValueError(f"expected at most {count} of {key}, got {counts[key]}")
    return f"{counts[key]} of {count}" if count else "-"


TABLES = {"doctor": table}

if __name__ == "__main__":
    print(table())
