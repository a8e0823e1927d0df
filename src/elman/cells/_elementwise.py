"""The contract of cells whose units do not see each other."""

from __future__ import annotations

from elman.cells._base import Cell


class ElementwiseCell(Cell):
    r"""A cell whose state is updated unit by unit, and not linearly.

    .. math::
        state_{t,j} = step(inp_{t,j}, state_{t-1,j}) \qquad inp_t = project(x_t)

    A subclass is a :class:`Cell` that keeps a promise: all matrix products are in :meth:`project`,
    for the whole sequence at once, and :meth:`step` has none. So its Jacobian is diagonal, unit by
    unit, and its time steps cost what memory moves. :func:`elman.testing.check_cell` holds it to
    that. If the step is linear in the state as well, take :class:`LinearCell`.

    Args:
        input_size: features of x_t.
        hidden_size: units of each state.

    Example:
        >>> import torch, elman
        >>> class Leaky(elman.cells.ElementwiseCell):
        ...     states = ("h",)
        ...     def __init__(self, input_size, hidden_size):
        ...         super().__init__(input_size, hidden_size)
        ...         self.input = torch.nn.Linear(input_size, hidden_size)
        ...     def project(self, x):
        ...         return self.input(x)
        ...     def step(self, inp, state):
        ...         return self.State(h=0.9 * state.h + 0.1 * torch.tanh(inp + state.h))
        >>> output, state = elman.Recurrent(Leaky(3, 5))(torch.randn(2, 7, 3))
        >>> output.shape
        torch.Size([2, 7, 5])

    References:
        S. Li et al., "Independently recurrent neural network (IndRNN): building a longer and deeper
        RNN", CVPR 2018.
    """

    recurrence = "elementwise"
