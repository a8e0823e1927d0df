"""A program is not used any longer than what it was traced from stays as it is."""

# ruff: noqa: ARG005, NPY002, SIM115 - steps as users write them, good and bad

from __future__ import annotations

import functools
import gc
import itertools
import math
import os
import random
import threading
import time
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import elman
from elman import EngineError
from elman.cells import LSTM, PointwiseCell
from elman.engine.compiler import _trace
from elman.engine.compiler._cache_key import Dependence
from elman.engine.compiler._lower import Untraceable
from elman.engine.compiler._trace import compile_cell
from unit.engine import readings
from unit.engine.readings import stepping


@pytest.fixture(autouse=True)
def same_dtype() -> Iterator[None]:
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module", autouse=True)
def closing() -> Iterator[None]:
    yield
    FILE.close()


def run(cell: Any, engine: str) -> Tensor:
    x = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    with torch.no_grad():
        output: Tensor = elman.Recurrent(cell, engine=engine)(x)[0]
    return output


@pytest.mark.parametrize("name", readings.CASES)
def test_a_change_of_what_a_step_reads_is_noticed(name: str) -> None:
    cell, change = readings.anew(name)
    before = run(cell, "native")
    torch.testing.assert_close(before, run(cell, "reference"))
    change()
    after = run(cell, "reference")
    # A library built for the sanitizers rounds otherwise; a change is far larger.
    torch.testing.assert_close(run(cell, "native"), after, rtol=1e-4, atol=1e-4, equal_nan=True)
    assert not torch.allclose(after, before, rtol=1e-3, atol=1e-3)
    assert (
        "native"
        in elman.explain(elman.Recurrent(cell), torch.zeros(1, 2, 3, dtype=torch.float32)).engines
    )


class Holder:
    scale = 2.0


CFG, FILE, ENVIRON, LOCAL = (
    Holder(),
    Path(__file__).open(encoding="utf-8"),
    os.environ,
    threading.local(),
)
TABLE, RANDOM, CONTEXT, LOCK = torch.ones(5), random.Random(), ContextVar("c"), threading.Lock()
MANY, MANY_KEYS, ENDLESS = [0.0] * 65, {str(i): 0.0 for i in range(65)}, itertools.repeat(1.0)
NESTED, ARRAY, LINEAR = [[0.0] * 40, [0.0] * 40], np.ones(5), nn.Linear(5, 5)
GENERATOR, OBJECTS = (float(i) for i in itertools.count()), [Holder()]
LOCAL.k = 2.0
ALIAS, BOUND_NAME = torch, getattr


@functools.lru_cache
def remembered() -> float:
    return 2.0


def sets_global(z: Tensor) -> Tensor:
    global CFG  # noqa: PLW0603 - that is what is tested
    CFG = None
    return z


def sets_attribute(cell: Any, z: Tensor) -> Tensor:
    cell.last = z
    return z


def imports(z: Tensor) -> Tensor:
    import colorsys

    return z * colorsys.ONE_THIRD


def imports_torch(z: Tensor) -> Tensor:
    import torch as t

    return z * t.get_num_threads()


def computed(cell: Any, z: Tensor) -> Tensor:
    return z * getattr(cell, "hidden_" + cell.word)


def at_module_scope(z: Tensor) -> Tensor:
    return z * ALIAS.get_num_threads()


class Slotted(PointwiseCell):
    gates, states, __slots__ = ("z",), ("h",), ("k",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=self.k * torch.tanh(inp.z + rec.z))


class Meta(type):
    scale = 2.0


class Classed(metaclass=Meta):
    offset = 1.0


class Descriptor:
    def __get__(self, owner: Any, kind: Any = None) -> float:
        return 2.0


class Described(PointwiseCell):
    gates, states = ("z",), ("h",)
    k = Descriptor()

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=self.k * torch.tanh(inp.z + rec.z))


@functools.singledispatch
def dispatched(z: Tensor) -> Tensor:
    return z


def imports_random(z: Tensor) -> Tensor:
    from numpy import random as r

    return z * r.rand()


