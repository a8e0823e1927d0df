"""What a peer is, and what most of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from benchmarks.speed._plan import Case
    from benchmarks.speed._problem import Problem

Results = dict[str, Tensor]
"""The output and, in training, the gradients of "x" and of each parameter ("0.weight_ih")."""


class Candidate(NamedTuple):
    """``call`` is timed; ``read`` makes :data:`Results` of what it returned, right after it."""

    call: Callable[[], Any]
    read: Callable[[Any], Results]


class Peer(Protocol):
    """A module that runs cases its own way."""

    def why_not(self, case: Case) -> str | None:
        """Why it cannot run this case; None if it can."""

    def prepare(self, problem: Problem) -> Mapping[str, Candidate]:
        """Everything that is not timed; one candidate, or several ways, by the names in tables."""


def missing(*packages: str) -> str | None:
    """Why a peer cannot run without these packages; None if they are installed."""
    absent = [name for name in packages if find_spec(name) is None]
    if not absent:
        return None
    return f'not installed: {", ".join(absent)} (pip install "elman[bench]")'


def only(case: Case, *, modes: tuple[str, ...], cells: tuple[str, ...] | None = None) -> str | None:
    """Why a peer that knows these modes and cells cannot run this case."""
    if case.mode not in modes:
        return f"it has no mode {case.mode}"
    if cells is not None and case.cell not in cells:
        return f"it has no cell {case.cell}"
    return None


def _as_it_is(output: Tensor) -> Tensor:
    return output


def by_autograd(
    problem: Problem,
    forward: Callable[[Tensor], Tensor],
    parameters: Mapping[str, Tensor],
    *,
    gradient: Tensor | None = None,
    laid_out: Callable[[Tensor], Tensor] = _as_it_is,
) -> Candidate:
    """A candidate in torch: forward without gradients, or forward, backward and every gradient.

    Args:
        problem: what to compute.
        forward: x (time, batch, input_size) to the output.
        parameters: the tensors that ``forward`` uses, by their names in :data:`Results`.
        gradient: of the output as ``forward`` lays it out; the problem's if None.
        laid_out: from the output of ``forward`` to (time, batch, hidden_size), not timed.
    """
    if not problem.case.training:

        def infer() -> Tensor:
            with torch.no_grad():
                return forward(problem.x)

        return Candidate(infer, lambda output: {"output": laid_out(output)})

    with_x = problem.case.shape.input_gradient
    x = problem.x.detach().clone().requires_grad_(with_x)
    leaves = ({"x": x} if with_x else {}) | dict(parameters)
    upstream = problem.gradient if gradient is None else gradient

    def train() -> Tensor:
        for leaf in leaves.values():
            leaf.grad = None
        output = forward(x)
        output.backward(upstream)  # type: ignore[no-untyped-call]
        return output

    def read(output: Tensor) -> Results:
        gradients = {name: t.grad for name, t in leaves.items() if t.grad is not None}
        return {"output": laid_out(output.detach()), **gradients}

    return Candidate(train, read)


def stepping(problem: Problem, step: Callable[[Tensor, Any], tuple[Tensor, Any]]) -> Candidate:
    """A candidate that calls ``step`` once for each time step, carrying the state."""
    steps = list(problem.x.unbind(0))

    def stream() -> list[Tensor]:
        state, outputs = None, []
        with torch.no_grad():
            for x in steps:
                output, state = step(x, state)
                outputs.append(output)
        return outputs

    return Candidate(stream, lambda outputs: {"output": torch.stack(outputs)})
