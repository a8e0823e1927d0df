"""Hoisting: what a step computes of the cell's own numbers alone is computed once per call.

A step may begin with the sigmoid of a parameter. It is the same at every step, and so is the factor
that it leaves in the parameter's gradient. So the expression is taken out of the step, which gets
its value as one more parameter: the native program reads it, and adds up its gradient over all
steps. Autograd takes that on to the parameters, once.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from elman.engine.compiler._lower import RULES


class Call(NamedTuple):
    """An operation of torch on values so far: the parameters, and then what each call gave.

    Attributes:
        target: its name, with the overload.
        args: its arguments, where "%2" is value 2.
        options: those that have a name.
    """

    target: str
    args: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...]


class Hoisted(NamedTuple):
    """Expressions of a cell's own tensors that its step reads.

    It is made of numbers and texts alone, since torch.compile takes it as a constant.

    Attributes:
        parameters: the tensors, by name.
        calls: the operations, in order.
        results: the values that the program takes, by their numbers.
        names: what the results are called among the parameters of a program.
    """

    parameters: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    results: tuple[int, ...] = ()
    names: tuple[str, ...] = ()


def values_of(hoisted: Hoisted, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The results by name, of the cell's own tensors by name; autograd sees each operation."""
    values: list[Any] = [tensors[name] for name in hoisted.parameters]
    for target, args, options in hoisted.calls:
        named = {name: _filled(x, values) for name, x in options}
        values.append(_operation(target)(*_filled(args, values), **named))
    return {name: values[i] for name, i in zip(hoisted.names, hoisted.results, strict=True)}


def shown(hoisted: Hoisted) -> str:
    """The expressions, a line each."""
    texts: list[Any] = list(hoisted.parameters)
    for target, args, options in hoisted.calls:
        named = [f"{name}={_filled(x, texts)}" for name, x in options]
        arguments = ", ".join([str(_filled(x, texts)) for x in args] + named)
        texts.append(f"{target.partition('.')[0]}({arguments})")
    pairs = zip(hoisted.names, hoisted.results, strict=True)
    return "\n".join(f"{name} is {texts[i]}" for name, i in pairs)


def _operation(target: str) -> Any:
    if target == "getitem":
        return operator.getitem
    name, _, overload = target.partition(".")
    return getattr(getattr(torch.ops.aten, name), overload)


def _filled(x: Any, values: Sequence[Any]) -> Any:
    if isinstance(x, str) and x.startswith("%"):
        return values[int(x[1:])]
    return [_filled(each, values) for each in x] if isinstance(x, (tuple, list)) else x


def hoist(
    module: fx.GraphModule, own: Mapping[int, str], units: int, dtype: torch.dtype
) -> Hoisted | None:
    """Takes the expressions of a cell's own tensors out of a traced step.

    In their place the step gets more tensors, after all others.

    Args:
        module: the step without its gradient; it is changed.
        own: the names of the placeholders that are the cell's own floating-point tensors.
        units: how many numbers a tile has in each row.
        dtype: that the program computes in.

    Returns: the expressions, or None where there are none.
    """
    graph = module.graph
    leaves = {n: own[i] for i, n in enumerate(_placeholders(graph)) if i in own}
    fixed: dict[fx.Node, bool] = dict.fromkeys(leaves, False)  # and whether it computes anything
    known: dict[Any, fx.Node] = {}
    for node in list(graph.nodes):
        if _is_fixed(node, fixed, units, dtype):
            first = known.setdefault((node.target, repr((node.args, node.kwargs))), node)
            if first is not node:  # the same once more
                node.replace_all_uses_with(first)
                graph.erase_node(node)  # or it would still be a reader of what it is made of
                continue
            fixed[node] = not _moves(node) or any(fixed[n] for n in node.all_input_nodes)
    ends = [
        n
        for n, computes in fixed.items()
        if computes
        and getattr(n.meta["val"], "dtype", None) == dtype
        and _leaves_of(n, leaves)
        and any(user not in fixed for user in n.users)
    ]
    if not ends:
        return None
    hoisted = _calls(ends, leaves)
    after = _placeholders(graph)[-1]
    for end, name in zip(ends, hoisted.names, strict=True):
        with graph.inserting_after(after):
            after = graph.placeholder(f"hoisted_{name[6:-1]}")
        after.meta["val"] = end.meta["val"]
        end.replace_all_uses_with(after)
    graph.eliminate_dead_code()
    module.recompile()
    return hoisted


def _placeholders(graph: fx.Graph) -> list[fx.Node]:
    return [n for n in graph.nodes if n.op == "placeholder"]


def _moves(node: fx.Node) -> bool:
    """Whether a node only takes numbers from one place to another, or makes constants."""
    if node.target is operator.getitem:
        return True
    name = _name(node).partition(".")[0]
    return not node.all_input_nodes or (name in RULES and RULES[name].moves)


def _is_fixed(node: fx.Node, fixed: Mapping[fx.Node, Any], units: int, dtype: torch.dtype) -> bool:
    """Whether a node is made of the cell's own numbers, and is a number or some for each unit."""
    target = node.target
    if node.op != "call_function" or any(n not in fixed for n in node.all_input_nodes):
        return False
    if target is not operator.getitem:
        schema, tags = getattr(target, "_schema", None), getattr(target, "tags", ())
        if schema is None or schema.is_mutable or torch.Tag.nondeterministic_seeded in tags:
            return False
        if not schema.name.startswith("aten::"):
            return False
    values = node.meta["val"]
    return all(
        isinstance(t, Tensor)
        and t.dtype in (dtype, torch.bool)
        and (t.numel() == 1 or (t.numel() == t.shape[-1] and t.shape[-1] % units == 0))
        for t in (values if isinstance(values, (tuple, list)) else [values])
    )


def _leaves_of(node: fx.Node, leaves: Mapping[fx.Node, str]) -> list[fx.Node]:
    """The cell's own tensors that a node is made of."""
    return [n for n in _closure([node]) if n in leaves]


def _closure(nodes: Sequence[fx.Node]) -> list[fx.Node]:
    """All that these nodes are made of, and themselves, in the order of the graph."""
    found, stack = set[fx.Node](), list(nodes)
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack.extend(node.all_input_nodes)
    return [n for n in nodes[0].graph.nodes if n in found]


def _calls(ends: Sequence[fx.Node], leaves: Mapping[fx.Node, str]) -> Hoisted:
    closure = _closure(ends)
    order = [n for n in closure if n in leaves] + [n for n in closure if n not in leaves]
    number = {n: i for i, n in enumerate(order)}

    def plain(x: Any) -> Any:
        if isinstance(x, fx.Node):
            return f"%{number[x]}"
        return tuple(map(plain, x)) if isinstance(x, (tuple, list)) else x

    calls = tuple(
        Call(_name(n), plain(n.args), tuple((name, plain(x)) for name, x in n.kwargs.items()))
        for n in order
        if n not in leaves
    )
    names = tuple(leaves[n] for n in order if n in leaves)
    results = tuple(number[n] for n in ends)
    return Hoisted(names, calls, results, tuple(f"units[{k}]" for k in range(len(ends))))


def _name(node: fx.Node) -> str:
    """The name of an operation of torch, with its overload."""
    return "getitem" if node.target is operator.getitem else str(node.target).removeprefix("aten.")
