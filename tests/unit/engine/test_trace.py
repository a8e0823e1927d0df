"""What can be traced is traced anew when it changes; what cannot is refused by name and line."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import elman
from elman.cells import PointwiseCell
from elman.engine.compiler import _trace
from elman.engine.compiler._lower import Untraceable
from elman.engine.compiler._trace import compile_cell
from unit.engine.own_cells import Sine


def program_text(made: PointwiseCell, dtype: torch.dtype) -> str:
    return compile_cell(made, dtype, None).text


def cell(step: Any, **attributes: Any) -> PointwiseCell:
    class Made(PointwiseCell):
        gates, states = ("z",), ("h",)

        def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
            return self.State(h=step(self, inp.z + rec.z))

    made = Made(3, 5)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (lambda _, z: torch.special.bessel_j0(z), r"special_bessel_j0.*test_trace.py"),
        (lambda _, z: z if z.sum() > 0 else -z, r"Python number or condition.*test_trace.py"),
        (lambda _, z: z * z.mean().item(), r"Python number.*test_trace.py"),
        (lambda _, z: torch.dropout(z, 0.5, True), r"random numbers.*test_trace.py"),
        (lambda _, z: z - z.mean(0), r"adds up over the batch"),
        (lambda _, z: z / z.shape[0], r"depends on the number of rows"),
        (lambda _, z: z.flip(-1), r"flip"),
        (lambda _, z: z[:1].expand_as(z), r"rows cannot be picked"),
        (lambda _, z: z[:, :1] * z, r"only whole gates"),
        (lambda _, z: z.mul_(2), r"mul_ changes a tensor in place"),
        (lambda _, z: z.mean(-1), r"state of shape"),
    ],
)
def test_refused(step: Any, reason: str) -> None:
    with pytest.raises(Untraceable, match=reason):
        program_text(cell(step), torch.float32)


def test_an_attribute_that_could_change_unseen_is_refused() -> None:
    with pytest.raises(Untraceable, match=r"Made.table is a tensor"):
        program_text(cell(lambda c, z: z * c.table, table=torch.ones(5)), torch.float32)
    with pytest.raises(Untraceable, match=r"Made.thing is a object"):
        program_text(cell(lambda c, z: z if c.thing else -z, thing=object()), torch.float32)


def test_an_attribute_is_part_of_the_program() -> None:
    made = cell(lambda c, z: z * c.scale, scale=2.0)
    assert "mul_value r0 2.0" in program_text(made, torch.float32)
    made.scale = 3.0
    assert "mul_value r0 3.0" in program_text(made, torch.float32)


def test_an_attribute_of_the_class_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Sine(3, 5)
    before = program_text(made, torch.float32)
    monkeypatch.setattr(Sine, "sharpness", 2.5)
    assert program_text(made, torch.float32) == before.replace("1.5", "2.5")


def test_what_a_closure_holds_is_part_of_the_program() -> None:
    def scaled(by: float) -> Any:
        return cell(lambda _, z: z * by)

    assert program_text(scaled(2.0), torch.float32) != program_text(scaled(3.0), torch.float32)


def test_a_submodule_is_part_of_the_program() -> None:
    made = cell(lambda c, z: c.activation(z), activation=nn.LeakyReLU(0.1))
    before = program_text(made, torch.float32)
    made.activation.negative_slope = 0.2
    assert program_text(made, torch.float32) != before


def test_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, alike = (cell(lambda _, z: z) for _ in range(2))
    program_text(made, torch.float32)
    monkeypatch.delattr(_trace, "_Step")
    program_text(made, torch.float32)
    assert program_text(alike, torch.float32) == program_text(made, torch.float32)


def test_a_step_that_changes_the_precision_is_not_traced() -> None:
    class Rounds(PointwiseCell):
        gates, states = ("z",), ("h",)

        def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
            return self.State((inp.z + rec.z).float())

    with pytest.raises(Untraceable, match=r"in torch.float32: programs compute in one dtype"):
        program_text(Rounds(2, 3).double(), torch.float64)


def test_tracing_does_not_see_the_state_of_autograd_where_it_happens() -> None:
    """The first forward may be in a checkpoint, whose hooks torch.func refuses, or in autocast."""
    made, alike = (cell(lambda _, total: torch.tanh(total), shift=0.375) for _ in range(2))
    expected = program_text(made, torch.float32)
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t)
    with hooks, torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert program_text(alike, torch.float32) == expected


def test_a_checkpointed_layer_is_traced_in_its_first_call() -> None:
    layer = elman.Recurrent(cell(lambda _, total: torch.sigmoid(total)), engine="native")
    x = torch.randn(2, 7, 3, requires_grad=True)
    (kept,) = torch.autograd.grad(checkpoint(layer, x, use_reentrant=False)[0].square().sum(), x)
    (expected,) = torch.autograd.grad(layer(x)[0].square().sum(), x)
    torch.testing.assert_close(kept, expected)


def test_a_method_kept_in_an_attribute_uses_the_cells_own_tensors() -> None:
    made = cell(lambda self, z: self.squash(z))
    made.slope = nn.Parameter(torch.rand(5))
    made.squash = (lambda self, z: torch.tanh(self.slope * z)).__get__(made)
    layer, x = elman.Recurrent(made, engine="native"), torch.randn(2, 4, 3)
    results = []
    for engine in ("native", "reference"):
        output = elman.Recurrent(made, engine=engine)(x)[0]
        results.append(torch.autograd.grad(output.sum(), list(layer.parameters())))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


NOTEBOOK = """
import torch, elman
class Decaying(elman.cells.PointwiseCell):
    gates, states = ("z",), ("h",)
    def pointwise(self, inp, rec, state):
        return self.State(h=0.9 * state.h + torch.sin(inp.z + rec.z))
"""


def test_a_cell_of_a_notebook_has_no_file() -> None:
    notebook: dict[str, Any] = {"__name__": "__main__"}
    exec(NOTEBOOK, notebook)  # noqa: S102 - as a notebook runs what is written in it
    layer, x = elman.Recurrent(notebook["Decaying"](3, 5), engine="native"), torch.randn(2, 7, 3)
    output, _ = layer(x)
    with elman.use_engine("reference"):
        torch.testing.assert_close(elman.Recurrent(layer.cell)(x)[0], output)


def test_a_trace_leaves_no_cycles_behind() -> None:
    compile_cell(elman.cells.LSTM(3, 5), torch.float32, None)  # imports what it needs
    new = elman.cells.LSTM(3, 29)
    gc.collect()
    compile_cell(new, torch.float32, None)
    assert gc.collect() < 1000
    assert gc.isenabled()
