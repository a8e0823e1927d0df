"""Docstrings are written to be read in a terminal too; this turns their markup into the site's."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

MATH = re.compile(
    r"^(?P<indent> *)\.\. math::(?P<body>.*(?:\n(?:(?P=indent) +\S.*| *(?=\n)))*)", re.MULTILINE
)
TABLE = re.compile(
    r"^( *)(=+ +=[= ]*\n(?:.*\n)*?\1=+ +=[= ]*\n(?:.*\n)*?\1=+ +=[= ]*)$", re.MULTILINE
)
DOCTEST = re.compile(r"^>>> .*(?:\n\S.*|\n    .*)*", re.MULTILINE)
ROLE = re.compile(r":(?:class|meth|mod|func|attr|data|exc):`~?([^`]+)`")


def fenced(match: re.Match[str]) -> str:
    first, _, rest = match["body"].partition("\n")
    latex = "\n".join(filter(None, [first.strip(), textwrap.dedent(rest).strip()]))
    return textwrap.indent(f"```math\n{latex}\n```\n", match["indent"])


def as_markdown(docstring: str) -> str:
    """LaTeX and tables into fences, roles into code, examples into the section for doctests."""
    text = ROLE.sub(r"`\1`", MATH.sub(fenced, docstring))
    text = DOCTEST.sub(r"```pycon\n\g<0>\n```", text)  # those outside an Example section
    text = TABLE.sub(r"\1```text\n\1\2\n\1```", text)
    return re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)


class Docstrings(griffe.Extension):
    def on_module(self, *, mod: griffe.Module, **_: Any) -> None:
        """The names of a package that loads them lazily are those that type checkers are told."""
        if "lazy" in mod.members:
            own = {name for name, member in mod.members.items() if not member.is_alias}
            typed = {name for name, member in mod.members.items() if not member.runtime}
            mod.exports = sorted(name for name in own | typed if not name.startswith("_"))

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)
