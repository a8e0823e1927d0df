"""What the build adds to the pages: equations as MathML, which browsers draw by themselves."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parents[2]))  # mkdocs runs this file by its path
from docs._build import charts, lessons, outputs, pictures

LESSON = re.compile(r"<!-- lesson: (?P<slug>[a-z]+) -->")


def fence(source: str, *_: Any, **__: Any) -> str:
    """The HTML of a ```math fence, which holds LaTeX."""
    aligned = "&" in source or r"\\" in source
    latex = rf"\begin{{align*}}{source}\end{{align*}}" if aligned else source
    return f'<p class="formula">{convert(latex, display="block")}</p>'


def on_config(config: Any) -> Any:
    """A fence cannot be named from YAML without an importable package."""
    config.mdx_configs["pymdownx.superfences"] = {
        "custom_fences": [{"name": "math", "class": "math", "format": fence}]
    }
    tabs = {name: pages for tab in config.nav for name, pages in tab.items()}
    tabs["Learn"].insert(1, {"Lessons": [f"learn/{slug}.md" for slug in lessons.slugs()]})
    return config


def on_files(files: Any, config: Any) -> Any:
    """The pages of the lessons, and what their frames hold."""
    for slug in lessons.slugs():
        files.append(File.generated(config, f"learn/{slug}.md", content=lessons.page(slug)))
        if lessons.file_of(slug).exists():
            place = f"learn/play/{slug}.html"
            files.append(File.generated(config, place, content=lessons.played(slug)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Search shows a guide before the entry of the reference that has the same words."""
    boost = 0.5 if page.file.src_uri.startswith("reference/") else 2
    page.meta.setdefault("search", {}).setdefault("boost", boost)
    markdown = LESSON.sub(lambda match: lessons.link(match["slug"]), markdown)
    markdown = markdown.replace("<!-- lessons -->", lessons.cards())
    if page.file.abs_src_path:  # a page of its own, none that the build makes
        markdown = outputs.pasted(markdown, Path(page.file.abs_src_path))
    return charts.drawn(markdown)


def on_page_content(content: str, page: Any, **_: Any) -> str:
    return pictures.shown(content, "../" * page.url.count("/"))
