"""The loop over time: lengths, resets, direction and observation, once, for every cell.

Time comes first here: inputs are (time, batch, ...). Rows do not depend on each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elman._errors import DtypeError, ShapeError
from elman.cells import watching

__all__ = ["Observation", "mask", "restarts", "scan"]

Step = Callable[[Any, Any], Any]
Observer = Callable[[int, Mapping[str, Tensor]], None]


def mask(
    lengths: Tensor, steps: int, *, device: torch.device | str | None = None
) -> Bool[Tensor, "*B T"]:
    """Which steps of a padded batch are real: ``mask[b, t] = t < lengths[b]``.

    Every padding mask in elman is made here. It never looks at the values, so it runs under
    ``torch.func.vmap`` and ``torch.compile`` and does not wait for a GPU.

    Args:
        lengths: integers (batch,), in any order and on any device; 0 is a row without steps.
        steps: the width of the padded batch.
        device: where the mask is wanted; where ``lengths`` is, unless given.

    Returns:
        Booleans (batch, steps), true where the step is real.

    Raises:
        DtypeError: ``lengths`` are not integers.
        ShapeError: ``lengths`` are not one number for each row.

    Example:
        >>> mask(torch.tensor([2, 0, 3]), 3).int()
        tensor([[1, 1, 0],
                [0, 0, 0],
                [1, 1, 1]], dtype=torch.int32)
    """
    if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
        raise DtypeError(f"lengths must be integers, got {lengths.dtype}: use lengths.long()")
    if lengths.dim() > 1:
        raise ShapeError(f"lengths must have shape (batch,), got {tuple(lengths.shape)}")
    lengths = lengths.to(device)
    return torch.arange(steps, device=lengths.device) < lengths.unsqueeze(-1)


class Observation:
    """Collects the watched values of every step, to be stacked as (time, batch, size) by name."""

    def __init__(self) -> None:
        self._steps: dict[int, Mapping[str, Tensor]] = {}
        self._whole: dict[str, Tensor] | None = None

    def __call__(self, t: int, values: Mapping[str, Tensor]) -> None:
        self._steps[t] = values

    def record(self, values: dict[str, Tensor]) -> None:
        """Takes the values of all steps at once, time first."""
        self._whole = values

    def stacked(self, time_dim: int) -> dict[str, Tensor]:
        """Every value by name, in the order of time."""
        if self._whole is not None:
            return {name: value.movedim(0, time_dim) for name, value in self._whole.items()}
        steps = [self._steps[t] for t in sorted(self._steps)]
        return {name: torch.stack([s[name] for s in steps], time_dim) for name in steps[0]}


def scan(
    step: Step,
    inputs: Any,
    state: Any,
    *,
    active: Bool[Tensor, "T B"] | None = None,
    reset: Bool[Tensor, "T B"] | None = None,
    start: Any = None,
    reverse: bool = False,
    observe: Observer | None = None,
) -> tuple[Float[Tensor, "T B H"], Any]:
    r"""Repeats ``state = step(inputs[t], state)`` over time.

    .. math:: state_t = step(x_t, state_{t-1}), \qquad output_t = state_t[0]

    Args:
        step: the cell's step.
        inputs: what the cell projected, (time, batch, ...); a tensor, a
            NamedTuple of tensors, or a tuple of such.
        state: the state before the first step, a NamedTuple of (batch, size).
        active: (time, batch) boolean, False at padding. There the state does not move, the output
            is 0, and nothing flows, not even a gradient of NaN.
        reset: (time, batch) boolean: the row starts step t from ``start``, never from what came
            before. In a reversed scan the row's segment, which begins at t, ends there: the step
            before t in time starts anew. Resets at padding are ignored.
        start: the state after a reset; zeros like ``state`` if None.
        reverse: from the last step to the first.
        observe: called as ``observe(t, values)`` after each step with every watched value, 0 in
            rows at padding, and state.

    Returns:
        The outputs (time, batch, size), and each row's state after its last real step.

    Raises:
        ShapeError: there are no steps.

    Example:
        >>> import torch
        >>> from elman.cells import Elman
        >>> cell = Elman(3, 5)
        >>> inputs = cell.project(torch.randn(7, 2, 3))
        >>> outputs, final = scan(cell.step, inputs, cell.initial_state(2))
        >>> torch.equal(outputs[-1], final.h)
        True
    """
    by_step = _by_step(inputs)
    zeros = _map(torch.zeros_like, state)
    start = zeros if start is None else start
    restart = None if reset is None else restarts(reset, active, reverse)
    outputs: list[Tensor] = []
    for t in range(len(by_step))[:: -1 if reverse else 1]:
        if restart is not None:
            state = _where(restart[t], start, state)
        on = None if active is None else active[t]
        if observe is None:
            state = _advance(step, by_step[t], state, on, zeros)
        else:
            with watching(len(zeros[0])) as watched:
                state = _advance(step, by_step[t], state, on, zeros)
            if on is not None:
                watched = {name: _inert(gate, on) for name, gate in watched.items()}
            observe(t, watched | state._asdict())
        outputs.append(state[0] if on is None else torch.where(on[:, None], state[0], zeros[0]))
    return torch.stack(outputs[::-1] if reverse else outputs), state


def _advance(step: Step, inp: Any, state: Any, on: Bool[Tensor, "B"] | None, zeros: Any) -> Any:
    """One step of the rows that are ``on``; the others step from zeros, and it is thrown away."""
    if on is None:
        return step(inp, state)
    return _where(on, step(inp, _where(on, state, zeros)), state)


def _inert(value: Tensor, on: Bool[Tensor, "B"]) -> Tensor:
    """A watched value, 0 in the rows that are not ``on``, if it has one entry for each row."""
    if not value.dim() or len(value) != len(on):
        return value
    return torch.where(on.view(-1, *[1] * (value.dim() - 1)), value, torch.zeros_like(value))


def restarts(
    reset: Bool[Tensor, "T B"], active: Bool[Tensor, "T B"] | None, reverse: bool
) -> Bool[Tensor, "T B"]:
    """Before which steps, in the order of the scan, a row begins anew."""
    real = reset if active is None else reset & active
    if not reverse:
        return real
    return torch.cat([real[1:], torch.zeros_like(real[:1])])


def _by_step(inputs: Any) -> list[Any]:
    if isinstance(inputs, Tensor):
        if not len(inputs):
            raise ShapeError("expected at least one time step, got a sequence of length 0")
        return list(inputs.unbind(0))
    steps = zip(*map(_by_step, inputs), strict=True)
    return [*steps] if type(inputs) is tuple else [type(inputs)(*each) for each in steps]


def _map(function: Callable[..., Tensor], *states: Any) -> Any:
    return type(states[0])(*map(function, *states))


def _where(rows: Bool[Tensor, "B"], yes: Any, no: Any) -> Any:
    return _map(lambda a, b: torch.where(rows[:, None], a, b), yes, no)


def __dir__() -> list[str]:
    return sorted(__all__)
