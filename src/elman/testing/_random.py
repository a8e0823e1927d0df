"""Runs a configuration on an engine, and compares with the reference in float64."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman._errors import EngineError
from elman.engine import use_engine
from elman.engine.runtime import division
from elman.testing._base import ContractError
from elman.testing._configurations import Configuration, EngineCall, draw
from elman.testing._probes import KINDS, Kind
from elman.testing._problem import Problem, problem

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12}
"""Of the largest number of a result."""


class Value(NamedTuple):
    """A result: its name, its numbers, and how many terms were added up to each."""

    name: str
    tensor: Tensor
    terms: int


@dataclass
class Tally:
    """How many configurations an engine ran rightly, and how many it refused, by reason."""

    equal: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def checked(self) -> int:
        """All of them."""
        return self.equal + self.refused.total()


def check_configurations(
    engine: str, numbers: Iterable[int], kinds: Mapping[str, Kind] = KINDS
) -> Tally:
    """Compares an engine with the reference in float64 on random configurations.

    A configuration is drawn from its number: the cell, sizes, lengths, resets, the layout of the
    input, the layer around the cell; and all that must not matter: the number of threads in the
    forward and in the backward pass, the Python threads, the order of calls, torch's settings.

    Args:
        engine: an entry of ``elman.engine.ENGINES``.
        numbers: of the configurations.
        kinds: the cells to draw from; built-in ones and others with buffers of every type.

    Returns:
        How many were equal, and how many the engine refused with a reason.

    Raises:
        ContractError: names the configuration, the result that differs and by how much.

    Example:
        >>> check_configurations("reference", range(3)).equal
        3
    """
    tally = Tally()
    for number in numbers:
        reason = check_configuration(engine, draw(number, kinds), kinds)
        if reason is None:
            tally.equal += 1
        else:
            tally.refused[reason] += 1
    return tally


def check_configuration(
    engine: str, configuration: Configuration, kinds: Mapping[str, Kind] = KINDS
) -> str | None:
    """The same for one of them; why the engine refuses it, or None."""
    stated = problem(configuration, kinds)
    stated.require()
    if configuration.elsewhere and configuration.lengths is not None:
        return _refusal_of_what_nobody_can_read(engine, stated)
    try:
        results = _run(engine, stated)
    except EngineError as error:
        return str(error)
    if configuration.mode != "double":
        for first, again in zip(results, _run(engine, stated), strict=True):
            if not torch.equal(first.tensor, again.tensor):
                raise ContractError(f"{configuration}: {first.name} differs when it is repeated")
    _compare(stated, results, kinds[configuration.cell].rounding)
    return None


def _refusal_of_what_nobody_can_read(engine: str, stated: Problem) -> str:
    try:
        _run(engine, stated)
    except (EngineError, RuntimeError, ValueError):
        return "lengths on a device where nobody can read them"
    raise ContractError(f"{stated.configuration}: lengths on the meta device were ignored")


def _compare(stated: Problem, results: list[Value], rounding: float) -> None:
    c = stated.configuration
    tolerance = TOLERANCE[c.dtype] * (rounding if c.dtype == torch.float32 else 1)
    exact = stated.exact()
    exact.require()
    peers: list[Value] = []
    for i, (ours, right) in enumerate(zip(results, _plainly(exact), strict=True)):
        if ours.tensor.shape != right.tensor.shape or ours.tensor.dtype != c.dtype:
            raise ContractError(f"{c}: {ours.name} is {_kind(ours)}, expected {_kind(right)}")
        if not ours.tensor.numel():
            continue
        # A sum of n such terms, also where it cancels.
        scale = right.tensor.abs().max().clamp_min(right.terms**0.5)
        error, allowed = _error(ours, right), tolerance * float(scale)
        if not error <= allowed:  # a norm of nearly equal numbers, say, which torch has no nearer
            peers = peers or _plainly(stated)
            allowed += 4 * _error(peers[i], right)  # one draw of how such numbers are rounded
        if not error <= allowed:
            raise ContractError(f"{c}: {ours.name} is off by {error:.3g}, allowed {allowed:.3g}")


def _error(ours: Value, right: Value) -> float:
    return float((ours.tensor - right.tensor).abs().max())


def _kind(value: Value) -> str:
    return f"{tuple(value.tensor.shape)} in {value.tensor.dtype}"


def _plainly(stated: Problem) -> list[Value]:
    """By the reference, on one thread, under torch's usual settings."""
    c = stated.configuration
    usual = replace(
        c,
        calls=(EngineCall((1, 1), (0, 0)),) * len(c.calls),
        deterministic=False,
        double_by_default=False,
        flush=False,
    )
    return _run("reference", stated._replace(configuration=usual))


