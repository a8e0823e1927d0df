"""A configuration as tensors: the module, what it is called with, and what is drawn for it."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from elman import engine as engines
from elman import layers
from elman.cells import Cell
from elman.scan import Observation
from elman.testing._configurations import Configuration
from elman.testing._probes import Kind

_SHAPES: Mapping[str, Callable[[int, int, int], tuple[int, int, int]]] = {
    "time first": lambda t, b, i: (t, b, i),
    "batch first": lambda t, b, i: (b, t, i),
    "every other step": lambda t, b, i: (2 * t, b, i),
    "every other row": lambda t, b, i: (t, 2 * b, i),
    "part of a wider input": lambda t, b, i: (t, b, i + 3),
    "features outermost": lambda t, b, i: (i, t, b),
    "one row for all": lambda t, _, i: (t, 1, i),
}
"""The memory of an input of so many steps, rows and features in each layout."""


def _time_first(memory: Tensor, layout: str, batch: int) -> Tensor:
    """The memory as an input (time, batch, features), without a copy."""
    return {
        "batch first": lambda: memory.transpose(0, 1),
        "every other step": lambda: memory[::2],
        "every other row": lambda: memory[:, 1::2],
        "part of a wider input": lambda: memory[..., 2:-1],
        "features outermost": lambda: memory.permute(1, 2, 0),
        "one row for all": lambda: memory.expand(-1, batch, -1),
    }.get(layout, lambda: memory)()


class Bare(nn.Module):
    """A recurrence without a layer around it; time first."""

    def __init__(self, cell: Cell, reverse: bool) -> None:
        super().__init__()
        self.cell, self.reverse = cell, reverse

    def forward(self, x: Tensor, state: Any, start: Any, observe: bool, **masks: Any) -> Any:
        observation = Observation() if observe else None
        recurrence = engines.Recurrence(
            self.cell, x, state, start=start, reverse=self.reverse, observe=observation, **masks
        )
        output, final = engines.run(recurrence)
        return (output, final) if observation is None else (output, final, observation.stacked(0))


class Arguments(NamedTuple):
    """What one call is made with.

    ``leaves`` are the input's memory, and the rows of the initial states and of those after a
    reset: what may have a gradient.
    """

    leaves: list[Tensor]
    masks: dict[str, Tensor]


class Problem(NamedTuple):
    """A configuration's module, and the arguments of its calls."""

    configuration: Configuration
    module: nn.Module
    arguments: list[Arguments]

    def exact(self) -> Problem:
        """The same in float64; every number stays what it is."""
        doubled = [
            Arguments([leaf.double() for leaf in leaves], masks) for leaves, masks in self.arguments
        ]
        return Problem(self.configuration, copy.deepcopy(self.module).double(), doubled)

    def inputs(self, number: int) -> dict[str, Tensor]:
        """By name, what the call of this number may be differentiated by."""
        leaves = self.arguments[number].leaves
        states = [f"state {i}" for i in range(len(leaves) - 1)]
        return dict(zip(("x", *states), leaves, strict=True)) | dict(self.module.named_parameters())

    def require(self) -> None:
        """Sets which tensors have a gradient."""
        needs, dice = self.configuration.needs, random.Random(self.configuration.number)
        parameters = {id(p) for p in self.module.parameters()}
        for number in range(len(self.arguments)):
            for name, t in self.inputs(number).items():
                alone = {"input": name == "x", "weights": id(t) in parameters}
                t.requires_grad_(alone.get(needs, needs == "all" or dice.random() < 0.5))

    def call(self, number: int) -> list[tuple[str, Tensor]]:
        """Calls the module; everything that comes back, by name. A cell may draw masks."""
        with _seeded(number, device_of(self.module)):
            return _flat(self._result(number))

    def _result(self, number: int) -> Any:
        c, (leaves, masks) = self.configuration, self.arguments[number]
        x = _time_first(leaves[0], c.layout, c.batch)
        rows = leaves[1:]
        if isinstance(self.module, Bare):
            count = len(self.module.cell.states)
            state, start = (_state(self.module, c.batch, r) for r in (rows[:count], rows[count:]))
            return self.module(x, state, start, c.observe, **masks)
        x = x.transpose(0, 1)  # batch first, as layers have it
        masks = {name: m.T if name == "reset" else m for name, m in masks.items()}
        state = _state(self.module, c.batch, rows) if c.states else None
        options: dict[str, Any] = {"observe": True} if c.observe else {}
        return self.module(x, state, **masks, **options)


