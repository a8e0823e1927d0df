"""A wrapper that normalizes what goes into the gates."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn
from torch.nn import functional as F

from elman._errors import ConfigError
from elman.cells._base import PointwiseCell
from elman.cells._wrapper import Wrapper


@final
class NormalizedGates(Wrapper):
    r"""Layer norm of what the input and the last output put into the gates, each with a gain.

    .. math::
        inp = LN(W_{ih} x_t; \alpha) + b_{ih} \qquad rec = LN(W_{hh} h_{t-1}; \alpha') + b_{hh}

    The mean and the variance are those of all gates of a row together, as in the paper; the cell's
    own biases are the biases of the norms, so that schemes such as "forget_bias" set them.

    Args:
        cell: a pointwise cell; it belongs to the wrapper from then on.
        eps: what is added to the variance.

    Shapes: as the wrapped cell.

    Raises:
        ConfigError: a cell that is not pointwise, or has a projection or step of its own.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.NormalizedGates(elman.cells.LSTM(3, 5)))
        >>> output, state = layer(torch.randn(2, 7, 3))
        >>> output.shape
        torch.Size([2, 7, 5])

    References:
        J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", 2016.
    """

    cell: PointwiseCell

    def __init__(self, cell: PointwiseCell, eps: float = 1e-5) -> None:
        super().__init__(cell)
        methods = ("project", "project_state", "step", "combine")
        if not isinstance(cell, PointwiseCell) or any(
            getattr(type(cell), name) is not getattr(PointwiseCell, name) for name in methods
        ):
            raise ConfigError(
                "NormalizedGates needs a PointwiseCell, whose gates it normalizes, got "
                f"{type(cell).__name__}: wrap the cell itself, or use NormalizedState"
            )
        like, size = cell.weight_ih, len(cell.gates) * cell.hidden_size

        def norm() -> nn.LayerNorm:
            return nn.LayerNorm(size, eps, bias=False, device=like.device, dtype=like.dtype)

        self.norm_ih, self.norm_hh = norm(), norm()

    def project(self, x: Tensor) -> Tensor:
        w = self.cell.weights
        return _shifted(self.norm_ih(F.linear(x, w.ih)), w.b_ih)

    def project_state(self, h: Tensor) -> Tensor:
        """LN(W_hh h) + b_hh, (batch, G*H)."""
        w = self.cell.weights
        return _shifted(self.norm_hh(F.linear(h, w.hh)), w.b_hh)

    def combine(self, inp: Tensor, rec: Tensor, state: Any) -> Any:
        """The next state from what goes into the gates."""
        return self.cell.combine(inp, rec, state)

    def step(self, inp: Tensor, state: Any) -> Any:
        return self.combine(inp, self.project_state(state[0]), state)


def _shifted(normalized: Tensor, bias: Tensor | None) -> Tensor:
    return normalized if bias is None else normalized + bias
