"""``explain``: which engine runs a model's recurrences, and why not another."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves

from elman._errors import EngineError
from elman.cells._base import check_module
from elman.engine import _select
from elman.engine._recurrence import Recurrence


@dataclass(frozen=True)
class Choice:
    """The engine of one recurrence of a model.

    Attributes:
        path: where it is, as ``named_modules`` has it, and the part of it; "" is the model itself.
        cell: the cell and its sizes.
        engine: the name of the engine that runs it; None if one was asked for that cannot.
        why_not: the name of each other engine, and the reason.
        limits: what the engine that runs cannot do that the reference can; "" for nothing.
        program: the text of what the native engine runs, where it was asked for; "" for none.
    """

    path: str
    cell: str
    engine: str | None
    why_not: tuple[tuple[str, str], ...]
    limits: str = ""
    program: str = ""

    def __str__(self) -> str:
        runs = f"runs on {self.engine}" if self.engine else "raises EngineError"
        lines = [f"{self.path or 'the model itself'}: {self.cell} {runs}"]
        lines += [f"    but {self.limits}"] if self.limits else []
        lines += [f"    not {name}: {reason}" for name, reason in self.why_not]
        return "\n".join(lines + [f"    {line}" for line in self.program.splitlines()])


@dataclass(frozen=True, repr=False)
class Explanation:
    """What :func:`explain` found; it prints as text.

    Attributes:
        choices: one for each recurrence, in the order in which they ran.
        calls: how often each ran, in the same order.
    """

    choices: tuple[Choice, ...]
    calls: tuple[int, ...]

    @property
    def engines(self) -> set[str | None]:
        """The names of all engines that run; None among them if one was asked for that cannot."""
        return {choice.engine for choice in self.choices}

    def __repr__(self) -> str:
        if not self.choices:
            return "no recurrence of elman ran"
        return "\n".join(map(str, self.choices))


def explain(model: nn.Module, /, *args: Any, program: bool = False, **options: Any) -> Explanation:
    """Which engine runs each recurrence of ``model(*args, **options)``, and why not each other.

    The model is called once as it would be called then: with these options, in training or in eval
    mode, with or without gradients, inside :func:`use_engine`. Its buffers and torch's random state
    stay as they were. What is compiled runs uncompiled here, and is explained so.

    Args:
        model: a layer, or any module that holds some.
        *args: what it is called with: ``x``, a state ...
        program: also show what the native engine runs, where it runs, as text.
        **options: ``lengths=``, ``reset=`` ...

    Returns: an :class:`Explanation`, to print or to test. An engine that was asked for by name and
    cannot run is shown, not raised.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.LSTM(3, 5), engine="reference")
        >>> print(elman.explain(layer, torch.randn(2, 7, 3)))
        the model itself: LSTM(3, 5) runs on reference
            not cudnn: x is on cpu, and cuDNN runs on cuda
            not native: 'reference' was asked for
    """
    check_module(model)
    names = {module: name for name, module in model.named_modules()}
    seen: Counter[Choice] = Counter()

    def note(r: Recurrence, engine: str) -> str:
        choice = _judged(r, engine, _path(r, names))
        if program and choice.engine == "native":
            choice = replace(choice, program=_select._ENGINES["native"].program_of(r))
        seen[choice] += 1
        return choice.engine or "reference"

    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with _looking_on(note), _random_state_kept(model, args, options), uncompiled():
        if buffers:
            functional_call(model, buffers, args, options)
        else:  # also while torch.jit.trace records, where torch refuses a functional call
            model(*args, **options)
    return Explanation(tuple(seen), tuple(seen.values()))


def _judged(r: Recurrence, engine: str, path: str) -> Choice:
    cell = f"{type(r.cell).__name__}({r.cell.input_size}, {r.cell.hidden_size})"
    if r.x.dim() == 2:
        others = [name for name in _select._ENGINES if name != "reference"]
        reason = "this is a single step, and engines run whole sequences"
        return Choice(path, cell, "reference", tuple((name, reason) for name in others))
    asked, runs = _select.asked_for(engine), None
    with suppress(EngineError):
        runs = _select.choose(r, engine)
    passed_over = f"{runs} comes first" if asked == "auto" else f"{asked!r} was asked for"
    reasons = {name: module.why_not(r) for name, module in _select._ENGINES.items()}
    why_not = tuple((n, why or passed_over) for n, why in reasons.items() if n != runs)
    limits = getattr(_select._ENGINES.get(runs or ""), "LIMITS", "")
    return Choice(path, cell, runs, why_not, limits)


def _path(r: Recurrence, names: dict[nn.Module, str]) -> str:
    owner = r.cell if r.layer is None else r.layer
    path = names.get(owner, type(owner).__name__)
    return " ".join(filter(None, (path, r.part)))


@contextmanager
def _looking_on(note: Callable[[Recurrence, str], str]) -> Iterator[None]:
    outer, _select._here.witness = _select._here.witness, note
    try:
        yield
    finally:
        _select._here.witness = outer


def _random_state_kept(model: nn.Module, *given: Any) -> AbstractContextManager[None]:
    tensors = [*model.parameters(), *(t for t in tree_leaves(given) if isinstance(t, Tensor))]
    return torch.random.fork_rng(sorted({t.get_device() for t in tensors if t.is_cuda}))


def uncompiled() -> Any:
    """Nobody can have compiled anything before this module is loaded, and loading it is slow."""
    loaded = "torch._dynamo" in sys.modules
    return torch.compiler.set_stance("force_eager") if loaded else nullcontext()
