"""Equations as MathML, which browsers draw by themselves, and the colors of code."""

from __future__ import annotations

from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File
from pygments.formatters import HtmlFormatter


# Browsers leave the attribute to the page's style.
ALIGNED = "".join(f"mtd[columnalign={side}] {{ text-align: {side} }}\n" for side in ("left", "right"))


def fence(source: str, *_: Any, **__: Any) -> str:
    """The HTML of a ```math fence, which holds LaTeX."""
    aligned = "&" in source or r"\\" in source
    latex = rf"\begin{{align*}}{source}\end{{align*}}" if aligned else source
    return f"<p>{convert(latex, display='block')}</p>"


def on_config(config: Any) -> Any:
    """A fence cannot be named from YAML without an importable package."""
    config.mdx_configs["pymdownx.superfences"] = {
        "custom_fences": [{"name": "math", "class": "math", "format": fence}]
    }
    return config


def on_files(files: Any, config: Any) -> Any:
    light = HtmlFormatter(style="default").get_style_defs("[data-bs-theme=light] .highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs("[data-bs-theme=dark] .highlight")
    files.append(File.generated(config, "style.css", content=f"{ALIGNED}{light}\n{dark}\n"))
    return files
