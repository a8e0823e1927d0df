"""torch.nn's RNNCell, LSTMCell and GRUCell: one step of elman's cells, with torch's call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn

from elman import cells
from elman import engine as engines
from elman._errors import ConfigError, DtypeError, ShapeError
from elman.cells import PointwiseCell, Weights
from elman.cells._base import check_dtype, check_tensor
from elman.cells._elman import Activation
from elman.layers._drop_in import PARTS, options_repr


class DropInCell(nn.Module):
    """What the three share: torch's parameter names and its checks around a cell's step.

    The parameters live here; the cell is a template that steps with them.
    """

    def __init__(
        self,
        cell: Callable[..., PointwiseCell],
        input_size: int,
        hidden_size: int,
        bias: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        template = cell(input_size, hidden_size, bias=bool(bias), device="meta")
        self._template = (template,)  # in a tuple, so that torch does not register it
        for name, tensor in zip(PARTS[:4], template.weights, strict=False):
            empty = None
            if tensor is not None:
                empty = nn.Parameter(torch.empty(tensor.shape, device=device, dtype=dtype))
            self.register_parameter(name, empty)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """U(-1/sqrt(H), 1/sqrt(H)), drawn in torch.nn's order."""
        bound = 1 / math.sqrt(self.hidden_size)
        for name, parameter in self.named_parameters(recurse=False):
            if name in PARTS:
                nn.init.uniform_(parameter, -bound, bound)

    @property
    def weights(self) -> Weights:
        """The cell's affine maps."""
        return Weights(*(getattr(self, part) for part in PARTS[:4]))

    def gated_weights(self) -> Iterator[tuple[PointwiseCell, Weights]]:
        """What :func:`elman.init.initialize` fills."""
        yield self._template[0], self.weights

    def forward(self, input: Tensor, hx: Any = None) -> Any:  # noqa: A002 - torch's name
        """One step: input (batch, input_size) or (input_size,), hx the state or None for zeros."""
        cell, name = self._template[0], type(self).__name__
        check_tensor("input", input)
        if input.dim() not in (1, 2):
            raise ConfigError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        batched = input.dim() == 2
        x = input if batched else input.unsqueeze(0)
        if x.shape[1] != self.input_size:
            raise ShapeError(
                f"input has inconsistent input_size: got {x.shape[1]} expected {self.input_size}"
            )
        if hx is None:
            state = cell.initial_state(x.shape[0], device=x.device, dtype=x.dtype)
        else:
            state = self._check((hx,) if len(cell.states) == 1 else hx, x, batched)
        new = engines.step(engines.Recurrence(cell, x, state, self.weights, layer=self))
        new = tuple(new) if batched else tuple(s.squeeze(0) for s in new)
        return new if len(new) > 1 else new[0]

    def _check(self, hx: Any, x: Tensor, batched: bool) -> Any:
        cell, name, batch = self._template[0], type(self).__name__, x.shape[0]
        if not isinstance(hx, (tuple, list)) or len(hx) != len(cell.states):
            raise DtypeError(
                f"{name}: expected hx as a tuple ({', '.join(cell.states)}) of tensors, "
                f"got {type(hx).__name__}"
            )
        for i, state in enumerate(hx):
            check_tensor("hx", state)
            if state.dim() not in (1, 2):
                what = "hidden" if len(hx) == 1 else f"hx[{i}]"
                raise ConfigError(
                    f"{name}: Expected {what} to be 1D or 2D, got {state.dim()}D instead"
                )
        states = hx if batched else [state.unsqueeze(0) for state in hx]
        for i, state in enumerate(states):
            if state.shape[0] != batch:
                raise ShapeError(
                    f"Input batch size {batch} doesn't match hidden{i} batch size {state.shape[0]}"
                )
            if state.shape[-1] != self.hidden_size:
                raise ShapeError(
                    f"hidden{i} has inconsistent hidden_size: got {state.shape[-1]}, "
                    f"expected {self.hidden_size}"
                )
            check_dtype(f"hidden{i}", state, x)
        return cell.State(*states)

    def _get_name(self) -> str:
        """What torch shows a module as: not to be taken for torch's own."""
        return f"elman.{type(self).__name__}"

    def extra_repr(self) -> str:
        return options_repr(self)


@final
class RNNCell(DropInCell):
    """torch.nn.RNNCell with any activation; the equations are :class:`elman.cells.Elman`'s.

    Args:
        input_size, hidden_size, bias, device, dtype: as torch.nn.RNNCell.
        nonlinearity: "tanh", "relu", "identity", "sigmoid", "gelu", or any elementwise callable.

    Example:
        >>> import torch, elman
        >>> elman.RNNCell(3, 5, nonlinearity="relu")(torch.randn(2, 3)).shape
        torch.Size([2, 5])

    References:
        J. L. Elman, "Finding structure in time", Cognitive Science 14, 1990.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str | Activation = "tanh",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        cell = partial(cells.Elman, activation=nonlinearity)
        super().__init__(cell, input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity


@final
class LSTMCell(DropInCell):
    """torch.nn.LSTMCell; the equations are :class:`elman.cells.LSTM`'s.

    Args:
        input_size, hidden_size, bias, device, dtype: as torch.nn.LSTMCell.

    Example:
        >>> import torch, elman
        >>> h, c = elman.LSTMCell(3, 5)(torch.randn(2, 3))
        >>> h.shape, c.shape
        (torch.Size([2, 5]), torch.Size([2, 5]))

    References:
        S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(cells.LSTM, input_size, hidden_size, bias, device, dtype)


@final
class GRUCell(DropInCell):
    """torch.nn.GRUCell; the equations are :class:`elman.cells.GRU`'s.

    Args:
        input_size, hidden_size, bias, device, dtype: as torch.nn.GRUCell.

    Example:
        >>> import torch, elman
        >>> elman.GRUCell(3, 5)(torch.randn(2, 3), torch.randn(2, 5)).shape
        torch.Size([2, 5])

    References:
        K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
        machine translation", EMNLP 2014.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(cells.GRU, input_size, hidden_size, bias, device, dtype)