def _run(engine: str, stated: Problem) -> list[Value]:
    """Carries out the passes of a configuration, each where and as it says."""
    c = stated.configuration
    outputs: dict[int, list[tuple[str, Tensor]]] = {}
    results: list[Value] = []
    with ExitStack() as stack:
        elsewhere = [stack.enter_context(ThreadPoolExecutor(1)) for _ in _other_places(c)]
        stack.enter_context(division(c.split))
        for what in c.order.split():
            which, number = what[0], int(what[1])
            backward = which == "b"

            def work(number: int = number, backward: bool = backward) -> Any:
                with _settings(c, c.calls[number].threads[backward]), use_engine(engine):
                    if backward:
                        return _gradients(stated, number, outputs[number])
                    return _outputs(stated, number)

            place = c.calls[number].places[backward]
            done = elsewhere[place - 1].submit(work).result() if place else work()
            if backward:
                results += done
            else:
                outputs[number] = done
                results += [Value(name, t.detach(), 1) for name, t in done]
    return results


def _other_places(c: Configuration) -> range:
    return range(max(place for call in c.calls for place in call.places))


def _outputs(stated: Problem, number: int) -> list[tuple[str, Tensor]]:
    modes: dict[str, Callable[[], Any]] = {
        "no_grad": torch.no_grad,
        "inference": torch.inference_mode,
    }
    with modes.get(stated.configuration.mode, nullcontext)():
        return stated.call(number)


def _gradients(stated: Problem, number: int, outputs: list[tuple[str, Tensor]]) -> list[Value]:
    c = stated.configuration
    named = {n: t for n, t in stated.inputs(number).items() if t.requires_grad}
    inputs = list(named.values())
    # One number for all units adds these up, too.
    rows, units = c.steps * c.batch, c.sizes[1] if c.sizes else 1
    terms = [
        1 if t is leaf else rows * (units if t.numel() == 1 else 1)
        for t, leaf in _with_leaf(stated, number, inputs)
    ]
    loss = _weighted([t for _, t in outputs])
    again = c.mode in ("retain", "double")
    gradients = _differentiated(loss, inputs, retain_graph=again, create_graph=c.mode == "double")
    if c.mode == "retain":
        repeated = _differentiated(loss, inputs, retain_graph=True)
        if not all(map(torch.equal, gradients, repeated)):
            raise ContractError(f"{c}: a second backward through one graph gives something else")
    results = [
        Value(f"the gradient of {name}", g.detach(), n)
        for name, g, n in zip(named, gradients, terms, strict=True)
    ]
    if c.mode == "double":
        second = _differentiated(_weighted(gradients), inputs)
        # Of every step and unit, the gradients of all others.
        results += [
            Value(f"the second gradient of {name}", g, rows * units)
            for name, g in zip(named, second, strict=True)
        ]
    return results


def _with_leaf(
    stated: Problem, number: int, inputs: list[Tensor]
) -> Iterator[tuple[Tensor, Tensor | None]]:
    leaves = {id(leaf): leaf for leaf in stated.arguments[number].leaves}
    return ((t, leaves.get(id(t))) for t in inputs)


def _weighted(tensors: list[Tensor]) -> Tensor | None:
    """A sum with weights of their own; None if nothing has a gradient."""
    generator = torch.Generator().manual_seed(1)
    terms = []
    for t in tensors:
        weight = torch.randn(t.shape, generator=generator, dtype=torch.float32)
        if t.requires_grad:
            terms.append((t * weight.to(t.device, t.dtype)).sum())
    return torch.stack(terms).sum() if terms else None


def _differentiated(loss: Tensor | None, inputs: list[Tensor], **options: Any) -> list[Tensor]:
    if loss is None or not inputs:
        return [torch.zeros_like(t) for t in inputs]
    return list(torch.autograd.grad(loss, inputs, materialize_grads=True, **options))


@contextmanager
def _settings(c: Configuration, threads: int) -> Iterator[None]:
    """Torch as the configuration has it, and afterwards as it was."""
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_default_dtype(),
        sys.float_info.min / 2 == 0,  # torch does not say whether subnormal numbers are zero
    )
    dtype = torch.float64 if c.double_by_default else torch.float32
    _set(threads, c.deterministic, dtype, c.flush)
    try:
        yield
    finally:
        _set(*before)


def _set(threads: int, deterministic: bool, dtype: torch.dtype, flush: bool) -> None:
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    torch.set_default_dtype(dtype)
    torch.set_flush_denormal(flush)
