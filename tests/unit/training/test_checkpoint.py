from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from elman._errors import CheckpointError
from elman.cells import LSTM
from elman.layers import Recurrent, Stack
from elman.training._checkpoint import (
    Checkpoint,
    pack_module,
    pack_optimizer,
    pack_state,
    unpack_module,
    unpack_optimizer,
    unpack_state,
)
from elman.training._config import FORMAT

HERE = Path("last/model.safetensors")


class Tied(nn.Module):
    """Two layers with one weight, and a buffer."""

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, size)
        self.output = nn.Linear(size, 6)
        self.output.weight = self.embedding.weight
        self.register_buffer("steps", torch.tensor(3))


def test_a_tied_weight_is_kept_once_and_stays_tied() -> None:
    first, second = Tied(), Tied()
    packed = pack_module(first)
    assert sorted(packed) == ["embedding.weight", "output.bias", "steps"]
    unpack_module(second, packed, HERE)
    assert torch.equal(second.embedding.weight, first.embedding.weight)
    assert second.output.weight is second.embedding.weight


def test_packed_tensors_are_copies() -> None:
    module = Tied()
    packed = pack_module(module)
    before = packed["output.bias"].clone()
    with torch.no_grad():
        module.output.bias.add_(1)
    assert torch.equal(packed["output.bias"], before)


def test_everything_that_does_not_fit_is_named() -> None:
    packed = pack_module(Tied(size=5))
    packed["steps"] = packed["steps"].float()
    packed["extra"] = packed.pop("output.bias")
    with pytest.raises(CheckpointError) as caught:
        unpack_module(Tied(size=4), packed, HERE)
    message = str(caught.value)
    assert str(HERE) in message
    assert "embedding.weight must be (6, 4) of torch.float32, got (6, 5)" in message
    assert "steps must be () of torch.int64, got () of torch.float32" in message
    assert "output.bias is missing" in message
    assert "extra is not in the model" in message


def test_nothing_is_loaded_when_something_does_not_fit() -> None:
    module = Tied()
    before = pack_module(module)
    packed = pack_module(Tied())
    del packed["steps"]
    with pytest.raises(CheckpointError):
        unpack_module(module, packed, HERE)
    assert all(torch.equal(pack_module(module)[name], before[name]) for name in before)


def step(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for parameter in module.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.Adam(p, 0.1, fused=True),
        lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
        lambda p: torch.optim.SGD(p, 0.1),
    ],
)
def test_an_optimizer_goes_on_where_it_was(make: object) -> None:
    assert callable(make)
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    one, two = make(first.parameters()), make(second.parameters())
    step(first, one)
    step(first, one)
    unpack_module(second, pack_module(first), HERE)
    unpack_optimizer(two, pack_optimizer(one), HERE)
    for module, optimizer in ((first, one), (second, two)):
        torch.manual_seed(1)
        step(module, optimizer)
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)


def test_the_state_of_another_optimizer_is_refused() -> None:
    big, small = nn.Linear(3, 2), nn.Linear(4, 2)
    optimizer = torch.optim.Adam(big.parameters())
    step(big, optimizer)
    packed = pack_optimizer(optimizer)
    with pytest.raises(CheckpointError, match=r"must be \(2, 4\) .* got \(2, 3\)"):
        unpack_optimizer(torch.optim.Adam(small.parameters()), packed, HERE)
    with pytest.raises(CheckpointError, match=r"9.exp_avg has no parameter"):
        unpack_optimizer(optimizer, {"9.exp_avg": torch.zeros(2)}, HERE)


def test_carried_state_and_randomness_come_back() -> None:
    stack = Stack(Recurrent(LSTM(3, 4)), Recurrent(LSTM(4, 5)))
    _, state = stack(torch.randn(2, 6, 3))
    packed = pack_state(state)
    drawn = torch.randn(3)
    back = unpack_state(stack.initial_state(2), packed, HERE)
    assert torch.equal(torch.randn(3), drawn)
    assert type(back[1]) is type(state[1])
    assert torch.equal(back[1].c, state[1].c)
    assert torch.equal(back[0].h, state[0].h)


def test_no_carried_state() -> None:
    assert unpack_state(None, pack_state(None), HERE) is None


def test_a_carried_state_of_another_structure_is_refused() -> None:
    packed = pack_state((torch.zeros(2), torch.zeros(2)))
    for template in (None, (torch.zeros(2),)):
        with pytest.raises(CheckpointError, match=r"as many tensors as .* got 2"):
            unpack_state(template, packed, HERE)


def written(folder: Path) -> Checkpoint:
    checkpoint = Checkpoint(pack_module(Tied()), progress={"update": 3})
    checkpoint.write(folder)
    return checkpoint


def test_files_round_trip(tmp_path: Path) -> None:
    checkpoint = written(tmp_path)
    back = Checkpoint.read(tmp_path)
    assert back.progress == {"update": 3}
    assert back.model.keys() == checkpoint.model.keys()
    assert torch.equal(back.model["output.bias"], checkpoint.model["output.bias"])


@pytest.mark.parametrize("name", ["model", "optimizer", "state"])
@pytest.mark.parametrize("damage", ["cut", "junk", "missing", "pickle"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, damage: str) -> None:
    written(tmp_path)
    path = tmp_path / f"{name}.safetensors"
    match damage:
        case "cut":
            path.write_bytes(path.read_bytes()[:-3])
        case "junk":
            path.write_bytes(b"\xff" * 100)
        case "missing":
            path.unlink()
        case "pickle":
            path.write_bytes(pickle.dumps({"w": 1}))
    with pytest.raises(CheckpointError, match=f"{name}.safetensors: cannot be read"):
        Checkpoint.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff"])
def test_a_damaged_state_is_named(tmp_path: Path, content: bytes) -> None:
    written(tmp_path)
    (tmp_path / "state.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"state.json: cannot be read"):
        Checkpoint.read(tmp_path)


@pytest.mark.parametrize("version", [0, FORMAT + 1, None, str(FORMAT)])
def test_another_format_is_refused(tmp_path: Path, version: object) -> None:
    written(tmp_path)
    path = tmp_path / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": version}))
    with pytest.raises(
        CheckpointError, match=f"format must be {FORMAT}, got {version!r}: use the elman"
    ):
        Checkpoint.read(tmp_path)


class Trap:
    """Unpickled, it would leave a mark."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code was run')",)


def test_a_pickle_in_the_place_of_weights_is_not_run(tmp_path: Path) -> None:
    written(tmp_path)
    torch.save({"output.bias": Trap()}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError):
        Checkpoint.read(tmp_path)


def test_weights_are_plain_safetensors(tmp_path: Path) -> None:
    checkpoint = written(tmp_path)
    loaded = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert torch.equal(loaded["embedding.weight"], checkpoint.model["embedding.weight"])
