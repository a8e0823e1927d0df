"""The derivative of a state by an earlier one: itself, and its size along the sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from elman._errors import ConfigError
from elman.inspection import _krylov as krylov
from elman.inspection._estimate import Estimate
from elman.inspection._record import record
from elman.inspection._steps import Steps

EXACT_UP_TO = 256
"""Units up to which :func:`spectrum` decomposes whole matrices, unless told otherwise."""


def jacobian(
    model: Any,
    x: Any,
    t: int,
    k: int,
    *,
    of: str | None = None,
    wrt: str | None = None,
    state: str | None = None,
    layer: str | int | None = None,
    **options: Any,
) -> Float[Tensor, "B O H"]:
    r"""The derivative of a layer's state after step t by its state after step k, for each row.

    .. math:: \frac{\partial h_t}{\partial h_k} = \prod_{j=k+1}^{t} \frac{\partial h_j}
        {\partial h_{j-1}} \quad \text{(the latest on the left)}, \qquad
        \frac{\partial h_j}{\partial h_{j-1}} = \mathrm{diag}(s_h'(z_j)) W_{hh} \text{ (Elman)}

    It is exact: of the product over all states, a row of which is one vector-Jacobian product for
    each step. The inputs of the layer, and so the layers below, stay as they are, and so do the
    other states at step k: in an LSTM dh_t/dc_k is for a fixed h_k, while :func:`gradient_flow`
    also counts what c_k does through h_k.

    Args:
        model: a cell, a layer, a module that holds some, or a task with its network.
        x: what the model is called with, or a batch of the task.
        t: the later step in the order of the layer, from the end if negative; the state after it.
        k: the earlier one; for t = k it is the identity.
        of: the later state, by name; the first if None.
        wrt: the earlier one, in the same way.
        state: both at once; "all" is every state, concatenated, whose Jacobians multiply to that of
            the whole way: with one state of several they do not.
        layer: its name or number, if there are several.
        **options: ``lengths=``, ``reset=`` ... At padding the derivative is the identity, and
            after a reset it is 0.

    Returns: (row, units of ``of``, units of ``wrt``), float64.

    Raises:
        ConfigError: no such step, state or layer, or h_t is before h_k.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.LSTM(3, 5))
        >>> x = torch.randn(2, 7, 3)
        >>> jacobian(layer, x, t=6, k=2).shape
        torch.Size([2, 5, 5])
        >>> whole = jacobian(layer, x, 6, 2, state="all")
        >>> parts = jacobian(layer, x, 6, 4, state="all") @ jacobian(layer, x, 4, 2, state="all")
        >>> torch.allclose(whole, parts)
        True

    References:
        Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks".
    """
    if state is not None and (of is not None or wrt is not None):
        raise ConfigError("pass either state=, or of= and wrt=, not both")
    steps = _steps(model, x, layer, options)
    rows, columns = steps.part(state or of), steps.part(state or wrt)
    v = steps.identity(rows)
    for j in reversed(steps.between(t, k)):
        v = steps.back(j, v)
    return v[..., columns].transpose(0, 1)


@dataclass(frozen=True)
class Spectrum:
    r"""What :func:`spectrum` found: an :class:`Estimate` of each, (time, row), float64.

    Attributes:
        times: the steps t, in the order in which the layer takes them.
        step_norm: the spectral norm of :math:`J_t = \partial h_t / \partial h_{t-1}`.
        step_radius: the largest absolute value of an eigenvalue of it.
        norm: the spectral norm of :math:`\partial h_t / \partial h_k`.
        frobenius: its Frobenius norm.
        exact: whether whole matrices were decomposed; then low, value and high are one.
    """

    times: tuple[int, ...]
    step_norm: Estimate = field(repr=False)
    step_radius: Estimate = field(repr=False)
    norm: Estimate = field(repr=False)
    frobenius: Estimate = field(repr=False)
    exact: bool


def spectrum(
    model: Any,
    x: Any,
    k: int | None = None,
    *,
    times: Sequence[int] | None = None,
    state: str | None = None,
    layer: str | int | None = None,
    exact: bool | None = None,
    probes: int = 16,
    **options: Any,
) -> Spectrum:
    r"""How much each step, and all steps since k, can stretch a change of the state.

    .. math:: \|J_t\|_2, \quad \rho(J_t), \quad \Big\|\frac{\partial h_t}{\partial h_k}\Big\|_2,
        \quad \Big\|\frac{\partial h_t}{\partial h_k}\Big\|_F^2
        = \mathbb{E}_{v \sim N(0, I)} \Big\|\frac{\partial h_t}{\partial h_k} v\Big\|^2

    Small states are done exactly. For large ones there are only products with vectors: the spectral
    norm by a randomized SVD, which cannot be above it, and a bound that holds but for one in
    10^probes; the Frobenius norm by ``probes`` random vectors, with two standard errors; the radius
    by Arnoldi's iteration, with its residual, which bounds the error only for normal matrices.

    Args:
        model: a cell, a layer, a module that holds some, or a task with its network.
        x: what the model is called with, or a batch of the task.
        k: from which step on; the layer's first if None.
        times: the steps t to look at; all after k, or sixteen of them if it is not exact.
        state: a state by name, the first if None, or "all" of them.
        layer: its name or number, if there are several.
        exact: whether to decompose whole matrices; if None, up to 256 units.
        probes: the number of random vectors.
        **options: see :func:`jacobian`.

    Returns: a :class:`Spectrum`.

    Raises:
        ConfigError: as :func:`jacobian`.

    Example:
        >>> import torch, elman
        >>> cell = elman.cells.Elman(3, 8, activation="identity")
        >>> layer = elman.Recurrent(cell, init="orthogonal")
        >>> sizes = spectrum(layer, torch.randn(2, 20, 3))
        >>> sizes.exact, bool((sizes.norm.value - 1).abs().max() < 1e-5)
        (True, True)

    References:
        Halko, Martinsson & Tropp 2011, "Finding structure with randomness", algorithm 4.4 and
        equation 4.3; Hutchinson 1990, "A stochastic estimator of the trace of the influence
        matrix"; Saad 2011, "Numerical methods for large eigenvalue problems".
    """
    steps = _steps(model, x, layer, options)
    part = steps.part(state)
    start = steps.track.order[0] if k is None else k % len(steps)
    after = steps.between(steps.track.order[-1], start)
    if not after:
        raise ConfigError(f"expected steps after k={start}, got a sequence that ends there")
    exact = part.stop - part.start <= EXACT_UP_TO if exact is None else exact
    if times is not None:
        chosen = [steps.between(t, start)[-1] for t in times]
    else:
        chosen = after if exact else after[:: -(-len(after) // 16)]
    sizes = _exact_sizes if exact else _Estimated(probes)
    sizes_at = sizes(steps, part, after, set(chosen))
    columns = zip(*(sizes_at[t] for t in chosen), strict=True)
    each = [Estimate(*(torch.stack(e).cpu() for e in zip(*c, strict=True))) for c in columns]
    step_norm, step_radius, norm, frobenius = each
    return Spectrum(tuple(chosen), step_norm, step_radius, norm, frobenius, exact)


_Sizes = tuple[Estimate, Estimate, Estimate, Estimate]


def _steps(model: Any, x: Any, layer: str | int | None, options: dict[str, Any]) -> Steps:
    with torch.no_grad():
        return Steps(record(model, x, **options).track(layer))


def _exact_sizes(
    steps: Steps, part: slice, after: Sequence[int], times: set[int]
) -> dict[int, _Sizes]:
    sizes_at = {}
    product = steps.identity(slice(0, steps.size)).transpose(0, 1)
    for t in after:
        step = steps.back(t, steps.identity(slice(0, steps.size))).transpose(0, 1)
        product = step @ product
        if t in times:
            one, whole = step[:, part, part], product[:, part, part]
            sizes = (
                torch.linalg.matrix_norm(one, 2),
                torch.linalg.eigvals(one).abs().amax(-1),
                torch.linalg.matrix_norm(whole, 2),
                torch.linalg.matrix_norm(whole),
            )
            sizes_at[t] = tuple(Estimate(size, size, size) for size in sizes)
    return sizes_at  # type: ignore[return-value]


class _Estimated:
    """The sizes of large Jacobians, by products with random vectors."""

    def __init__(self, probes: int) -> None:
        self._probes = probes

    def __call__(
        self, steps: Steps, part: slice, after: Sequence[int], times: set[int]
    ) -> dict[int, _Sizes]:
        draw = torch.Generator().manual_seed(0)
        width = part.stop - part.start
        shape = self._probes, steps.track.rows, width
        probes = torch.randn(shape, dtype=torch.float64, generator=draw).to(steps.device)
        sizes_at, moved, past = {}, _placed(probes, part, steps.size), list[int]()
        for t in after:
            moved = steps.ahead(t, moved)
            past.append(t)
            if t in times:
                one, one_back = _products(steps, part, [t])
                ahead, back = _products(steps, part, list(past))
                sizes_at[t] = (
                    krylov.spectral_norm(one, one_back, probes),
                    krylov.spectral_radius(one, probes[:1]),
                    krylov.spectral_norm(ahead, back, probes),
                    krylov.frobenius_norm(moved[..., part]),
                )
        return sizes_at


def _products(
    steps: Steps, part: slice, taken: Sequence[int]
) -> tuple[krylov.Product, krylov.Product]:
    """A part of the product of these steps' Jacobians, and of its transpose, with vectors."""

    def way(move: Callable[[int, Tensor], Tensor], order: Sequence[int]) -> krylov.Product:
        def product(v: Tensor) -> Tensor:
            v = _placed(v, part, steps.size)
            for t in order:
                v = move(t, v)
            return v[..., part]

        return product

    return way(steps.ahead, taken), way(steps.back, taken[::-1])


def _placed(v: Tensor, part: slice, size: int) -> Tensor:
    whole = v.new_zeros(*v.shape[:-1], size)
    whole[..., part] = v
    return whole
