"""The cuDNN engine: what it declines, and what it hands to torch's kernels.

They run on the CPU too, where cuDNN is not: with the machine set aside, the delegation is tested on
every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence

import elman
from elman.cells import GRU, LSTM, Cell, Elman, Projected
from elman.engine import Recurrence, _cudnn, _reference, _select, choose
from elman.testing import check_engine

CELLS: dict[str, Callable[[], Cell]] = {
    "tanh": lambda: Elman(3, 5),
    "relu": lambda: Elman(3, 5, activation="relu"),
    "lstm": lambda: LSTM(3, 5),
    "gru": lambda: GRU(3, 5),
    "projected": lambda: Projected(LSTM(3, 5), 2),
    "no bias": lambda: LSTM(3, 5, bias=False),
}
each_cell = pytest.mark.parametrize("make", CELLS.values(), ids=CELLS.keys())


class Own(elman.cells.PointwiseCell):
    gates, states = ("z",), ("h",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=torch.sin(inp.z + rec.z))


@pytest.fixture
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine set aside, and the engines that would come first there."""
    monkeypatch.setattr(_cudnn, "_machine", lambda _: None)
    known = {"cudnn": _cudnn, "reference": _reference}
    monkeypatch.setattr(_select, "_ENGINES", known)


def recurrence(cell: Cell, steps: int = 4, batch: int = 2, **options: Any) -> Recurrence:
    like = next(cell.parameters())
    x = torch.randn(steps, batch, 3, dtype=like.dtype)
    state = (torch.randn(batch, size, dtype=like.dtype) for size in cell.state_sizes)
    return Recurrence(cell, x, cell.State(*state), **options)


# What is handed over


@each_cell
@pytest.mark.usefixtures("anywhere")
def test_it_keeps_the_contract_of_engines(make: Callable[[], Cell]) -> None:
    check_engine("cudnn", make, declines=["reset"])


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(list(CELLS)),
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    reverse=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_any_lengths_in_any_order(name: str, lengths: list[int], reverse: bool, seed: int) -> None:
    torch.manual_seed(seed)
    r = recurrence(CELLS[name]().double(), 7, len(lengths), reverse=reverse)
    r.x.requires_grad_()
    r = replace(r, lengths=torch.tensor(lengths))
    results = []
    kernel = _cudnn._kernel(r.cell)
    assert kernel is not None
    for plan in (_cudnn.CudnnPlan(r, kernel), _reference.plan(r)):
        output, final = plan.run()
        loss = output.square().sum() + sum(s.sin().sum() for s in final)
        inputs = [r.x, *r.cell.parameters()]
        gradients = (
            torch.autograd.grad(loss, inputs, materialize_grads=True) if any(lengths) else ()
        )
        results.append([output, *final, *gradients])
    for ours, theirs in zip(*results, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-11)


def test_rows_are_packed_as_torch_packs_them() -> None:
    lengths, x = torch.tensor([2, 5, 0, 3]), torch.randn(5, 4, 3)
    packing = _cudnn._packing(lengths, reverse=False)
    real = lengths > 0
    theirs = pack_padded_sequence(x[:, real], lengths[real], enforce_sorted=False)
    assert torch.equal(x.flatten(0, 1)[packing.places], theirs.data)
    assert torch.equal(packing.sizes, theirs.batch_sizes)
    assert packing.rows.tolist() == [1, 3, 0]


