"""The built site: search, the map of the lecture, charts, and that no other host is asked."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from docs._build import charts, lessons
from docs._build.blocks import ROOT
from lunr.builder import Builder
from lunr.index import Index
from lunr.stop_word_filter import stop_word_filter
from lunr.trimmer import trimmer

from elman.cli._compare import OPTIONS as COMPARE
from elman.cli._main import app
from elman.cli._request import parse_request
from elman.cli._train import OPTIONS

TAG = re.compile("<[^>]+>")
LINK = re.compile(r'<a href="([^"]+)"')
ROW = re.compile(r"<tr>(.*?)</tr>", re.DOTALL)
CELL = re.compile(r"<td[^>]*>(.*?)</td>", re.DOTALL)
SHOWN = re.compile(r"<(svg|img|figure|iframe)\b")
REQUEST = re.compile(
    r'<(?:script|img|iframe|audio|source|link rel="stylesheet")[^>]*="(https?:)?//'
)


@pytest.fixture(scope="module")
def index(site: Path) -> Index:
    """The index that the theme's script makes of the same file: no stemmer, boosts of the file."""
    kept = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    builder = Builder()
    builder.pipeline.add(trimmer, stop_word_filter)
    builder.search_pipeline.add(trimmer)
    builder.ref("location")
    for field in ("title", "text"):
        builder.field(field, kept["config"]["fields"][field]["boost"])
    for document in kept["docs"]:
        text = {field: TAG.sub(" ", document[field]) for field in ("title", "text")}
        builder.add({"location": document["location"], **text}, {"boost": document.get("boost", 1)})
    return builder.build()


@pytest.mark.parametrize(
    ("question", "place"),
    [
        ("vanishing gradient", "learn/concepts/#vanishing-gradient"),
        ("batch size", "learn/concepts/#batch-size"),
        ("overfitting", "learn/concepts/#overfitting"),
        ("teacher forcing", "learn/concepts/#teacher-forcing"),
        ("bottleneck", "learn/concepts/#bottleneck-and-attention"),
        ("perceptron", "learn/concepts/#perceptron-and-recurrence"),
    ],
)
def test_a_question_finds_its_answer(index: Index, question: str, place: str) -> None:
    """As the theme asks: all words, the last of them perhaps not typed to its end."""
    *words, last = (f"+{word}" for word in question.split())
    found = [match["ref"] for match in index.search(" ".join([*words, f"{last}*"]))]
    assert place in found[:2], found[:5]


def target(site: Path, page: Path, link: str) -> tuple[Path, str]:
    """The file and the place in it that a link of a page leads to."""
    place, _, anchor = link.partition("#")
    file = (page.parent / place).resolve() if place else page
    return (file / "index.html" if file.is_dir() else file), anchor


def section(text: str, anchor: str) -> str:
    """A page from an anchor to the next heading of the same kind; the whole without one."""
    if not anchor:
        return text
    heading = re.search(rf'<(h\d) id="{re.escape(anchor)}"', text)
    assert heading is not None, anchor
    rest = text[heading.end() :]
    return rest.split(f"<{heading[1]} ", 1)[0]


def test_each_line_of_the_map_leads_somewhere(site: Path) -> None:
    """To a page, a lesson, a command and a picture; each is there."""
    page = site / "learn" / "map" / "index.html"
    rows = [CELL.findall(row) for row in ROW.findall(page.read_text(encoding="utf-8"))]
    rows = [row for row in rows if row]
    assert len(rows) == 30
    for line, guide, lesson, command, picture in rows:
        for link in (*LINK.findall(guide), *LINK.findall(lesson), *LINK.findall(picture)):
            file, anchor = target(site, page, link)
            assert file.is_file(), (line, link)
            text = file.read_text(encoding="utf-8")
            found = section(text, anchor)
            assert link not in LINK.findall(picture) or SHOWN.search(found), (line, link)
        assert LINK.search(guide), line
        assert LINK.search(picture), line
        assert LINK.search(lesson), line
        assert accepted(TAG.sub("", command)), line


def accepted(command: str) -> bool:
    """Whether the command line takes it."""
    _, name, *rest = shlex.split(command.replace("&quot;", '"'))
    if name in {"train", "compare"}:
        return bool(parse_request(name, "", rest, {"train": OPTIONS, "compare": COMPARE}[name]))
    app.parse_args([name, *rest], exit_on_error=False, print_error=False)
    return True


def test_every_lesson_has_a_page_and_a_line_of_the_map(site: Path) -> None:
    lines = (ROOT / "docs" / "learn" / "map.md").read_text(encoding="utf-8")
    for slug in lessons.slugs():
        page = (site / "learn" / slug / "index.html").read_text(encoding="utf-8")
        assert "Cure it" in page
        assert "$$" not in page
        assert f"<!-- lesson: {slug} -->" in lines


def test_no_page_asks_another_host(site: Path) -> None:
    pages = [*site.glob("*/index.html"), *site.glob("learn/*/index.html"), site / "index.html"]
    assert len(pages) > 30
    asked = {page.parent.name: REQUEST.search(page.read_text(encoding="utf-8")) for page in pages}
    assert not {name: match[0] for name, match in asked.items() if match}


TABLE = "| mse | test |\n| --- | --- |\n| `a` | 0.5, 1.5 |\n| b | 2 ± 0.1 |\n| c | not run yet |\n"


def test_a_chart_has_the_values_of_its_table() -> None:
    page = charts.drawn(f"<!-- chart: test | lower -->\n<!-- table: x -->\n{TABLE}<!-- end -->\n")
    assert re.findall(r"--at:([\d.]+)%", page) == ["49.0", "98.0"]  # the means 1 and 2
    assert re.findall(r'class="value">([^<]*)', page) == ["0.5, 1.5", "2 ± 0.1"]
    assert "lower is better" in page
    assert TABLE in page


@pytest.mark.parametrize(
    ("what", "why"),
    [("tset", "column must be one of"), ("test | lowre", "option of a chart")],
)
def test_a_chart_of_nothing_is_refused(what: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        charts.chart(what, TABLE)


def test_a_table_without_results_stays_a_table() -> None:
    table = "| mse | test |\n| --- | --- |\n| a | not run yet |\n"
    assert charts.drawn(f"<!-- chart: test -->\n{table}") == table
