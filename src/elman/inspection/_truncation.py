"""What truncated backpropagation through time leaves out of the gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from elman import engine as engines
from elman._errors import ConfigError
from elman.engine import Recurrence
from elman.inspection._model import is_task, network_of, run_model, scalar_loss
from elman.inspection._recording import LayerCall, Recorder, Track
from elman.scan import Step


class TruncationBias(NamedTuple):
    """What :func:`truncation_bias` returns; one entry for each truncation.

    Attributes:
        k2: (number,) the most steps that the gradient flows back, ascending.
        cosine: (number,) the cosine between the truncated gradient and the full one.
        relative_norm: (number,) the norm of the truncated one over that of the full one.
        bias: (number,) the norm of their difference over that of the full one.
    """

    k2: Tensor
    cosine: Tensor
    relative_norm: Tensor
    bias: Tensor

    def smallest(self, bias: float = 0.1) -> int | None:
        """The smallest k2 from which on the bias stays at or below this; None if there is none."""
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
    network, losses = _losses(model, data, loss, steps, options)
    passes = [_Backprop(network, each) for each in losses]
    full = torch.stack([each.whole for each in passes]).sum(0)
    length, size = max(each.steps for each in passes), full.norm()
    if not bool(size > 0) or not bool(size.isfinite()):
        raise ConfigError(f"the full gradient must be finite and not 0, got a norm of {size:g}")
    chosen = sorted(set(k2 or [*(2**i for i in range(length.bit_length())), length]))
    chosen = [k for k in chosen if k <= length] if k2 is None else chosen
    if chosen[0] < 1:
        raise ConfigError(f"k2 must be at least 1 step, got {chosen[0]}")
    cut = torch.stack([torch.stack([p.truncated(k) for p in passes]).sum(0) for k in chosen])
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
    network = network_of(model)
    if not is_task(model):
        if loss is None or steps is not None:
            raise ConfigError(
                "expected loss=, a function of the model's output to a scalar, and no steps=: only "
                "a task has a loss of its own, and batches to cut"
            )
        return network, [lambda: scalar_loss(loss(run_model(model, network, data, options)))]
    if loss is not None or options:
        raise ConfigError(
            "a task has its own loss and reads a batch itself: leave out loss= and others"
        )
    batches = data if isinstance(data, list | tuple) and not hasattr(data, "steps") else [data]
    ends = [batch.steps if steps is None else min(steps, batch.steps) for batch in batches]
    pairs = zip(batches, ends, strict=True)
    return network, [partial(_task_loss, model, *pair) for pair in pairs]


def _task_loss(task: Any, batch: Any, stop: int) -> Tensor:
    total: Tensor = task.loss(batch, 0, stop, None)[0]
    return total


class _Backprop:
    """The gradient of a loss by the recurrent weights, whole or truncated.

    Windows are counted from the end of each row's track, which only a whole pass knows.
    """

    def __init__(self, network: nn.Module, loss: Callable[[], Tensor]) -> None:
        self._network, self._loss = network, loss
        self.whole, tracks = self._gradient(lambda r, _: _call(r))
        self.steps = max(map(len, tracks))
        self._after = {track.name: _steps_after(track) for track in tracks}

    def truncated(self, k2: int) -> Tensor:
        """The gradient that goes back k2 steps at most."""
        if k2 >= self.steps:
            return self.whole

        def run_truncated(r: Recurrence, track: Track) -> LayerCall:
            number = len(track.calls)
            return _call(r, _cut(r, k2, self._after[track.name][number], begins=not number))

        return self._gradient(run_truncated)[0]

    def _gradient(
        self, run: Callable[[Recurrence, Track], LayerCall]
    ) -> tuple[Tensor, list[Track]]:
        recorder = Recorder(self._network, run)
        # Only the cuts may differ from one pass to the next.
        same_dropout = torch.random.fork_rng(_devices(self._network))
        with same_dropout, torch.enable_grad(), engines.run_by(recorder):
            loss = self._loss()
        tracks = recorder.complete().tracks
        owners = dict.fromkeys(track.owner for track in tracks)
        weights = [p for layer in owners for p in layer.parameters() if p.requires_grad]
        weights = list(dict.fromkeys(weights))
        if not weights:
            raise ConfigError(
                "the weights of the recurrent layers are frozen: set requires_grad=True on some"
            )
        grads = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        return torch.cat([grad.flatten().double() for grad in grads]), tracks


def _call(r: Recurrence, step: Step | None = None) -> LayerCall:
    output, final = r.scan(step)
    return LayerCall.of(r, output, final, final)


def _steps_after(track: Track) -> Tensor:
    """(call, row): the real steps of all later calls."""
    counts = torch.stack([call.active.sum(0) for call in track.calls])
    return counts.flip(0).cumsum(0).flip(0) - counts


def _devices(network: nn.Module) -> list[int]:
    return sorted({p.get_device() for p in network.parameters() if p.is_cuda})


def _cut(r: Recurrence, k2: int, after: Tensor, *, begins: bool) -> Step:
    """The cell's step, with no gradient to the state before where a window of k2 steps begins.

    Windows are counted from the end of each row's track, ``after`` real steps behind this call.
    """
    order = range(len(r.x))[:: -1 if r.reverse else 1]
    first, steps = order[0], iter(order)
    real = torch.full_like(after, len(r.x)) if r.active is None else r.active.sum(0)

    def step(inp: Any, state: Any) -> Any:
        t = next(steps)
        left = after + (torch.full_like(real, t + 1) if r.reverse else real - t)
        if not (begins and t == first):  # an initial state may be learned
            cut = (left % k2 == 0)[:, None]
            state = type(state)(*(torch.where(cut, s.detach(), s) for s in state))
        return r.step(inp, state)

    return step
