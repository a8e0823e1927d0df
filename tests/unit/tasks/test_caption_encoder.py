"""A pre-trained encoder: its weights, what is frozen, what is refused. A stub is torchvision."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

import elman
from elman._errors import ConfigError, DataError
from elman.tasks import Caption, CaptionData, CaptionNet
from elman.tasks._caption_encoder import Pretrained, weights_in
from elman.training import config_class, train

URL = "https://example.org/models/resnet18-f37072fd.pth"


class Classifier(nn.Module):
    """The children of torchvision's classifiers, of which the last two make no map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 5, 3, 4, 1)
        self.bn1 = nn.BatchNorm2d(5)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(5, 1000)


@pytest.fixture
def vision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    module: Any = ModuleType("torchvision")
    kept = SimpleNamespace(DEFAULT=SimpleNamespace(url=URL))

    def get_model(name: str, weights: None) -> Classifier:
        assert (name, weights) == ("resnet18", None)
        return Classifier()

    module.models = SimpleNamespace(get_model=get_model, get_model_weights={"resnet18": kept}.get)
    monkeypatch.setitem(sys.modules, "torchvision", module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return module


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    torch.save(Classifier().state_dict(), tmp_path / "mine.pth")
    return tmp_path / "mine.pth"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photographs in Flickr8k's layout."""
    images = tmp_path / "photos" / "Images"
    images.mkdir(parents=True)
    lines = ["image,caption"]
    for number in range(20):
        color = ("red", "blue")[number % 2]
        Image.new("RGB", (20, 20), color).save(images / f"{number}.JPG")
        lines.append(f"{number}.JPG,something {color}")
    (tmp_path / "photos" / "captions.txt").write_text("\n".join(lines))
    return tmp_path / "photos"


def prepared(folder: Path, **model: Any) -> Caption:
    data = CaptionData.parse({"train": [folder], "size": 16, "batch": 8, "unique": False})
    sizes = {"hidden": 8, "embedding": 4, "encoder": "resnet18"}
    return Caption.prepare(data, CaptionNet.parse({**sizes, **model}))


def same(encoder: Pretrained, file: Path) -> bool:
    kept = torch.load(file)
    return all(
        torch.equal(value, kept[name]) for name, value in encoder.layers.state_dict().items()
    )


def test_a_run_begins_with_the_weights_and_keeps_them(
    vision: Any, weights: Path, folder: Path, tmp_path: Path
) -> None:
    settings = {
        "data": {"train": [folder], "size": 16, "batch": 8, "unique": False},
        "model": {"encoder": "resnet18", "weights": weights, "hidden": 16, "embedding": 4},
        "train": {"max_steps": 2, "threads": 1},
    }
    run = train(config_class("caption").parse(settings), tmp_path / "run").run.path
    kept = weights.rename(tmp_path / "elsewhere.pth")  # the run needs the file no more
    task = elman.load(run)
    assert same(task.network.convolutions, kept)
    [answer] = task.answers([{"image": folder / "Images" / "0.JPG"}])
    assert isinstance(answer["caption"], str)
    assert len([*task.rows_of(folder / "Images")]) == 20  # .JPG is a name of images, too


def test_what_is_frozen_neither_learns_nor_counts(vision: Any, weights: Path, folder: Path) -> None:
    for freeze in (True, False):
        task = prepared(folder, weights=str(weights), freeze=freeze)
        network = task.network.train()
        assert same(network.convolutions, weights)
        task.criterion(task.batches("train")[0]).backward()
        assert same(network.convolutions, weights) == freeze  # a batch norm counts in training
        grads = [p.grad for p in network.convolutions.parameters()]
        assert all((grad is None) == freeze for grad in grads)


def test_pixels_are_standardized(vision: Any) -> None:
    encoder = Pretrained("resnet18", freeze=True)
    encoder.layers = nn.Sequential()
    image = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    expected = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert encoder(image)[0, :, 0, 0].tolist() == pytest.approx(expected)


def test_the_file_that_torchvision_keeps(vision: Any, weights: Path, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"resnet18-f37072fd\.pth.*--model\.weights, or download"):
        prepared(folder)
    kept = Path(torch.hub.get_dir(), "checkpoints", "resnet18-f37072fd.pth")
    kept.parent.mkdir(parents=True)
    kept.write_bytes(weights.read_bytes())
    assert same(prepared(folder).network.convolutions, weights)


def test_weights_of_safetensors(vision: Any, weights: Path, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    safetensors.torch.save_file(torch.load(weights), file)
    assert same(prepared(folder, weights=str(file)).network.convolutions, weights)


class Bomb:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("exploded"),)


def test_a_file_of_weights_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(DataError, match=r"bomb\.pth: expected weights .* as weights alone"):
        weights_in(tmp_path / "bomb.pth")
    assert not Path("exploded").exists()


def test_files_that_hold_no_weights(vision: Any, weights: Path, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.pth: no such file: check model\.weights"):
        prepared(folder, weights="none.pth")
    (folder / "text.pth").write_text("weights")
    (folder / "text.safetensors").write_text("weights")
    for name in ("text.pth", "text.safetensors"):
        with pytest.raises(DataError, match=r"expected weights as torch\.save or safetensors"):
            weights_in(folder / name)
    torch.save([1, 2], folder / "list.pth")
    with pytest.raises(DataError, match=r"expected a state_dict, .* got list"):
        weights_in(folder / "list.pth")
    state = torch.load(weights)
    state["conv1.weight"] = state["conv1.weight"][:2]
    del state["bn1.bias"]
    torch.save(state, folder / "other.pth")
    with pytest.raises(DataError, match=r"weights of resnet18, got .* conv1\.weight, bn1\.bias:"):
        prepared(folder, weights=str(folder / "other.pth")).network  # noqa: B018 - it is built


def test_without_torchvision_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ConfigError, match=r'resnet18 .*: pip install "elman\[vision\]"'):
        prepared(folder)


def test_a_torchvision_of_another_torch_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
) -> None:
    broken = tmp_path / "site" / "torchvision"
    broken.mkdir(parents=True)
    text = "raise RuntimeError('operator torchvision::nms does not exist')"
    (broken / "__init__.py").write_text(text)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.syspath_prepend(str(broken.parent))
    with pytest.raises(ConfigError, match=r"belongs to torch .*nms does not exist.*one index"):
        prepared(folder)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"weights": "a.pth"}, "weights are for a pre-trained encoder"),
        ({"freeze": False}, "freeze is for a pre-trained encoder"),
        ({"encoder": "resnet18", "channels": [4]}, "channels are those of convolutions"),
        ({"encoder": "resnet19"}, "resnet18"),
    ],
)
def test_settings_that_do_not_belong_together(model: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CaptionNet.parse(model)


def test_the_default_convolutions_are_as_they_were(folder: Path) -> None:
    task = prepared(folder, encoder="convolutions", channels=[4, 4])
    names = [n for n in task.network.state_dict() if n.startswith("convolutions")]
    assert names[:2] == ["convolutions.0.weight", "convolutions.1.weight"]
    image = torch.from_numpy(np.full((1, 3, 16, 16), 255, np.uint8))
    network = task.network.eval()
    expected = nn.Sequential.forward(network.convolutions, torch.ones(1, 3, 16, 16))
    assert torch.equal(network.convolutions(image), expected)
