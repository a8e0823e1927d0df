"""What the build adds to the pages: equations as MathML, which browsers draw by themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert

sys.path.insert(0, str(Path(__file__).parents[2]))  # mkdocs runs this file by its path
from docs._build import charts, outputs, pictures


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
    return config



def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Search shows a guide before the entry of the reference that has the same words."""
    boost = 0.5 if page.file.src_uri.startswith("reference/") else 2
    page.meta.setdefault("search", {}).setdefault("boost", boost)
    return charts.drawn(outputs.pasted(markdown, Path(page.file.abs_src_path)))


def on_page_content(content: str, **_: Any) -> str:
    return pictures.shown(content)
