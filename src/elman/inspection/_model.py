"""What can be recorded: a module, or a task with its network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeGuard, runtime_checkable

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman._errors import ConfigError, DtypeError
from elman.cells import Cell
from elman.layers import Recurrent

_FOREIGN = (nn.RNNBase, nn.RNNCellBase)


@runtime_checkable
class TaskLike(Protocol):
    """A task as far as this package knows it: neither imports the other."""

    network: nn.Module

    def loss(self, batch: Any, start: int, stop: int, state: Any) -> tuple[Tensor, Any]: ...


def is_task(model: Any) -> TypeGuard[TaskLike]:
    return not isinstance(model, nn.Module) and isinstance(model, TaskLike)


def network_of(model: Any) -> nn.Module:
    """The module of a cell, layer, model or task.

    Raises:
        DtypeError: it is neither a module nor a task.
        ConfigError: it holds a recurrent layer of torch.nn, whose states cannot be recorded.
    """
    if is_task(model):
        model = model.network
    if isinstance(model, Cell):
        return Recurrent(model)
    if not isinstance(model, nn.Module):
        raise DtypeError(
            "expected a cell, a layer, a model that holds one, or a task with its network, got "
            f"{type(model).__name__}: get the task of a run with elman.load(path)"
        )
    foreign = next((m for m in model.modules() if _is_foreign(m)), None)
    if foreign is not None:
        raise ConfigError(
            f"torch.nn.{type(foreign).__name__} cannot be recorded: elman.convert(model) makes "
            "it elman's, with the same weights"
        )
    return model


def _is_foreign(module: nn.Module) -> bool:
    """Whether it is torch's own recurrent layer, and not a drop-in for one."""
    return isinstance(module, _FOREIGN) and not hasattr(module, "gated_weights")


def run_model(model: Any, network: nn.Module, x: Any, options: Mapping[str, Any]) -> Any:
    """The output without its states; of a task the loss of a batch, summed."""
    if not is_task(model):
        return without_state(network(x, **options))
    if options:
        raise ConfigError(f"a task reads a batch itself: leave out {', '.join(options)}")
    return model.loss(x, 0, x.steps, None)[0]


def without_state(output: Any) -> Any:
    """(output, state[, observed]) as layers return it, or an output alone."""
    if isinstance(output, tuple) and not isinstance(output, PackedSequence):
        return output[0]
    return output


def scalar_loss(loss: Any) -> Tensor:
    """The loss itself.

    Raises:
        ConfigError: it is not a scalar, or does not depend on the model.
    """
    if not isinstance(loss, Tensor) or loss.dim():
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ConfigError(f"expected the loss as a scalar tensor, got {got}: sum it")
    if not loss.requires_grad:
        raise ConfigError("the loss must be differentiable by the model's output")
    return loss
