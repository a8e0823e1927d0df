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

__all__ = ["COLORS", "DARK_COLORS", "Picture", "available", "drawn", "save", "save_dark", "write"]

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MISSING = 'no pictures: Matplotlib is not installed: pip install "elman[pictures]"'
FORMATS = ("png", "svg")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Lines take these in turn; they are told apart by those who do not see all colors (Okabe & Ito
2008, "Color universal design")."""
DARK_COLORS = ("#56B4E9", "#FF8C42", "#2CC295", "#E59AC5", "#F0E442", "#9AA7FF", "#E8E8E8")
"""Those of a dark page in their places: each has a contrast of at least 4.5 : 1 there."""


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

    style = _STYLE | (_DARK if dark else {})
    with rc_context({**style, "axes.prop_cycle": cycler(color=COLORS)}), catch_warnings():
        # A box stands for a letter that Matplotlib's own font lacks; an SVG shows it all the same.
        filterwarnings("ignore", r"Glyph \d+", UserWarning)
        figure = Figure(figsize=picture.size, layout="constrained")
        picture.draw(figure)
        if dark:
            _darken(figure)
        figure.draw_without_rendering()
        figure.set_layout_engine(None)  # it is laid out now, for every file that is made of it
        yield figure


def _darken(figure: Figure) -> None:
    """Replace the colors that a picture asked for by those of a dark page, in their places."""
    from matplotlib.colors import to_hex, to_rgba, to_rgba_array

    dark = dict(zip(map(str.lower, COLORS), DARK_COLORS, strict=True))
    changes = []  # made only at the end: a marker has the color of its line
    for artist in figure.findobj():
        for name in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor"):
            get, change = (getattr(artist, f"{verb}_{name}", None) for verb in ("get", "set"))
            there: Any = to_rgba_array(get()) if get and change else []
            new = [to_rgba(dark.get(to_hex(c), c), c[3]) if c[3] else tuple(c) for c in there]
            if change and any(tuple(c) != n for c, n in zip(there, new, strict=True)):
                changes.append((change, new[0] if len(new) == 1 else new))
    for change, color in changes:
        change(color)


# Without a date and with fixed names inside, so that a picture can be compared.
_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
}
_LIGHT = DARK_COLORS[-1]
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
