"""A figure as inline SVG whose lines take the colors of the page, light or dark."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from elman._errors import DataError
from elman._files import why
from elman.pictures import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DROPPED = {"metadata", "style"}
POINT = re.compile(r"(?<=#)[\w-]+")
PAINT = {color.lower(): f"var(--line-{number})" for number, color in enumerate(COLORS[:-1])}
PAINT[COLORS[-1].lower()] = "currentColor"
HEX = re.compile(r"#[0-9a-f]{6}\b")


def inline(figure: Figure, name: str, title: str) -> ET.Element:
    """A drawn figure as SVG for an HTML page with other figures.

    Ids are prefixed with the name of the figure, black becomes ``currentColor``, the other colors
    of lines become the variables ``--line-0`` to ``--line-5`` of the page, and no link leads
    outside of it.
    """
    file = io.BytesIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = ET.fromstring(file.getvalue())
    for parent in svg.iter():
        for child in list(parent):
            if _local(child.tag) in DROPPED:
                parent.remove(child)
    for element in svg.iter():
        element.tag = _local(element.tag)
        element.attrib = {_local(k): _own(k, v, name) for k, v in element.attrib.items()}
    for size in ("width", "height"):
        svg.attrib.pop(size, None)
    svg.attrib |= {"role": "img", "aria-label": title}
    return svg


def data_uri(file: Path) -> str:
    """A PNG file as a data URI.

    Raises:
        DataError: the file cannot be read.
    """
    from base64 import b64encode

    try:
        return "data:image/png;base64," + b64encode(file.read_bytes()).decode()
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read: {why(error)}; `elman flow` writes it again"
        ) from error


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _own(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if not value.startswith("data:"):
        value = HEX.sub(lambda match: PAINT.get(match[0], match[0]), value)
    if (_local(key) == "href" and value.startswith("#")) or "url(#" in value:
        return POINT.sub(lambda match: f"{name}-{match[0]}", value)
    return value
