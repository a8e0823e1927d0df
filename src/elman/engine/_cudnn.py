"""cuDNN, through torch's own fused kernels: the built-in cells on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.utils import parametrize

from elman.cells import GRU, LSTM, Cell, Elman, Projected, Weights
from elman.engine._recurrence import Plan, Recurrence

Kernel = Callable[..., Any]

_KERNELS: tuple[tuple[Any, Kernel], ...] = (
    (LSTM, torch.lstm),
    (GRU, torch.gru),
    (torch.tanh, torch.rnn_tanh),
    (torch.relu, torch.rnn_relu),
)
"""By cell, and for Elman cells by activation."""

_CELLS = "it has LSTM, GRU, projected LSTM, and Elman cells with tanh or relu"


@dataclass(eq=False)
class CudnnPlan(Plan):
    """A call of torch's function for the cell, ``kernel``."""

    limits = "a gradient of a gradient raises an error; take 'reference' for it"

    kernel: Kernel

    def run(self) -> tuple[Float[Tensor, "T B H"], Any]:
        r = self.recurrence
        if r.lengths is not None:
            return _ragged(r, self.kernel, r.lengths)
        output, final = _call(r, self.kernel, r.x.flip(0) if r.reverse else r.x, r.state)
        return output.flip(0) if r.reverse else output, final


def plan(r: Recurrence) -> CudnnPlan | str:
    """How torch's kernel runs it, or the reason why it cannot."""
    reason = _machine(r.x) or _mode()
    if reason is not None:
        return reason
    kernel = _kernel(r.cell)
    if kernel is None:
        return f"{_CELLS}, and this is {_kind(r.cell).__name__}"
    return _options(r) or CudnnPlan(r, kernel)


def _machine(x: Tensor) -> str | None:
    """Why torch would not use cuDNN for this tensor."""
    if not x.is_cuda:
        return f"x is on {x.device.type}, and cuDNN runs on cuda"
    if not torch.backends.cudnn.is_available():  # type: ignore[no-untyped-call]
        return "this torch was built without cuDNN"
    if not torch.backends.cudnn.enabled:
        return "torch.backends.cudnn.enabled is False"
    if x.dtype not in torch.backends.cudnn.CUDNN_TENSOR_DTYPES:
        return f"it has float16, float32 and float64, not {str(x.dtype).removeprefix('torch.')}"
    return None


def _mode() -> str | None:
    """Which mode or transform of torch the kernel does not support."""
    if torch.compiler.is_compiling():
        return "torch.compile would unroll its loop, as it does the reference's"
    if torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0:
        return "it has no rule for torch.func's transforms and forward-mode gradients"
    return None


def _options(r: Recurrence) -> str | None:
    """Which option of this call the kernel does not support."""
    if r.reset is not None:
        return "it has no resets"
    if r.observe is not None:
        return "it shows no gates (observe)"
    if not r.x.numel():
        return f"x is empty, {tuple(r.x.shape)}"
    tensors = (t for t in (r.x, *r.state, *_weights(r)) if t is not None)
    if len({(t.device, t.dtype) for t in tensors}) > 1:
        return "x, state and weights differ in device or dtype"
    return None


def _ragged(r: Recurrence, kernel: Kernel, lengths: Tensor) -> tuple[Tensor, Any]:
    """Runs the kernel on packed rows. Lengths are read on the CPU, which waits for the GPU."""
    steps, batch = r.x.shape[:2]
    packing = _packing(lengths.long().clamp(0, steps).cpu(), r.reverse)
    output = r.x.new_zeros(steps * batch, r.cell.output_size)
    if not len(packing.rows):
        return output.view(steps, batch, -1), r.state
    places, rows = packing.places.to(r.x.device), packing.rows.to(r.x.device)
    before = r.cell.State(*(s.index_select(0, rows) for s in r.state))
    packed = r.x.flatten(0, 1).index_select(0, places)
    packed, after = _call(r, kernel, packed, before, packing.sizes)
    final = (old.index_copy(0, rows, new) for old, new in zip(r.state, after, strict=True))
    output = output.index_copy(0, places, packed)
    return output.view(steps, batch, -1), r.cell.State(*final)


class _Packing(NamedTuple):
    """How the real steps of a batch lie in a PackedSequence.

    ``places`` are their indices in (time * batch), in the order in which they are taken; ``sizes``
    says how many rows take the first step, the second ...; ``rows`` are those, the longest first.
    """

    places: Tensor
    sizes: Tensor
    rows: Tensor


def _packing(lengths: Int[Tensor, "B"], reverse: bool) -> _Packing:
    rows = lengths.argsort(descending=True, stable=True)
    rows = rows[lengths[rows] > 0]
    left = lengths[rows]
    taken = torch.arange(int(lengths.max())).unsqueeze(1).expand(-1, len(rows))
    active = taken < left
    time = left - 1 - taken if reverse else taken
    return _Packing((time * len(lengths) + rows)[active], active.sum(1), rows)


def _call(
    r: Recurrence, kernel: Kernel, x: Tensor, state: Any, sizes: Tensor | None = None
) -> tuple[Tensor, Any]:
    """The kernel on a dense x, (time, batch, size), or on a packed one, (real steps, size)."""
    before = [s.unsqueeze(0).contiguous() for s in state]
    hx = before if len(before) > 1 else before[0]
    # Biases, layers, dropout, train, both ways. Only what trains can go backward, in eval mode too.
    how = (_laid_out(_weights(r)), True, 1, 0.0, torch.is_grad_enabled(), False)
    if sizes is None:
        output, *after = kernel(x, hx, *how, False)
    else:
        output, *after = kernel(x, sizes, hx, *how)
    return output, r.cell.State(*(s.squeeze(0) for s in after))


def _kernel(cell: Cell) -> Kernel | None:
    kind = _kind(cell)
    if isinstance(cell, Projected):
        return _kernel(cell.cell) if _kind(cell.cell) is LSTM else None
    key = cell.activation if isinstance(cell, Elman) and kind is Elman else kind
    return next((kernel for kernel_key, kernel in _KERNELS if kernel_key is key), None)


def _kind(cell: Cell) -> type:
    """The class that was written: a parametrized cell has one made from it."""
    return type(cell).__mro__[1] if parametrize.is_parametrized(cell) else type(cell)


def _weights(r: Recurrence) -> Weights:
    return r.weights if r.weights is not None else r.cell.weights  # type: ignore[return-value]


def _laid_out(w: Weights) -> list[Tensor]:
    """The weights in torch's order, as views of one block in cuDNN's.

    Out of any other torch makes such a block itself at every call, and warns.
    """
    none = w.hh.new_zeros(w.hh.shape[0])
    biases = [none if bias is None else bias for bias in (w.b_ih, w.b_hh)]
    parts = [w.ih, w.hh, *([] if w.hr is None else [w.hr]), *biases]
    block = torch.cat([part.flatten() for part in parts])
    pieces = torch.split(block, [part.numel() for part in parts])
    ih, hh, *hr, b_ih, b_hh = (p.view_as(like) for p, like in zip(pieces, parts, strict=True))
    return [ih, hh, b_ih, b_hh, *hr]
