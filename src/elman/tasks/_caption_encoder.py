"""What sees in captioning: convolutions that are learned, or an encoder of torchvision."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from elman._errors import ConfigError, DataError
from elman._files import why
from elman.tasks._caption_config import CONVOLUTIONS, CaptionNet

Weights = Mapping[str, Tensor]

MISSING = 'model.encoder = {} is a network of torchvision: pip install "elman[vision]"'
NAMED = 3
"""Names of missing weights that a message has."""


class Convolutions(nn.Sequential):
    """Convolutions with a stride of 2, each with a batch norm and a relu.

    Shapes: images (batch, 3, height, width) as bytes to (batch, channels, rows, columns).
    """

    def __init__(self, channels: list[int]) -> None:
        blocks: list[nn.Module] = []
        for inner, outer in pairwise([3, *channels]):
            kernel = 3 if blocks else 5
            blocks += [nn.Conv2d(inner, outer, kernel, 2, kernel // 2, bias=False)]
            blocks += [nn.BatchNorm2d(outer), nn.ReLU()]
        super().__init__(*blocks)

    def forward(self, images: Tensor) -> Tensor:
        regions = images.to(next(self.parameters()).dtype) / 127.5 - 1
        for layer in self:
            regions = layer(regions)
        return regions


class Pretrained(nn.Module):
    """The layers of an image classifier of torchvision up to its last map of regions.

    Images are standardized as those of ImageNet, which the weights were trained on. With ``freeze``
    the weights stay as they are, and batch norms keep their statistics.

    Args:
        name: the name of the classifier, such as "resnet18".
        freeze: whether the weights are trained no further.

    Shapes: images (batch, 3, height, width) as bytes to (batch, channels, rows, columns).

    Raises:
        ConfigError: torchvision is not installed, or does not belong to this torch.

    References:
        He et al. 2016, "Deep residual learning for image recognition", for resnet18 and resnet50.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, name: str, *, freeze: bool) -> None:
        super().__init__()
        whole = torchvision(name).models.get_model(name, weights=None)
        layers = dict(whole.named_children())
        before = list(layers)[: list(layers).index("avgpool")]
        self.layers = nn.Sequential()
        for layer in before:
            self.layers.add_module(layer, layers[layer])
        self.name, self.freeze = name, freeze
        for key, values in (("mean", (0.485, 0.456, 0.406)), ("deviation", (0.229, 0.224, 0.225))):
            self.register_buffer(key, torch.tensor(values).view(3, 1, 1), persistent=False)
        self.requires_grad_(not freeze)
        self.train()

    def train(self, mode: bool = True) -> Pretrained:
        super().train(mode and not self.freeze)
        return self

    def forward(self, images: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze):
            regions: Tensor = self.layers((images / 255 - self.mean) / self.deviation)
        return regions

    def start_from(self, weights: Weights, source: str) -> None:
        """Take the weights of a whole classifier; those of its last layers are left out.

        Raises:
            DataError: weights are missing, or have other shapes.
        """
        own = self.layers.state_dict()
        wrong = [
            name
            for name, value in own.items()
            if name not in weights or weights[name].shape != value.shape
        ]
        wrong = [name for name in wrong if not name.endswith("num_batches_tracked")]
        if wrong:
            more = f" and {len(wrong) - NAMED:,} more" if len(wrong) > NAMED else ""
            raise DataError(
                f"{source}: expected the weights of {self.name}, got none of the right shape for "
                f"{', '.join(wrong[:NAMED])}{more}: check model.encoder and model.weights"
            )
        self.layers.load_state_dict({n: weights[n] for n in own if n in weights}, strict=False)


def encoder_of(config: CaptionNet) -> Convolutions | Pretrained:
    """The encoder that a configuration names, with weights of its own."""
    if config.encoder == CONVOLUTIONS:
        return Convolutions(config.channels)
    return Pretrained(config.encoder, freeze=config.freeze)


def map_of(encoder: nn.Module, size: int) -> tuple[int, int]:
    """The channels and the side of the map that an encoder makes of images of a size."""
    training = encoder.training
    with torch.no_grad():
        regions = encoder.eval()(torch.zeros(1, 3, size, size))
    encoder.train(training)
    return regions.shape[1], regions.shape[2]


def pretrained_weights(config: CaptionNet) -> tuple[Weights, str] | None:
    """The weights to begin with and where they are from; None for convolutions.

    They are those of ``model.weights``, or of the file that torchvision keeps of them; nothing is
    downloaded. A file of torch is loaded with ``weights_only``, so that it can run no code.

    Raises:
        ConfigError: there is no such file, or no torchvision.
        DataError: the file cannot be read, or has no weights.
    """
    if config.encoder == CONVOLUTIONS:
        return None
    vision = torchvision(config.encoder)
    path = config.weights or _kept(vision, config.encoder)
    return weights_in(path), str(path)


def weights_in(path: Path) -> Weights:
    """The weights in a file of torch or of safetensors.

    Raises:
        ConfigError: there is no such file.
        DataError: it cannot be read, or has no weights.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file: check model.weights")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        weights: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        detail = why(error) if isinstance(error, OSError) else str(error).split("\n")[0]
        raise DataError(
            f"{path}: expected weights as torch.save or safetensors write them, got a file that "
            f"cannot be loaded as weights alone: {detail}: check model.weights"
        ) from error
    if not isinstance(weights, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        raise DataError(
            f"{path}: expected a state_dict, a tensor for each name, got "
            f"{type(weights).__name__}: save model.state_dict()"
        )
    return weights


def torchvision(encoder: str) -> Any:
    """The package.

    Raises:
        ConfigError: it is not installed, or does not belong to this torch.
    """
    try:
        import torchvision
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING.format(encoder)) from error
    except (ImportError, RuntimeError) as error:  # its operators are built for another torch
        raise ConfigError(
            f"model.encoder = {encoder} needs a torchvision that belongs to torch "
            f"{torch.__version__}, got one that cannot be imported beside it ({error}): install "
            'both from one index (pytorch.org names them), then "elman[vision]"'
        ) from error
    return torchvision


def _kept(vision: Any, encoder: str) -> Path:
    """Where torchvision keeps the weights that it downloads."""
    url = vision.models.get_model_weights(encoder).DEFAULT.url
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if not path.is_file():
        raise ConfigError(
            f"expected the weights of {encoder} in {path}, where torchvision keeps them, got none: "
            f"give a file with --model.weights, or download {url} there; elman itself asks no "
            "other host"
        )
    return path
