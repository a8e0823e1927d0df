"""What ``explain`` says, and that asking leaves no trace."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman import explain
from elman.cells import GRU, LSTM
from elman.engine import Recurrence, _select
from plans import engine_of

CUDNN = ("cudnn", "x is on cpu, and cuDNN runs on cuda")
X = torch.randn(2, 4, 3)


def paths(explanation: elman.engine.Explanation) -> list[str]:
    return [choice.path for choice in explanation.choices]


def test_a_layer() -> None:
    found = explain(elman.Recurrent(GRU(3, 5)), X)
    (choice,) = found.choices
    assert choice == elman.engine.Choice("", "GRU(3, 5)", "reference", (CUDNN,))
    assert str(found) == (
        "the model itself: GRU(3, 5) runs on reference\n"
        "    not cudnn: x is on cpu, and cuDNN runs on cuda"
    )


def test_layers_of_layers_by_their_paths() -> None:
    stack = elman.Stack(
        elman.Dropout(elman.Recurrent(LSTM(3, 4)), 0.5), elman.Bidirectional(GRU(4, 5), LSTM(4, 6))
    )
    found = explain(stack, X)
    assert paths(found) == ["layers.0.layer", "layers.1.directions.0", "layers.1.directions.1"]
    assert [choice.cell for choice in found.choices] == ["LSTM(3, 4)", "GRU(4, 5)", "LSTM(4, 6)"]


def test_drop_ins_by_layer_and_direction() -> None:
    model = nn.Sequential(elman.LSTM(3, 4, num_layers=2, bidirectional=True, proj_size=2))
    assert paths(explain(model, X)) == ["0 l0", "0 l0_reverse", "0 l1", "0 l1_reverse"]
    assert paths(explain(model[0], X)) == ["l0", "l0_reverse", "l1", "l1_reverse"]


def test_what_a_call_is_given() -> None:
    layer, seen = elman.Recurrent(LSTM(3, 5)), []
    layer.register_forward_pre_hook(lambda _, *given: seen.append(given), with_kwargs=True)
    state, lengths = layer.initial_state(2), torch.tensor([4, 0])
    explain(layer, X, state, lengths=lengths, reset=None, observe=True)
    ((args, options),) = seen
    assert args[0] is X
    assert args[1] is state
    assert options == {"lengths": lengths, "reset": None, "observe": True}


def test_the_same_recurrence_again_is_counted() -> None:
    class Thrice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = elman.Recurrent(GRU(3, 3))

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3):
                x = self.layer(x)[0]
            return x

    found = explain(Thrice(), X)
    assert paths(found) == ["layer"]
    assert found.calls == (3,)


def test_a_single_step_is_the_cell_s_own() -> None:
    (choice,) = explain(elman.GRUCell(3, 5), X[0]).choices
    reason = "this is a single step, and engines run whole sequences"
    assert (choice.engine, choice.why_not) == ("reference", (("cudnn", reason),))


def test_recurrences_that_no_layer_of_the_model_runs() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.hidden = GRU(3, 5), [elman.GRU(3, 5)]

        def forward(self, x: Tensor) -> None:
            elman.engine.run(elman.engine.Recurrence(self.cell, x, self.cell.initial_state(4)))
            self.hidden[0](x)

    assert paths(explain(Model(), X)) == ["cell", "GRU l0"]


def test_packed_sequences() -> None:
    packed = nn.utils.rnn.pack_sequence([torch.randn(4, 3), torch.randn(2, 3)])
    assert paths(explain(elman.GRU(3, 5), packed)) == ["l0"]


def test_nothing_to_explain() -> None:
    found = explain(nn.Linear(3, 3), X)
    assert (found.choices, found.engines, str(found)) == ((), set(), "no recurrence of elman ran")


def test_an_engine_asked_for_that_cannot_is_shown() -> None:
    stack = elman.Stack(elman.Recurrent(GRU(3, 3), engine="cudnn"), elman.Recurrent(GRU(3, 3)))
    found = explain(stack, X)
    assert [choice.engine for choice in found.choices] == [None, "reference"]
    assert found.engines == {None, "reference"}
    assert str(found).splitlines()[:3] == [
        "layers.0: GRU(3, 3) raises EngineError",
        "    not cudnn: x is on cpu, and cuDNN runs on cuda",
        "    not reference: 'cudnn' was asked for",
    ]


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of which the tests know what they decline."""
    known = {name: _select._ENGINES[name] for name in ("cudnn", "reference")}
    monkeypatch.setattr(_select, "_ENGINES", known)


@pytest.fixture
def double(engines: None, monkeypatch: pytest.MonkeyPatch) -> list[Recurrence]:
    """An engine before all others; the list is of what it ran."""
    ran: list[Recurrence] = []

    def run(r: Recurrence) -> Any:
        ran.append(r)
        return r.scan()

    engine = engine_of(run, without="no moon")
    monkeypatch.setattr(_select, "_ENGINES", {"double": engine} | _select._ENGINES)
    return ran


def test_what_runs_and_what_it_cannot(double: list[Recurrence]) -> None:
    (choice,) = explain(elman.Recurrent(GRU(3, 5)), X).choices
    assert (choice.engine, choice.limits, len(double)) == ("double", "no moon", 1)
    assert dict(choice.why_not)["reference"] == "double comes first"
    assert "    but no moon" in str(choice)


def test_blocks_and_names_are_explained(double: list[Recurrence]) -> None:
    with elman.use_engine("reference"):
        (choice,) = explain(elman.Recurrent(GRU(3, 5)), X).choices
    assert choice.engine == "reference"
    assert dict(choice.why_not)["double"] == "'reference' was asked for"
    assert explain(elman.Recurrent(GRU(3, 5), engine="double"), X).engines == {"double"}


def test_asking_leaves_no_trace() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = elman.GRU(3, 4, num_layers=2, dropout=0.5, batch_first=True)
            self.norm = nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> Tensor:
            normed: Tensor = self.norm(self.rnn(x)[0].mT)
            return normed

    model = Model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    generator = torch.get_rng_state()
    explain(model, X)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def test_an_error_of_the_model_is_raised_and_the_watch_ends() -> None:
    layer = elman.Recurrent(GRU(3, 5))
    with pytest.raises(elman.ShapeError, match="input_size=3"):
        explain(layer, torch.randn(2, 4, 7))
    assert _select._context.on_choice is None


def test_under_autocast_what_runs_is_explained() -> None:
    seen = []
    layer = elman.Recurrent(GRU(3, 5))
    layer.register_forward_hook(lambda _, __, result: seen.append(result[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        assert explain(layer, X.bfloat16()).engines == {"reference"}
    assert seen == [torch.float32]


@pytest.mark.compile
def test_what_is_compiled_is_looked_through() -> None:
    layer = elman.Recurrent(GRU(3, 5))
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    compiled(X)
    assert explain(compiled, X).engines == {"reference"}
    assert explain(nn.Sequential(compiled), X).engines == {"reference"}
