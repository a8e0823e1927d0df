"""What torch.compile has compiled is compiled anew when what a cell's step reads has changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

import elman
from sampling import cases
from unit.engine import readings

pytestmark = [
    pytest.mark.compile,
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated"),
    pytest.mark.filterwarnings("ignore:.*Function.*should not be instantiated"),
]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    torch.set_default_dtype(torch.float32)


def sequences() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 4, 3, generator=generator, dtype=torch.float32)


# Nor does it notice these where it compiles the step itself, on the reference.
UNNOTICED = (
    "its sign: -0.0 for 0.0",
    "a builtin that a global hides",
    "a method of a dataclass",
    "one whose absence is caught",
    "a class attribute",
    "a method of the class",
)
NOTICED = [name for name in readings.CASES if name not in UNNOTICED]


@pytest.mark.parametrize("name", cases(NOTICED, 12))
def test_a_change_compiles_anew(name: str) -> None:
    cell, change = readings.anew(name)
    layer, x = elman.Recurrent(cell), sequences()
    compiled = torch.compile(layer, backend="aot_eager")
    with torch.no_grad():
        before = layer(x)[0]
        torch.testing.assert_close(compiled(x)[0], before)
        change()
        with elman.use_engine("reference"):
            after = layer(x)[0]
        torch.testing.assert_close(compiled(x)[0], after, equal_nan=True)
    assert not torch.allclose(before, after)


@pytest.mark.parametrize("name", cases(UNNOTICED, 2))
def test_what_goes_unnoticed_is_what_torch_compile_never_notices(name: str) -> None:
    cell, change = readings.anew(name)
    layer, x = elman.Recurrent(cell, engine="reference"), sequences()
    compiled = torch.compile(layer, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(x)[0], layer(x)[0])
        change()
        assert not torch.allclose(compiled(x)[0], layer(x)[0])
