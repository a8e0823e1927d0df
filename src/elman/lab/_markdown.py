"""Markdown to HTML without a style or a script in it, and with formulas as MathML."""

from __future__ import annotations

from functools import cache

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token


def render(markdown: str) -> str:
    """HTML of paragraphs, lists, tables and code; what is HTML in it is shown as text.

    >>> render("Say *why*: $h_t$ <b>")
    '<p>Say <em>why</em>: <math xmlns="http://www.w3.org/1998/Math/MathML" display="inline">...'
    """
    parser = _parser()
    tokens = parser.parse(markdown.strip())
    for token in tokens:
        if style := token.attrs.pop("style", None):  # the page's policy forbids style attributes
            token.attrJoin("class", str(style).removeprefix("text-align:"))
    html: str = parser.renderer.render(tokens, parser.options, {})
    return html


def render_line(markdown: str) -> str:
    """HTML of one line, without a paragraph around it.

    >>> render_line("the *last* 20 steps")
    'the <em>last</em> 20 steps'
    """
    html: str = _parser().renderInline(markdown.strip())
    return html.strip()


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.inline.ruler.before("escape", "formula", _formula)
    parser.add_render_rule("formula", _mathml)
    return parser


def _formula(state: StateInline, silent: bool) -> bool:
    r"""``$...$`` in a line and ``$$...$$`` on lines of its own; ``\$`` is a dollar."""
    if state.src[state.pos] != "$":
        return False
    mark = "$$" if state.src.startswith("$$", state.pos) else "$"
    begin = state.pos + len(mark)
    end = state.src.find(mark, begin)
    inner = state.src[begin:end]
    if end < 0 or not inner.strip() or (mark == "$" and inner != inner.strip()):
        return False
    if not silent:
        token = state.push("formula", "math", 0)
        token.content = inner.strip()
        token.meta = {"display": "block" if mark == "$$" else "inline"}
    state.pos = end + len(mark)
    return True


def _mathml(_: RendererHTML, tokens: list[Token], index: int, *_rest: object) -> str:
    token = tokens[index]
    html: str = convert(token.content, display=token.meta["display"])
    return html
