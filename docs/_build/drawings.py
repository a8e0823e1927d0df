"""Diagrams of the concepts: boxes and arrows, and curves of formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import tanh

ARROW = (
    '<marker id="{id}" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="6" markerHeight="6" '
    'orient="auto-start-reverse"><path d="M0 0L6 3L0 6z"/></marker>'
)


class Drawing:
    """Shapes in a box of width and height, whose arrows have a marker of their own."""

    def __init__(self, name: str, width: float, height: float, label: str) -> None:
        self.name, self.label = name, label
        self.size = width, height
        self.parts: list[str] = []

    def line(self, x: float, y: float, to_x: float, to_y: float, kind: str = "edge") -> None:
        self.parts.append(
            f'<line class="{kind}" x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}" '
            f'marker-end="url(#{self.name}-end)"/>'
        )

    def path(self, d: str, kind: str = "edge") -> None:
        self.parts.append(f'<path class="{kind}" d="{d}" marker-end="url(#{self.name}-end)"/>')

    def box(self, x: float, y: float, text: str, kind: str = "state", w: float = 24) -> None:
        """A box with its middle at (x, y)."""
        self.parts.append(
            f'<rect class="{kind}" x="{x - w / 2:g}" y="{y - 11:g}" width="{w:g}" height="22" '
            'rx="4"/>'
        )
        self.text(x, y + 4, text)

    def text(self, x: float, y: float, text: str, kind: str = "") -> None:
        self.parts.append(f'<text class="{kind}" x="{x:g}" y="{y:g}">{text}</text>')

    def curve(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline class="{kind}" points="{joined}"/>')

    def svg(self) -> str:
        width, height = self.size
        marker = ARROW.format(id=f"{self.name}-end")
        return (
            f'<svg class="drawing" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
            f'height="{height:g}" role="img" aria-label="{self.label}"><defs>{marker}</defs>'
            f"{''.join(self.parts)}</svg>"
        )


def figure(*drawings: tuple[Drawing, str]) -> str:
    """Drawings beside each other, each above its caption."""
    parts = [
        f"<figure>{drawing.svg()}<figcaption>{text}</figcaption></figure>"
        for drawing, text in drawings
    ]
    return f'<div class="drawings">{"".join(parts)}</div>'


def unrolled(name: str, inputs: str, outputs: str, label: str) -> Drawing:
    """A network over time; a point in ``inputs`` or ``outputs`` is a step without one."""
    steps = len(inputs)
    drawing = Drawing(name, 36 * steps + 8, 118, label)
    for i, (x, y) in enumerate(zip(inputs, outputs, strict=True)):
        at = 22 + 36 * i
        drawing.box(at, 58, "h")
        if i:
            drawing.line(at - 24, 58, at - 13, 58)
        if x != ".":
            drawing.box(at, 104, x, "input")
            drawing.line(at, 92, at, 71)
        if y != ".":
            drawing.box(at, 13, y, "output")
            drawing.line(at, 46, at, 26)
    return drawing


def shapes() -> str:
    """The five shapes of sequence problems."""
    one = unrolled("one", "x", "y", "One input, one output.")
    many = unrolled("many", "x...", "yyyy", "One input, four outputs.")
    last = unrolled("last", "xxxx", "...y", "Four inputs, one output at the end.")
    each = unrolled("each", "xxxx", "yyyy", "An output at each input.")
    pairs = unrolled("pairs", "xxx...", "...yyy", "First the inputs, then the outputs.")
    return figure(
        (one, "<b>One-to-one</b>: a label for an image"),
        (many, "<b>One-to-many</b>: a caption for an image"),
        (last, "<b>Many-to-one</b>: the sentiment of a text"),
        (each, "<b>Many-to-many</b>, aligned: a tag for each word"),
        (pairs, "<b>Many-to-many</b>, unaligned: a translation"),
    )


def recurrence() -> str:
    """From a perceptron to a recurrent network: one edge more."""
    left = Drawing("perceptron", 120, 118, "A perceptron: x, weights, h, weights, y.")
    right = Drawing("recurrent", 150, 118, "The same with an edge from the state back to itself.")
    for drawing, at in ((left, 50), (right, 50)):
        drawing.box(at, 13, "y", "output")
        drawing.box(at, 58, "h")
        drawing.box(at, 104, "x", "input")
        drawing.line(at, 92, at, 71)
        drawing.line(at, 46, at, 26)
        drawing.text(at + 24, 85, "W_hx", "note")
        drawing.text(at + 24, 40, "W_yh", "note")
    right.path("M62 52C100 35 100 80 64 64")
    right.text(116, 62, "W_hh", "note")
    return figure((left, "A perceptron"), (right, "A recurrent network: the state comes back"))


def backwards() -> str:
    """Backpropagation through time, whole and cut."""
    whole = Drawing(
        "bptt", 260, 118, "Losses at each step; the gradient of the last goes back to the first."
    )
    for i in range(6):
        at = 22 + 42 * i
        whole.box(at, 58, "h")
        whole.box(at, 104, "x", "input")
        whole.box(at, 13, "L", "output")
        whole.line(at, 92, at, 71)
        whole.line(at, 46, at, 26)
        if i:
            whole.line(at - 30, 54, at - 13, 54)
            whole.line(at - 12, 65, at - 29, 65, "back")
    cut = Drawing(
        "windows", 260, 60, "Ten states in windows of four; no gradient crosses a border."
    )
    for i in range(10):
        at = 16 + 25 * i
        cut.box(at, 30, "h", w=18)
        if i:
            cut.line(at - 16, 26, at - 10, 26)
            if i % 4:
                cut.line(at - 9, 36, at - 15, 36, "back")
            else:
                cut.parts.append(
                    f'<line class="border" x1="{at - 12.5:g}" y1="6" x2="{at - 12.5:g}" y2="54"/>'
                )
    return figure(
        (whole, "The gradient (orange) of each loss L goes back through all steps before it"),
        (cut, "Truncated: the state crosses a border, the gradient does not"),
    )


def activations() -> str:
    """tanh and relu, with their derivatives."""

    def drawn(name: str, f: Callable[[float], float], slope: Callable[[float], float]) -> Drawing:
        drawing = Drawing(name, 180, 120, f"{name} and its derivative between -3 and 3.")
        drawing.parts.append('<path class="axis" d="M0 60H180M90 0V120"/>')
        xs = [i / 20 for i in range(-60, 61)]
        for g, kind in ((f, "curve one"), (slope, "curve two dashed")):
            points = [(90 + 30 * x, 60 - 40 * g(x)) for x in xs if abs(g(x)) <= 1.5]
            drawing.curve(points, kind)
        return drawing

    return figure(
        (
            drawn("tanh", tanh, lambda x: 1 - tanh(x) ** 2),
            "tanh, and dashed its derivative: at most 1",
        ),
        (
            drawn("relu", lambda x: max(0, x), lambda x: float(x > 0)),
            "relu, and dashed its derivative: 0 or 1",
        ),
    )


def clipping() -> str:
    """A gradient that is too long keeps its direction."""
    drawing = Drawing("clip", 200, 120, "A long arrow is cut at a circle; its direction stays.")
    drawing.parts.append('<circle class="limit" cx="60" cy="70" r="44"/>')
    drawing.line(60, 70, 180, 20, "back")
    drawing.line(60, 70, 100, 53, "edge thick")
    drawing.text(150, 52, "gradient", "note")
    drawing.text(58, 112, "limit", "note")
    return figure(
        (drawing, "A gradient outside of the limit is made shorter and keeps its direction")
    )


def lstm() -> str:
    """The cell state of an LSTM as a line that gates act on."""
    drawing = Drawing(
        "lstm",
        320,
        150,
        "The cell state c runs straight through: times f, plus i times g; h is o times tanh of c.",
    )
    drawing.line(12, 30, 306, 30, "edge thick")
    for x, y, sign in ((80, 30, "×"), (160, 30, "+"), (160, 74, "×"), (250, 82, "×")):
        drawing.parts.append(f'<circle class="state" cx="{x}" cy="{y}" r="10"/>')
        drawing.text(x, y + 4, sign)
    for x, name, kind in (
        (80, "f", "gate"),
        (135, "i", "gate"),
        (185, "g", "input"),
        (290, "o", "gate"),
    ):
        drawing.box(x, 126, name, kind)
    drawing.line(80, 114, 80, 42)
    drawing.line(137, 114, 154, 84)
    drawing.line(183, 114, 166, 84)
    drawing.line(160, 63, 160, 42)
    drawing.line(250, 32, 250, 71)
    drawing.line(286, 114, 258, 90)
    drawing.line(240, 82, 214, 82)
    drawing.text(20, 20, "c_t-1", "note")
    drawing.text(298, 20, "c_t", "note")
    drawing.text(202, 86, "h_t", "note")
    drawing.text(268, 56, "tanh", "note")
    for x, name in ((80, "forget"), (135, "store"), (187, "update"), (288, "output")):
        drawing.text(x, 148, name, "note")
    return figure(
        (
            drawing,
            "LSTM: only f stands on the way of the cell state, so its gradient is uninterrupted",
        )
    )


def bottleneck() -> str:
    """One vector between encoder and decoder; and attention."""
    one = Drawing("vector", 250, 100, "Four encoder states, one vector, three decoder states.")
    all_ = Drawing("attended", 250, 100, "The decoder looks at each encoder state.")
    for drawing in (one, all_):
        for i in range(4):
            drawing.box(18 + 30 * i, 80, "h", w=20)
            if i:
                drawing.line(18 + 30 * i - 20, 80, 18 + 30 * i - 11, 80)
        for i in range(3):
            drawing.box(172 + 30 * i, 80 if drawing is one else 20, "s", "output", w=20)
            if i:
                y = 80 if drawing is one else 20
                drawing.line(172 + 30 * i - 20, y, 172 + 30 * i - 11, y)
    one.line(118, 80, 160, 80, "back")
    one.text(139, 70, "one vector", "note")
    for i in range(3):
        for k in range(4):
            all_.line(18 + 30 * k, 68, 164 + 30 * i, 31, "back" if k == i else "faint")
    return figure(
        (one, "The bottleneck"), (all_, "Attention: each step looks at all states, most at some")
    )


DRAWINGS: dict[str, Callable[[], str]] = {
    "shapes": shapes,
    "recurrence": recurrence,
    "backwards": backwards,
    "activations": activations,
    "clipping": clipping,
    "lstm": lstm,
    "bottleneck": bottleneck,
}
