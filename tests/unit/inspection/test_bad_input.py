"""Input that is easily forgotten: right results or a clear error, of every measure and command."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from elman._errors import ConfigError
from elman.cells import GRU, LSTM
from elman.cli import main
from elman.inspection import (
    factors,
    first_bad,
    gates,
    gradient_flow,
    jacobian,
    lyapunov,
    memory,
    spectrum,
    truncation_bias,
)
from elman.layers import Bidirectional, Recurrent
from elman.training import config_class, train


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


X = draw(4, 30, 3)


def loss(h: Tensor) -> Tensor:
    return h.double().square().sum()


def of_flow(model: Any, x: Any, layer: int = 0, **options: Any) -> Tensor:
    return gradient_flow(model, x, loss, **options).per_row[layer].T


def of_gates(model: Any, x: Any, layer: int = 0, **options: Any) -> Tensor:
    names = ["store", "reset"]
    return gates(model, x, **options).gate(names[layer]).unit_mean[None]


def of_factors(model: Any, x: Any, layer: int = 0, **options: Any) -> Tensor:
    apart = factors(model, x, loss, layer=layer, **options)
    torch.testing.assert_close(apart.sum(), apart.autograd, rtol=0.1, atol=1e-4)
    return apart.sum()[None]


def of_truncation(model: Any, x: Any, layer: int = 0, **options: Any) -> Tensor:
    return truncation_bias(model, x, loss, k2=[1, 4, 9], **options).bias[None]


def of_spectrum(model: Any, x: Any, layer: int = 0, **options: Any) -> Tensor:
    k, times = ((3, [9, 12]), (15, [12, 9]))[layer]
    found = spectrum(model, x, k, times=times, layer=layer, state="all", **options)
    return found.norm.value.T


def of_jacobian(model: Any, x: Any, layer: int = 0, **options: Any) -> Tensor:
    t, k = ((3, 1), (1, 3))[layer]
    return jacobian(model, x, t, k, layer=layer, **options)


def of_lyapunov(model: Any, x: Any, layer: int = 0, **options: Any) -> Tensor:
    return lyapunov(model, x, 2, layer=layer, warm_up=0, **options).growth.transpose(0, 1)


def of_memory(model: Any, x: Any, layer: int = 0, **options: Any) -> Tensor:
    return memory(model, x, delays=2, **options)[layer].recalled[None]


BY_ROW = {
    "flow": of_flow,
    "jacobian": of_jacobian,
    "spectrum": of_spectrum,
    "lyapunov": of_lyapunov,
}
"""Row first."""
WHOLE = {"gates": of_gates, "factors": of_factors, "truncation": of_truncation}
"""One figure of all rows."""
MEASURES: dict[str, Callable[..., Tensor]] = {**BY_ROW, **WHOLE, "memory": of_memory}


@pytest.mark.parametrize("measure", [name for name in MEASURES if name != "truncation"])
def test_a_bidirectional_layer_is_its_two_directions(measure: str) -> None:
    of = MEASURES[measure]
    forwards, backwards = Recurrent(LSTM(3, 4)), Recurrent(GRU(3, 4), reverse=True)
    both = Bidirectional(LSTM(3, 4), GRU(3, 4)).double()
    for alone, part in zip((forwards, backwards), both.directions, strict=True):
        alone.double().load_state_dict(part.state_dict())
    torch.testing.assert_close(of(both, X, 0), of(forwards, X, 0))
    match measure:
        case "jacobian":
            expected = jacobian(backwards, X, 1, 3)
        case "spectrum":
            expected = spectrum(backwards, X, 15, times=[12, 9]).norm.value.T
        case "gates":
            expected = gates(backwards, X).gate("reset").unit_mean[None]
        case _:
            expected = of(backwards, X)
    torch.testing.assert_close(of(both, X, 1), expected)


@pytest.mark.parametrize("measure", [jacobian, spectrum, factors, lyapunov])
def test_of_two_directions_one_has_to_be_chosen(measure: Any) -> None:
    both = Bidirectional(LSTM(3, 4), GRU(3, 4)).double()
    given = {jacobian: (3, 1), factors: (loss,)}.get(measure, ())
    with pytest.raises(ConfigError, match=r"layer= from directions\.0, directions\.1"):
        measure(both, X, *given)
    assert spectrum(both, X, layer=1, k=9, times=[4]).times == (4,)
    assert first_bad(both, X) is None


@pytest.mark.parametrize("measure", [*BY_ROW, *WHOLE])
def test_rows_of_no_steps_change_nothing(measure: str) -> None:
    of, layer = MEASURES[measure], Recurrent(LSTM(3, 4)).double()
    lengths, there = torch.tensor([30, 7, 0, 12]), torch.tensor([0, 1, 3])
    found = of(layer, X, lengths=lengths)
    expected = of(layer, X[there], lengths=lengths[there])
    if measure in BY_ROW:
        found = found[there]
    torch.testing.assert_close(found, expected, equal_nan=True)


def test_of_no_steps_at_all_there_is_nothing_or_an_error() -> None:
    layer, none = Recurrent(LSTM(3, 4)).double(), {"lengths": torch.tensor([0, 0, 0, 0])}
    assert not gradient_flow(layer, X, loss, **none).norm.any()
    assert torch.equal(jacobian(layer, X, 3, 1, **none)[2], torch.eye(4).double())
    assert not of_factors(layer, X, **none).any()
    assert gates(layer, X, **none).gate("forget").mean.isnan().all()
    assert first_bad(layer, X, **none) is None
    with pytest.raises(ConfigError, match="no step is left to count"):
        lyapunov(layer, X, **none)
    with pytest.raises(ConfigError, match="must be finite and not 0, got a norm of 0"):
        truncation_bias(layer, X, loss, **none)
    with pytest.raises(ConfigError, match="rows of one length"):
        memory(layer, X, delays=2, **none)


@pytest.mark.parametrize("measure", MEASURES)
def test_bfloat16_is_measured_to_its_own_precision(measure: str) -> None:
    of, low = MEASURES[measure], Recurrent(LSTM(3, 4)).bfloat16()
    x = X.bfloat16()
    exact = Recurrent(LSTM(3, 4)).double()
    exact.load_state_dict(low.state_dict())
    found, expected = of(low, x).double(), of(exact, x.double()).double()
    assert found.isfinite().all()
    error = (found - expected).norm() / expected.norm()
    assert error < 0.05
    assert first_bad(low, x) is None


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a bidirectional network."""
    tree = {
        "data": {"name": "delayed-echo", "rows": 60, "steps": 8},
        "model": {"hidden": 4, "bidirectional": True},
        "train": {"max_steps": 4, "threads": 1},
    }
    config = config_class("tag").parse(tree)
    return train(config, tmp_path_factory.mktemp("both") / "run").run.path


@pytest.mark.slow
def test_commands_look_into_a_bidirectional_run(
    both_ways: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["flow", str(both_ways)]) == 0
    shown = capsys.readouterr().out
    assert all(f"directions.{way} " in shown for way in (0, 1))
    assert main(["doctor", str(both_ways)]) == 0
    assert main(["report", str(both_ways)]) == 0
    assert "directions.1" in (both_ways / "report/report.html").read_text(encoding="utf-8")


def test_commands_on_a_run_without_a_checkpoint(
    both_ways: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(both_ways, tmp_path / "run"))
    shutil.rmtree(run / "checkpoints")
    shutil.rmtree(run / "flow", ignore_errors=True)
    for command in ("flow", "doctor"):
        assert main([command, str(run)]) == 3
        assert "no checkpoint" in capsys.readouterr().err
    assert main(["report", str(run)]) == 0  # it shows the training
    assert "not measured: " in capsys.readouterr().err
    assert "not measured yet" in (run / "report/report.html").read_text("utf-8")
