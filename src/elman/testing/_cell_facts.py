"""What a cell is, how fast it runs and how long it remembers, read from the cell itself."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman.cells import Cell, PointwiseCell, by_name
from elman.engine import explain
from elman.inspection import gradient_flow, lyapunov
from elman.layers import Recurrent
from elman.testing._timing import interleave

MakeSized = Callable[..., Cell]

UNITS = 64
"""Hidden units of the cell whose memory is measured, and whose parameters are counted."""

ROWS, STEPS = 8, 200
"""Of the noise that memory is measured on."""

TIMED = (20, 100, 128)
"""Rows, steps and units, of input too, at which training is timed."""

REPEATS = 7


class CellFacts(NamedTuple):
    """What :func:`cell_facts` says.

    Attributes:
        name: of the class.
        year: of the first reference in the docstring; None if there is none.
        states: their names; the first is the output.
        gates: their names; none where the cell is no `PointwiseCell`.
        parameters: of a unit, as a formula of I input features and H units.
        kind: "dense" if a unit's next state depends on other units, "elementwise" if not, and
            "linear" if, besides, it is linear in the last state.
    """

    name: str
    year: int | None
    states: tuple[str, ...]
    gates: tuple[str, ...]
    parameters: str
    kind: str


class CellSpeed(NamedTuple):
    """Medians of the seconds that a forward and backward pass take, beside the LSTM's.

    Attributes:
        seconds: of the cell.
        lstm: of the LSTM, in turn with it.
        per_flop: the cell's time for each FLOP of its matrix products, over the LSTM's.
    """

    seconds: float
    lstm: float
    per_flop: float


class CellMemory(NamedTuple):
    """The memory of a cell with its first weights, driven by noise.

    Attributes:
        half_life: for each state, the steps in which the gradient falls to its half.
        lyapunov: the largest Lyapunov exponent, in nats a step.
    """

    half_life: dict[str, float]
    lyapunov: float


def cell_facts(make: MakeSized) -> CellFacts:
    """What a cell is: nothing of it is kept in a list.

    Args:
        make: a cell class, or a function that makes the cell by (input_size, hidden_size).

    Example:
        >>> import elman
        >>> facts = cell_facts(elman.cells.GRU)
        >>> facts.year, facts.states, facts.parameters, facts.kind
        (2014, ('h',), '3 I + 3 H + 6', 'dense')
    """
    with torch.random.fork_rng(devices=()):
        cell = make(8, 16)
        return CellFacts(
            name=type(cell).__name__,
            year=_year(type(cell)),
            states=tuple(cell.states),
            gates=tuple(cell.gates) if isinstance(cell, PointwiseCell) else (),
            parameters=_formula(make),
            kind=_kind(make),
        )


def cell_engine(make: MakeSized) -> tuple[str, str]:
    """The engine that trains a layer of it on this machine, and why the native one does not.

    Args:
        make: as `cell_facts`.

    Returns: the name, and the reason with its line; "" if it is native.

    Example:
        >>> import elman
        >>> engine, why_not = cell_engine(elman.cells.GRU)
        >>> (engine == "native") == (why_not == "")
        True
    """
    with torch.random.fork_rng(devices=()):
        (choice,) = explain(Recurrent(make(8, 16)), torch.zeros(2, 3, 8)).choices
    return str(choice.engine), dict(choice.why_not).get("native", "")


def cell_speed(make: MakeSized) -> CellSpeed:
    """How fast a layer of it trains, beside one of the LSTM, on the engine that runs each.

    Args:
        make: as `cell_facts`.
    """
    rows, steps, units = TIMED
    calls: dict[str, Callable[[], None]] = {}
    weights = {}
    with torch.random.fork_rng(devices=()):
        x = torch.randn(rows, steps, units)
        for name, each in (("cell", make), ("lstm", by_name("lstm"))):
            layer = Recurrent(each(units, units))
            weights[name] = sum(p.numel() for p in layer.parameters() if p.dim() == 2)
            calls[name] = _training(layer, x)
            calls[name]()
    seconds = {n: statistics.median(each) for n, each in interleave(calls, REPEATS).items()}
    ratio = seconds["cell"] / seconds["lstm"]
    return CellSpeed(seconds["cell"], seconds["lstm"], ratio * weights["lstm"] / weights["cell"])


def cell_memory(make: MakeSized, *, seed: int = 0) -> CellMemory:
    """How far back the gradient of the last step reaches, and how fast a small change grows.

    Args:
        make: as `cell_facts`.
        seed: draws the weights and the noise.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        layer = Recurrent(make(UNITS, UNITS))
        x = torch.randn(ROWS, STEPS, UNITS)
    flow = gradient_flow(layer, x, lambda output: output[:, -1].square().sum())
    half_life = {name: float(norms.half_life.value[0]) for name, norms in flow.states.items()}
    return CellMemory(half_life, float(lyapunov(layer, x[:2]).exponents[0]))