REFUSED: dict[str, tuple[Any, str]] = {
    "an object": (lambda _, z: z * CFG.scale, "reads CFG.scale, a Holder, whose changes could not"),
    "objects in a list": (lambda _, z: z * OBJECTS[0].scale, r"reads OBJECTS\[0\], a Holder"),
    "an open file": (lambda _, z: z * len(FILE.name), "reads FILE.name, a TextIOWrapper"),
    "the environment": (lambda _, z: z * len(os.environ), "reads os.environ, a _Environ"),
    "the environment by a name": (lambda _, z: z * len(ENVIRON), "reads ENVIRON, a _Environ"),
    "getenv": (lambda _, z: z if os.getenv("K") else -z, "reads os.getenv, of a library"),
    "the time": (lambda _, z: z * time.time(), "reads time.time, of a library"),
    "random": (lambda _, z: z * random.random(), "reads random.random, a Random"),
    "random.uniform": (lambda _, z: z * random.uniform(0, 1), "reads random.uniform, of a library"),
    "a generator of random numbers": (
        lambda _, z: z * RANDOM.random(),
        "reads RANDOM.random, a Random",
    ),
    "NumPy's random numbers": (lambda _, z: z * np.random.rand(), "reads np.random, whose state"),
    "an array": (lambda _, z: z * ARRAY[0], "reads ARRAY, a ndarray"),
    "a tensor": (lambda _, z: z * TABLE, "reads TABLE, a tensor: register it"),
    "a module with tensors": (lambda _, z: LINEAR(z), "reads LINEAR, a module with tensors"),
    "a long list": (lambda _, z: z + MANY[3], "reads MANY, a list of more than 64 entries"),
    "a long dict": (lambda _, z: z + MANY_KEYS["3"], "reads MANY_KEYS, a dict of more than 64"),
    "long lists in a list": (lambda _, z: z + NESTED[0][0], "reads NESTED, a list of more than 64"),
    "a thread's own": (lambda _, z: z * LOCAL.k, "reads LOCAL.k, a _local"),
    "a context's own": (lambda _, z: z * CONTEXT.get(1.0), "reads CONTEXT.get, a ContextVar"),
    "an iterator": (lambda _, z: z * next(ENDLESS), "reads ENDLESS, a repeat"),
    "a generator": (lambda _, z: z * next(GENERATOR), "reads GENERATOR, a generator"),
    "a function that remembers": (lambda _, z: z * remembered(), "reads remembered, a _lru_cache"),
    "eval": (lambda _, z: z * eval("2"), "reads eval, through which"),  # noqa: S307
    "globals()": (lambda _, z: z * len(globals()), "reads globals, through which"),
    "vars()": (lambda c, z: z * len(vars(c)), "reads vars, through which"),
    "__dict__": (lambda c, z: z * len(c.__dict__), "<lambda> reads __dict__, so that"),
    "a name that is computed": (computed, "computed calls getattr with a name that it computes"),
    "getattr by another name": (
        lambda c, z: z * BOUND_NAME(c, "hidden_size"),
        "reads BOUND_NAME, h",
    ),
    "an unknown import": (lambda _, z: imports(z), "imports imports colorsys"),
    "state of torch by an import": (
        lambda _, z: imports_torch(z),
        "imports_torch imports get_num_t",
    ),
    "torch's threads": (
        lambda _, z: z * torch.get_num_threads(),
        "reads torch.get_num_threads, wh",
    ),
    "torch's threads by a name": (
        lambda _, z: at_module_scope(z),
        "reads ALIAS.get_num_threads, w",
    ),
    "whether gradients are on": (
        lambda _, z: z if torch.is_grad_enabled() else -z,
        "is_grad_enabled",
    ),
    "inference mode": (
        lambda _, z: z if torch.is_inference_mode_enabled() else -z,
        "is_inference_m",
    ),
    "autocast": (lambda _, z: z if torch.is_autocast_enabled("cpu") else -z, "is_autocast_enabled"),
    "torch.backends": (
        lambda _, z: z if torch.backends.mkldnn.enabled else -z,
        "torch.backends, wh",
    ),
    "torch's seed": (lambda _, z: z * torch.initial_seed(), "reads torch.initial_seed, which"),
    "compilation": (lambda _, z: z if torch.compiler.is_compiling() else -z, "torch.compiler, wh"),
    "a tensor's graph": (lambda _, z: z if z.requires_grad else -z, "requires_grad of a tensor"),
    "a tensor's layout": (lambda _, z: z if z.is_contiguous() else -z, "is_contiguous of a tensor"),
    "a module as a value": (lambda _, z: z * len([math]), "reads math, a module, and not directly"),
    "printing": (lambda _, z: print(z) or z, "reads print, which a program would not call"),
    "setting a global": (lambda _, z: sets_global(z), "sets_global sets the global CFG"),
    "setting an attribute": (sets_attribute, "sets_attribute sets the attribute last"),
    "a function that dispatches": (lambda _, z: dispatched(z), "reads dispatched, a function of f"),
    "random numbers by an import": (
        lambda _, z: imports_random(z),
        "imports_random imports random",
    ),
    "a class of a metaclass": (
        lambda _, z: z * Classed.scale,
        "reads Classed.scale, a class of the",
    ),
    "a lock": (lambda _, z: z if LOCK.locked() else -z, "reads LOCK.locked, a lock"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_change_unnoticed_is_refused_by_name(name: str) -> None:
    step, reason = REFUSED[name]
    cell = stepping(step, word="size")
    with pytest.raises(elman.EngineError, match=rf"Made cannot be traced: .*{reason}"):
        run(cell, "native")
    explanation = elman.explain(elman.Recurrent(cell), torch.zeros(1, 2, 3))
    assert explanation.engines == {"reference"}


def test_what_an_inner_function_sets_outside_is_refused() -> None:
    calls = 0

    def step(_: Any, z: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return z

    with pytest.raises(elman.EngineError, match="sets the outer variable calls, which a program"):
        run(stepping(step), "native")


def test_a_step_that_changes_what_it_reads_is_refused() -> None:
    calls: list[int] = []

    def step(_: Any, z: Tensor) -> Tensor:
        calls.append(1)
        return z

    with pytest.raises(elman.EngineError, match="its step changes calls, which a program does not"):
        run(stepping(step), "native")


def test_a_trace_puts_nothing_into_a_list_of_the_cell() -> None:
    cell = stepping(lambda c, z: (c.history.append(z), z)[1], history=[])
    with pytest.raises(elman.EngineError, match=r"its step changes Made\.history"):
        run(cell, "native")
    assert cell.history == []


def test_a_hook_of_a_child_is_refused() -> None:
    cell = stepping(lambda c, z: c.act(z), act=nn.Tanh())
    run(cell, "native")
    handle = cell.act.register_forward_hook(lambda module, args, output: 2 * output)
    with pytest.raises(elman.EngineError, match=r"Made.act is a module with hooks"):
        run(cell, "native")
    handle.remove()
    torch.testing.assert_close(run(cell, "native"), run(cell, "reference"))


def test_a_hook_of_all_modules_is_refused() -> None:
    cell = stepping(lambda c, z: c.act(z), act=nn.Tanh())
    run(cell, "native")
    handle = nn.modules.module.register_module_forward_hook(lambda module, args, output: 2 * output)
    try:
        with pytest.raises(elman.EngineError, match=r"Made.act is a module with hooks"):
            run(cell, "native")
    finally:
        handle.remove()


@pytest.mark.parametrize(
    ("kind", "reason"), [(Slotted, "Slotted.k is a slot"), (Described, "Described.k is a Descrip")]
)
def test_attributes_that_are_no_plain_ones_are_refused(kind: Any, reason: str) -> None:
    cell = kind(3, 5)
    if kind is Slotted:
        cell.k = 1.0
    with pytest.raises(elman.EngineError, match=reason):
        run(cell, "native")


def test_an_attribute_named_as_one_of_tensors_is_taken_from_the_cell() -> None:
    class Strided(PointwiseCell):
        gates, states, stride = ("z",), ("h",), 2.0

        def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
            return self.State(h=self.stride * torch.tanh(inp.z + rec.z))

    cell = Strided(3, 5)
    torch.testing.assert_close(run(cell, "native"), run(cell, "reference"))


def test_a_function_that_belongs_to_no_module_runs() -> None:
    scope: dict[str, Any] = {"torch": torch, "k": 1.0}
    exec("def f(z): return torch.tanh(k * z)", scope)  # noqa: S102
    assert scope["f"].__module__ is None
    cell = elman.cells.Elman(3, 5, activation=scope["f"])
    for scope["k"] in (2.0, 3.0):
        torch.testing.assert_close(run(cell, "native"), run(cell, "reference"))


def test_a_builtin_cell_whose_class_is_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = LSTM(3, 5)
    before = run(cell, "native")
    of_class = lambda self, i, r, s: self.State(h=torch.sin(i.i + r.i), c=s.c)  # noqa: E731
    monkeypatch.setattr(LSTM, "pointwise", of_class)
    after = run(cell, "reference")
    assert not torch.allclose(before, after)
    torch.testing.assert_close(run(cell, "native"), after)


def test_what_a_step_does_not_read_is_no_part_of_its_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cell = stepping(lambda _, z: z, seen=0)
    run(cell, "native")
    monkeypatch.delattr(_trace, "_Step")  # nothing is traced again
    cell.seen, cell.log, cell.history, cell.table = 1, Holder(), [0.0] * 1000, torch.ones(5)
    run(cell, "native")


def test_cells_that_are_alike_share_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(k: float) -> PointwiseCell:
        return stepping(lambda c, z: z * k * c.value[0], value=[k])  # type: ignore[no-any-return]

    run(made(2.5), "native")
    monkeypatch.delattr(_trace, "_Step")
    run(made(2.5), "native")
    with pytest.raises(NameError, match="_Step"):
        run(made(3.5), "native")


def test_what_depends_on_a_cell_does_not_keep_it() -> None:
    class Own(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return z

    cell = stepping(lambda c, z: c.act(z) * c.value["k"], value={"k": 1.0}, child=Own())
    cell.act = lambda z: torch.tanh(z * cell.scale)
    cell.scale = 2.0
    run(cell, "native")
    known, counted = weakref.ref(cell), len(_trace._entries)
    del cell
    gc.collect()
    assert known() is None
    assert len(_trace._entries) < counted


def test_a_change_while_it_is_traced_is_not_traced_into_another_program() -> None:
    factor = {"k": 1.0}
    cell = stepping(lambda _, z: z * factor["k"])
    checked = _trace._Step._check

    def changes(self: Any, tensors: Any) -> Any:
        results = checked(self, tensors)
        factor["k"] = 2.0
        return results

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_trace._Step, "_check", changes)
        with pytest.raises(Untraceable, match="changed while it was traced"):
            compile_cell(cell, torch.float32, None)
    for factor["k"] in (1.0, 2.0):
        torch.testing.assert_close(run(cell, "native"), run(cell, "reference"))


@pytest.mark.slow
def test_threads_that_change_and_run_get_one_of_the_results() -> None:
    factor = [1.0]
    cell = stepping(lambda _, z: z * factor[0])
    expected = {}
    for factor[0] in (1.0, 2.0):
        expected[factor[0]] = run(cell, "reference")
        run(cell, "native")
    stop, wrong = threading.Event(), []

    def changing() -> None:
        while not stop.is_set():
            factor[0] = 3.0 - factor[0]

    thread = threading.Thread(target=changing)
    thread.start()
    for _ in range(200):
        try:
            got = run(cell, "native")
        except EngineError as error:  # a program that was not kept: neither of the two is right
            if "was changed while it was traced" not in str(error):
                raise
            continue
        if not any(
            torch.equal(got, each) or torch.allclose(got, each) for each in expected.values()
        ):
            wrong.append(got)
    stop.set()
    thread.join()
    assert not wrong


@pytest.mark.parametrize("entries", [64, 65])
def test_how_much_is_compared_at_each_call(entries: int) -> None:
    cell = stepping(lambda c, z: z + sum(c.value), value=[0.5] * entries)
    if entries > 64:
        with pytest.raises(Untraceable, match=r"Made.value is a list of more than 64 entries"):
            Dependence(cell)
    else:
        assert Dependence(cell).holds(cell)
    cell.value = (0.5,) * entries  # a tuple of numbers never changes itself
    assert Dependence(cell).holds(cell)
