"""Checkpoints as named tensors and JSON, never pickle, so that loading one runs no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from elman._errors import CheckpointError
from elman._files import read_json, read_plain, why
from elman._folders import write
from elman.bptt import State
from elman.training._config import FORMAT
from elman.training._run_config import check_format

Tensors: TypeAlias = dict[str, Tensor]


@dataclass
class Checkpoint:
    """All that a run needs to continue; the first field is enough to predict."""

    model: Tensors
    optimizer: Tensors = field(default_factory=dict)
    state: Tensors = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the checkpoint into an empty folder."""
        for name in ("model", "optimizer", "state"):
            tensors: Tensors = getattr(self, name)
            write(folder / f"{name}.safetensors", safetensors.torch.save(tensors))
        progress = {"format": FORMAT, **self.progress}
        write(folder / "state.json", json.dumps(progress, indent=1).encode())

    @classmethod
    def read(cls, folder: Path) -> Checkpoint:
        """Read a checkpoint; a CheckpointError names a damaged file and the reason."""
        progress = _read_json(folder / "state.json")
        check_format(folder / "state.json", progress.pop("format", None))
        names = ("model", "optimizer", "state")
        model, optimizer, state = (_read_tensors(folder / f"{n}.safetensors") for n in names)
        return cls(model, optimizer, state, progress)


def pack_module(module: nn.Module) -> Tensors:
    """The parameters and buffers of a module; a shared one has only its first name."""
    return {name: _copy(tensor) for name, tensor in _unique(module).items()}


def unpack_module(module: nn.Module, tensors: Tensors, path: Path) -> None:
    """Copy tensors into a module with the same names, shapes and dtypes.

    Raises:
        CheckpointError: names, shapes or dtypes differ, or a weight is not finite.
    """
    own = _unique(module)
    problems = [f"{name} is missing" for name in own.keys() - tensors.keys()]
    problems += [f"{name} is not in the model" for name in tensors.keys() - own.keys()]
    for name in own.keys() & tensors.keys():
        problems += _differences(name, own[name], tensors[name])
    _refuse(path, problems)
    _require_finite(path, {name: tensors[name] for name, _ in module.named_parameters()})
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def pack_optimizer(optimizer: torch.optim.Optimizer) -> Tensors:
    """The state of an optimizer, named ``INDEX.KEY``; its settings are in the configuration."""
    packed = {}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            if value is not None:
                packed[f"{index}.{key}"] = _copy(torch.as_tensor(value))
    return packed


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors, path: Path) -> None:
    """Restore the state of an optimizer over the same parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    problems = []
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        if not index.isdecimal() or int(index) >= len(parameters):
            problems.append(f"{name} has no parameter")
        elif tensor.ndim and tensor.shape != parameters[int(index)].shape:
            problems += _differences(name, parameters[int(index)], tensor)
        else:
            state.setdefault(int(index), {})[key] = tensor
    _refuse(path, problems)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def pack_state(carried: State) -> Tensors:
    """The carried recurrent state, and the state of torch's random generators."""
    leaves = [leaf for leaf in tree_flatten(carried)[0] if leaf is not None]
    packed = {f"carried.{i}": _copy(leaf) for i, leaf in enumerate(leaves)}
    packed["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        packed["random.cuda"] = torch.cuda.get_rng_state()
    return packed


def unpack_state(template: State, tensors: Tensors, path: Path) -> State:
    """Restore torch's random generators, and return the carried state, shaped like a template."""
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
    saved = sum(name.startswith("carried.") for name in tensors)
    if not saved:
        return None
    leaves, structure = tree_flatten(template)
    if len(leaves) != saved or None in leaves:
        raise CheckpointError(
            f"{path}: the carried state must have as many tensors as the task's initial_state(), "
            f"{sum(leaf is not None for leaf in leaves)}, got {saved}"
        )
    loaded = [tensors[f"carried.{i}"].to(leaf.device) for i, leaf in enumerate(leaves)]
    return tree_unflatten(loaded, structure)


def _unique(module: nn.Module) -> Tensors:
    """The tensors of the state_dict, each under its first name."""
    named = module.state_dict(keep_vars=True)
    first = {id(tensor): name for name, tensor in reversed(named.items())}
    return {name: named[name] for name in sorted(first.values())}


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _differences(name: str, own: Tensor, saved: Tensor) -> list[str]:
    expected, got = (f"{tuple(t.shape)} of {t.dtype}" for t in (own, saved))
    return [f"{name} must be {expected}, got {got}"] if expected != got else []


def _refuse(path: Path, problems: list[str]) -> None:
    if problems:
        listed = "\n  ".join(sorted(problems)[:10])
        raise CheckpointError(
            f"{path}: does not match the model of this configuration:\n  {listed}"
        )


def _require_finite(path: Path, parameters: Tensors) -> None:
    """Reject weights that make every prediction NaN; buffers such as masks may be infinite."""
    for name, tensor in parameters.items():
        wrong = int((~tensor.isfinite()).sum())
        if wrong:
            raise CheckpointError(
                f"{path}: {wrong:,} of the {tensor.numel():,} weights of {name} are NaN or "
                "infinite: use the run's other checkpoint (last, best), or train again"
            )


def _read_tensors(path: Path) -> Tensors:
    try:
        return safetensors.torch.load(read_plain(path))
    except (OSError, safetensors.SafetensorError, ValueError) as error:
        raise _unreadable(path, error) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        loaded = read_json(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(loaded, Mapping):
        raise _unreadable(path, ValueError("expected a JSON object"))
    return dict(loaded)


def _unreadable(path: Path, reason: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path}: cannot be read: {why(reason)}; use the run's other checkpoint, or train again"
    )
