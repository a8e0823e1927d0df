"""Which texts could teach a model to complete "This morning I took my cat for a".

    python -m benchmarks.sentence TEXT ... [--json FILE]

TEXT is a named data set of text, with NAME:9000 its first 9,000 lines, or LABEL=FILE for a plain
text. Counted are the words after "for a", all of them and those after a form of "take" one to three
words before; upper case and line breaks do not matter.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.speed._machine import environment

from elman.data import by_name

COMPLETIONS = ("walk", "ride", "drive", "trip", "visit", "nap")
AFTER = re.compile(r"\bfor a (\w+)")
AFTER_TAKE = re.compile(r"\b(?:take|takes|taking|took|taken) (?:[\w']+ ){1,3}for a (\w+)")
WORD = re.compile(r"\w+")


def counts(text: str) -> dict[str, Any]:
    """How often each completion comes, and how many words come more often than "walk".

    >>> found = counts("They took her for a walk. For a while, for a while!")
    >>> found["after"], found["completions"]["walk"], found["rank"], found["after_take"]
    (3, 1, 2, {'walk': 1})
    """
    text = " ".join(text.lower().split())
    after, after_take = Counter(AFTER.findall(text)), Counter(AFTER_TAKE.findall(text))
    walks = after["walk"]
    return {
        "words": sum(1 for _ in WORD.finditer(text)),
        "after": after.total(),
        "completions": {word: after[word] for word in COMPLETIONS},
        "rank": 1 + sum(n > walks for n in after.values()) if walks else None,
        "likeliest": [word for word, _ in after.most_common(5)],
        "after_take": {word: after_take[word] for word in COMPLETIONS if after_take[word]},
        "after_take_total": after_take.total(),
    }


def read(name: str) -> str:
    label, named_file, file = name.partition("=")
    if named_file:
        return Path(file).read_text(encoding="utf-8", errors="replace")
    label, _, lines = name.partition(":")
    whole = by_name(label)
    return "\n".join(whole.head(int(lines)) if lines else whole)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sentence")
    parser.add_argument("texts", nargs="+", metavar="TEXT")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    found = {name.partition("=")[0]: counts(read(name)) for name in args.texts}
    for name, row in found.items():
        print(name, json.dumps(row))
    if args.json:
        command = f"python -m benchmarks.sentence {shlex.join(args.texts)}"
        kept = {"command": command, "environment": environment(), "texts": found}
        args.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
