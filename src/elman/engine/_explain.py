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

from elman._checks import check_module
from elman._errors import EngineError
from elman.engine import _select
from elman.engine._recurrence import Plan, Recurrence
from elman.engine._reference import ReferencePlan


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
    """What :func:`explain` returns; it prints as text.

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
            not parallel: it runs linear cells (elman.cells.LinearCell), and LSTM is not one
    """
    check_module(model)
    names = {module: name for name, module in model.named_modules()}
    calls: Counter[Choice] = Counter()

    def on_choice(r: Recurrence, engine: str) -> tuple[str, Plan]:
        choice, plan = _explained(r, engine, _path(r, names))
        calls[replace(choice, program=plan.listing()) if program else choice] += 1
        return choice.engine or "reference", plan

    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with _watching_choices(on_choice), _random_state_kept(model, args, options), uncompiled():
        if buffers:
            functional_call(model, buffers, args, options)
        else:  # also while torch.jit.trace records, where torch refuses a functional call
            model(*args, **options)
    return Explanation(tuple(calls), tuple(calls.values()))


def _explained(r: Recurrence, engine: str, path: str) -> tuple[Choice, Plan]:
    """The choice, and the plan that runs: that of the reference where the choice is an error."""
    cell = f"{type(r.cell).__name__}({r.cell.input_size}, {r.cell.hidden_size})"
    if r.x.dim() == 2:
        others = [name for name in _select._ENGINES if name != "reference"]
        reason = "this is a single step, and engines run whole sequences"
        step_choice = Choice(path, cell, "reference", tuple((name, reason) for name in others))
        return step_choice, ReferencePlan(r)
    runs: str | None = None
    plan: Plan = ReferencePlan(r)
    with suppress(EngineError):
        runs, plan = _select.choose(r, engine)
    preferred = _select.effective_engine(engine)
    why = f"{runs} comes first" if preferred == "auto" else f"{preferred!r} was asked for"
    others = [name for name in _select._ENGINES if name != runs]
    plans = [(name, _select._ENGINES[name].plan(r)) for name in others]
    why_not = tuple((name, other if isinstance(other, str) else why) for name, other in plans)
    return Choice(path, cell, runs, why_not, plan.limits), plan


def _path(r: Recurrence, names: dict[nn.Module, str]) -> str:
    owner = r.cell if r.layer is None else r.layer
    path = names.get(owner, type(owner).__name__)
    return " ".join(filter(None, (path, r.part)))


@contextmanager
def _watching_choices(
    on_choice: Callable[[Recurrence, str], tuple[str, Plan]],
) -> Iterator[None]:
    context = _select._context
    outer, context.on_choice = context.on_choice, on_choice
    try:
        yield
    finally:
        context.on_choice = outer


def _random_state_kept(model: nn.Module, *arguments: Any) -> AbstractContextManager[None]:
    tensors = [*model.parameters(), *(t for t in tree_leaves(arguments) if isinstance(t, Tensor))]
    return torch.random.fork_rng(sorted({t.get_device() for t in tensors if t.is_cuda}))


def uncompiled() -> Any:
    """A context in which compiled models run uncompiled.

    Where torch._dynamo is not loaded nothing is compiled, and loading it is slow.
    """
    loaded = "torch._dynamo" in sys.modules
    return torch.compiler.set_stance("force_eager") if loaded else nullcontext()