def problem(configuration: Configuration, kinds: Mapping[str, Kind]) -> Problem:
    """Draws its numbers by torch's generator, whose state stays what it was."""
    c = configuration
    with _seeded(c.number):
        module = _module(c, kinds[c.cell]).to(c.dtype)
        device = device_of(module)
        arguments = [_arguments(c, module, device) for _ in c.calls]
    return Problem(c, module, arguments)


@contextmanager
def _seeded(number: int, device: torch.device | None = None) -> Iterator[None]:
    """Torch's random numbers from this seed, and afterwards as they were."""
    with torch.random.fork_rng([]):
        if device is not None and device.type != "cpu":
            torch.manual_seed(number)
        else:  # the same for the CPU alone, in a hundredth of the time
            torch.default_generator.manual_seed(number)
        yield


def device_of(module: nn.Module) -> torch.device:
    """Where its weights are; the CPU if it has none."""
    return next(module.parameters(), torch.empty(0)).device


def _module(c: Configuration, kind: Kind) -> nn.Module:
    inputs, units = c.sizes or (0, 0)

    def recurrent(size: int = inputs, **options: Any) -> layers.Recurrent:
        cell = kind.make(size, units)
        return layers.Recurrent(cell, learn_initial_state=bool(c.starts), **options)

    match c.form:
        case "recurrence":
            return Bare(kind.make(inputs, units), c.reverse)
        case "recurrent":
            return recurrent(reverse=c.reverse)
        case "stack":
            below = recurrent(reverse=c.reverse)
            above = recurrent(below.output_size)
            fits = above.output_size == above.input_size
            return layers.Stack(below, layers.Residual(above) if fits else above)
        case "bidirectional":
            return layers.Bidirectional(recurrent(), recurrent(reverse=True))
    assert c.sizes is not None
    options = {"num_layers": 2, "bidirectional": c.reverse, "batch_first": True}
    made: nn.Module = getattr(layers, kind.drop_in)(*c.sizes, **options)
    return made


def _arguments(c: Configuration, module: nn.Module, device: torch.device) -> Arguments:
    def new(*shape: int) -> Tensor:
        # float32 whatever the dtype, so that every number is the same in both.
        return torch.randn(shape, dtype=torch.float32).to(device, c.dtype)

    inputs = module.cell.input_size if isinstance(module, Bare) else int(module.input_size)  # type: ignore[arg-type]
    leaves = [new(*_SHAPES[c.layout](c.steps, c.batch, inputs))]
    for rows in (c.states, c.starts)[: 2 if isinstance(module, Bare) else 1]:
        if rows or isinstance(module, Bare):
            parts, _ = tree_flatten(_template(module, 1))
            shapes = [(*p.shape[:-2], max(rows, 1), p.shape[-1]) for p in parts]
            leaves += [new(*shape) * bool(rows) for shape in shapes]
    masks: dict[str, Tensor] = {}
    if c.lengths is not None:
        masks["lengths"] = _lengths(c).to("meta" if c.elsewhere else device)
    if c.reset:
        shape = (c.batch, c.steps) if c.strided else (c.steps, c.batch)
        reset = (torch.rand(shape, dtype=torch.float32) < 0.3).to(device)
        masks["reset"] = reset.T if c.strided else reset
    return Arguments(leaves, masks)


def _lengths(c: Configuration) -> Tensor:
    drawn = torch.randint(0, c.steps + 1, (2 * c.batch,)).to(c.lengths)
    return drawn[::2] if c.strided else drawn[: c.batch].clone()


def _template(module: nn.Module, batch: int) -> Any:
    """Zeros of the form in which the module takes its state."""
    if isinstance(module, Bare):
        return module.cell.initial_state(batch)
    if isinstance(module, layers.Layer):
        return module.initial_state(batch)
    assert isinstance(module, (layers.LSTM, layers.GRU, layers.RNN))
    ways = module.num_layers * (2 if module.bidirectional else 1)
    zeros = next(module.parameters()).new_zeros(ways, batch, module.hidden_size)
    return (zeros, zeros) if isinstance(module, layers.LSTM) else zeros


def _state(module: nn.Module, batch: int, rows: Sequence[Tensor]) -> Any:
    """The rows as a state, one row for all where there is only one."""
    _, form = tree_flatten(_template(module, 1))
    expanded = [r.expand(*r.shape[:-2], batch, r.shape[-1]) for r in rows]
    return tree_unflatten(expanded, form)


def _flat(value: Any, name: str = "output") -> list[tuple[str, Tensor]]:
    """Its tensors, those of a dictionary in the order of their names."""
    if isinstance(value, Tensor):
        return [(name, value)]
    pairs = sorted(value.items()) if isinstance(value, dict) else enumerate(value)
    return [leaf for key, part in pairs for leaf in _flat(part, f"{name}.{key}")]
