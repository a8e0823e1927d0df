"""The gradient of a recurrent weight as the lecture writes it: three factors, and their sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from elman._errors import ConfigError, nearest
from elman.cells import WEIGHT_NAMES
from elman.inspection._direct import direct, gradients
from elman.inspection._record import record_loss
from elman.inspection._recording import Track
from elman.inspection._steps import Steps


class Factors:
    r"""The three factors of the gradient by a weight; :func:`factors` makes it.

    .. math:: \frac{dL}{dW} = \sum_t \sum_{k \le t} \frac{\partial L}{\partial s_t}\;
        \frac{\partial s_t}{\partial s_k}\; \frac{\partial s_k}{\partial W}

    s are all states, concatenated to S units. Everything is float64.

    Attributes:
        weight: the name of the weight.
        loss_state: dL/ds_t, (time, row, S): the partial derivative, through no later step of this
            layer.
        autograd: the gradient by autograd, to compare with.
    """

    def __init__(self, steps: Steps, weight: str, loss_state: Tensor, autograd: Tensor) -> None:
        self.weight, self.loss_state, self.autograd = weight, loss_state, autograd
        self._steps = steps

    def product(self, t: int, k: int) -> Tensor:
        """ds_t/ds_k, (row, S, S): the product of the Jacobians of the steps after k up to t."""
        v = self._steps.identity(slice(0, self._steps.size))
        for j in reversed(self._steps.between(t, k)):
            v = self._steps.back(j, v)
        return v.transpose(0, 1)

    def state_weight(self, k: int) -> Tensor:
        """ds_k/dW for a fixed s_{k-1}, (row, S, *shape of W): small networks only."""
        units = range(self._steps.size)
        rows = range(self._steps.track.rows)
        zeros = torch.zeros_like(self.loss_state[0])

        def one(row: int, unit: int) -> Tensor:
            v = zeros.clone()
            v[row, unit] = 1
            return self._by_weight(k, v)

        return torch.stack([torch.stack([one(row, unit) for unit in units]) for row in rows])

    def term(self, t: int, k: int) -> Tensor:
        """Their product, summed over rows: how W at step k affects the loss at step t."""
        v = self.loss_state[t][None]
        for j in reversed(self._steps.between(t, k)):
            v = self._steps.back(j, v)
        return self._by_weight(k, v[0])

    def sum(self) -> Tensor:
        """The sum of all terms, in one pass back through time."""
        v = torch.zeros_like(self.loss_state[:1])
        total = torch.zeros_like(self.autograd)
        for k in reversed(self._steps.track.order):
            v = v + self.loss_state[k]
            total += self._by_weight(k, v[0])
            v = self._steps.back(k, v)
        return total

    def _by_weight(self, k: int, v: Tensor) -> Tensor:
        """The derivative of <v, s_k> by W for a fixed s_{k-1}; v (row, S)."""
        v = v * self._steps.track.active[k][:, None]
        with torch.enable_grad():
            weight = self._steps.tensors[self.weight].clone().requires_grad_()
            after = torch.cat(self._steps.call(k, self._steps.before(k), {self.weight: weight}), -1)
        (gradient,) = gradients([after], [weight], [v])
        return gradient.detach()


def factors(
    model: Any,
    x: Any,
    loss: Callable[[Any], Tensor] | None = None,
    *,
    weight: str | None = None,
    layer: str | int | None = None,
    **options: Any,
) -> Factors:
    r"""The gradient of a loss by a layer's recurrent weight, taken apart.

    The middle factor is a product of Jacobians: where its norm falls with t - k the weight learns
    nothing of what was long ago, where it rises the gradient explodes.

    Args:
        model: what :func:`record` takes, or a task with its network.
        x: what the model is called with, or a batch of the task.
        loss: a function of the model's output alone to a scalar; a task has its own.
        weight: a parameter that the cell's step reads, by its name in the cell; W_hh if None.
        layer: its name or number, if there are several.
        **options: ``lengths=``, ``reset=`` ...

    Returns: :class:`Factors`.

    Raises:
        ConfigError: no such layer or weight, or the weight is not trained.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.GRU(3, 5)).double()
        >>> parts = factors(layer, torch.randn(2, 7, 3).double(), lambda h: h.square().sum())
        >>> parts.loss_state.shape, parts.product(6, 2).shape, parts.state_weight(2).shape
        (torch.Size([7, 2, 5]), torch.Size([2, 5, 5]), torch.Size([2, 5, 15, 5]))
        >>> double_sum = sum(parts.term(t, k) for t in range(7) for k in range(t + 1))
        >>> torch.allclose(double_sum, parts.autograd), torch.allclose(parts.sum(), parts.autograd)
        (True, True)

    References:
        Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks",
        equations 3 to 5.
    """
    recording, total = record_loss(model, x, loss, **options)
    track = recording.track(layer)
    steps = Steps(track)
    weight, parameter = _weight(steps, weight)
    if not parameter.requires_grad:
        raise ConfigError(f"the weight {weight!r} is frozen: set requires_grad=True on it")
    entering = torch.stack([_side_by_side(state) for state in direct(total, track)])
    (autograd,) = gradients([total], [parameter])
    return Factors(steps, weight, entering, autograd.double())


def _side_by_side(state: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(state), -1).double()


def _weight(steps: Steps, name: str | None) -> tuple[str, Tensor]:
    """The weight's name among the steps' tensors, and the parameter itself."""
    own = _parameters(steps.track)
    if name is None:
        name = next((n for n in ("weight_hh", "cell.weight_hh") if n in own), None)
        if name is None:
            raise ConfigError(f"expected weight=, one of {', '.join(own)}")
    if name not in own:
        raise ConfigError(f"unknown weight {name!r}: {nearest(name, own)}")
    return name, own[name]


def _parameters(track: Track) -> dict[str, Tensor]:
    parameters: dict[str, Tensor] = {
        n: p for n, p in track.cell.named_parameters() if not p.is_meta
    }
    if track.weights is not None:
        tensors = zip(WEIGHT_NAMES, track.weights, strict=True)
        parameters |= {name: t for name, t in tensors if t is not None}
    return parameters
