"""Where an operation of a trace comes from: the user's operation, and the line of code."""

from __future__ import annotations

import linecache
import sys
import traceback
import types
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from elman.engine.compiler._lower import Untraceable


class OriginMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes on every node of a trace its origin: the user's operation, and the line.

    Autograd runs the operations of a gradient much later. It numbers the operations of the forward,
    and its nodes know the number, so that those of a gradient get the origin of the operation that
    they are the gradient of.
    """

    def __init__(self) -> None:
        from torch.fx.experimental.proxy_tensor import get_proxy_mode

        super().__init__()  # type: ignore[no-untyped-call]
        mode = get_proxy_mode()
        assert mode is not None
        self.nodes = mode.tracer.graph.nodes
        self.origins: dict[int, tuple[str, SourceLine]] = {}
        self.last = ("", SourceLine())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        gradient = torch._C._current_autograd_node()
        if gradient is None:
            origin = str(func), user_line()
            self.origins[torch.autograd._get_sequence_nr() - 1] = origin
        else:
            origin = self.origins.get(gradient._sequence_nr(), ("", SourceLine()))
        self.last = origin
        before = next(iter(reversed(self.nodes)), None)
        output = func(*args, **(kwargs or {}))
        for node in reversed(self.nodes):
            if node is before:
                break
            node.meta["origin"] = origin
        return output

    def of(self, error: Exception) -> tuple[str, SourceLine]:
        """The operation that torch raised this for, and where it stands."""
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        for frame in reversed(frames):
            if not any(part in frame.f_code.co_filename for part in _NOT_THE_USERS):
                return "", SourceLine(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)
        # In the gradient itself: the message names its operation, or it was the last.
        named = [o for o in self.origins.values() if o[0].split(".")[1] in str(error)]
        return named[-1] if named else self.last


class SourceLine(NamedTuple):
    """A line of code; ``names`` are its globals, which know where a notebook keeps it."""

    file: str = ""
    number: int = 0
    names: dict[str, Any] | None = None

    def __str__(self) -> str:
        text = linecache.getline(self.file, self.number, self.names).strip()
        return f" ({self.file}:{self.number}: {text})" if self.file else ""


def user_line() -> SourceLine:
    """The innermost line of the user's own code that is running."""
    frame: types.FrameType | None = sys._getframe()
    while frame is not None and any(part in frame.f_code.co_filename for part in _NOT_THE_USERS):
        frame = frame.f_back
    if frame is None:
        return SourceLine()
    return SourceLine(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)


_NOT_THE_USERS = ("/torch/", "/elman/engine/", "contextlib", "/jaxtyping/")


def with_origin(error: Untraceable) -> str:
    """The message of an error, with the user's operation and line."""
    operation, place = error.node.meta.get("origin", ("", SourceLine()))  # type: ignore[union-attr]
    inside = f", in {operation}" if operation and operation not in str(error) else ""
    return f"{error}{inside}{place}"
