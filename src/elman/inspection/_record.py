"""Records what happens inside a model, or a task, while it runs on some data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman import engine as engines
from elman._errors import ConfigError
from elman.engine import Recurrence, uncompiled
from elman.inspection._model import is_task, network_of, run_model, scalar_loss, without_state
from elman.inspection._on_engine import run_on_engine
from elman.inspection._on_reference import run_on_reference
from elman.inspection._recording import LayerCall, Recorder, Recording, Track
from elman.layers import DropIn, Layer


def record(model: Any, x: Any, *, gates: bool = False, **options: Any) -> Recording:
    """Runs a model, or a task, on some data and records every recurrence inside it.

    It runs on the reference, whichever engine the layers have or were trained by; the model stays
    in its mode, so dropout is active only in training mode.

    Args:
        model: a cell, a layer, any module that holds some, or a task with its network.
        x: what the model is called with, or a batch of the task.
        gates: also keep the activations: what the cells watch, and their states.
        **options: what else the model is called with: ``lengths=``, ``reset=`` ...

    Raises:
        DtypeError: it is neither a module nor a task.
        ConfigError: no layer of elman ran, or one of torch.nn is inside; options for a task.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.GRU(3, 5))
        >>> recording = record(layer, torch.randn(2, 7, 3))
        >>> track = recording.track()
        >>> track.name, len(track), track.after[-1].h.shape
        ('Recurrent', 7, torch.Size([2, 5]))
    """
    return _record(model, x, options, partial(run_on_reference, gates=gates))


def record_activations(model: Any, x: Any, **options: Any) -> Recording:
    """Records the inputs, gates and states of every layer, without gradients or single steps.

    It runs on the engine that the layers have, so it is as quick as the model itself.

    Args:
        model: what :func:`record` takes.
        x: what the model is called with, or a batch of the task.
        **options: see :func:`record`.

    Raises:
        DtypeError, ConfigError: as :func:`record`.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.GRU(3, 5))
        >>> track = record_activations(layer, torch.randn(2, 7, 3)).track()
        >>> {name: tuple(each.shape) for name, each in track.activations.items()}
        {'reset': (7, 2, 5), 'update': (7, 2, 5), 'h': (7, 2, 5)}
    """
    with torch.no_grad():
        return _record(model, x, options, run_on_engine)


def record_loss(
    model: Any, x: Any, loss: Callable[[Any], Tensor] | None = None, **options: Any
) -> tuple[Recording, Tensor]:
    """Records a model or a task, and computes its loss, with the graph between the two.

    Args:
        model: what :func:`record` takes.
        x: what the model is called with, or a batch of the task.
        loss: a function of the model's output alone to a scalar. A task has its own: the mean that
            training descends, from a state of zeros.
        **options: see :func:`record`.

    Raises:
        ConfigError: no loss for a model, a loss for a task, or a loss that is not a scalar.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.LSTM(3, 5))
        >>> recording, loss = record_loss(layer, torch.randn(2, 7, 3), lambda h: h[:, -1].sum())
        >>> c = recording.track().after[2].c
        >>> torch.autograd.grad(loss, c)[0].shape
        torch.Size([2, 5])
    """
    with torch.enable_grad():
        if is_task(model):
            if loss is not None:
                raise ConfigError("a task has its own loss: leave out loss")
            recording = record(model, x, **options)
            return recording, scalar_loss(recording.output) / x.count(0, x.steps)
        if loss is None:
            raise ConfigError(
                "expected loss=, a function of the model's output to a scalar; only a task has a "
                "loss of its own"
            )
        recording = record(model, x, **options)
        return recording, scalar_loss(loss(recording.output))


def _record(
    model: Any,
    x: Any,
    options: Mapping[str, Any],
    run: Callable[[Recurrence, Track], LayerCall],
) -> Recording:
    network = network_of(model)
    recorder = Recorder(network, run)
    with _outputs_kept(network, recorder.recording), engines.run_by(recorder), uncompiled():
        recorder.recording.output = run_model(model, network, x, options)
    return recorder.complete()


@contextmanager
def _outputs_kept(network: nn.Module, recording: Recording) -> Iterator[None]:
    """Keep the outputs of the last outermost layer, which the loss is computed from."""

    def keep(module: Any, _: Any, output: Any) -> None:
        if recording.top is not module:
            recording.top, recording.entry[:] = module, []
        output = without_state(output)
        packed = isinstance(output, PackedSequence)
        batch_first = not packed and module.batch_first and output.dim() == 3
        recording.entry.append((output, int(batch_first)))

    hooks = [layer.register_forward_hook(keep) for layer in _outermost(network)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _outermost(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of a model that are in no other."""
    if isinstance(module, Layer | DropIn):
        yield module
        return
    for part in module.children():
        yield from _outermost(part)
