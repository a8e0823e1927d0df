"""The instruction set of the native engine and its programs, which are text.

A program says what one step does to one tile: forward, forward without keeping anything, and
backward. Its text is all there is to it. It travels to the library as such, so that no compile
cache can replay another cell, and it is what a person reads:

    r0 = i0 + W0[0,0] p0
    t0 = sigmoid r0
    n1 = fma t0 p1 t2

Operands are a letter and a number, see :data:`BANKS`; ``@2`` is the program's own parameter 2, and
``W1[2,0]`` a block of its matrix 1, as many rows and columns as there are units. ``W1[2,0]'`` is
that block transposed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

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
    "ne": (2, False),
    "lt_value": (1, True),
    "le_value": (1, True),
    "gt_value": (1, True),
    "ge_value": (1, True),
    "eq_value": (1, True),
    "ne_value": (1, True),
    "where": (3, False),
    "maximum": (2, False),
    "minimum": (2, False),
    "relu": (1, False),
    "abs": (1, False),
    "copysign": (2, False),
    "sign": (1, False),
    "floor": (1, False),
    "ceil": (1, False),
    "round": (1, False),
    "trunc": (1, False),
    "narrow": (1, False),  # to the nearest number of float32
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
    "fmod": (2, False),
    "atan2": (2, False),
    "hypot": (2, False),
    "log2": (1, False),
    "log10": (1, False),
    "exp2": (1, False),
    "tan": (1, False),
    "asin": (1, False),
    "acos": (1, False),
    "atan": (1, False),
    "sinh": (1, False),
    "cosh": (1, False),
    "asinh": (1, False),
    "acosh": (1, False),
    "atanh": (1, False),
    "erfc": (1, False),
    "lgamma": (1, False),
    "sigmoid": (1, False),
    "tanh": (1, False),
    "sigmoid_backward": (2, False),
    "tanh_backward": (2, False),
}
REDUCTIONS = ("row_sum", "row_max")  # of a tile, to a number per row
SPECIAL = ("expand", *REDUCTIONS, "unit", "scalar", "accumulate", "accumulate_row")
OPCODES = {name: code for code, name in enumerate((*ELEMENTWISE, *SPECIAL))}

# Where operands live, in the order of elman_bank in native/src/abi.h.
BANKS = {
    "t": "a tile in cache",
    "w": "kept until the step's next phase",
    "q": "one number per row",
    "i": "a gate of the projected input",
    "r": "a matrix product (and what it starts from)",
    "p": "a state before the step",
    "n": "a state after the step",
    "s": "saved for the backward",
    "d": "gradient of a state after the step",
    "g": "gradient of a state before the step",
    "z": "gradient of a gate, or what the gradient of a matrix needs beside it",
    "o": "a watched value, for an observer",
    "e": "gradient of a watched value",
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


class Block(NamedTuple):
    """As many rows and columns of a matrix as there are units."""

    matrix: int
    row: int
    column: int

    def __str__(self) -> str:
        return f"W{self.matrix}[{self.row},{self.column}]"

    @classmethod
    def parse(cls, text: str) -> Block:
        return cls(*map(int, re.findall(r"\d+", text)))


class Product(NamedTuple):
    """A sum of matrix products, with what it starts from ("" for nothing)."""

    out: str
    start: str
    blocks: tuple[Block, ...]
    sources: tuple[str, ...]
    transposed: bool = False

    def __str__(self) -> str:
        mark = "'" if self.transposed else ""
        pairs = zip(self.blocks, self.sources, strict=True)
        terms = [f"{block}{mark} {source}" for block, source in pairs]
        return f"{self.out} = " + " + ".join(([self.start] if self.start else []) + terms)

    @classmethod
    def parse(cls, line: str) -> Product:
        out, _, terms = line.strip().partition(" = ")
        first, *rest = (term.split() for term in terms.split(" + "))
        pairs = rest if len(first) == 1 else [first, *rest]
        blocks, sources = zip(*pairs, strict=True)
        return cls(
            out,
            first[0] if len(first) == 1 else "",
            tuple(map(Block.parse, blocks)),
            sources,
            "'" in blocks[0],
        )


class GemmGroup(NamedTuple):
    """Gradients that flow into products of one source: of their matrices, and of the source.

    The gradient of block k gains ``z[first + k]`` times ``source``; what flows back, the sum over k
    of ``z[first + k]`` times the block, goes ``to`` a state ("p0": with the next step of the
    backward) or to a product of the backward ("r0"). Either is "-" where there is none.
    """

    first: int
    blocks: tuple[Block, ...]
    source: str
    to: str

    def __str__(self) -> str:
        return f"z{self.first} {self.source} {self.to} " + " ".join(map(str, self.blocks))

    @classmethod
    def parse(cls, line: str) -> GemmGroup:
        first, source, to, *blocks = line.split()
        return cls(int(first[1:]), tuple(map(Block.parse, blocks)), source, to)


class Phase(NamedTuple):
    """Matrix products; instructions on numbers per row, once; instructions on every tile."""

    products: tuple[Product, ...] = ()
    rows: tuple[Instruction, ...] = ()
    tiles: tuple[Instruction, ...] = ()


Routine = tuple[Phase, ...]


@dataclass(frozen=True)
class Program:
    """What the native library runs for one cell.

    Attributes:
        inputs: how many gates each input has.
        projected: 1 if the one input is W_ih x + b_ih, which the library computes itself.
        states: how many the cell has.
        saved: tiles per step that the forward keeps beside the states.
        gate_grads: how many ``z`` there are.
        input_grad: for each gate of the inputs, the ``z`` that is its gradient, or -1.
        own: what each of the cell's own tensors is: "scalar", "unit3" (three numbers per unit) or
            "matrix2x1" (in blocks of units).
        groups: how gradients pass through the matrix products.
        forward: one step while training.
        inference: one step that keeps nothing.
        backward: from gradients of the states after a step to those of the gates and states before.
        watched: tiles per step that an observer gets.
        once: 1 if its second derivatives are not those of the step (see :mod:`._once`).
    """

    inputs: tuple[int, ...]
    projected: int
    states: int
    saved: int
    gate_grads: int
    input_grad: tuple[int, ...]
    own: tuple[str, ...]
    groups: tuple[GemmGroup, ...]
    forward: Routine
    inference: Routine
    backward: Routine
    watched: int = 0
    once: int = 0

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "groups":
                yield from (f"group {group}" for group in value)
            elif field.name not in ROUTINES:
                numbers = value if isinstance(value, tuple) else (value,)
                yield " ".join([field.name, *map(str, numbers)])
        for name in ROUTINES:
            yield f"{name}:"
            for phase in getattr(self, name):
                for part, lines in zip(PARTS, phase, strict=True):
                    if lines or part == PARTS[-1]:
                        yield f"  for {part}:"
                    yield from (f"    {line}" for line in lines)

    @classmethod
    def parse(cls, text: str) -> Program:
        """The program of this text."""
        header: dict[str, list[str]] = {}
        groups: list[GemmGroup] = []
        routines: dict[str, list[str]] = {}
        for line in text.splitlines():
            if line.startswith(" "):
                routines[next(reversed(routines))].append(line)
            elif line.endswith(":"):
                routines[line.rstrip(":")] = []
            elif line.startswith("group "):
                groups.append(GemmGroup.parse(line.removeprefix("group ")))
            else:
                name, *values = line.split()
                header[name] = values

        def numbers(name: str) -> tuple[int, ...]:
            return tuple(map(int, header[name]))

        forward, inference, backward = (_routine(routines[name]) for name in ROUTINES)
        return cls(
            inputs=numbers("inputs"),
            projected=numbers("projected")[0],
            states=numbers("states")[0],
            saved=numbers("saved")[0],
            gate_grads=numbers("gate_grads")[0],
            input_grad=numbers("input_grad"),
            own=tuple(header["own"]),
            groups=tuple(groups),
            forward=forward,
            inference=inference,
            backward=backward,
            watched=numbers("watched")[0],
            once=numbers("once")[0],
        )

    @property
    def gates(self) -> int:
        """How many gates all inputs have together."""
        return sum(self.inputs)

    @property
    def slots(self) -> tuple[tuple[int, int, bool], ...]:
        """The program's own parameters.

        Of each: the number of its tensor, which piece of it, and whether it is a single number.
        """
        return tuple(
            (number, piece, text == "scalar")
            for number, text in enumerate(self.own)
            for piece in range(int(text[4:]) if text.startswith("unit") else text == "scalar")
        )

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks of all matrices."""
        return tuple(
            Block(number, row, column)
            for number, text in enumerate(self.matrices)
            for row in range(text[0])
            for column in range(text[1])
        )

    @property
    def matrices(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of each matrix, in blocks."""
        matches = (re.fullmatch(r"matrix(\d+)x(\d+)", text) for text in self.own)
        return tuple((int(m[1]), int(m[2])) for m in matches if m)


ROUTINES = ("forward", "inference", "backward")
PARTS = ("matrices", "rows", "tiles")


def _routine(lines: list[str]) -> Routine:
    """Its phases: a part that does not come after the last one begins a new phase."""
    phases: list[list[list[Any]]] = []
    part = len(PARTS)
    for line in lines:
        if line.startswith("    "):
            phases[-1][part].append((Instruction if part else Product).parse(line))
            continue
        last, part = part, PARTS.index(line.split()[1].rstrip(":"))
        if part <= last:
            phases.append([[], [], []])
    return tuple(Phase(*map(tuple, phase)) for phase in phases)
