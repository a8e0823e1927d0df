"""Every peer computes what elman's reference computes: outputs, and every gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.speed._plan import BUILT_IN, CUSTOM, Case, Shape
from benchmarks.speed._problem import Problem, difference, expected
from benchmarks.speed.peers import PEERS, _base, _onnxruntime, by_name
from torch import nn

from elman import ConfigError

# What each peer can do; it must not step aside from any of it.
WAYS = [
    *((name, "inference", False) for name in ("elman", "torch", "onnxruntime", "jax", "eager")),
    *((name, "training", True) for name in ("elman", "torch", "jax", "eager")),
    *((name, "ragged", False) for name in ("elman", "torch", "onnxruntime")),
    *((name, "ragged", True) for name in ("elman", "torch")),
]


def check(name: str, case: Case) -> set[str]:
    """The names of the peer's candidates, all of them right."""
    peer = by_name(name)
    reason = peer.why_not(case)
    if reason is not None and reason.startswith("not installed"):
        pytest.skip(f"{name}: {reason}")
    assert reason is None
    problem = Problem.of(case)
    wanted = expected(problem)
    candidates = peer.prepare(problem)
    for candidate in candidates.values():
        for _ in range(2):  # gradients must not pile up
            results = candidate.read(candidate.call())
        assert difference(results, wanted, case.cell) is None
        assert results.keys() >= wanted.keys()
    return set(candidates)


@pytest.mark.parametrize("cell", BUILT_IN)
@pytest.mark.parametrize(("name", "mode", "training"), WAYS)
def test_built_in_cells(name: str, cell: str, mode: str, training: bool, case: Any) -> None:
    assert check(name, case(cell, mode, training=training))


@pytest.mark.parametrize("cell", BUILT_IN)
@pytest.mark.parametrize("name", ["elman", "torch", "onnxruntime"])
def test_streams(name: str, cell: str, case: Any) -> None:
    assert check(name, case(cell, "streaming", shape="2x5x4x5x1"))


@pytest.mark.parametrize("cell", CUSTOM)
@pytest.mark.parametrize("name", ["elman", "eager"])
def test_custom_cells(name: str, cell: str, case: Any) -> None:
    assert check(name, case(cell, "custom", training=True))


@pytest.mark.slow
@pytest.mark.compile
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("default")  # torch.compile's own
def test_compiled_loops(case: Any) -> None:
    asked = case("tanh", "training", training=True, shape="2x3x3x4x1")
    if reason := by_name("compile").why_not(asked):
        pytest.skip(reason)
    ways = check("compile", asked)
    assert ways == {"compile step", "compile loop"}


@pytest.mark.parametrize(
    ("steps", "more"),
    [(100, {"compile 10 steps", "compile loop"}), (101, {"compile 10 steps"})],
)
def test_how_many_steps_a_compiled_graph_has(steps: int, more: set[str], case: Any) -> None:
    peer, asked = by_name("compile"), case("tanh", shape=f"1x{steps}x1x2x1")
    if reason := peer.why_not(asked):
        pytest.skip(reason)
    assert peer.prepare(Problem.of(asked)).keys() == {"compile step"} | more


def test_every_peer_is_tested() -> None:
    assert {name for name, _ in PEERS} == {name for name, _, _ in WAYS} | {"compile"}


def test_ragged_torch_runs_packed_and_padded(case: Any) -> None:
    assert check("torch", case("lstm", "ragged")) == {"torch packed", "torch padded"}


def test_no_gradient_of_the_input_where_it_is_not_asked_for(case: Any) -> None:
    asked = case("gru", "training", training=True)
    without = Case(asked.shape._replace(input_gradient=False), "gru", "training", True, 1)
    for wanted, names in ((asked, {"x"}), (without, set())):
        assert expected(Problem.of(wanted)).keys() & {"x"} == names


