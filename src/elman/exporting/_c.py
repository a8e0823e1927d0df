"""A model as C99: a header and a file, of which a step needs no memory but its own stack."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from elman import __version__
from elman._errors import ConfigError
from elman.exporting._c_arrays import Array, arrays_of, commented, declared, identifier, quoted
from elman.exporting._c_functions import functions
from elman.exporting._c_operations import Dialect, literal
from elman.exporting._c_step import StepPrinter
from elman.exporting._c_vocabulary import has_token_table, token_function, token_header
from elman.exporting._model import StepModel
from elman.exporting._nodes import StateBefore, StepGraph
from elman.exporting._report import Sizes, count
from elman.exporting._target import ExportOptions, Files
from elman.exporting._trace import Traced

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_WORDS = """
auto break case char const continue default do double else enum extern float for goto if inline int
long register restrict return short signed sizeof static struct switch typedef union unsigned void
volatile while input output state
"""
_KEYWORDS = frozenset(_WORDS.split())


def files(model: StepModel, traced: Traced, graph: StepGraph, options: ExportOptions) -> Files:
    """The text of the header and of the file, and what they take.

    Raises:
        ConfigError: a name that C does not take, or an operation that needs libm where it is left
            out.
    """
    name = options.name
    if not _NAME.fullmatch(name) or name in _KEYWORDS:
        raise ConfigError(
            f"name must be a C identifier, such as net, got {name!r}: use letters, digits and _"
        )
    arrays = arrays_of(graph, name, int8=options.weights == "int8")
    fields = _fields(graph.states)
    printer = StepPrinter(graph, arrays, fields, Dialect(name, options.libm))
    body = printer.lines()
    writer = _Writer(model, graph, traced, options, fields)
    source = "\n".join(
        writer.source(body, arrays, functions(printer.used, name, libm=options.libm))
    )
    header = "\n".join(writer.header())
    stack = sum(4 * size for size, _ in printer.buffers.values())
    sizes: Sizes = count(graph, arrays.values(), stack, model.vocabulary if writer.table else None)
    return Files({f"{name}.h": f"{header}\n", f"{name}.c": f"{source}\n"}, sizes)


def _fields(states: Sequence[StateBefore]) -> list[str]:
    """Names of the states that C takes: distinct, and no keywords."""
    names: list[str] = []
    for state in states:
        name = identifier(state.name) or "state"
        if not _NAME.fullmatch(name) or name in _KEYWORDS:
            name = f"s_{name}"
        names.append(f"{name}_{len(names)}" if name in names else name)
    return names


class _Writer:
    def __init__(
        self,
        model: StepModel,
        graph: StepGraph,
        traced: Traced,
        options: ExportOptions,
        fields: list[str],
    ) -> None:
        self.model, self.graph, self.options = model, graph, options
        self.name, self.upper = options.name, options.name.upper()
        kept = zip(graph.states, fields, traced.start, strict=True)
        self.states = [(state, field, start) for state, field, start in kept if state.size]
        self.table = has_token_table(model.vocabulary)

    # The header

    def header(self) -> Iterator[str]:
        name, upper, tokens = self.name, self.upper, self.model.reads_tokens
        yield from self._comment()
        yield f"#ifndef {upper}_H\n#define {upper}_H\n\n#include <stddef.h>\n#include <stdint.h>\n"
        yield '#ifdef __cplusplus\nextern "C" {\n#endif\n'
        if tokens:
            yield "/* A token is a number from 0 to this - 1. */"
            yield f"#define {upper}_TOKENS {self._token_count()}"
        else:
            yield f"#define {upper}_INPUT_SIZE {self.graph.input.size}"
        yield f"#define {upper}_OUTPUT_SIZE {self.graph.output.size}\n"
        yield "/* One stream. Many streams are an array of these. */"
        yield f"typedef struct {name}_state {{"
        for state, field, _ in self.states:
            yield f"    {'float' if state.kind == 'float' else 'int32_t'} {field}[{state.size}];"
        if not self.states:
            yield "    char unused; /* this model keeps nothing */"
        yield f"}} {name}_state;\n"
        yield "/* Begins a stream. */"
        yield f"void {name}_init({name}_state *state);\n"
        yield from self._signatures()
        if self.model.labels:
            yield "\n/* What each output is. */"
            yield f"extern const char *const {name}_labels[{len(self.model.labels)}];"
        if self.table and self.model.vocabulary is not None:
            yield from token_header(self.model.vocabulary, name)
        yield f"\n#ifdef __cplusplus\n}}\n#endif\n\n#endif /* {upper}_H */"

    def _comment(self) -> Iterator[str]:
        yield f"/* {self.name}: {commented(self.model.title)}"
        yield f" * Exported by elman {__version__}."
        for note in self.model.notes:
            yield f" * {commented(note)}"
        yield " */"

    def _token_count(self) -> int:
        assert self.options.tokens is not None
        return self.options.tokens

    def _signatures(self) -> Iterator[str]:
        name, upper = self.name, self.upper
        if self.model.reads_tokens:
            yield (
                f"/* One step: a token to {upper}_OUTPUT_SIZE numbers.\n"
                " * Returns 0, or -1 for a number that is no token, which changes nothing. */"
            )
            yield f"int {name}_step({name}_state *state, int32_t input, float *output);\n"
            yield "/* Steps one after the other; stops at the first number that is no token. */"
            yield (
                f"int {name}_run({name}_state *state, const int32_t *inputs, size_t steps, "
                "float *outputs);"
            )
            return
        yield f"/* One step: {upper}_INPUT_SIZE numbers to {upper}_OUTPUT_SIZE numbers. */"
        yield f"void {name}_step({name}_state *state, const float *input, float *output);\n"
        yield "/* Steps one after the other, from an array of inputs to an array of outputs. */"
        yield (
            f"void {name}_run({name}_state *state, const float *inputs, size_t steps, "
            "float *outputs);"
        )

    # The file

    def source(self, body: list[str], arrays: dict[int, Array], functions: str) -> Iterator[str]:
        yield from self._comment()
        yield f'#include "{self.name}.h"\n'
        if self.options.libm:
            yield "#include <math.h>\n"
        for cell, equation in self.model.equations.items():
            yield f"/* {commented(cell)}:"
            yield from (f" *   {commented(line)}" for line in equation.splitlines())
            yield " */\n"
        for array in arrays.values():
            yield from declared(array)
        yield ""
        if functions:
            yield functions
        yield from self._init()
        yield from self._step(body)
        yield from self._run()
        if self.model.labels:
            yield f"\nconst char *const {self.name}_labels[{len(self.model.labels)}] = {{"
            yield from (f"    {quoted(label)}," for label in self.model.labels)
            yield "};"
        if self.table and self.model.vocabulary is not None:
            yield from token_function(self.model.vocabulary, self.name)

    def _init(self) -> Iterator[str]:
        yield f"void {self.name}_init({self.name}_state *state) {{"
        for state, field, start in self.states:
            numbers = start.flatten().tolist()
            if len(set(numbers)) == 1:
                value = literal(numbers[0], state.kind)
                yield f"    for (size_t i = 0; i < {state.size}; ++i) state->{field}[i] = {value};"
            else:
                yield from (
                    f"    state->{field}[{i}] = {literal(number, state.kind)};"
                    for i, number in enumerate(numbers)
                )
        if not self.states:
            yield "    state->unused = 0;"
        yield "}\n"

    def _step(self, body: list[str]) -> Iterator[str]:
        name = self.name
        if self.model.reads_tokens:
            yield f"int {name}_step({name}_state *state, int32_t input, float *output) {{"
        else:
            yield f"void {name}_step({name}_state *state, const float *input, float *output) {{"
        declarations = [line for line in body if re.fullmatch(r"\w+ t\d+\[\d+\];", line)]
        yield from (f"    {line}" for line in declarations)
        text = "\n".join(line for line in body if not line.startswith("/*"))
        for parameter, use in (("state", "state->"), ("input", "input")):
            if use not in text:
                yield f"    (void){parameter};"
        if self.model.reads_tokens:
            yield f"    if (input < 0 || input >= {self.upper}_TOKENS) return -1;"
        yield from (f"    {line}" for line in body[len(declarations) :])
        yield "    return 0;\n}\n" if self.model.reads_tokens else "}\n"

    def _run(self) -> Iterator[str]:
        name, upper = self.name, self.upper
        if self.model.reads_tokens:
            yield f"""\
int {name}_run({name}_state *state, const int32_t *inputs, size_t steps, float *outputs) {{
    for (size_t i = 0; i < steps; ++i)
        if ({name}_step(state, inputs[i], outputs + i * {upper}_OUTPUT_SIZE) != 0) return -1;
    return 0;
}}"""
            return
        yield f"""\
void {name}_run({name}_state *state, const float *inputs, size_t steps, float *outputs) {{
    for (size_t i = 0; i < steps; ++i)
        {name}_step(state, inputs + i * {upper}_INPUT_SIZE, outputs + i * {upper}_OUTPUT_SIZE);
}}"""
