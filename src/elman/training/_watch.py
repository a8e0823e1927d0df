"""The watch: what a run writes about itself while it trains, and which changes nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from elman.bptt import CheckpointedBPTT, GradientPolicy, Segment, State, Window
from elman.inspection import Bad, first_bad_of, summarize


class Watch:
    """Measures a network after an update: how far the weights moved, and its last window again.

    That window is run again, apart from training: on weights that just moved, without dropout. A
    checkpointed policy is for sequences whose graph does not fit into memory, so there the gradient
    inside the scan is left out.
    """

    def __init__(self, network: nn.Module, policy: GradientPolicy) -> None:
        self._parameters = {n: p for n, p in network.named_parameters() if p.requires_grad}
        self._network = network
        self._policy = policy
        self._forward: Callable[[], Tensor] = lambda: torch.zeros(())
        self._held: list[Tensor] = []

    def follow(self, segment: Segment, window: Window, state: State, divisor: int) -> None:
        """Note the window that training ran last, the state before it, and its loss's scale."""
        self._forward = lambda: self._policy.run(segment, window, state)[0] / divisor

    def hold(self) -> None:
        """Keep the weights of before an update."""
        self._held = [p.detach().clone() for p in self._parameters.values()]

    def measure(self) -> dict[str, Any]:
        """The fields of a "watch" event beside the gradient norms."""
        gradient = not isinstance(self._policy, CheckpointedBPTT)
        layers = summarize(self._network, self._forward, gradient=gradient)
        return {"ratios": self._ratios(), "layers": layers}

    def first_bad(self) -> Bad | None:
        """Where in the last window the first NaN or infinity arises, if it is there."""
        return first_bad_of(self._network, self._forward)

    def _ratios(self) -> dict[str, float]:
        """The norm of what an update added to each parameter, over the norm of the parameter."""
        if not self._held:
            return {}
        with torch.no_grad():
            sizes = torch._foreach_norm(self._held)
            now = [p.detach() for p in self._parameters.values()]
            moves = torch._foreach_norm(torch._foreach_sub(now, self._held))
            ratios = torch.stack([m / s for m, s in zip(moves, sizes, strict=True)]).tolist()
        self._held = []
        return dict(zip(self._parameters, ratios, strict=True))
