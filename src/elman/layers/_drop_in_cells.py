"""torch.nn's RNNCell, LSTMCell and GRUCell: one step of elman's cells, with torch's call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from elman import cells
from elman import engine as engines
from elman._checks import check_dtype, check_tensor
from elman._errors import ConfigError, DtypeError, ShapeError
from elman.cells import WEIGHT_NAMES, Activation, PointwiseCell, Weights
from elman.layers._drop_in import OnTorch


class DropInCell(OnTorch, nn.RNNCellBase):
    """What the three share: torch's constructor and checks around a cell's step.

    The parameters live here, made by the class of torch.nn that comes after this one among the
    bases; the cell is a template that steps with them.
    """

    _cell: ClassVar[type[PointwiseCell]]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        template = self._cell(input_size, hidden_size, bias=bool(bias), device="meta")
        super().__init__(input_size, hidden_size, bias, device=device, dtype=dtype)  # type: ignore[call-arg]
        self._template = (template,)  # in a tuple, where torch does not look for modules

    @property
    def weights(self) -> Weights:
        """The cell's affine maps."""
        return Weights(*(getattr(self, field) for field in WEIGHT_NAMES[:4]))

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


@final
class RNNCell(DropInCell, nn.RNNCell):
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

    _cell = cells.Elman

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str | Activation = "tanh",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        options: dict[str, Any] = {"bias": bool(bias), "device": "meta"}
        self._template = (cells.Elman(input_size, hidden_size, nonlinearity, **options),)
        self.nonlinearity = nonlinearity  # type: ignore[assignment]


@final
class LSTMCell(DropInCell, nn.LSTMCell):
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

    _cell = cells.LSTM


@final
class GRUCell(DropInCell, nn.GRUCell):
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

    _cell = cells.GRU
