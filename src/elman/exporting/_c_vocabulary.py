"""A vocabulary in C: from a text to its token, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator

from elman.data import Vocabulary
from elman.exporting._c_arrays import filled, quoted


def has_token_table(vocabulary: Vocabulary | None) -> bool:
    """Whether a text is one token: words and characters are, pieces of words are not."""
    return vocabulary is not None and vocabulary.kind in ("word", "char")


def is_lowercase(vocabulary: Vocabulary) -> bool:
    """Whether texts are read as lower case."""
    normalizer = json.loads(vocabulary.to_json()).get("normalizer") or {}
    return bool(normalizer.get("type") == "Lowercase")


def token_header(vocabulary: Vocabulary, name: str) -> Iterator[str]:
    """The declarations."""
    unit = "word" if vocabulary.kind == "word" else "character"
    case = " A to Z are read as lower case." if is_lowercase(vocabulary) else ""
    yield f"""
#define {name.upper()}_UNKNOWN {vocabulary.unk}

/* The token of a {unit} in UTF-8, {name.upper()}_UNKNOWN where it is none.{case} */
int32_t {name}_token(const char *text);

/* The text of a token, NULL where it is none. */
const char *{name}_text(int32_t token);"""


def token_function(vocabulary: Vocabulary, name: str) -> Iterator[str]:
    """The table, in the order of tokens and in that of bytes, and a binary search."""
    tokens = vocabulary.tokens
    # Nothing after a zero byte can be read in C.
    order = sorted(
        (n for n, token in enumerate(tokens) if token and "\0" not in token),
        key=lambda n: tokens[n].encode(),
    )
    yield f"\nstatic const char *const {name}_texts[{len(tokens)}] = {{"
    yield from filled(map(quoted, tokens))
    yield f"}};\n\nstatic const int32_t {name}_sorted[{len(order)}] = {{"
    yield from filled(map(str, order))
    yield "};\n"
    lower = "    if (byte >= 'A' && byte <= 'Z') return byte - 'A' + 'a';\n"
    yield f"""\
static int {name}_byte(char character) {{
    const int byte = (unsigned char)character;
{lower if is_lowercase(vocabulary) else ""}    return byte;
}}

int32_t {name}_token(const char *text) {{
    size_t low = 0, high = {len(order)};
    while (low < high) {{
        const size_t middle = low + (high - low) / 2;
        const char *word = {name}_texts[{name}_sorted[middle]];
        size_t i = 0;
        int difference;
        while (text[i] != '\\0' && {name}_byte(text[i]) == (unsigned char)word[i]) ++i;
        difference = {name}_byte(text[i]) - (unsigned char)word[i];
        if (difference == 0) return {name}_sorted[middle];
        if (difference < 0) high = middle;
        else low = middle + 1;
    }}
    return {vocabulary.unk};
}}

const char *{name}_text(int32_t token) {{
    return token >= 0 && token < {len(tokens)} ? {name}_texts[token] : NULL;
}}"""
