"""One step of a model as torch operations, traced with one row."""

from __future__ import annotations

import linecache
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import KeyPath, tree_flatten_with_path, tree_unflatten

from elman._errors import ConfigError
from elman.engine import use_engine

aten = torch.ops.aten
_NOT_THE_USERS = (
    "/torch/",
    "/elman/engine/",
    "/elman/exporting/_trace.py",
    "contextlib",
    "/jaxtyping/",
    "/beartype/",
    "<@beartype",
)
_LONGEST_LINE = 160


class Traced(NamedTuple):
    """The operations of a step.

    Attributes:
        module: the graph; it takes the input, then the states, and returns the output, then the
            states.
        names: of the states.
        start: the states before the first step, each of one row.
    """

    module: fx.GraphModule
    names: tuple[str, ...]
    start: tuple[Tensor, ...]


def trace(model: Any, example: Tensor) -> Traced:
    """Traces ``model.step(x, state)`` for one row.

    Raises:
        ConfigError: the step draws random numbers, changes a tensor in place, or decides by a
            tensor's value.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    pairs, structure = tree_flatten_with_path(model.initial_state(1))
    leaves = [leaf for _, leaf in pairs]

    def step(x: Tensor, *states: Tensor) -> list[Tensor]:
        output, state = model.step(x, tree_unflatten(list(states), structure))
        after = [leaf for _, leaf in tree_flatten_with_path(state)[0]]
        return [output, *after]

    with torch.no_grad(), use_engine("reference"):
        # What an operation of torch's does in place, on a tensor of its own, is no change.
        pure = torch.func.functionalize(step, remove="mutations")

        def watched(*tensors: Tensor) -> Any:
            with _TraceMode():
                return pure(*tensors)

        module = make_fx(watched, decomposition_table=_decompositions())(example, *leaves)
    names = _unique([_name_of(path) for path, _ in pairs])
    return Traced(module, names, tuple(leaf.detach() for leaf in leaves))


class _TraceMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes the line of Python on each traced node, and refuses what a graph cannot say."""

    def __init__(self) -> None:
        from torch.fx.experimental.proxy_tensor import get_proxy_mode

        super().__init__()  # type: ignore[no-untyped-call]
        mode = get_proxy_mode()
        assert mode is not None
        self.nodes = mode.tracer.graph.nodes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        line = _user_line()
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise ConfigError(_refusal("draws random numbers", func, line))
        if func._schema.is_mutable:
            raise ConfigError(_refusal("changes a tensor in place", func, line))
        if func is aten._local_scalar_dense.default:
            raise ConfigError(
                _refusal("reads a tensor as a Python number or condition", func, line)
            )
        before = next(iter(reversed(self.nodes)), None)
        output = func(*args, **(kwargs or {}))
        for node in reversed(self.nodes):
            if node is before:
                break
            node.meta["line"] = line
        return output


def _refusal(what: str, func: Any, line: str) -> str:
    return (
        f"a step that {what} ({func}; {line}) cannot be exported: every step must compute the same "
        "operations, so use torch.where instead of a condition, and the model in eval mode"
    )


def _user_line() -> str:
    """The innermost line that is neither torch's nor an engine's, with its file and number."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and any(part in frame.f_code.co_filename for part in _NOT_THE_USERS):
        frame = frame.f_back
    if frame is None:
        return ""
    file, number = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(file, number, frame.f_globals).strip()
    text = text if len(text) <= _LONGEST_LINE else f"{text[: _LONGEST_LINE - 4]} ..."
    return f"{text}  [{Path(file).name}:{number}]" if text else ""


def _decompositions() -> dict[Any, Any]:
    from torch._decomp import core_aten_decompositions, get_decompositions

    table = dict(core_aten_decompositions())
    table.update(get_decompositions([
        aten.softplus, aten.gelu, aten._softmax, aten._log_softmax,
        aten.leaky_relu, aten.elu, aten.hardtanh, aten.hardsigmoid, aten.hardswish, aten.silu,
        aten.log_sigmoid_forward, aten.logsumexp, aten.linalg_vector_norm,
        aten.softshrink, aten.hardshrink, aten.mish, aten.addcmul, aten.lerp,
    ]))  # fmt: skip
    return table


def _name_of(path: KeyPath) -> str:
    """``layer0_h`` of the state h of the first layer."""
    words = []
    for key in path:
        word = getattr(key, "name", None) or getattr(key, "key", None)
        words.append(f"layer{key.idx}" if word is None else str(word))  # type: ignore[attr-defined]
    return "_".join(words) or "state"


def _unique(names: list[str]) -> tuple[str, ...]:
    counts = {name: names.count(name) for name in names}
    return tuple(
        name if counts[name] == 1 else f"{name}_{names[:place].count(name)}"
        for place, name in enumerate(names)
    )
