"""The instruction set is one table in two languages, and a program is its text."""

from __future__ import annotations

import pytest
import torch

from elman.cells import GRU, LSTM, Elman
from elman.engine._library import encoded, library
from elman.engine._program import Instruction, Program, table
from elman.engine._trace import program_text
from unit.engine.own_cells import CELLS


def test_the_library_has_the_same_instruction_set() -> None:
    assert library().operations == table()


@pytest.mark.parametrize("line", ["n1 = fma s1 p1 t0", "t0 = mul_value t1 -0.5", "t3 = unit @2"])
def test_an_instruction_is_its_text(line: str) -> None:
    assert str(Instruction.parse(line)) == line


@pytest.mark.parametrize("kind", [LSTM, GRU, Elman, *CELLS])
def test_a_program_is_its_text(kind: type) -> None:
    text = program_text(kind(3, 5), torch.float32)
    program = Program.parse(text)
    assert str(program) == text
    assert encoded(text).program == program


def test_the_lstm_keeps_no_more_than_its_gates() -> None:
    program = Program.parse(program_text(LSTM(3, 5), torch.float32))
    assert program.saved == 4
    assert program.fused == (1, 1, 1, 1)
    assert program.kinds == 4
    assert len(program.inference[0].tiles) == 8


def test_the_gru_shares_two_gradients_between_its_matrices() -> None:
    program = Program.parse(program_text(GRU(3, 5), torch.float32))
    assert (program.saved, program.kinds, program.input_kinds, program.recurrent_first) == (
        4,
        4,
        3,
        1,
    )
