"""A wrapper that drops weights between units of the state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from torch import Tensor, nn
from torch.nn import functional as F

from elman._errors import ConfigError, nearest
from elman.cells._base import Cell
from elman.cells._wrapper import Wrapper, check_rate


@final
class WeightDrop(Wrapper):
    r"""DropConnect: some weights from state to state are 0, the same ones for a whole call.

    .. math:: W' = M \odot W_{hh} \qquad M_{ij} \sim Bernoulli(1 - rate) / (1 - rate)

    The mask is drawn once a call, for all steps and rows; a single step (``layer.step``) is a call.
    In eval mode nothing is dropped.

    Args:
        cell: the cell to wrap; it belongs to the wrapper from then on.
        rate: the probability that a weight is dropped.
        names: the parameters of ``cell`` that lose weights, as ``cell.named_parameters()`` has
            them; each that is called ``weight_hh`` if None.

    Shapes: as the wrapped cell.

    Raises:
        ConfigError: a rate below 0 or not below 1, no such parameter, or one that is in another
            WeightDrop.
        DtypeError: no cell, or no number.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.WeightDrop(elman.cells.LSTM(3, 5), 0.5))
        >>> output, state = layer(torch.randn(2, 7, 3))
        >>> output.shape
        torch.Size([2, 7, 5])

    References:
        S. Merity, N. S. Keskar and R. Socher, "Regularizing and optimizing LSTM language models",
        ICLR 2018.
    """

    dropped: tuple[str, ...]

    def __init__(self, cell: Cell, rate: float = 0.5, names: Sequence[str] | None = None) -> None:
        super().__init__(cell)
        self.rate = check_rate(rate)
        own = [name for name, _ in cell.named_parameters()]
        if names is None:
            names = [name for name in own if name.rpartition(".")[2] == "weight_hh"]
            if not names:
                raise ConfigError(
                    f"WeightDrop needs the parameters that lose weights, got a "
                    f"{type(cell).__name__} without weight_hh: use names= with some of {own}"
                )
        for name in names:
            if name not in own:
                raise ConfigError(f"unknown parameter {name!r}: {nearest(str(name), own)}")
        for path, part in cell.named_modules():
            prefix = f"{path}." if path else ""
            if isinstance(part, WeightDrop) and {f"{prefix}{n}" for n in part.dropped} & {*names}:
                raise ConfigError("WeightDrop must drop a parameter once, got two around it")
        self.dropped = tuple(f"cell.{name}" for name in names)

    def draw(self) -> Mapping[str, Tensor]:
        if not (self.training and self.rate):
            return {}
        return {name: F.dropout(self.get_parameter(name), self.rate) for name in self.dropped}

    def step(self, inp: Any, state: Any) -> Any:
        if self.training and self.rate and self._is_whole():
            raise ConfigError(
                "WeightDrop draws for whole sequences, got a bare step in training mode: call it "
                "through a layer, such as elman.Recurrent, or use eval()"
            )
        return self.cell.step(inp, state)

    def _is_whole(self) -> bool:
        """Whether nothing stands in for the parameters that lose weights."""
        modules = dict(self.named_modules())
        paths = (name.rpartition(".") for name in self.dropped)
        return all(isinstance(getattr(modules[p], name), nn.Parameter) for p, _, name in paths)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, names={[n.removeprefix('cell.') for n in self.dropped]}"
