"""Events as TensorBoard's scalars, where TensorBoard is installed and asked for."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from elman._errors import ConfigError


class TensorBoard:
    """Writes the numbers of "train" and "valid" events, by update, as ``train/nats`` and so on.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if find_spec("tensorboard") is None:
            raise ConfigError(
                "train.tensorboard needs the package tensorboard: "
                'pip install "elman[tensorboard]", or leave it off'
            )
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] not in ("train", "valid"):
            return
        for key, value in event.items():
            if isinstance(value, float):
                self._writer.add_scalar(f"{event['event']}/{key}", value, event["update"])

    def close(self) -> None:
        self._writer.close()
