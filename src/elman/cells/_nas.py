"""The cell of neural architecture search."""

from __future__ import annotations

from typing import Any, final

from torch import relu, sigmoid, tanh

from elman.cells._base import PointwiseCell


@final
class NAS(PointwiseCell):
    r"""The cell that a controller composed, which was trained by reinforcement learning.

    .. math::
        a_t &= \sigma(W_{ia} x_t + b_{ia} + W_{ha} h_{t-1} + b_{ha}) \\
        d_t &= relu(W_{id} x_t + b_{id} + W_{hd} h_{t-1} + b_{hd}) \\
        e_t &= \sigma(W_{ie} x_t + b_{ie} + W_{he} h_{t-1} + b_{he}) \\
        k_t &= relu((W_{ik} x_t + b_{ik}) \odot (W_{hk} h_{t-1} + b_{hk})) \\
        p_t &= \tanh(W_{ip} x_t + b_{ip} + W_{hp} h_{t-1} + b_{hp}) \\
        q_t &= \sigma(W_{iq} x_t + b_{iq} + W_{hq} h_{t-1} + b_{hq}) \\
        u_t &= \tanh(W_{iu} x_t + b_{iu} + W_{hu} h_{t-1} + b_{hu}) \\
        v_t &= \sigma(W_{iv} x_t + b_{iv} + W_{hv} h_{t-1} + b_{hv}) \\
        c_t &= \tanh(\tanh(a_t \odot d_t) + c_{t-1}) \odot \tanh(e_t + k_t) \\
        h_t &= \tanh(c_t \odot \tanh(\tanh(p_t \odot q_t) + \sigma(u_t + v_t)))

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t and c_t.

    Shapes: x_t (batch, input_size), h and c (batch, hidden_size); gates stacked a, d, e, k, p, q,
    u, v.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.NAS(3, 5))(torch.randn(2, 7, 3))
        >>> output.shape, state.c.shape
        (torch.Size([2, 7, 5]), torch.Size([2, 5]))

    References:
        B. Zoph and Q. V. Le, "Neural architecture search with reinforcement learning", ICLR 2017,
        figure 8.
    """

    gates, states = ("a", "d", "e", "k", "p", "q", "u", "v"), ("h", "c")

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        a, d = sigmoid(inp.a + rec.a), relu(inp.d + rec.d)
        e, k = sigmoid(inp.e + rec.e), relu(inp.k * rec.k)
        p, q = tanh(inp.p + rec.p), sigmoid(inp.q + rec.q)
        u, v = tanh(inp.u + rec.u), sigmoid(inp.v + rec.v)
        c = tanh(tanh(a * d) + state.c) * tanh(e + k)
        return self.State(h=tanh(c * tanh(tanh(p * q) + sigmoid(u + v))), c=c)
