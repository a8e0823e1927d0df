"""Every index of a program is checked in the library: out of range it is refused, or not used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import Structure, c_int32
from typing import Any

import pytest
import torch

import elman
from elman import EngineError
from elman.cells import LSTM, PointwiseCell
from elman.engine.runtime import _library
from elman.engine.runtime._library import EncodedProgram
from unit.engine.linear_cells import CELLS as LINEAR_CELLS
from unit.engine.own_cells import NormedGRU, Sine, Statistics
from unit.engine.test_boundary import Call

OUT_OF_RANGE = (-7, 1_000_000, 2**31 - 1)


def fields(structure: Structure) -> Iterator[tuple[Any, Any]]:
    """Each whole number of a structure: where it is, and under what name."""
    yield from ((structure, n) for n, kind, *_ in structure._fields_ if kind is c_int32)


def places(code: EncodedProgram) -> Iterator[tuple[Any, Any]]:
    """Each whole number of a program and of its tables."""
    p = code._structure
    yield from fields(p)
    for table, count in ((p.slot, p.slots), (p.block, p.blocks), (p.group, p.groups)):
        for i in range(count):
            yield from fields(table[i])
    for i in range(p.groups):
        yield from ((p.group[i].block, k) for k in range(p.group[i].count))
    yield from ((p.input_grad, i) for i in range(p.gates))
    yield from ((p.width, i) for i in range(p.inputs if not p.projected else 0))
    for routine in (p.forward, p.inference, p.backward):
        yield from fields(routine)
        yield from ((routine.ends, i) for i in range(2 * routine.phases))
        for table, count in (
            (routine.instructions, routine.lines),
            (routine.operand, routine.operands),
            (routine.product, routine.products),
        ):
            for i in range(count):
                yield from fields(table[i])


@contextmanager
def instead(owner: Any, place: Any, value: int) -> Iterator[None]:
    """Another number there, for a while."""
    named = isinstance(place, str)
    before = getattr(owner, place) if named else owner[place]
    try:
        setattr(owner, place, value) if named else owner.__setitem__(place, value)
        yield
    finally:
        setattr(owner, place, before) if named else owner.__setitem__(place, before)


@pytest.mark.parametrize("kind", [LSTM, NormedGRU, Sine, Statistics])
def test_an_index_out_of_range_is_refused_or_changes_nothing(kind: type[PointwiseCell]) -> None:
    call = Call(kind, shape=(2, 3, 5, 6))
    code = EncodedProgram(call.text)
    call.scan = call.scan._replace(program=code.address)
    expected, refused, same = call.results(), 0, 0
    for owner, place in list(places(code)):
        for value in OUT_OF_RANGE:
            with instead(owner, place, value):
                try:
                    got = call.results()
                except EngineError as error:
                    said = str(error)
                    assert any(n in said for n in ("program", "tensors are expected", "starts")), (
                        said
                    )
                    refused += 1
                    continue
            same += 1
            assert all(map(torch.equal, got, expected)), (owner, place, value)
    assert refused > same  # what is the same is not used: a third operand of two, say
    assert all(map(torch.equal, call.results(), expected))


def test_an_operand_may_only_be_where_its_instruction_can_reach() -> None:
    call = Call(NormedGRU, shape=(2, 3, 5, 6))
    code = EncodedProgram(call.text)
    call.scan = call.scan._replace(program=code.address)
    expected = call.results()
    banks = {letter: number for number, letter in enumerate(_library.BANKS)}
    routine, refused = code._structure.forward, 0
    for i in range(routine.operands):
        for bank in banks.values():  # every place in every bank, whatever reads or writes it
            with instead(routine.operand[i], "bank", bank), instead(routine.operand[i], "index", 0):
                try:
                    call.run("forward")
                except EngineError:
                    refused += 1
    assert refused > routine.operands
    assert all(map(torch.equal, call.results(), expected))


@pytest.mark.parametrize("kind", LINEAR_CELLS)
def test_a_program_of_what_the_caller_has_projected(kind: Any) -> None:
    layer = elman.Recurrent(kind(3, 5), engine="native")
    x = torch.randn(2, 4, 3)
    layer(x)[0].sum().backward()  # all of its tables pass
