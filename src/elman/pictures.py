"""Pictures, all in one style, each saved as PNG and SVG; Matplotlib draws them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from warnings import catch_warnings, filterwarnings

from elman._errors import ConfigError
from elman._files import replacing

__all__ = ["COLORS", "Picture", "available", "drawn", "save", "save_dark", "write"]

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MISSING = 'no pictures: Matplotlib is not installed: pip install "elman[pictures]"'
FORMATS = ("png", "svg")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Lines take these in turn; they are told apart by those who do not see all colors (Okabe & Ito
2008, "Color universal design")."""


class Picture(NamedTuple):
    """A picture to be drawn: its file's name, how to draw it on an empty figure, and its inches.

    Example:
        >>> def line(figure):
        ...     axes = figure.subplots()
        ...     _ = axes.plot([1, 2, 3], [3, 1, 2])
        ...     _ = axes.set(xlabel="step", ylabel="nats")
        >>> import tempfile
        >>> files = save([Picture("curve", line)], Path(tempfile.mkdtemp()))
        >>> [file.name for file in files]
        ['curve.png', 'curve.svg']
    """

    name: str
    draw: Callable[[Figure], object]
    size: tuple[float, float] = (6.4, 4.0)


def available() -> bool:
    """Whether pictures can be drawn here."""
    return find_spec("matplotlib") is not None


def save(pictures: Iterable[Picture], folder: Path) -> list[Path]:
    """Draw pictures into a folder, as NAME.png and NAME.svg; the same picture is the same bytes.

    Raises:
        ConfigError: Matplotlib is not installed.
        DataError: a file cannot be written.
    """
    files = []
    for picture in pictures:
        with drawn(picture) as figure:
            files += write(figure, picture.name, folder)
    return files


def write(figure: Figure, name: str, folder: Path) -> list[Path]:
    """The files of a figure that is `drawn`, as `save` makes them."""
    files = [folder / f"{name}.{kind}" for kind in FORMATS]
    for file in files:
        _write(figure, file)
    return files


def save_dark(pictures: Iterable[Picture], folder: Path) -> list[Path]:
    """Draw pictures in light ink on no ground, for dark pages, as NAME-dark.png.

    Raises:
        ConfigError, DataError: as `save`.
    """
    files = []
    for picture in pictures:
        with drawn(picture, dark=True) as figure:
            files.append(folder / f"{picture.name}-dark.png")
            _write(figure, files[-1], transparent=True)
    return files


def _write(figure: Figure, path: Path, **options: Any) -> None:
    kind = path.suffix[1:]
    with replacing(path) as file:
        figure.savefig(file, format=kind, metadata=_METADATA[kind], **options)


@contextmanager
def drawn(picture: Picture, *, dark: bool = False) -> Iterator[Figure]:
    """The figure with the picture on it, while the house's style is in force."""
    if not available():
        raise ConfigError(MISSING)
    from cycler import cycler
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    colors = [*COLORS[:-1], _LIGHT] if dark else COLORS
    style = _STYLE | (_DARK if dark else {})
    with rc_context({**style, "axes.prop_cycle": cycler(color=colors)}), catch_warnings():
        # A box stands for a letter that Matplotlib's own font lacks; an SVG shows it all the same.
        filterwarnings("ignore", r"Glyph \d+", UserWarning)
        figure = Figure(figsize=picture.size, layout="constrained")
        picture.draw(figure)
        figure.draw_without_rendering()
        figure.set_layout_engine(None)  # it is laid out now, for every file that is made of it
        yield figure


# Without a date and with fixed names inside, so that a picture can be compared.
_METADATA: dict[str, dict[str, str | None]] = {"png": {"Software": None}, "svg": {"Date": None}}
_LIGHT = "#e8e8e8"
_DARK: dict[Any, Any] = {
    "axes.facecolor": "#202328",  # of the box of a legend; that of the axes is not drawn
    **dict.fromkeys(
        ("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"), _LIGHT
    ),
}
_STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "grid.alpha": 0.3,
    "image.cmap": "cividis",
    "legend.frameon": False,
    "savefig.dpi": 150,
    "svg.fonttype": "none",
    "svg.hashsalt": "elman",
}


def __dir__() -> list[str]:
    return sorted(__all__)
