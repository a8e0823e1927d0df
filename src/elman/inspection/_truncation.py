"""What truncated backpropagation through time leaves out of the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from elman import engine as engines
from elman._errors import ConfigError
from elman.engine import Recurrence
from elman.engine._reference import run
from elman.inspection._model import is_task, network_of, run_model, scalar_loss
from elman.inspection._recording import continues, owner_of
from elman.scan import Step


class TruncationBias(NamedTuple):
    """What :func:`truncation_bias` found; one entry for each truncation.

    Attributes:
        k2: (number,) the steps that the gradient flows back at most, in rising order.
        cosine: (number,) the cosine between the truncated gradient and the full one.
        relative_norm: (number,) the norm of the truncated one over that of the full one.
        bias: (number,) the norm of their difference over that of the full one.
    """

    k2: Tensor
    cosine: Tensor
    relative_norm: Tensor
    bias: Tensor

    def smallest(self, bias: float = 0.1) -> int | None:
        """The smallest k2 measured from which on the bias stays at or below this; None if none."""
        above = (self.bias > bias).nonzero()
        first = int(above[-1]) + 1 if len(above) else 0
        return int(self.k2[first]) if first < len(self.k2) else None


def truncation_bias(
    model: Any,
    data: Any,
    loss: Callable[[Any], Tensor] | None = None,
    *,
    k2: Sequence[int] | None = None,
    steps: int | None = None,
    **options: Any,
) -> TruncationBias:
    r"""How much the gradient of truncated BPTT differs from the full one.

    .. math:: \frac{\lVert g_{k_2} - g \rVert}{\lVert g \rVert}

    The sequence is cut into windows of k2 steps, as `TruncatedBPTT(k2)` cuts it, so that the last
    window of every row is whole: its last loss sees k2 steps back. States are carried over the
    cuts. A layer that is called again with the state it returned goes on where it was, as in a
    loop over steps; any other call has an end of its own. Compared are the gradients of the
    recurrent layers' own weights, on the reference.

    Args:
        model: a cell, a layer, a module that holds some, or a task with its network.
        data: what the model is called with; of a task a batch, or a list of batches, whose
            gradients are summed up.
        loss: a function of the model's output alone to a scalar. A task has its own.
        k2: the truncations; powers of 2 up to the number of steps if None.
        steps: of a task that can be cut in time, such as a language model, the steps to take from
            the start of each batch; all of them if None.
        **options: ``lengths=``, ``reset=`` ... of the layer.

    Raises:
        DtypeError, ConfigError: as `record_loss`; also if the full gradient is 0 or not finite.

    Example:
        >>> import torch, elman
        >>> torch.manual_seed(0)
        <...>
        >>> layer = elman.Recurrent(elman.cells.Elman(3, 5, bias=False))
        >>> cut = truncation_bias(layer, torch.randn(8, 32, 3), lambda h: h[:, -1].sum())
        >>> cut.k2.tolist(), cut.bias[0] > cut.bias[-2] > cut.bias[-1] == 0
        ([1, 2, 4, 8, 16, 32], tensor(True))
        >>> 1 < cut.smallest(bias=0.01) <= 32
        True

    References:
        Tallec & Ollivier 2017, "Unbiasing truncated backpropagation through time".
        Aicher, Foti & Fox 2019, "Adaptively truncating backpropagation through time to control
        gradient bias".
    """
    module, losses = _losses(model, data, loss, steps, options)
    passes = [_Passes(loss) for loss in losses]
    full = _gradient(module, passes, None)
    length, size = max(each.steps for each in passes), full.norm()
    if not bool(size > 0) or not bool(size.isfinite()):
        raise ConfigError(f"expected a full gradient to compare with, got one of norm {size:g}")
    chosen = sorted(set(k2 or [*(2**i for i in range(length.bit_length())), length]))
    chosen = [k for k in chosen if k <= length] if k2 is None else chosen
    if chosen[0] < 1:
        raise ConfigError(f"expected truncations of at least 1 step, got {chosen[0]}")
    cut = torch.stack([full if k >= length else _gradient(module, passes, k) for k in chosen])
    norms = cut.norm(dim=1)
    return TruncationBias(
        torch.tensor(chosen),
        (cut @ full) / (norms * size),
        norms / size,
        (cut - full).norm(dim=1) / size,
    )


def _losses(
    model: Any, data: Any, loss: Callable[[Any], Tensor] | None, steps: int | None, options: Any
) -> tuple[nn.Module, list[Callable[[], Tensor]]]:
    """The network, and a function for the loss of each batch."""
    module = network_of(model)
    if not is_task(model):
        if loss is None or steps is not None:
            raise ConfigError(
                "expected loss=, a function of the model's output to a scalar, and no steps=: only "
                "a task has a loss of its own, and batches to cut"
            )
        return module, [lambda: scalar_loss(loss(run_model(model, module, data, options)))]
    if loss is not None or options:
        raise ConfigError("a task has its own loss and reads a batch itself: leave out the others")
    batches = data if isinstance(data, list | tuple) and not hasattr(data, "steps") else [data]
    ends = [batch.steps if steps is None else min(steps, batch.steps) for batch in batches]
    pairs = zip(batches, ends, strict=True)
    return module, [partial(_task_loss, model, *pair) for pair in pairs]


def _task_loss(task: Any, batch: Any, stop: int) -> Tensor:
    total: Tensor = task.loss(batch, 0, stop, None)[0]
    return total


def _gradient(module: nn.Module, passes: Sequence[_Passes], k2: int | None) -> Tensor:
    """The gradient of the recurrent weights, summed over losses."""
    total = None
    for each in passes:
        # The same dropout every time: only the cuts may differ.
        with torch.random.fork_rng(_devices(module)), torch.enable_grad():
            value = each.run(k2)
        if not each.owners:
            raise ConfigError(f"no layer of elman ran inside {type(module).__name__}")
        weights = [p for layer in each.owners for p in layer.parameters() if p.requires_grad]
        weights = list(dict.fromkeys(weights))
        if not weights:
            raise ConfigError(
                "the weights of the recurrent layers are frozen: there is no gradient"
            )
        grads = torch.autograd.grad(value, weights, allow_unused=True)
        parts = [
            torch.zeros_like(p) if g is None else g for p, g in zip(weights, grads, strict=True)
        ]
        flat = torch.cat([part.flatten().double() for part in parts])
        total = flat if total is None else total + flat
    assert total is not None
    return total


def _devices(module: nn.Module) -> list[int]:
    return sorted({p.get_device() for p in module.parameters() if p.is_cuda})


@dataclass
class _Way:
    """A layer's way through time: one call, or several of which each goes on from the last."""

    real: Tensor  # (row,): the real steps taken
    steps: int = 0
    state: Any = None  # that the last call returned


