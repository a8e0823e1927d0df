"""Every option of an operation is honored or refused; none is dropped."""

# ruff: noqa: ARG005 - every step takes the same
from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from elman.engine.compiler import _codegen  # noqa: F401 - registers all rules
from elman.engine.compiler._lower import RULES, Untraceable
from elman.engine.compiler._trace import compile_cell
from unit.engine.test_kinds import cell, equal

Step = Callable[[Tensor, Tensor], Tensor]


def test_every_rule_names_all_that_it_takes() -> None:
    for name, one in RULES.items():
        kinds = {p.kind for p in inspect.signature(one.lower).parameters.values()}
        assert inspect.Parameter.VAR_KEYWORD not in kinds, name
        assert inspect.Parameter.VAR_POSITIONAL not in kinds, name


@pytest.mark.parametrize(
    "step",
    [
        lambda a, b: torch.sub(a, b, alpha=3),
        lambda a, b: torch.rsub(a, b, alpha=3),
        lambda a, b: torch.add(a, b, alpha=-2),
        lambda a, b: torch.div(a, 0.5, rounding_mode="floor"),
        lambda a, b: torch.div(a, 0.5, rounding_mode="trunc"),
        lambda a, b: torch.div(a, b, rounding_mode="floor"),
        lambda a, b: torch.where(torch.logical_or(-a.abs(), b * 0), a, b),
        lambda a, b: torch.where(torch.logical_and(a * 0 + 1e-30, b * 0 + 1e-30), a, b),
        lambda a, b: torch.where(torch.logical_xor(a * 3, b), a, b),
        lambda a, b: torch.where(torch.logical_not(a), a, b),
        lambda a, b: ((a > 0) + (b > 0)).to(a.dtype) + b,
        lambda a, b: torch.where((a > 0).logical_or(-b), a, b),
        lambda a, b: torch.addcmul(a, a, b, value=0.25),
        lambda a, b: torch.addcdiv(a, a, b.exp(), value=-0.5),
        lambda a, b: a.var(-1, correction=2, keepdim=True) + b,
        lambda a, b: torch.std(a, -1, correction=0, keepdim=True) * b,
        lambda a, b: F.softmax(a, -1) * b,
        lambda a, b: F.gelu(a, approximate="tanh") + b,
        lambda a, b: F.leaky_relu(a, 0.3) + F.elu(b, 0.7),
        lambda a, b: F.softplus(a, beta=3, threshold=1) + F.threshold(b, 0.1, 20),
        lambda a, b: torch.clamp(a, max=0.3) + torch.clamp(b, min=-0.1),
        lambda a, b: a.clone(memory_format=torch.contiguous_format) + b.contiguous(),
        lambda a, b: torch.nan_to_num(a / (b * 0), nan=2.0, posinf=3.0, neginf=-3.0),
        lambda a, b: a / 1e-42 + b / -0.0,
        lambda a, b: torch.round(a * 3, decimals=1) + b,
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_options_are_honored(step: Step, dtype: torch.dtype) -> None:
    equal(cell(lambda s, a, b, h: step(a, b)).to(dtype))


@pytest.mark.parametrize(
    ("reason", "step"),
    [
        (r"cumsum", lambda a, b: a.cumsum(-1) + b),
        (r"argmax", lambda a, b: a * a.argmax(-1, keepdim=True)),
        (r"to torch.float16", lambda a, b: a.half().float() + b),
        (
            r"sum.*in torch.float64|in torch.float64",
            lambda a, b: a.sum(-1, dtype=torch.float64).float()[:, None] + b,
        ),
        (r"to torch.int32|view", lambda a, b: a.view(torch.int32).view(a.dtype) + b),
    ],
)
def test_what_has_no_native_form_is_refused_by_name_and_line(reason: str, step: Step) -> None:
    made = cell(lambda s, a, b, h: step(a, b))
    with pytest.raises(Untraceable, match=rf"({reason}).*test_options.py:\d+"):
        compile_cell(made, torch.float32, None)


def test_what_torch_refuses_within_a_gradient_has_its_name_and_line() -> None:
    """The gradient of this product reads a tensor as a condition, and its message names neither."""
    index = torch.tensor([0, 1, 2, 3, 4])
    made = cell(
        lambda s, a, b, h: a.scatter_reduce(-1, s.index.expand(a.shape[0], -1), b, "prod"),
        index=index,
    )
    with pytest.raises(Untraceable, match=r"gradient: .*scatter_reduce.*test_options.py:\d+"):
        compile_cell(made, torch.float32, None)


def test_a_cell_of_one_unit_may_join_nothing() -> None:
    class Made(type(cell(lambda s, a, b, h: a))):  # type: ignore[misc]
        def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
            a, b = inp.a + rec.a, inp.b + rec.b
            return self.State(h=torch.cat([a[:, :1], b[:, 1:]], -1))

    equal(Made(3, 1))