@pytest.mark.parametrize(
    ("peer", "of", "reason"),
    [
        ("torch", ("sine", "custom", True), "no cell sine"),
        ("jax", ("lstm", "ragged", False), "no mode ragged"),
        ("eager", ("lstm", "streaming", False), "no mode streaming"),
        ("onnxruntime", ("lstm", "training", True), "no training"),
    ],
)
def test_a_peer_says_why_not(peer: str, of: tuple[str, str, bool], reason: str, case: Any) -> None:
    cell, mode, training = of
    assert reason in (by_name(peer).why_not(case(cell, mode, training=training)) or "")


@pytest.mark.parametrize("name", ["jax", "onnxruntime"])
def test_a_missing_package_is_named(name: str, case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_base, "find_spec", lambda _: None)
    reason = by_name(name).why_not(case("lstm"))
    assert reason is not None
    assert reason.startswith("not installed: ")
    assert name in reason


def test_gates_in_the_wrong_order_are_noticed(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setitem(_onnxruntime._ORDER, "lstm", (0, 1, 2, 3))
    problem = Problem.of(case("lstm"))
    [candidate] = _onnxruntime.prepare(problem).values()
    wrong = difference(candidate.read(candidate.call()), expected(problem), "lstm")
    assert wrong is not None
    assert wrong.startswith("its output is off by")


def test_the_reference_is_torchs(case: Any) -> None:
    problem = Problem.of(case("lstm", "training", training=True))
    lstm = nn.LSTM(4, 5, 2).double()
    for key, value in problem.parameters.items():
        layer, name = key.split(".")
        getattr(lstm, f"{name}_l{layer}").data.copy_(value.data)
    x = problem.x.double().requires_grad_()
    output = lstm(x)[0]
    output.backward(problem.gradient.double())
    wanted = expected(problem)
    torch.testing.assert_close(wanted["output"], output.detach())
    torch.testing.assert_close(wanted["x"], x.grad)
    torch.testing.assert_close(wanted["1.weight_hh"], lstm.weight_hh_l1.grad)


def test_what_counts_as_different() -> None:
    right = {"output": torch.tensor([1.0, 2.0])}
    assert difference({"output": torch.tensor([1.0, 2.00001])}, right, "relu") is None
    for wrong, said in (
        ({}, "it computes no output"),
        ({"output": torch.ones(3)}, "has shape (3,), expected (2,)"),
        ({"output": torch.tensor([1.0, 2.001])}, "its output is off by 5.0e-04"),
        ({"output": torch.tensor([1.0, 2.0001])}, "off by 4.5e-05 in the mean square"),
        ({"output": torch.tensor([1.0, torch.nan])}, "off by nan"),
    ):
        assert said in (difference(wrong, right, "relu") or "")


def test_a_gradient_may_take_the_other_side_of_a_kink_here_and_there() -> None:
    right = {"x": torch.ones(10_000)}
    here_and_there, everywhere = torch.ones(10_000), torch.full((10_000,), 1.01)
    here_and_there[::5000] = 1.1
    assert difference({"x": here_and_there}, right, "relu") is None
    assert "off by 1.0e-01 of the largest" in (
        difference({"x": here_and_there}, right, "gru") or ""
    )
    assert "off by 1.0e-02 in the mean" in (difference({"x": everywhere}, right, "relu") or "")


def test_a_file_can_be_a_peer(tmp_path: Path, case: Any) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from benchmarks.speed.peers._eager import prepare, why_not\n")
    assert check(str(file), case()) == {"eager"}
    with pytest.raises(ConfigError, match=r"absent\.py: no such file"):
        by_name(str(tmp_path / "absent.py"))


def test_ragged_lengths_are_in_the_promised_range() -> None:
    shape = Shape("", 200, 40, 1, 2)
    lengths = Problem.of(Case(shape, "tanh", "ragged", False, 1)).lengths
    assert lengths is not None
    assert (int(lengths.min()), int(lengths.max())) == (10, 40)
