"""What a function's code reads from around it, as its bytecode has it: nothing is run."""

from __future__ import annotations

import dis
from collections.abc import Iterator, Sequence
from functools import lru_cache
from types import CodeType
from typing import Any, NamedTuple

Chains = dict[str, frozenset[tuple[str, ...]]]

NAMED_ATTRIBUTES = frozenset({"getattr", "hasattr"})  # are followed where they are called
_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_FREE = frozenset({"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"})
_ATTRIBUTE = frozenset({"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "IMPORT_FROM"})
_CHANGE = {
    "STORE_ATTR": "the attribute",
    "DELETE_ATTR": "the attribute",
    "STORE_GLOBAL": "the global",
    "DELETE_GLOBAL": "the global",
    "STORE_DEREF": "the outer variable",
    "DELETE_DEREF": "the outer variable",
}
_CALL = "PRECALL" if "PRECALL" in dis.opmap else "CALL"
_WITHOUT_EFFECT = frozenset({"CACHE", "EXTENDED_ARG", "NOP"})
_CONSTRUCTORS = frozenset({"__init__", "__post_init__"})
# Through these a class, a module or a function is read by names that no code holds.
_UNFOLLOWED = frozenset([
    "__builtins__", "__closure__", "__code__", "__dict__", "__getattribute__", "__globals__",
    "__subclasses__", "f_globals", "f_locals"
])  # fmt: skip
# What differs between the tensors of a trace and those of a call.
_OF_A_CALL = frozenset([
    "data_ptr", "grad", "grad_fn", "is_contiguous", "is_inference", "is_leaf", "output_nr",
    "requires_grad", "storage", "storage_offset", "stride", "untyped_storage", "_base", "_version"
])  # fmt: skip


class Reads(NamedTuple):
    """What one piece of code reads, the functions defined within it too.

    ``around`` and ``outer`` are its global and its closure's names, each with the attributes that
    are taken from it at once: ``mymod.sub.K`` is ("sub", "K"), a bare name (). ``attributes`` are
    the names that it reads of anything, ``optional`` those that it also runs without. ``problem``
    says what cannot be followed, or "".
    """

    around: Chains
    outer: Chains
    attributes: frozenset[str]
    optional: frozenset[str]
    imports: frozenset[str]
    problem: str = ""


@lru_cache(maxsize=4096)
def reads(code: CodeType) -> Reads:
    """What this code reads; each code is looked at once."""
    around: dict[str, set[tuple[str, ...]]] = {}
    outer: dict[str, set[tuple[str, ...]]] = {}
    attributes, optional, imports, problems = set[str](), set[str](), set[str](), list[str]()
    for piece in _pieces(code):
        lines = [line for line in dis.get_instructions(piece) if line.opname not in _WITHOUT_EFFECT]
        names: set[str] = set()
        for number, line in enumerate(lines):
            if line.opname in _GLOBAL:
                around.setdefault(line.argval, set()).add(_chain(lines, number))
            elif line.opname in _FREE and line.argval in code.co_freevars:
                outer.setdefault(line.argval, set()).add(_chain(lines, number))
            elif line.opname in _ATTRIBUTE:
                names.add(line.argval)
            elif line.opname == "IMPORT_NAME":
                imports.add(line.argval)
            problems += _problems(line, lines[number - 1], piece, code)
            if line.opname in _GLOBAL and line.argval in NAMED_ATTRIBUTES:
                name = _constant_name(lines, number)
                problems += [] if name else [f"calls {line.argval} with a name that it computes"]
                names.add(name)
                optional.add(name)
        attributes |= names
        # Where exceptions are handled, the code may run without any of the names that it reads.
        optional |= names if piece.co_exceptiontable else set()
    return Reads(
        {name: frozenset(chains) for name, chains in around.items()},
        {name: frozenset(chains) for name, chains in outer.items()},
        frozenset(attributes),
        frozenset(optional),
        frozenset(imports),
        next(iter(problems), ""),
    )


def _pieces(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _pieces(constant)


def _chain(lines: Sequence[Any], number: int) -> tuple[str, ...]:
    """The attributes that are read directly off what this line loads."""
    end = number + 1
    while end < len(lines) and lines[end].opname in ("LOAD_ATTR", "LOAD_METHOD"):
        end += 1
    return tuple(line.argval for line in lines[number + 1 : end])


def _problems(
    line: dis.Instruction, before: dis.Instruction, piece: CodeType, code: CodeType
) -> list[str]:
    if line.opname in _CHANGE:
        inner = "DEREF" in line.opname and line.argval not in code.co_freevars
        making = "ATTR" in line.opname and piece.co_name in _CONSTRUCTORS
        if not inner and not making:
            return [f"sets {_CHANGE[line.opname]} {line.argval}, which a program does not"]
    if line.opname in _ATTRIBUTE and line.argval in _UNFOLLOWED:
        return [f"reads {line.argval}, so that what it takes from there is not known"]
    if line.opname in _ATTRIBUTE and line.argval in _OF_A_CALL and before.argval != "self":
        return [f"reads {line.argval} of a tensor, which is another one at each call"]
    return []


def _constant_name(lines: Sequence[Any], number: int) -> str:
    """The second argument of the call of what this line loads, if it is written there, or ""."""
    # Counts the arguments on the stack: what begins at depth 1 loads the second, at 2 the third.
    depth, second, third = 0, -1, -1
    for i in range(number + 1, len(lines)):
        line = lines[i]
        if line.opname == _CALL and depth == line.arg:
            after = i if line.arg == 2 else third
            plain = [each for each in lines[second + 1 : after] if each.opname != "KW_NAMES"] == []
            name = lines[second].argval if lines[second].opname == "LOAD_CONST" else ""
            return name if plain and isinstance(name, str) else ""
        if line.opcode in dis.hasjrel or line.opcode in dis.hasjabs:
            return ""  # a condition among the arguments
        second, third = (i if depth == 1 else second), (i if depth == 2 else third)
        depth += dis.stack_effect(line.opcode, line.arg)
    return ""