@each_cell
def test_the_weights_are_one_block(make: Callable[[], Cell]) -> None:
    cell: Any = make()
    ih, hh, b_ih, b_hh, *hr = _cudnn._laid_out(cell.weights)
    place = ih.data_ptr()
    for part in (ih, hh, *hr, b_ih, b_hh):
        assert part.is_contiguous()
        assert part.data_ptr() == place
        place += part.numel() * part.element_size()
    given = cell.weights
    assert torch.equal(ih, given.ih)
    assert torch.equal(hh, given.hh)
    assert given.b_ih is not None or not b_ih.any()


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("grad", [True, False])
def test_only_what_may_go_backward_is_kept_for_it(
    grad: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    trains = []

    def kernel(*given: Any) -> Any:
        trains.append(given[6])
        return torch.gru(*given)

    monkeypatch.setattr(_cudnn, "_KERNELS", ((GRU, kernel),))
    layer = elman.Recurrent(GRU(3, 5), engine="cudnn").eval()
    with torch.set_grad_enabled(grad):
        layer(torch.randn(2, 4, 3))
    assert trains == [grad]


@pytest.mark.usefixtures("anywhere")
def test_layers_and_drop_ins_run_on_it() -> None:
    x, lengths = torch.randn(3, 6, 3, dtype=torch.float64), torch.tensor([2, 6, 0])
    for model in (
        elman.Stack(elman.Recurrent(LSTM(3, 4)), elman.Bidirectional(GRU(4, 5), Elman(4, 2))),
        elman.LSTM(3, 4, num_layers=2, bidirectional=True, proj_size=2, batch_first=True),
    ):
        model.double()
        assert elman.explain(model, x, lengths=lengths).engines == {"cudnn"}
        output = model(x, lengths=lengths)[0]
        with elman.use_engine("reference"):
            assert torch.allclose(output, model(x, lengths=lengths)[0])


@pytest.mark.usefixtures("anywhere")
def test_weights_that_are_computed() -> None:
    cell = LSTM(3, 5)
    parametrizations.weight_norm(cell, "weight_hh")
    r = recurrence(cell)
    name, plan = choose(r)
    assert name == "cudnn"
    assert torch.allclose(plan.run()[0], r.scan()[0], atol=1e-6)


@pytest.mark.usefixtures("anywhere")
def test_what_it_cannot_is_said() -> None:
    (choice,) = elman.explain(elman.Recurrent(GRU(3, 5)), torch.randn(2, 4, 3)).choices
    assert choice.engine == "cudnn"
    assert choice.limits == "a gradient of a gradient raises an error; take 'reference' for it"


# What is declined


def other_activation() -> Recurrence:
    return recurrence(Elman(3, 5, activation=nn.Tanh()))


def with_a_double_state() -> Recurrence:
    r = recurrence(GRU(3, 5))
    return replace(r, state=r.cell.State(*(s.double() for s in r.state)))


ONLY = "it has LSTM, GRU, projected LSTM, and Elman cells with tanh or relu, and this is "
DECLINED: dict[str, tuple[Callable[[], Recurrence], str]] = {
    "own cell": (lambda: recurrence(Own(3, 5)), f"{ONLY}Own"),
    "activation": (other_activation, f"{ONLY}Elman"),
    "projected": (lambda: recurrence(Projected(Elman(3, 5), 2)), f"{ONLY}Projected"),
    "reset": (
        lambda: recurrence(LSTM(3, 5), reset=torch.zeros(4, 2, dtype=torch.bool)),
        "it has no resets",
    ),
    "observe": (
        lambda: recurrence(LSTM(3, 5), observe=lambda _, __: None),
        "it shows no gates (observe)",
    ),
    "no rows": (lambda: recurrence(GRU(3, 5), batch=0), "x is empty, (4, 0, 3)"),
    "no steps": (lambda: recurrence(GRU(3, 5), steps=0), "x is empty, (0, 2, 3)"),
    "dtypes": (with_a_double_state, "x, state and weights differ in device or dtype"),
}


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize(("make", "reason"), DECLINED.values(), ids=DECLINED.keys())
def test_tasks_it_declines(make: Callable[[], Recurrence], reason: str) -> None:
    r = make()
    assert _cudnn.plan(r) == reason
    assert choose(r)[0] == "reference"
    with pytest.raises(elman.EngineError):
        choose(r, "cudnn")


@pytest.mark.usefixtures("anywhere")
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch.func's own
def test_transforms_it_declines() -> None:
    r, reasons = recurrence(GRU(3, 5)), []

    def run(x: Tensor) -> Tensor:
        reasons.append(_cudnn.plan(replace(r, x=x)))
        return elman.engine.run(replace(r, x=x))[0]

    _, tangent = torch.func.jvp(run, (r.x,), (torch.ones_like(r.x),))
    assert tangent.shape == (4, 2, 5)
    with torch.autograd.forward_ad.dual_level():
        run(torch.autograd.forward_ad.make_dual(r.x, torch.ones_like(r.x)))
    torch.func.vmap(run)(r.x[None])
    reason = "it has no rule for torch.func's transforms and forward-mode gradients"
    assert reasons == [reason] * 3
    assert isinstance(_cudnn.plan(r), _cudnn.CudnnPlan)


@pytest.mark.compile
@pytest.mark.usefixtures("anywhere")
def test_torch_compile_gets_the_reference() -> None:
    layer, x = elman.Recurrent(GRU(3, 5), engine="cudnn"), torch.randn(2, 4, 3)
    assert layer(x)[0].shape == (2, 4, 5)
    with pytest.raises(Exception, match=r"torch\.compile would unroll its loop"):
        torch.compile(layer, fullgraph=True, backend="eager")(x)


# The machine, with a GPU that is not there


@pytest.fixture
def on_gpu() -> Any:
    """A tensor that says that it is on a GPU."""

    def make(dtype: torch.dtype = torch.float32) -> Tensor:
        with FakeTensorMode():
            return torch.empty(4, 2, 3, device="cuda:0", dtype=dtype)

    return make


def test_a_machine_without_a_gpu() -> None:
    assert _cudnn._machine(torch.randn(4, 2, 3)) == "x is on cpu, and cuDNN runs on cuda"


def test_machines_that_have_or_lack_cudnn(on_gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = torch.backends.cudnn
    monkeypatch.setattr(backend, "is_available", lambda: False)
    assert _cudnn._machine(on_gpu()) == "this torch was built without cuDNN"
    monkeypatch.setattr(backend, "is_available", lambda: True)
    for dtype in (torch.float16, torch.float32, torch.float64):
        assert _cudnn._machine(on_gpu(dtype)) is None
    expected = "it has float16, float32 and float64, not bfloat16"
    assert _cudnn._machine(on_gpu(torch.bfloat16)) == expected
    before = torch._C._get_cudnn_enabled()
    try:
        torch._C._set_cudnn_enabled(False)
        assert _cudnn._machine(on_gpu()) == "torch.backends.cudnn.enabled is False"
    finally:
        torch._C._set_cudnn_enabled(before)


# With a GPU that is there


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="cuDNN needs an NVIDIA GPU")


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_gpu_runs_it_without_a_warning(dtype: torch.dtype) -> None:
    layer = elman.LSTM(3, 5, num_layers=2, batch_first=True, device="cuda", dtype=dtype)
    x, lengths = torch.randn(3, 6, 3, device="cuda", dtype=dtype), torch.tensor([2, 0, 6])
    assert elman.explain(layer, x, lengths=lengths.cuda()).engines == {"cudnn"}
    output = layer(x, lengths=lengths.cuda())[0]
    with elman.use_engine("reference"):
        assert torch.allclose(output, layer(x, lengths=lengths)[0], atol=2e-3)


@needs_gpu
def test_a_gradient_of_a_gradient_is_an_error() -> None:
    layer, x = elman.GRU(3, 5, device="cuda"), torch.randn(4, 2, 3, device="cuda")
    x.requires_grad_()
    (first,) = torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="_cudnn_rnn_backward"):
        first.square().sum().backward()
    with elman.use_engine("reference"):
        (first,) = torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)
    first.square().sum().backward()