def _training(layer: Recurrent, x: Tensor) -> Callable[[], None]:
    weights = [p for p in layer.parameters() if p.requires_grad]

    def call() -> None:
        output, _ = layer(x)
        torch.autograd.grad(output.sum(), weights, allow_unused=True)

    return call


def _year(kind: type[Cell]) -> int | None:
    """The year of the first reference in the docstring."""
    _, _, references = (kind.__doc__ or "").partition("Reference")
    years = re.findall(r"\b(?:19|20)\d\d\b", references)
    return int(years[0]) if years else None


def _count(make: MakeSized, inputs: int, hidden: int) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in make(inputs, hidden).parameters())


def _formula(make: MakeSized) -> str:
    """The parameters of a unit, by I inputs and H units; a number where they are no such sum."""
    per_input = (_count(make, 16, 16) - _count(make, 8, 16)) / (8 * 16)
    small, middle, large = (_count(make, 8, h) - 8 * h * per_input for h in (16, 24, 32))
    per_unit = (large - 2 * middle + small) / (2 * 8**2)  # what is left is quadratic in H
    own = (large - small - per_unit * (32**2 - 16**2)) / 16
    shared = small - 16**2 * per_unit - 16 * own
    expected = 64 * (24 * per_input + 64 * per_unit + own) + shared
    if abs(expected - _count(make, 24, 64)) > 1e-3:
        return f"{_count(make, UNITS, UNITS) / UNITS:g} at I = H = {UNITS}"
    terms = [
        f"{number:g} {of}".removeprefix("1 ")
        for number, of in ((per_input, "I"), (per_unit, "H"))
        if number
    ]
    terms += [f"{own:g}"] * bool(own or not terms)
    return " + ".join([*terms, *([f"{shared:g} / H"] if shared else [])])


def _kind(make: MakeSized) -> str:
    """Dense, elementwise or linear: as the cell declares, or by the Jacobian of a step.

    A linear cell's output may depend on all units, and a step may be linear by chance (ReLU).
    """
    cell = make(3, 4).double()
    if cell.recurrence != "dense":
        return cell.recurrence
    sizes = cell.state_sizes
    if set(sizes) != {cell.hidden_size}:
        return "dense"
    draw = torch.Generator().manual_seed(0)
    inp = cell.project(torch.randn(1, 3, generator=draw, dtype=torch.float64))
    first, second = (
        _jacobian(cell, inp, torch.randn(len(sizes), sizes[0], generator=draw).double())
        for _ in range(2)
    )
    across = first * (1 - torch.eye(cell.hidden_size, dtype=first.dtype))[:, None]
    if across.abs().max() > 1e-12:
        return "dense"
    return "linear" if torch.allclose(first, second, rtol=1e-9, atol=1e-12) else "elementwise"


def _jacobian(cell: Cell, inp: Any, states: Tensor) -> Tensor:
    """By new state, new unit, old state and old unit."""

    def step(states: Tensor) -> Tensor:
        return torch.cat(list(cell.step(inp, cell.State(*states[:, None]))))

    jacobian: Tensor = torch.autograd.functional.jacobian(step, states)  # type: ignore[no-untyped-call]
    return jacobian
