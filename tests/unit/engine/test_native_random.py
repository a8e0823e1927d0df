"""The native engine against the reference in float64, on configurations that nobody chose."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from elman.cells import GRU, LSTM, Elman
from elman.engine import Recurrence, _native, _reference
from unit.engine.own_cells import MinimalGated, NormedGRU, Peephole, Sine, Statistics, TwoMatrices
from unit.engine.test_native import case, results, share

SMOOTH = (Elman, LSTM, GRU, MinimalGated, Peephole, NormedGRU, Sine)
# A sum within rounding of a kink takes the other branch in float32, whoever adds it up.
KINKED = (Statistics, TwoMatrices)
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12}
SIZES = [(1, 1), (3, 5), (7, 16), (4, 19), (20, 33)]
LAYOUTS: dict[str, Any] = {
    "time first": torch.randn,
    "batch first": lambda t, b, i: torch.randn(b, t, i).transpose(0, 1),
    "every other step": lambda t, b, i: torch.randn(2 * t, b, i)[::2],
    "every other row": lambda t, b, i: torch.randn(t, 2 * b, i)[:, 1::2],
    "part of a wider input": lambda t, b, i: torch.randn(t, b, i + 3)[..., 2 : 2 + i],
    "features outermost": lambda t, b, i: torch.randn(i, t, b).permute(1, 2, 0),
    "one row for all": lambda t, b, i: torch.randn(t, 1, i).expand(t, b, i),
}


@st.composite
def recurrences(draw: Any) -> Recurrence:
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    kind = draw(st.sampled_from(SMOOTH if dtype is torch.float32 else SMOOTH + KINKED))
    # A norm over one unit divides rounding errors by the root of eps, whoever computes it.
    inputs, units = draw(st.sampled_from(SIZES[kind is NormedGRU :]))
    steps, batch = draw(st.integers(1, 12)), draw(st.integers(1, 20))
    torch.manual_seed(draw(st.integers(0, 2**31)))
    cell = kind(inputs, units, bias=draw(st.booleans())).to(dtype)
    x = LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))](steps, batch, inputs).to(dtype)

    def states() -> Any:
        rows = draw(st.sampled_from([0, 1, batch]))  # zeros, one for all, one for each
        drawn = (torch.randn(max(rows, 1), units, dtype=dtype) * bool(rows) for _ in cell.states)
        return cell.State(*(s.expand(batch, units) for s in drawn))

    return Recurrence(
        cell,
        x,
        states(),
        lengths=torch.randint(0, steps + 1, (batch,)) if draw(st.booleans()) else None,
        reset=torch.rand(steps, batch) < 0.3 if draw(st.booleans()) else None,
        start=states(),
        reverse=draw(st.booleans()),
    )


def exactly(r: Recurrence) -> list[Tensor]:
    """The reference's results in float64; the cell's own numbers stay as they are."""
    kept = {name: t.clone() for name, t in r.cell.state_dict().items()}
    dtype = r.x.dtype
    state, start = (r.cell.State(*(s.double() for s in group)) for group in (r.state, r.start))
    r.cell.double()
    same = Recurrence(
        r.cell, r.x.double(), state, None, r.lengths, r.reset, start, reverse=r.reverse
    )
    found = results(_reference, same)
    r.cell.to(dtype).load_state_dict(kept)
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(max_examples=500, derandomize=True, suppress_health_check=list(HealthCheck))
@given(recurrences(), st.integers(1, 3))
def test_is_right_and_repeats_bit_for_bit(r: Recurrence, threads: int) -> None:
    share(threads, r.x.shape[1])
    got, again, exact = results(_native, r), results(_native, r), exactly(r)
    parameters = len(list(r.cell.parameters()))
    terms = [1] * (len(got) - parameters) + [r.x[..., 0].numel()] * parameters
    for i, (ours, repeated, right, n) in enumerate(zip(got, again, exact, terms, strict=True)):
        assert torch.equal(ours, repeated)
        scale = right.abs().max().clamp_min(n**0.5)  # a sum of n such terms, also where it cancels
        error, allowed = (ours - right).abs().max(), TOLERANCE[r.x.dtype] * scale
        if error > allowed:  # a norm of nearly equal numbers, say, which torch has no nearer
            allowed += (results(_reference, r)[i] - right).abs().max()
        assert error <= allowed


INFINITE = (float("inf"), float("-inf"), float("nan"))


@pytest.mark.parametrize("value", INFINITE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [*SMOOTH, Statistics])
def test_infinity_and_nan_flow_as_in_torch(kind: Any, dtype: torch.dtype, value: float) -> None:
    for seed in range(4):
        torch.manual_seed(seed)
        r = case(kind, (6, 5, 3, 4), dtype=dtype, reverse=seed > 1)
        r.x[2, 1, 0] = value
        if seed % 2:
            r.state[0][3, 1] = value
        for ours, right in zip(results(_native, r), results(_reference, r), strict=True):
            torch.testing.assert_close(ours, right, equal_nan=True)


def test_a_gate_without_a_part_in_the_step_has_no_gradient_not_even_nan() -> None:
    r = case(TwoMatrices, (6, 5, 3, 4))
    r.x[2, 1, 0] = float("nan")
    unused = slice(4, 8)  # what the input puts into its gate b
    *_, weight_ih, _, bias_ih, _ = results(_native, r)
    assert not weight_ih[unused].any()
    assert not bias_ih[unused].any()
    assert weight_ih[:4].isnan().any()