class _Passes:
    """Computes a loss on the reference, once whole, then letting no gradient pass every k2 steps.

    How many steps there are after a call is known from the whole pass.
    """

    def __init__(self, loss: Callable[[], Tensor]) -> None:
        self._loss = loss
        self._k2: int | None = None
        self.owners: dict[nn.Module, None] = {}
        self._calls: list[tuple[_Way, Tensor]] = []  # of the whole pass, and the steps until then
        self._again: Iterator[tuple[_Way, Tensor]] = iter(())
        self._latest: dict[tuple[nn.Module, str], _Way] = {}

    @property
    def steps(self) -> int:
        """Of the longest way."""
        return max((way.steps for way, _ in self._calls), default=0)

    def run(self, k2: int | None) -> Tensor:
        """The loss, cut; the first time it has to be whole."""
        self._k2, self._latest, self._again = k2, {}, iter(self._calls)
        with engines.run_by(self._recur):
            return self._loss()

    def _recur(self, r: Recurrence) -> tuple[Tensor, Any]:
        owner = owner_of(r)
        self.owners[owner] = None
        way = self._latest.get((owner, r.part))
        if way is None or not continues(r, way.state):
            way = self._latest[owner, r.part] = _Way(torch.zeros_like(_real(r)))
        begins = way.steps == 0
        way.steps, way.real = way.steps + len(r.x), way.real + _real(r)
        if self._k2 is None:
            self._calls.append((way, way.real))
            output, way.state = run(r)
        else:
            whole, until = next(self._again)
            output, way.state = run(r, _cut(r, self._k2, whole.real - until, begins))
        return output, way.state


def _cut(r: Recurrence, k2: int, later: Tensor, begins: bool) -> Step:
    """The cell's step, with no gradient to the state before where a window of k2 steps begins.

    Windows are counted from the end of each row's way, ``later`` steps after this call.
    """
    order = range(len(r.x))[:: -1 if r.reverse else 1]
    first, steps = order[0], iter(order)

    def step(inp: Any, state: Any) -> Any:
        t = next(steps)
        left = torch.full_like(later, t + 1) if r.reverse else _real(r) - t + later
        if not (begins and t == first):  # an initial state may be learned
            cut = (left % k2 == 0)[:, None]
            state = type(state)(*(torch.where(cut, s.detach(), s) for s in state))
        return r.step(inp, state)

    return step


def _real(r: Recurrence) -> Tensor:
    """(row,): the real steps of a call."""
    time, rows = r.x.shape[:2]
    whole = torch.full((rows,), time, device=r.x.device)
    return whole if r.lengths is None else r.lengths.to(whole)
