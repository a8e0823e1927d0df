"""A cell's step as a module of a copy of the cell, whose tensors can be exchanged."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elman.cells import Cell, LinearCell, PointwiseCell
from elman.engine.compiler._containers import copied
from elman.engine.compiler._lower import Untraceable


class Projection(NamedTuple):
    """What a cell's ``project`` returns.

    Attributes:
        form: None for a tensor, the type of a NamedTuple, or a tuple of such.
        gates: the size of each tensor in units.
        dtypes: of each tensor.
    """

    form: Any
    gates: tuple[int, ...]
    dtypes: tuple[torch.dtype, ...]

    def of(self, tensors: Sequence[Tensor]) -> Any:
        """The tensors in this form."""
        return _formed(self.form, iter(tensors))


def form_of(projected: Any) -> Any:
    """The form of what was projected; plain, since torch.compile takes it as a constant."""
    if isinstance(projected, Tensor):
        return None
    return tuple(map(form_of, projected)) if type(projected) is tuple else type(projected)


def _formed(form: Any, tensors: Iterator[Tensor]) -> Any:
    if form is None:
        return next(tensors)
    if isinstance(form, tuple):
        return tuple(_formed(part, tensors) for part in form)
    return form(*islice(tensors, len(form._fields)))


def types_of(form: Any) -> Iterator[type]:
    """The types of NamedTuple in a form."""
    if isinstance(form, tuple):
        for part in form:
            yield from types_of(part)
    elif form is not None:
        yield form


class StepModule(nn.Module):
    """A step of a cell as a module, whose tensors ``functional_call`` can exchange."""

    def __init__(self, cell: Cell, projection: Projection | None) -> None:
        super().__init__()
        self.cell, self.projection = cell, projection

    def forward(self, inputs: list[Tensor], gates: list[Tensor], state: Any) -> tuple[Tensor, ...]:
        cell = self.cell
        if self.projection is None:
            assert isinstance(cell, PointwiseCell)
            inp, rec = map(cell._split, (*inputs, *gates))
            return tuple(cell.pointwise(inp, rec, cell.State(*state)))
        return tuple(cell.step(self.projection.of(inputs), cell.State(*state)))


class LinearStepModule(StepModule):
    """A step of the linear part of a linear cell."""

    def forward(self, inputs: list[Tensor], gates: list[Tensor], state: Any) -> tuple[Tensor, ...]:
        cell, projection = self.cell, self.projection
        assert isinstance(cell, LinearCell)
        assert projection is not None
        return cell.advance(cell.given(projection.of(inputs)), tuple(state))


def twin_of(cell: Cell) -> Cell:
    """A copy of the cell whose tensors can be exchanged while other threads run the real one.

    Its parametrized tensors are what they are computed to be.
    """
    twins = {m: type(m).__new__(type(m)) for m in cell.modules()}
    for m, twin in twins.items():
        twin.__dict__.update({name: copied(value) for name, value in m.__dict__.items()})
        twin._parameters, twin._buffers = dict(m._parameters), dict(m._buffers)
        twin._modules = {name: child and twins[child] for name, child in m._modules.items()}
        for name, value in m.__dict__.items():
            if isinstance(value, types.MethodType) and isinstance(value.__self__, nn.Module):
                its = twins.get(value.__self__, value.__self__)
                twin.__dict__[name] = types.MethodType(value.__func__, its)
    for path, twin in list(twins[cell].named_modules()):
        if parametrize.is_parametrized(twin):
            _settle(twin, path)
    return twins[cell]  # type: ignore[return-value]


def _settle(module: nn.Module, path: str) -> None:
    """Replaces parametrizations by the tensors that they compute, which must not vary."""
    computed = module._modules.pop("parametrizations")
    assert isinstance(computed, nn.ModuleDict)
    for part in computed.modules():  # a twin's are those of the real one until here
        part._buffers = {name: b if b is None else b.clone() for name, b in part._buffers.items()}
    buffers = list(computed.buffers())
    before = [buffer._version for buffer in buffers]
    with torch.random.fork_rng([]), torch.no_grad():
        state = torch.get_rng_state()
        values = {name: computed[name]() for name in computed}
        drawn = not torch.equal(state, torch.get_rng_state())
    if drawn or before != [buffer._version for buffer in buffers]:
        raise Untraceable(
            f"a tensor of {path} is computed from random numbers, or from buffers that this "
            "changes: it would be another one at each step"
        )
    # The class has a property for each, and is the real one's too.
    module.__class__ = parametrize.type_before_parametrizations(module)
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value))
