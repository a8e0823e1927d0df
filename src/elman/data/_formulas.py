"""Texts that a spreadsheet would run as formulas, written so that it does not; and undone again."""

from __future__ import annotations

import re

# Also what begins with an apostrophe before such a sign, so that what is undone is unambiguous.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBERS = re.compile(rf"{_NUMBER}(?: {_NUMBER})*")


def guarded(text: str) -> str:
    r"""A text with an apostrophe before it, if a spreadsheet would take it for a formula.

    Those that begin with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return are such. Numbers
    stay as they are, also several with spaces between them.

    >>> [guarded(text) for text in ("=1+1", "-1.5", "- no", "'tis", "'=")]
    ["'=1+1", '-1.5', "'- no", "'tis", "''="]

    References:
        https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBERS.fullmatch(text) else text


def unguarded(text: str) -> str:
    """What `guarded` was given.

    >>> [unguarded(guarded(text)) for text in ("=1+1", "-1.5", "- no", "'tis", "'=")]
    ['=1+1', '-1.5', '- no', "'tis", "'="]
    """
    return text[1:] if text[:1] == "'" and _GUARDED.match(text) else text
