"""From the names in a configuration to the objects that train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch
from torch import nn

from elman._errors import ConfigError
from elman.bptt import CheckpointedBPTT, FullBPTT, GradientPolicy, TruncatedBPTT
from elman.clip import AdaptiveClip, Clip, ClipByNorm, ClipByValue, NoClip
from elman.training._config import TrainConfig, Training
from elman.training._schedules import Constant, Cosine, Schedule, StepDecay


def device(name: str) -> torch.device:
    """The device of that name, which must be there; "auto" is CUDA where there is one.

    Raises:
        ConfigError: there is none, or this torch cannot use it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        choice = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"no device is called {name!r}: use auto, cpu, cuda or cuda:N") from error
    if choice.type == "cpu":
        return choice
    try:
        usable = choice.type != "meta" and bool(torch.zeros(1, device=choice).cpu().isfinite())
    except (RuntimeError, AssertionError, NotImplementedError, ImportError):
        usable = False  # torch says it at length, and of each backend in other words
    if not usable:
        cuda = f": torch sees {torch.cuda.device_count()} CUDA devices" * (choice.type == "cuda")
        raise ConfigError(
            f"device {name!r} is not there{cuda}; use cpu, or install a torch that has it"
        )
    return choice


def policy(config: Training) -> GradientPolicy:
    """How far back the gradient flows: all the way, unless windows of time are set."""
    if not isinstance(config, TrainConfig):
        return FullBPTT()
    match config.bptt:
        case "full":
            return FullBPTT()
        case "checkpointed":
            return CheckpointedBPTT(config.every)
        case "truncated":
            return TruncatedBPTT(config.k1, config.k2)


def clip(config: Training) -> Clip:
    """What bounds the gradients."""
    match config.clip:
        case "none":
            return NoClip()
        case "norm":
            return ClipByNorm(config.clip_limit)
        case "value":
            return ClipByValue(config.clip_limit)
        case "adaptive":
            return AdaptiveClip(config.clip_limit)


def optimizer(config: Training, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The update rule; fused, which on a CPU takes Adam a quarter of the time."""
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(
        parameters, config.lr, betas=config.betas, weight_decay=config.weight_decay, fused=True
    )


def sparse_embeddings(config: Training, network: nn.Module) -> list[nn.Embedding]:
    """The embeddings whose gradient may be that of the rows which occurred, with equal results.

    Plain SGD leaves a row alone that has no gradient; momentum, weight decay and Adam move it. A
    weight that is used elsewhere too, as tied ones are, has a gradient in every row.
    """
    if config.optimizer != "sgd" or config.momentum or config.weight_decay:
        return []
    parameters = [p for m in network.modules() for p in m.parameters(recurse=False)]
    uses = Counter(map(id, parameters))
    embeddings = [m for m in network.modules() if isinstance(m, nn.Embedding)]
    return [m for m in embeddings if uses[id(m.weight)] == 1 and m.weight.requires_grad]


def schedule(config: Training, updates: int) -> Schedule:
    """The learning rate of a run of so many updates."""
    match config.schedule:
        case "constant":
            return Constant()
        case "step":
            return StepDecay(config.decay_after, config.decay)
        case "cosine":
            return Cosine(updates, config.warmup, config.final)
