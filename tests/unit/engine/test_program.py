"""The instruction set is one table in two languages, and a program is its text."""

from __future__ import annotations

import pytest
import torch

from elman.cells import GRU, LSTM, Elman
from elman.engine.compiler._program import Instruction, Program, table
from elman.engine.compiler._trace import compile_cell
from elman.engine.runtime._library import encoded, library
from unit.engine.own_cells import CELLS


def test_the_library_has_the_same_instruction_set() -> None:
    assert library().operations == table()


@pytest.mark.parametrize("line", ["n1 = fma s1 p1 t0", "t0 = mul_value t1 -0.5", "t3 = unit @2"])
def test_an_instruction_is_its_text(line: str) -> None:
    assert str(Instruction.parse(line)) == line


@pytest.mark.parametrize("kind", [LSTM, GRU, Elman, *CELLS])
def test_a_program_is_its_text(kind: type) -> None:
    text = compile_cell(kind(3, 5), torch.float32, None).text
    program = Program.parse(text)
    assert str(program) == text
    assert encoded(text).program == program


def test_the_lstm_keeps_no_more_than_its_gates() -> None:
    program = Program.parse(compile_cell(LSTM(3, 5), torch.float32, None).text)
    assert (program.saved, program.gate_grads) == (4, 4)
    assert [p.start for p in program.forward[0].products] == ["i0", "i1", "i2", "i3"]
    assert len(program.inference[0].tiles) == 8


def test_the_gru_shares_two_gradients_between_its_matrices() -> None:
    program = Program.parse(compile_cell(GRU(3, 5), torch.float32, None).text)
    assert (program.saved, program.gate_grads, program.input_grad) == (4, 4, (1, 2, 0))
    (group,) = program.groups
    assert (group.first, len(group.blocks)) == (1, 3)
