"""The instruction set of the native engine and its programs, which are text.

A program says what one step does to one tile: forward, forward without keeping anything, and
backward. Its text is all there is to it. It travels to the library as such, so that no compile
cache can replay another cell, and it is what a person reads:

    t0 = sigmoid r0
    n1 = fma t0 p1 t2

Operands are a letter and a number, see :data:`BANKS`; ``@2`` is the program's own parameter 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

# As native/src/operations.def: operands, and whether it takes a value; a test compares the two.
ELEMENTWISE: dict[str, tuple[int, bool]] = {
    "add": (2, False),
    "sub": (2, False),
    "mul": (2, False),
    "div": (2, False),
    "neg": (1, False),
    "fma": (3, False),
    "fnma": (3, False),
    "add_value": (1, True),
    "mul_value": (1, True),
    "sub_from": (1, True),
    "div_into": (1, True),
    "constant": (0, True),
    "copy": (1, False),
    "lt": (2, False),
    "le": (2, False),
    "eq": (2, False),
    "lt_value": (1, True),
    "le_value": (1, True),
    "gt_value": (1, True),
    "ge_value": (1, True),
    "eq_value": (1, True),
    "where": (3, False),
    "maximum": (2, False),
    "minimum": (2, False),
    "relu": (1, False),
    "abs": (1, False),
    "sign": (1, False),
    "sqrt": (1, False),
    "rsqrt": (1, False),
    "exp": (1, False),
    "expm1": (1, False),
    "log": (1, False),
    "log1p": (1, False),
    "sin": (1, False),
    "cos": (1, False),
    "erf": (1, False),
    "pow": (2, False),
    "sigmoid": (1, False),
    "tanh": (1, False),
    "sigmoid_backward": (2, False),
    "tanh_backward": (2, False),
}
SPECIAL = ("expand", "row_sum", "unit", "scalar", "accumulate", "accumulate_row")
OPCODES = {name: code for code, name in enumerate((*ELEMENTWISE, *SPECIAL))}

# Where operands live, in the order of elman_bank in native/src/abi.h.
BANKS = {
    "t": "a tile in cache",
    "w": "kept until the step's next phase",
    "q": "one number per row",
    "i": "W_ih x_t + b_ih of a gate",
    "r": "W_hh h_{t-1} + b_hh of a gate (and the input's part, where the gate is fused)",
    "p": "a state before the step",
    "n": "a state after the step",
    "s": "saved for the backward",
    "d": "gradient of a state after the step",
    "g": "gradient of a state before the step",
    "z": "gradient of a gate",
    "o": "shown to those who look",
    "e": "gradient of what is shown",
}


def table() -> str:
    """The instruction set as the library prints it, so that a test can compare the two."""
    lines = [f"{name} {n} {str(value).lower()}" for name, (n, value) in ELEMENTWISE.items()]
    return "".join(f"{line}\n" for line in [*lines, *(f"{name} special" for name in SPECIAL)])


class Instruction(NamedTuple):
    """One line of a program; operands as text ("t3"), ``slot`` a parameter or row register."""

    op: str
    out: str = "-"
    inputs: tuple[str, ...] = ()
    value: float = 0.0
    slot: int = -1

    def __str__(self) -> str:
        words = [self.out, "=", self.op, *self.inputs]
        if self.op in ELEMENTWISE and ELEMENTWISE[self.op][1]:
            words.append(repr(self.value))
        return " ".join(words + ([f"@{self.slot}"] if self.slot >= 0 else []))

    @classmethod
    def parse(cls, line: str) -> Instruction:
        out, _, op, *rest = line.split()
        slot = int(rest.pop()[1:]) if rest and rest[-1].startswith("@") else -1
        value = float(rest.pop()) if op in ELEMENTWISE and ELEMENTWISE[op][1] else 0.0
        return cls(op, out, tuple(rest), value, slot)


class Phase(NamedTuple):
    """Instructions on numbers per row, once; then instructions on every tile."""

    rows: tuple[Instruction, ...] = ()
    tiles: tuple[Instruction, ...] = ()


Routine = tuple[Phase, ...]


@dataclass(frozen=True)
class Program:
    """What the native library runs for one cell.

    Attributes:
        gates: how many the cell has.
        states: how many the cell has.
        saved: tiles per step that the forward keeps beside the states.
        fused: for each gate, whether only the sum of its two halves is used.
        scalars: for each of the program's own parameters, whether it is a single number.
        input_gate: for each kind of gate gradient, the gate whose W_ih gets it, or -1.
        recurrent_gate: the same for W_hh.
        forward: one step while training.
        inference: one step that keeps nothing.
        backward: from gradients of the states after a step to those of the gates and states before.
        watched: tiles per step that are shown.
    """

    gates: int
    states: int
    saved: int
    fused: tuple[int, ...]
    scalars: tuple[int, ...]
    input_gate: tuple[int, ...]
    recurrent_gate: tuple[int, ...]
    forward: Routine
    inference: Routine
    backward: Routine
    watched: int = 0

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ROUTINES:
                numbers = value if isinstance(value, tuple) else (value,)
                yield " ".join([field.name, *map(str, numbers)])
        for name in ROUTINES:
            yield f"{name}:"
            for phase in getattr(self, name):
                yield "  for rows:"
                yield from (f"    {line}" for line in phase.rows)
                yield "  for tiles:"
                yield from (f"    {line}" for line in phase.tiles)

    @classmethod
    def parse(cls, text: str) -> Program:
        """The program of this text."""
        numbers: dict[str, tuple[int, ...]] = {}
        routines: dict[str, list[tuple[list[Instruction], list[Instruction]]]] = {}
        name = part = ""
        for line in text.splitlines():
            if line.startswith("    "):
                routines[name][-1][part == "tiles"].append(Instruction.parse(line))
            elif line.startswith("  "):
                part = line.split()[1].rstrip(":")
                if part == "rows":
                    routines[name].append(([], []))
            elif line.endswith(":"):
                name = line.rstrip(":")
                routines[name] = []
            else:
                key, *values = line.split()
                numbers[key] = tuple(map(int, values))
        forward, inference, backward = (
            tuple(Phase(tuple(r), tuple(t)) for r, t in routines[key]) for key in ROUTINES
        )
        return cls(
            numbers["gates"][0],
            numbers["states"][0],
            numbers["saved"][0],
            numbers["fused"],
            numbers["scalars"],
            numbers["input_gate"],
            numbers["recurrent_gate"],
            forward,
            inference,
            backward,
            numbers["watched"][0],
        )

    @property
    def kinds(self) -> int:
        """How many gate gradients there are that differ."""
        return len(self.input_gate)

    @property
    def input_kinds(self) -> int:
        """How many of them, from the first on, flow to W_ih."""
        return sum(gate >= 0 for gate in self.input_gate)

    @property
    def recurrent_first(self) -> int:
        """The first that flows to W_hh; all after it do."""
        return self.kinds - sum(gate >= 0 for gate in self.recurrent_gate)


ROUTINES = ("forward", "inference", "backward")
