"""Events as TensorBoard scalars."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman._errors import ConfigError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard:
    """Writes the numbers of "train" and "valid" events by update, such as ``train/nats``.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self) -> None:
        if find_spec("tensorboard") is None:
            raise ConfigError(
                "train.tensorboard needs the package tensorboard: "
                'pip install "elman[tensorboard]", or turn it off'
            )
        self._writer: SummaryWriter | None = None

    def open(self, folder: Path) -> None:
        """Start writing into a folder."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def __call__(self, event: dict[str, Any]) -> None:
        if self._writer is None or event["event"] not in ("train", "valid"):
            return
        for key, value in event.items():
            if isinstance(value, float):
                self._writer.add_scalar(f"{event['event']}/{key}", value, event["update"])

    def close(self) -> None:
        if self._writer:
            self._writer.close()
