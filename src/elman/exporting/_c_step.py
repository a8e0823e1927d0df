"""The body of a step in C: loops, products and copies, on arrays of its own stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from elman.exporting._c_arrays import Array, commented
from elman.exporting._c_operations import Dialect, literal
from elman.exporting._nodes import (
    ArrayNode,
    ConstantArray,
    Input,
    Join,
    Kind,
    Lookup,
    Map,
    MatrixProduct,
    Number,
    Reduction,
    StateBefore,
    StepGraph,
    View,
    WeightProduct,
    as_view,
    contiguous_strides,
)
from elman.exporting._schedule import (
    Loop,
    Statement,
    base_of,
    is_direct,
    lifetimes,
    schedule,
)

_TYPES: dict[Kind, str] = {"float": "float", "int": "int32_t"}
_INDICES = "ijklmn"


class StepPrinter:
    """Prints one step.

    Args:
        graph: the step.
        arrays: of its constants, by their identity.
        fields: the names of the states in the struct.
        dialect: how operations are spelled.

    Attributes:
        used: the functions of `FUNCTIONS` that it calls.
        buffers: the arrays on the stack: names, sizes and kinds.
    """

    def __init__(
        self, graph: StepGraph, arrays: dict[int, Array], fields: Sequence[str], dialect: Dialect
    ) -> None:
        self.graph, self.arrays, self.dialect = graph, arrays, dialect
        self.fields = dict(zip(map(id, graph.states), fields, strict=True))
        self.used: set[str] = set()
        self.buffers: dict[str, tuple[int, Kind]] = {}
        self._places: dict[int, str] = {}
        self._free: dict[tuple[int, Kind], list[str]] = {}

    def lines(self) -> list[str]:
        """The statements, with the declarations of their arrays in front."""
        statements = schedule(self.graph)
        last = lifetimes(statements, self.graph)
        body: list[str] = []
        for place, statement in enumerate(statements):
            stored = list(self._stored(statement))
            for node in stored:
                self._places[id(node)] = self._buffer(node)
            body += self._comment(statement)
            body += self._statement(statement)
            for key in [k for k in self._places if last[k] == place]:
                name = self._places.pop(key)
                self._free.setdefault(self.buffers[name], []).append(name)
        body += self._results()
        declared = [
            f"{_TYPES[kind]} {name}[{size}];" for name, (size, kind) in self.buffers.items()
        ]
        return [*declared, *body]

    def _stored(self, statement: Statement) -> Iterator[ArrayNode]:
        if isinstance(statement, Loop):
            yield from (m for m in statement.maps if statement.stores(m))
        else:
            yield statement

    def _buffer(self, node: ArrayNode) -> str:
        """An array for a node: one of this size that is free, or a new one."""
        key = node.size, node.kind
        if free := self._free.get(key):
            return free.pop()
        name = f"t{len(self.buffers)}"
        self.buffers[name] = key
        return name

    def _comment(self, statement: Statement) -> Iterator[str]:
        nodes = statement.maps if isinstance(statement, Loop) else (statement,)
        for line in dict.fromkeys(node.line for node in nodes if node.line):
            yield f"/* {commented(line)} */"

    def _statement(self, statement: Statement) -> Iterator[str]:
        match statement:
            case Loop():
                yield from self._loop(statement)
            case WeightProduct():
                yield self._product(statement)
            case MatrixProduct():
                yield from self._matrix_product(statement)
            case Reduction():
                yield from self._reduction(statement)
            case Lookup():
                yield from self._lookup(statement)
            case Join():
                yield from self._join(statement)

    # What an array is called, and where in it a number is

    def _array(self, base: ArrayNode) -> str:
        if isinstance(base, StateBefore):
            return f"state->{self.fields[id(base)]}"
        if isinstance(base, ConstantArray):
            return self.arrays[id(base)].name
        return "input" if isinstance(base, Input) else self._places[id(base)]

    def _element(self, view: View, shape: Sequence[int]) -> str:
        """The number of a view at the place that the loops over this shape are at."""
        if isinstance(view.base, Input) and view.base.kind == "int":
            return "input"
        missing = len(shape) - len(view.shape)
        strides = [0] * missing + [
            0 if size == 1 else stride
            for size, stride in zip(view.shape, view.strides, strict=True)
        ]
        moving = [stride for stride, size in zip(strides, shape, strict=True) if size != 1]
        return f"{self._array(view.base)}[{_place(view.offset, moving)}]"

    def _pointer(self, view: View) -> str:
        name = self._array(view.base)
        return name if view.offset == 0 else f"{name} + {view.offset}"

    # Statements

    def _loop(self, loop: Loop) -> Iterator[str]:
        names = {id(node): f"v{number}" for number, node in enumerate(loop.maps)}
        lines = []
        for node in loop.maps:
            value = self._expression(node, names)
            if node.op != "copy":
                lines.append(f"const {_TYPES[node.kind]} {names[id(node)]} = {value};")
                value = names[id(node)]
            elif not loop.stores(node):
                lines.append(f"const {_TYPES[node.kind]} {names[id(node)]} = {value};")
            if loop.stores(node):
                place = _place(0, contiguous_strides(loop.shape))
                lines.append(f"{self._places[id(node)]}[{place}] = {value};")
                if node.op == "copy":
                    names[id(node)] = f"{self._places[id(node)]}[{place}]"
        yield from _loops(loop.shape, lines)

    def _expression(self, node: Map, names: dict[int, str]) -> str:
        op, expected = node.op, _expected(node)
        texts, power = [], None
        for number, operand in enumerate(node.operands):
            kind: Kind = "int" if op == "where" and number == 0 else expected
            texts.append(self._operand(operand, node, kind, names))
            if op == "pow" and number == 1 and not isinstance(operand, ArrayNode):
                power = operand
        own = {"log", "log1p", "sqrt"} if not self.dialect.libm else set()
        name = "sqrt" if op == "rsqrt" or power == 0.5 else op
        if name in own | {"exp", "expm1", "sigmoid", "tanh", "relu"}:
            self.used.add(name)
        text = self.dialect.expression(op, texts, power)
        return f"(float)({text})" if node.kind == "float" and expected == "int" else text

    def _operand(
        self, operand: ArrayNode | Number, user: Map, kind: Kind, names: dict[int, str]
    ) -> str:
        if not isinstance(operand, ArrayNode):
            return literal(operand, kind)
        base = base_of(operand)
        if is_direct(operand, user) and id(base) in names:
            text = names[id(base)]
        else:
            text = self._element(as_view(operand), user.shape)
        if operand.kind == kind:
            return text
        return f"(float){text}" if kind == "float" else f"({text} != 0.0f)"

    def _product(self, node: WeightProduct) -> str:
        source, table = as_view(node.source), self.arrays[id(node.matrix)]
        count, width = node.matrix.shape
        bias = self.arrays[id(node.bias)].name if node.bias else "NULL"
        rest = f"{bias}, {self._pointer(source)}, {self._places[id(node)]}, {count}, {width});"
        prefix = self.dialect.prefix
        if table.scale is None:
            self.used.add("product")
            return f"{prefix}_product({table.name}, {rest}"
        self.used.add("product_int8")
        return f"{prefix}_product_int8({table.name}, {table.name}_scale, {rest}"

    def _matrix_product(self, node: MatrixProduct) -> Iterator[str]:
        (rows, inside), width = node.left.shape, node.right.shape[1]
        left, right = (
            f"{self._array(view.base)}[{_place(view.offset, strides)}]"
            for view, strides in (
                (node.left, (node.left.strides[0], 0, node.left.strides[1])),
                (node.right, (0, node.right.strides[1], node.right.strides[0])),
            )
        )
        yield from _loops((rows, width), [
            "float sum = 0.0f;",
            f"for (size_t k = 0; k < {inside}; ++k) sum += {left} * {right};",
            f"{self._places[id(node)]}[{_place(0, (width, 1))}] = sum;",
        ])  # fmt: skip

    def _reduction(self, node: Reduction) -> Iterator[str]:
        view = node.source
        kept = [d for d in range(len(view.shape)) if d not in node.over]
        dims = [*kept, *node.over]
        sizes = [view.shape[d] for d in dims]
        element = (
            f"{self._array(view.base)}[{_place(view.offset, [view.strides[d] for d in dims])}]"
        )
        first = [view.strides[d] for d in kept]
        begin = (
            "0.0f"
            if node.op == "sum"
            else f"{self._array(view.base)}[{_place(view.offset, first)}]"
        )
        sign = "<" if node.op == "min" else ">"
        add = (
            f"sum += {element};"
            if node.op == "sum"
            else f"if ({element} {sign} sum || {element} != {element}) sum = {element};"
        )
        inner = list(_loops(sizes[len(kept) :], [add], first=len(kept)))
        place = _place(0, contiguous_strides(sizes[: len(kept)]))
        store = f"{self._places[id(node)]}[{place}] = sum;"
        yield from _loops(sizes[: len(kept)], [f"float sum = {begin};", *inner, store])

    def _lookup(self, node: Lookup) -> Iterator[str]:
        table, width = self.arrays[id(node.table)], node.table.shape[1]
        index = self._element(as_view(node.index), ())
        place = f"(size_t){index} * {width} + i"
        value = f"{table.name}[{place}]"
        if table.scale is not None:
            value = f"(float){value} * {table.name}_scale[{index}]"
        yield f"for (size_t i = 0; i < {width}; ++i) {self._places[id(node)]}[i] = {value};"

    def _join(self, node: Join) -> Iterator[str]:
        strides, start = contiguous_strides(node.shape), 0
        for part in node.parts:
            target = View(
                shape=part.shape, base=node, offset=start * strides[node.dim], strides=strides
            )
            yield from self._copied(part, self._element(target, part.shape))
            start += part.shape[node.dim]

    def _copied(self, source: View, target: str) -> Iterator[str]:
        sizes = [size for size in source.shape if size != 1]
        yield from _loops(sizes, [f"{target} = {self._element(source, source.shape)};"])

    def _results(self) -> Iterator[str]:
        """Copies of the states, and of the output, to where the caller has them."""
        yield from self._copied(*self._flat(self.graph.output, "output"))
        for before, after in zip(self.graph.states, self.graph.after, strict=True):
            if before.size and base_of(after) is not before:
                yield from self._copied(*self._flat(after, f"state->{self.fields[id(before)]}"))

    def _flat(self, node: ArrayNode, target: str) -> tuple[View, str]:
        view = as_view(node)
        sizes = [size for size in view.shape if size != 1]
        return view, f"{target}[{_place(0, contiguous_strides(sizes))}]"


def _expected(node: Map) -> Kind:
    """What the operands of an operation are converted to."""
    if node.op in ("logical_and", "logical_or", "logical_xor", "logical_not") or (
        node.op.startswith("bitwise_")
    ):
        return "int"
    kinds = {operand.kind for operand in node.operands if isinstance(operand, ArrayNode)}
    numbers = (o for o in node.operands if not isinstance(o, ArrayNode))
    if node.op == "where":
        return node.kind
    if node.kind == "float" and node.op != "copy":
        return "float"
    return "float" if "float" in kinds or any(isinstance(n, float) for n in numbers) else "int"


def _place(offset: int, strides: Sequence[int]) -> str:
    """The index at the place that the loops are at."""
    terms = [str(offset)] if offset else []
    for index, stride in zip(_INDICES, strides, strict=False):
        if stride:
            terms.append(index if stride == 1 else f"{stride} * {index}")
    return " + ".join(terms) or "0"


def _loops(sizes: Sequence[int], lines: Sequence[str], first: int = 0) -> Iterator[str]:
    """The lines within a loop for each size; ``first`` is how many loops are around them."""
    heads = [
        f"for (size_t {index} = 0; {index} < {size}; ++{index}) {{"
        for index, size in zip(_INDICES[first:], sizes, strict=False)
    ] or ["{"]
    yield from (f"{'    ' * depth}{head}" for depth, head in enumerate(heads))
    yield from (f"{'    ' * len(heads)}{line}" for line in lines)
    yield from (f"{'    ' * depth}}}" for depth in reversed(range(len(heads))))
