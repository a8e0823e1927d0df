"""An HTML report of one run, or of several side by side, in a single file."""

from __future__ import annotations

import json
import shlex
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree as ET

import tomli_w

from elman import pictures
from elman._errors import ConfigError
from elman._files import replacing
from elman.reporting._chart import Chart, as_csv, as_json
from elman.reporting._command import command
from elman.reporting._figures import figures
from elman.reporting._lengths import NAME as BY_LENGTH
from elman.reporting._lengths import lengths
from elman.reporting._measures import MEASURES_FILE, Measures
from elman.reporting._names import layer_names
from elman.reporting._plot import boxes
from elman.reporting._summary import Ranking, facts, sentence
from elman.reporting._svg import data_uri, inline
from elman.reporting._training import training
from elman.training import Run

LIMIT = 3_000_000
"""Largest size of a page in bytes; plots of the task that do not fit are left out."""
MOST_ROWS = 40
SAFE = " !$'()*+,-./:;=?@[]_{|}~"
"""What the address of a download keeps as it is."""
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{}'; "
    "base-uri 'none'; form-action 'none'"
)
"""Only the script of this package runs on the page, which may reach no address."""

WIDE = 5
"""A table with more columns takes the whole width of the page."""

Findings = Mapping[str, Sequence[Mapping[str, Any]]]


class RunEntry(NamedTuple):
    """A run on the page, under a name of its own."""

    name: str
    run: Run
    events: list[dict[str, Any]]
    measures: Measures | None
    findings: Sequence[Mapping[str, Any]] | None
    checked: Mapping[str, str]


def report(
    paths: Sequence[Path | str],
    output: Path | None = None,
    *,
    findings: Findings | None = None,
    checked: Mapping[str, Mapping[str, str]] | None = None,
) -> Path:
    """Write the report of one run or several, with every figure beside it as PNG and SVG.

    The page loads nothing, and its own script, which shows the values under the pointer, is the
    only one that a browser runs there; text from the run folders is escaped.

    Args:
        paths: the run folders; measures that `measure` saved in them are shown.
        output: the folder for ``report.html``. Default: ``RUN/report``, or for several runs
            ``report-NAME-NAME`` beside the first one.
        findings: findings of the doctor by the path of a run: ``code``, ``problem``, ``figure`` and
            ``remedies``, each with ``what``, ``flags``, ``without`` and ``reference``.
        checked: checks of the doctor by the path of a run: their names and outcomes.

    Returns: the path of the page.

    Raises:
        ConfigError: no run, the same run twice, or Matplotlib is not installed.
        CheckpointError: a folder is not a run, or its measures are damaged.
    """
    if not paths or len({Path(p).resolve() for p in paths}) < len(paths):
        raise ConfigError("expected one run folder, or several different ones")
    if not pictures.available():
        raise ConfigError(pictures.MISSING)
    entries = []
    for path, name in zip(paths, _names(paths), strict=True):
        key = str(path)
        entries.append(
            _open(Path(path), name, (findings or {}).get(key), (checked or {}).get(key, {}))
        )
    folder = output or _folder(entries)
    measures = {each.name: each.measures for each in entries if each.measures}
    drawn = [*training({each.name: each.events for each in entries}), *figures(measures)]
    drawn += lengths(measures)
    body = _body(entries, {chart.name: _figure(chart, folder) for chart in drawn})
    file = folder / "report.html"
    with replacing(file) as out:
        out.write(_whole(" · ".join(each.name for each in entries), body))
    return file


