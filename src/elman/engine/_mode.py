"""Modes of torch in which no native library can be called."""

from __future__ import annotations

import torch


def recorder() -> str | None:
    """Why the operations of this call are recorded to run without elman; None if they are not."""
    if torch.compiler.is_exporting():
        return "an exported program must run where this library is not"
    if not torch.compiler.is_compiling() and torch._C._is_tracing():
        return (
            "torch.jit.trace, with which torch.onnx.export(dynamo=False) begins, records the "
            "operations of torch alone"
        )
    return None
