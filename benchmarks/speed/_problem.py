"""The tensors of a case, and what every candidate must compute from them."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from benchmarks.speed._custom import make_cell
from benchmarks.speed._plan import Case
from benchmarks.speed.peers._base import Results, by_autograd
from torch import Tensor

from elman.cells import Cell
from elman.layers import Recurrent, Stack
from elman.scan import mask

TOLERANCE = 1e-4  # of the largest value; float32 sums over all steps stay well below
MEAN_TOLERANCE = 1e-5  # of the mean square, where the error is that of sums
# A unit whose sum is within rounding of relu's kink takes either side, whoever adds it up, and so
# does its gradient: torch's own float32 is off by 1e-2 of the largest at S8, by 4e-4 in the mean.
KINKED = ("relu",)
KINKED_TOLERANCE = 2e-3


@dataclass(frozen=True)
class Problem:
    """One case with its numbers; every candidate has the same.

    Attributes:
        case: what it is.
        cells: one for each layer, float32: the weights that every candidate takes.
        x: the input, (time, batch, input_size).
        gradient: of the loss with respect to the output (time, batch, hidden_size); 0 at padding.
        lengths: (batch,) in falling order, which torch packs quickest; None if all are whole.
    """

    case: Case
    cells: tuple[Cell, ...]
    x: Tensor
    gradient: Tensor
    lengths: Tensor | None

    @classmethod
    def of(cls, case: Case) -> Problem:
        torch.manual_seed(0)
        _, batch, steps, inputs, hidden, layers, _ = case.shape
        sizes = [inputs] + [hidden] * (layers - 1)
        cells = tuple(make_cell(case.cell, size, hidden) for size in sizes)
        x, gradient = torch.randn(steps, batch, inputs), torch.randn(steps, batch, hidden)
        lengths = None
        if case.mode == "ragged":
            drawn = torch.randint(max(1, steps // 4), steps + 1, (batch,))
            lengths = drawn.sort(descending=True).values
            gradient = gradient.masked_fill(~mask(lengths, steps).T[..., None], 0)
        return cls(case, cells, x, gradient, lengths)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Every layer's, as "0.weight_ih"."""
        return {
            f"{layer}.{name}": parameter
            for layer, cell in enumerate(self.cells)
            for name, parameter in cell.named_parameters()
        }

    def layers(self, engine: str) -> Stack:
        """The cells as elman runs them."""
        return Stack(*(Recurrent(c, batch_first=False, engine=engine) for c in self.cells))


def expected(problem: Problem) -> Results:
    """The reference engine's results, in float64."""
    exact = Problem(
        problem.case,
        tuple(copy.deepcopy(cell).double() for cell in problem.cells),
        problem.x.double(),
        problem.gradient.double(),
        problem.lengths,
    )
    layers = exact.layers("reference")
    candidate = by_autograd(exact, lambda x: layers(x, lengths=exact.lengths)[0], exact.parameters)
    return {name: value.detach() for name, value in candidate.read(candidate.call()).items()}


def difference(results: Results, wanted: Results, cell: str) -> str | None:
    """How results differ from those that are right, None if they do not."""
    for name, right in wanted.items():
        if name not in results:
            return f"it computes no {name}"
        got = results[name].detach()
        if got.shape != right.shape:
            return f"its {name} has shape {tuple(got.shape)}, expected {tuple(right.shape)}"
        kinked = cell in KINKED and name != "output"
        largest = float((got - right).abs().max() / right.abs().max().clamp(min=1e-30))
        if not (largest <= TOLERANCE or kinked):
            return f"its {name} is off by {largest:.1e} of the largest value"
        mean = float((got - right).norm() / right.norm().clamp(min=1e-30))
        if not mean <= (KINKED_TOLERANCE if kinked else MEAN_TOLERANCE):
            return f"its {name} is off by {mean:.1e} in the mean square"
    return None
