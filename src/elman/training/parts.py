"""The objects that a training configuration names."""

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

__all__ = ["clip", "device", "optimizer", "policy", "schedule", "sparse_embeddings"]


def device(name: str) -> torch.device:
    """The device of a name; "auto" is CUDA if available, otherwise the CPU.

    Raises:
        ConfigError: there is no such device, or torch cannot use it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        choice = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"unknown device {name!r}: use auto, cpu, cuda or cuda:N") from error
    if choice.type == "cpu":
        return choice
    try:
        usable = choice.type != "meta" and bool(torch.zeros(1, device=choice).cpu().isfinite())
    except (RuntimeError, AssertionError, NotImplementedError, ImportError):
        usable = False  # each backend has a long message of its own
    if not usable:
        cuda = f": torch sees {torch.cuda.device_count()} CUDA devices" * (choice.type == "cuda")
        raise ConfigError(
            f"device {name!r} is not available{cuda}; use cpu, or install a torch that supports it"
        )
    return choice


def policy(config: Training) -> GradientPolicy:
    """The gradient policy: full backpropagation, unless the task trains on windows of time."""
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
    """The gradient clipping."""
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
    """The optimizer; Adam is fused, which takes a quarter of the time on a CPU."""
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(
        parameters, config.lr, betas=config.betas, weight_decay=config.weight_decay, fused=True
    )


def sparse_embeddings(config: Training, network: nn.Module) -> list[nn.Embedding]:
    """The embeddings that may have sparse gradients without changing the result.

    Plain SGD does not move a row without a gradient; momentum, weight decay and Adam do. A weight
    that is also used elsewhere, such as a tied one, has gradients in all rows.
    """
    if config.optimizer != "sgd" or config.momentum or config.weight_decay:
        return []
    parameters = [p for m in network.modules() for p in m.parameters(recurse=False)]
    uses = Counter(map(id, parameters))
    embeddings = [m for m in network.modules() if isinstance(m, nn.Embedding)]
    return [m for m in embeddings if uses[id(m.weight)] == 1 and m.weight.requires_grad]


def schedule(config: Training, updates: int) -> Schedule:
    """The learning rate schedule of a run with this number of updates."""
    match config.schedule:
        case "constant":
            return Constant()
        case "step":
            return StepDecay(config.decay_after, config.decay)
        case "cosine":
            return Cosine(updates, config.warmup, config.final)


def __dir__() -> list[str]:
    return sorted(__all__)
