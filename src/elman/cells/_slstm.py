"""The LSTM with exponential gates."""

from __future__ import annotations

from typing import Any, final

import torch
from torch.nn.functional import logsigmoid

from elman._errors import ConfigError
from elman.cells._base import PointwiseCell


@final
class SLSTM(PointwiseCell):
    r"""Long short-term memory with exponential gates, a normalizer n and a stabilizer m.

    .. math::
        i_t &= \exp(W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi}) &\text{store} \\
        f_t &= \exp(W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf}) &\text{forget} \\
        z_t &= \tanh(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) \\
        o_t &= \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho}) &\text{output} \\
        m_t &= \max(\log f_t + m_{t-1}, \log i_t) \qquad
        i'_t = i_t e^{-m_t} \qquad f'_t = f_t e^{m_{t-1} - m_t} \\
        c_t &= f'_t \odot c_{t-1} + i'_t \odot z_t \qquad n_t = f'_t \odot n_{t-1} + i'_t \\
        h_t &= o_t \odot c_t / n_t

    The states stand for c e^m and n e^m, whatever m is. Where n is 0, nothing is stored yet, and
    m_t is log i_t.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t, c_t, n_t and m_t.
        forget: "exp", or "sigmoid", which the paper allows for f_t too.

    Shapes: x_t (batch, input_size), h, c, n and m (batch, hidden_size); gates stacked i, f, z, o.

    Raises:
        ConfigError: another forget, or a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.SLSTM(3, 5))(torch.randn(2, 7, 3))
        >>> output.shape, state.m.shape
        (torch.Size([2, 7, 5]), torch.Size([2, 5]))

    References:
        M. Beck et al., "xLSTM: extended long short-term memory", NeurIPS 2024.
    """

    gates, states = ("i", "f", "z", "o"), ("h", "c", "n", "m")
    memory_gate, retention = "f", "forget"

    def __init__(
        self, input_size: int, hidden_size: int, *, forget: str = "exp", **options: Any
    ) -> None:
        if forget not in ("exp", "sigmoid"):
            raise ConfigError(f"forget must be 'exp' or 'sigmoid', got {forget!r}")
        super().__init__(input_size, hidden_size, **options)
        self.forget = forget

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        log_i, log_f = inp.i + rec.i, inp.f + rec.f
        if self.forget == "sigmoid":
            log_f = logsigmoid(log_f)
        # An empty memory has no weight: with that of m = 0, a small i would vanish beside it.
        log_f = log_f + torch.where(state.n > 0, state.m, -torch.inf)
        m = torch.maximum(log_f, log_i)
        i, f = torch.exp(log_i - m), torch.exp(log_f - m)
        c = f * state.c + i * torch.tanh(inp.z + rec.z)
        n = f * state.n + i
        o = torch.sigmoid(inp.o + rec.o)
        self.watch(store=i, forget=f, output=o)
        return self.State(h=o * c / n, c=c, n=n, m=m)
