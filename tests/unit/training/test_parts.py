from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from elman._errors import ConfigError
from elman.bptt import CheckpointedBPTT, FullBPTT, TruncatedBPTT
from elman.clip import AdaptiveClip, ClipByNorm, ClipByValue, NoClip
from elman.training import Constant, Cosine, StepDecay, TrainConfig, parts


def config(**values: Any) -> TrainConfig:
    return TrainConfig.parse({"epochs": 1, **values})


def test_policies() -> None:
    truncated = parts.policy(config(k1=5, k2=9))
    assert isinstance(truncated, TruncatedBPTT)
    assert (truncated.k1, truncated.k2) == (5, 9)
    assert isinstance(parts.policy(config(bptt="full")), FullBPTT)
    checkpointed = parts.policy(config(bptt="checkpointed", every=7))
    assert isinstance(checkpointed, CheckpointedBPTT)
    assert checkpointed.every == 7


@pytest.mark.parametrize(
    ("name", "kind", "limit"),
    [
        ("norm", ClipByNorm, "max_norm"),
        ("value", ClipByValue, "limit"),
        ("adaptive", AdaptiveClip, "factor"),
    ],
)
def test_clips(name: str, kind: type, limit: str) -> None:
    made = parts.clip(config(clip=name, clip_limit=0.3))
    assert isinstance(made, kind)
    assert getattr(made, limit) == 0.3
    assert isinstance(parts.clip(config(clip="none")), NoClip)


def test_optimizers_take_their_settings() -> None:
    weights = nn.Linear(2, 2).parameters
    sgd = parts.optimizer(config(optimizer="sgd", momentum=0.9, weight_decay=0.1, lr=3), weights())
    assert isinstance(sgd, torch.optim.SGD)
    assert [sgd.defaults[key] for key in ("lr", "momentum", "weight_decay")] == [3, 0.9, 0.1]
    adam = parts.optimizer(config(optimizer="adam", betas=[0.5, 0.6]), weights())
    assert type(adam) is torch.optim.Adam
    assert adam.defaults["betas"] == (0.5, 0.6)
    adamw = parts.optimizer(config(optimizer="adamw", weight_decay=0.2), weights())
    assert type(adamw) is torch.optim.AdamW
    assert adamw.defaults["weight_decay"] == 0.2


def test_schedules() -> None:
    assert parts.schedule(config(), 10) == Constant()
    step = config(schedule="step", decay_after=3, decay=0.4)
    assert parts.schedule(step, 10) == StepDecay(3, 0.4)
    cosine = config(schedule="cosine", warmup=2, final=0.1)
    assert parts.schedule(cosine, 10) == Cosine(10, 2, 0.1)


def test_devices() -> None:
    assert parts.device("cpu") == torch.device("cpu")
    assert parts.device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ConfigError, match="unknown device 'gpu': use auto"):
        parts.device("gpu")
    with pytest.raises(ConfigError, match="'cuda:99' is not available"):
        parts.device("cuda:99")


def test_embeddings_have_sparse_gradients_only_where_the_result_is_the_same() -> None:
    alone, tied = nn.Embedding(5, 2), nn.Embedding(5, 2)
    output = nn.Linear(2, 5)
    output.weight = tied.weight
    network = nn.ModuleList([alone, tied, output])
    assert parts.sparse_embeddings(config(optimizer="sgd"), network) == [alone]
    others = [{"optimizer": "adam"}, {"momentum": 0.9}, {"weight_decay": 0.1}]
    for other in others:
        assert parts.sparse_embeddings(config(**{"optimizer": "sgd", **other}), network) == []
