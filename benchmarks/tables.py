"""The tables of the documentation, made from the result files in benchmarks/results.

    python -m benchmarks.tables            # writes them into the pages
    python -m benchmarks.tables --check    # ends with 1 where a page and its results differ

A table stands in its page between `<!-- table: NAME -->` and `<!-- end -->`. A figure that cannot
be (a time below the floor, a peak of memory below what the output takes, an accuracy of 1.2) stops
the generator: then the measurement is wrong, and no table is made of it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import (
    chomsky_table,
    doctor_table,
    gallery_table,
    learning_tables,
    other_tables,
    speed_tables,
    trust_table,
)

ROOT = Path(__file__).parents[1]
PAGES = tuple(sorted((ROOT / "docs").rglob("*.md")))
BLOCK = re.compile(r"(<!-- table: (?P<name>[^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)

TABLES: Mapping[str, Callable[[], str]] = (
    speed_tables.TABLES
    | learning_tables.TABLES
    | other_tables.TABLES
    | doctor_table.TABLES
    | chomsky_table.TABLES
    | gallery_table.TABLES
    | trust_table.TABLES
)


def generated(page: str, tables: Mapping[str, Callable[[], str]] = TABLES) -> str:
    """The page with every table made anew.

    >>> print(generated("<!-- table: sizes -->\\nold\\n<!-- end -->", {"sizes": lambda: "new"}))
    <!-- table: sizes -->
    new
    <!-- end -->
    """

    def made(block: re.Match[str]) -> str:
        name = block["name"]
        if name not in tables:
            raise ValueError(f"no table {name!r}: expected one of {', '.join(sorted(tables))}")
        try:
            table = tables[name]().strip()
        except FileNotFoundError as missing:
            place = Path(str(missing.filename)).relative_to(ROOT)
            table = f"*Not measured yet: `{place}` is not there.*"
        return f"{block[1]}{table}\n{block[3]}"

    return BLOCK.sub(made, page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    args = parser.parse_args()
    differ = []
    for path in PAGES:
        before = path.read_text(encoding="utf-8")
        after = generated(before)
        if after == before:
            continue
        differ.append(str(path.relative_to(ROOT)))
        if not args.check:
            path.write_text(after, encoding="utf-8")
    print(*(f"{page}: {'differs' if args.check else 'written'}" for page in differ), sep="\n")
    sys.exit(1 if args.check and differ else 0)


if __name__ == "__main__":
    main()
