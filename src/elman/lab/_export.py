"""Lessons as single HTML files, which need no server and make no request."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from elman._errors import ConfigError, nearest
from elman._files import read_plain, replacing
from elman.lab._lesson import FOLDER, LESSONS, Ask, described, lesson
from elman.lab._protocol import Event, encode, read_settings

PAGE = Path(__file__).parent / "page"
LARGEST = 1_500_000
"""Bytes of a file."""
TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon"}

IMPORT = re.compile(r"""(\bfrom\s*|\bimport\s*\(?\s*)(["'])(\.{1,2}/[^"']+)\2""")
"""A module that another one imports by its place."""
STYLE = re.compile(r'<link rel="stylesheet" href="([^"]+)">')
ICON = re.compile(r'(<link rel="icon" href=")([^"]+)(")')
PRELOAD = re.compile(r'<link rel="modulepreload" href="[^"]+">\n')
SCRIPT = re.compile(r'<script type="module" src="([^"]+)"></script>')


def export(directory: Path, slugs: tuple[str, ...] = ()) -> list[Path]:
    """Write each lesson as one HTML file, with recordings in the place of the worker.

    An export answers only what its lesson says is recorded: `Ask.recorded`. Scripts are modules in
    data addresses, found by an import map, since browsers load no module from a file.

    Args:
        directory: the folder; SLUG.html is written into it, whole or not at all.
        slugs: the lessons; all if there are none.

    Returns: the files.

    Raises:
        ConfigError: there is no such lesson, a recording is refused, or a file gets too large.
        DataError: the folder cannot be written.
    """
    known = [slug for slug, _ in LESSONS]
    for slug in slugs:
        if slug not in known:
            raise ConfigError(f"unknown lesson {slug!r}: {nearest(slug, known)}")
    return [_write(directory / f"{slug}.html", slug) for slug in slugs or known]


def _write(file: Path, slug: str) -> Path:
    content = page(described(slug), recordings(lesson(slug).asks), FOLDER / slug).encode()
    if len(content) > LARGEST:
        raise ConfigError(
            f"lesson {slug}: its file would have {len(content):,} bytes, and at most {LARGEST:,} "
            "are useful: record fewer settings"
        )
    with replacing(file) as out:
        out.write(content)
    return file


def recordings(asks: tuple[Ask, ...]) -> list[Event]:
    """What the asks of a lesson answer to the settings that are recorded.

    Raises:
        ConfigError: settings are refused.
    """
    return [recording(ask, settings) for ask in asks for settings in ask.recorded]


def recording(ask: Ask, settings: Mapping[str, Any]) -> Event:
    """One answer: the name, the settings in full, and the events.

    Raises:
        ConfigError: the settings are refused.
    """
    checked = read_settings(ask.settings, settings)
    if isinstance(checked, list):
        problem = checked[0]
        raise ConfigError(f"{ask.name}: {problem['where']}: {problem['message']}")
    events = [json.loads(encode(event)) for event in ask.answer(checked)]
    return {"name": ask.name, "settings": checked.model_dump(mode="json"), "events": events}


def page(text: Mapping[str, Any], recorded: list[Event], folder: Path, source: Path = PAGE) -> str:
    """The HTML of a lesson.

    Args:
        text: the lesson, as the server describes it.
        recorded: what its asks answer.
        folder: the folder of the lesson, with stage.js.
        source: the folder of the page.
    """
    html = _text(source / "index.html")
    html = STYLE.sub(lambda m: f"<style>\n{_text(source / m[1])}\n</style>", html)
    html = ICON.sub(lambda m: f"{m[1]}{_data(source / m[2])}{m[3]}", html)
    html = PRELOAD.sub("", html)
    entry = SCRIPT.search(html)
    if entry is None:
        raise ConfigError(f"{source / 'index.html'}: expected the script of the page, got none")
    modules = {"stage": folder / "stage.js"}
    modules |= dict(_reached("stage", folder / "stage.js"))
    modules |= {f"page/{entry[1]}": source / entry[1]}
    modules |= dict(_reached(f"page/{entry[1]}", source / entry[1]))
    addresses = {name: _module(name, file) for name, file in modules.items()}
    recording = _json(lesson=text, recorded=recorded)
    scripts = "\n".join(
        [
            f'<script type="application/json" id="recording">{recording}</script>',
            f'<script type="importmap">{_json(imports=addresses)}</script>',
            f'<script type="module">import "page/{entry[1]}";</script>',
        ]
    )
    return html[: entry.start()] + scripts + html[entry.end() :]


def _reached(name: str, file: Path) -> Iterator[tuple[str, Path]]:
    """The modules that a module imports, directly or not, by the names that they get."""
    seen = {file}
    todo = [(name, file)]
    while todo:
        name, file = todo.pop()
        for match in IMPORT.finditer(_text(file)):
            other = (file.parent / match[3]).resolve()
            if other not in seen and other.is_file():
                seen.add(other)
                pair = _name(name, match[3]), other
                todo.append(pair)
                yield pair


def _name(importer: str, path: str) -> str:
    """The name of a module that another one imports by a relative path.

    >>> _name("page/main.js", "./vendor/uPlot.esm.js"), _name("stage", "./tune.js")
    ('page/vendor/uPlot.esm.js', 'stage/tune.js')
    """
    parts = importer.split("/")[:-1] if importer != "stage" else ["stage"]
    for part in path.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _module(name: str, file: Path) -> str:
    """A module as a data address, in which the modules that it imports have their names."""

    def named(match: re.Match[str]) -> str:
        return f"{match[1]}{match[2]}{_name(name, match[3])}{match[2]}"

    code = IMPORT.sub(named, _text(file))
    return f"data:text/javascript;base64,{base64.b64encode(code.encode()).decode()}"


def _data(file: Path) -> str:
    kind = TYPES[file.suffix]
    return f"data:{kind};base64,{base64.b64encode(read_plain(file)).decode()}"


def _text(file: Path) -> str:
    return read_plain(file).decode()


def _json(**values: object) -> str:
    """JSON inside of HTML, where nothing may look like the end of a script."""
    return json.dumps(values, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