def _names(paths: Sequence[Path | str]) -> list[str]:
    """The names of the folders, or their paths if names are not unique."""
    names = [Path(path).resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _open(path: Path, name: str, *examined: Any) -> RunEntry:
    run = Run.open(path)
    return RunEntry(name, run, run.events(), Measures.load(path), *examined)


def _folder(entries: Sequence[RunEntry]) -> Path:
    first = entries[0].run.path
    if len(entries) == 1:
        return first / "report"
    return first.parent / "-".join(["report", *(each.run.path.name for each in entries)])


def el(tag: str, *children: ET.Element | str, **attributes: str) -> ET.Element:
    """An HTML element; its text is escaped when it is written.

    >>> ET.tostring(el("p", "a < b", el("br"), "c", id="x"), "unicode", method="html")
    '<p id="x">a &lt; b<br>c</p>'
    """
    made = ET.Element(
        tag, {key.rstrip("_").replace("_", "-"): text for key, text in attributes.items()}
    )
    for child in children:
        if isinstance(child, ET.Element):
            made.append(child)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + _clean(child)
        else:
            made.text = (made.text or "") + _clean(child)
    return made


def _clean(text: str) -> str:
    """Text without the control characters that HTML forbids."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t" or not c.isascii())


def _whole(title: str, body: ET.Element) -> bytes:
    style, script = map(_asset, ("page.css", "page.js"))
    digest = b64encode(sha256(script.encode()).digest()).decode()
    policy = {"http-equiv": "Content-Security-Policy", "content": POLICY.format(digest)}
    head = el(
        "head",
        el("meta", charset="utf-8"),
        ET.Element("meta", policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("link", rel="icon", href="data:,"),
        el("title", title),
        el("style", style),
    )
    body.append(el("script", script))
    html = el("html", head, body, lang="en")
    return b"<!doctype html>\n" + ET.tostring(html, "unicode", method="html").encode()


def _asset(name: str) -> str:
    file = resources.files("elman.reporting").joinpath(name)
    return file.read_bytes().decode().replace("\r\n", "\n")


def _body(entries: Sequence[RunEntry], drawn: Mapping[str, ET.Element]) -> ET.Element:
    several = len(entries) > 1
    inside = [name for name in drawn if not name.startswith(("training", BY_LENGTH))]
    body = el(
        "body",
        el("h1", " · ".join(each.name for each in entries)),
        *(_sentence(each, several) for each in entries),
        *_section("Results", [*_rankings(entries), _results(entries)]),
        *_section("Findings", (_findings(each, several) for each in entries)),
        *_section("Training", _training(drawn)),
        *_section(
            "Inside",
            [
                *(_unmeasured(each) for each in entries if not each.measures),
                *(drawn[name] for name in inside),
                *(_left_out(each) for each in entries if each.measures and _reasons(each.measures)),
            ],
        ),
        *_section(
            "Predictions",
            [
                *(drawn[name] for name in drawn if name.startswith(BY_LENGTH)),
                *(_predictions(each, several) for each in entries if each.measures),
            ],
        ),
        *_section("Settings", (_settings(each) for each in entries)),
    )
    body.append(el("p", "This page: ", el("code", _again(entries)), class_="soft"))
    _fit(body)
    return body


def _again(entries: Sequence[RunEntry]) -> str:
    """The command that writes this page."""
    texts = {each.measures.text if each.measures else None for each in entries}
    (text,) = texts if len(texts) == 1 else (None,)
    options = [] if text is None else ["--text", text]
    return shlex.join(["elman", "report", *(str(each.run.path) for each in entries), *options])


def _section(title: str, parts: Iterable[ET.Element]) -> list[ET.Element]:
    """A heading and its parts side by side; nothing if there are no parts."""
    there = list(parts)
    return [el("h2", title), el("div", *there, class_="side")] if there else []


def _results(entries: Sequence[RunEntry]) -> ET.Element:
    """A table of the facts and results of each run."""
    columns = [dict(_facts(each)) for each in entries]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [[name, *(column.get(name, "") for column in columns)] for name in names]
    return _table(["", *(each.name for each in entries)], rows)


def _training(drawn: Mapping[str, ET.Element]) -> list[ET.Element]:
    """The charts of training; those of its settings and its speed are folded."""
    parts = [drawn["training"]] if "training" in drawn else []
    if "training-speed" in drawn:
        summary = el("summary", "learning rate, clipping and speed")
        parts.append(el("details", summary, drawn["training-speed"]))
    return parts


def _facts(entry: RunEntry) -> Iterator[tuple[str, Any]]:
    yield from facts(entry.run.config, entry.events)
    if entry.measures:
        names = layer_names(entry.measures)
        for name, layer in zip(names, entry.measures.layers, strict=True):
            for state, curve in layer.gradient.items():
                yield f"half-life in steps: {name}, {state}", curve.half_life[0]


def _sentence(entry: RunEntry, several: bool) -> ET.Element:
    text = sentence(entry.run.config, entry.events, entry.findings, entry.checked)
    return el("p", f"{entry.name}: {text}" if several else text, class_="lead")


def _rankings(entries: Sequence[RunEntry]) -> Iterator[ET.Element]:
    """A table of each run and its baselines, the best first."""
    for each in entries:
        ranking = Ranking.of(each.events)
        if ranking is None or len(ranking.models) < 2:
            continue
        names = list(dict.fromkeys(name for of in ranking.models.values() for name in of))
        rows = [
            [name or each.name, *(of.get(measure) for measure in names)]
            for name, of in ranking.ranked()
        ]
        columns = [ranking.split, *(name.replace("_", " ") for name in names)]
        yield _whole_width(_table(columns, rows), columns)


def _figure(chart: Chart, folder: Path) -> ET.Element:
    """A chart as HTML; its files are saved in the folder, too."""
    title = chart.title if chart.of is None else f"{chart.title}: {chart.of}"
    name, picture = chart.name, chart.picture
    with pictures.drawn(picture) as sheet:
        files = {file.suffix: file for file in pictures.write(sheet, name, folder)}
        svg = inline(sheet, name, title)
        places = [
            {**box._asdict(), "colors": [ln.color for ln in ls], "shifts": [ln.shift for ln in ls]}
            for box, panel in zip(boxes(sheet, chart), chart.panels, strict=True)
            for ls in [getattr(panel, "lines", ())]
        ]
    data = {"csv": as_csv(chart), "json": json.dumps(as_json(chart), separators=(",", ":"))}
    for kind, text in data.items():
        with replacing(folder / f"{name}.{kind}") as file:
            file.write(text.encode())
    links = {**data, "svg": files[".svg"].read_text(encoding="utf-8")}
    return el(
        "figure",
        el("h3", title),
        el("div", svg, class_="plot"),
        el("p", class_="reading", aria_live="polite"),
        *([el("p", chart.reading, class_="values")] if chart.reading else ()),
        el("figcaption", chart.caption),
        el("p", "Download ", *_downloads(name, title, links), class_="files"),
        id=name,
        data_panels=json.dumps(places, separators=(",", ":")),
    )


MEDIA_TYPES = {"csv": "text/csv", "json": "application/json", "svg": "image/svg+xml"}


def _downloads(name: str, title: str, files: Mapping[str, str]) -> Iterator[ET.Element | str]:
    """Links to the files of a figure, which the page holds itself."""
    for kind, text in files.items():
        yield el(
            "a",
            kind.upper(),
            class_=kind,
            download=f"{name}.{kind}",
            href=f"data:{MEDIA_TYPES[kind]};charset=utf-8,{quote(text, safe=SAFE)}",
            aria_label=f"{kind.upper()} of {title}",
        )
        yield " "


def _unmeasured(entry: RunEntry) -> ET.Element:
    how = el("code", shlex.join(["elman", "flow", str(entry.run.path)]))
    return el("p", f"{entry.name}: not measured yet; run ", how)


def _reasons(measures: Measures) -> list[str]:
    return [
        f"{layer.name}: {what} not measured: {why}"
        for layer in measures.layers
        for what, why in layer.left_out.items()
    ]


def _left_out(entry: RunEntry) -> ET.Element:
    assert entry.measures is not None
    lines = [el("p", line) for line in _reasons(entry.measures)]
    return el("div", el("h3", entry.name), *lines, class_="soft")


def _findings(entry: RunEntry, several: bool) -> ET.Element:
    """The findings of the doctor with their remedies."""
    head = [el("h3", entry.name)] if several else []
    if entry.findings is None:
        how = el("code", shlex.join(["elman", "doctor", str(entry.run.path)]))
        return el("div", *head, el("p", "no diagnosis yet; run ", how, class_="soft"))
    articles = [_finding(each) for each in entry.findings] or [el("p", "No problems found.")]
    lines = [el("li", f"{name}: {outcome}") for name, outcome in entry.checked.items()]
    details = [el("details", el("summary", "what was checked"), el("ul", *lines))] if lines else []
    return el("div", *head, *articles, *details)


def _finding(finding: Mapping[str, Any]) -> ET.Element:
    remedies = [
        el(
            "li",
            f"{remedy.get('what', '')} ",
            el("code", " without ".join(filter(None, [flags, *remedy.get("without", ())]))),
            el("div", str(remedy.get("reference", "")), class_="soft"),
        )
        for remedy in finding.get("remedies", ())
        for flags in [str(remedy.get("flags", ""))]
    ]
    return el(
        "article",
        el("h3", f"{finding.get('code', '')}: {finding.get('problem', '')}"),
        el("p", str(finding.get("figure", ""))),
        *([el("ol", *remedies)] if remedies else []),
    )


def _predictions(entry: RunEntry, several: bool) -> ET.Element:
    """The tables and plots of the task."""
    assert entry.measures is not None
    parts = [el("h3", entry.name)] if several else []
    for table in entry.measures.tables:
        parts += [el("p", table.title, class_="soft"), _table(table.columns, table.rows)]
    for name in entry.measures.pictures:
        title = name.removeprefix("task-").replace("-", " ")
        image = _image(entry.run.path / MEASURES_FILE.parent, name, title)
        parts.append(el("figure", el("div", image, class_="wide"), el("figcaption", title)))
    whole = el("div", *parts or [el("p", "this task has none", class_="soft")])
    return _whole_width(
        whole, max((table.columns for table in entry.measures.tables), key=len, default=[])
    )


def _whole_width(element: ET.Element, columns: Sequence[str]) -> ET.Element:
    """The same element, as wide as the page if its table has many columns."""
    if len(columns) > WIDE:
        element.set("class", " ".join(filter(None, [element.get("class"), "whole"])))
    return element


def _image(folder: Path, name: str, title: str) -> ET.Element:
    """A plot of the task, with a dark variant for dark pages."""
    light, dark = (data_uri(folder / f"{Path(name).name}{end}.png") for end in ("", "-dark"))
    return el(
        "picture",
        el("source", srcset=dark, media="(prefers-color-scheme: dark)"),
        el("img", src=light, alt=title),
    )


def _settings(entry: RunEntry) -> ET.Element:
    try:
        words = command(entry.run.config)
    except ConfigError as error:  # its cell is the user's own, and was not given
        words, reason = None, f"no command: {error}"
    else:
        reason = "custom task: train it again with your own script"
    again = el("pre", words) if words else el("p", reason)
    return el(
        "div",
        el("h3", entry.name),
        again,
        el("details", el("summary", "config.toml"), el("pre", tomli_w.dumps(entry.run.config))),
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> ET.Element:
    head = el("tr", *(el("th", str(column)) for column in columns))
    body = [el("tr", *map(_td, row)) for row in rows[:MOST_ROWS]]
    table = el("div", el("table", head, *body), class_="wide")
    if len(rows) > MOST_ROWS:
        table.append(el("p", f"and {len(rows) - MOST_ROWS:,} more rows", class_="soft"))
    return table


def _td(value: Any) -> ET.Element:
    words = isinstance(value, str) and " " in value  # a text, in a column of texts
    return el("td", _cell(value), **({"class": "text"} if words else {}))


def _cell(value: Any) -> str:
    """A value as text, with four significant digits.

    >>> _cell(0.123456), _cell(12345), _cell("a"), _cell(None)
    ('0.1235', '12,345', 'a', '')
    """
    match value:
        case None:
            return ""
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"
    return str(value)


def _fit(body: ET.Element) -> None:
    """Drop plots of the task from the end until the page is small enough."""
    images = [figure for figure in body.iter("figure") if figure.find(".//img") is not None]
    while images and len(ET.tostring(body, method="html")) > LIMIT:
        figure = images.pop()
        figure[0] = el("p", "too large for this page: see the run folder")
