"""A network without recurrence: what a fixed number of steps gives."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from elman._errors import ConfigError
from elman.scan import mask


class FeedForward(nn.Module):
    r"""A multilayer perceptron over the first ``steps`` steps, laid side by side.

    .. math:: h = \mathrm{relu}(W_2\, \mathrm{relu}(W_1 [x_1; \dots; x_n] + b_1) + b_2)

    It has a weight for every place: what it learned of a word at step 3 says nothing of that word
    at step 4, and what comes after the last place it never sees. A shorter row is filled up with
    zeros. This is the baseline that recurrence is measured against.

    Args:
        input_size: features of a step (I).
        steps: how many steps it sees (n); its first layer has ``steps * input_size * hidden``
            weights.
        hidden: units of each layer (H).
        layers: how many.

    Shapes: x (time, batch, I), any number of steps, and lengths (batch,) to (batch, H).

    Raises:
        ConfigError: a size is less than 1.

    Example:
        >>> network = FeedForward(3, steps=4, hidden=5)
        >>> network(torch.randn(7, 2, 3), torch.tensor([7, 2])).shape
        torch.Size([2, 5])
        >>> sum(p.numel() for p in network.parameters())  # 4 * 3 * 5 + 5
        65
    """

    def __init__(self, input_size: int, steps: int, hidden: int, layers: int = 1) -> None:
        super().__init__()
        for name, size in {"input_size": input_size, "steps": steps, "hidden": hidden}.items():
            if size < 1:
                raise ConfigError(f"{name} must be at least 1, got {size}")
        self.steps, self.output_size = steps, hidden
        sizes = [steps * input_size, *[hidden] * layers]
        self.layers = nn.ModuleList(map(nn.Linear, sizes, sizes[1:]))

    def forward(self, x: Float[Tensor, "T B I"], lengths: Int[Tensor, "B"]) -> Tensor:
        x = x * mask(lengths, len(x), device=x.device).T.unsqueeze(-1)
        window = F.pad(x[: self.steps], (0, 0, 0, 0, 0, max(0, self.steps - len(x))))
        hidden = window.transpose(0, 1).flatten(1)
        for layer in self.layers:
            hidden = torch.relu(layer(hidden))
        return hidden
