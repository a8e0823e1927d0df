"""All that a cell's step can reach, and how to read it again."""

from __future__ import annotations

import builtins
import dataclasses
import enum
import functools
import types
from abc import ABC
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Generic, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from elman.cells import Cell, LinearCell, PointwiseCell, Weights
from elman.engine.compiler._containers import CONTAINERS, MOST_ENTRIES, count, entries
from elman.engine.compiler._lower import Untraceable
from elman.engine.compiler._readers import (
    Leaves,
    Reader,
    both_reader,
    class_reader,
    content,
    function_reader,
    has_any_global_hook,
    mapping_reader,
    module_reader,
    parts_reader,
    presence,
    take,
    token,
)
from elman.engine.compiler._reads import NAMED_ATTRIBUTES, Chains, Reads, reads
from elman.engine.compiler._trusted import (
    home,
    is_check_of_shapes,
    is_of_python,
    is_trusted,
    objection,
    reads_state,
)

_ROOTS = frozenset([
    "step", "pointwise", "forward", "backward", "setup_context", "watch", "weights", "hidden_size",
    "gates", "states", "state_sizes", "State", "Gates", "_split", "jvp", "vmap", "combine",
    "project_state"
])  # fmt: skip
_MODULE_ATTRIBUTES = frozenset(nn.Module().__dict__) - {"training"}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_PLAIN_BASES = {Cell, PointwiseCell, nn.Module, ABC, Generic, object}
_ATOMS = frozenset(
    {type(None), bool, int, float, complex, str, bytes, type(Ellipsis), range, torch.dtype}
    | {type(NotImplemented)}
    | {torch.device, torch.layout, torch.memory_format}
)
_WITHOUT_STATE = ("typing", "types", "dataclasses", "enum", "torch._ops", "_collections")
# Python calls these by itself; the others only where a class is called, or never in a step.
_NEVER_IMPLIED = frozenset([
    "__init__", "__new__", "__post_init__", "__init_subclass__", "__subclasshook__",
    "__class_getitem__", "__repr__", "__str__", "__dir__", "__sizeof__", "__reduce__",
    "__reduce_ex__", "__getstate__", "__setstate__", "__copy__", "__deepcopy__", "__del__",
    "__set_name__", "__getnewargs__", "__annotate__"
])  # fmt: skip
_MAKE = frozenset({"__init__", "__new__", "__post_init__"})
_BARE = frozenset({()})


class AccessPath(NamedTuple):
    """Where a value is, and who reads it there."""

    name: str
    reader: str = ""

    def of(self, part: str) -> AccessPath:
        """The path to a part of this value."""
        return AccessPath(f"{self.name}{part}", self.reader)

    def refusal(self, what: str) -> Untraceable:
        """The error that refuses this value."""
        subject = f"{self.reader} reads {self.name}," if self.reader else f"{self.name} is"
        return Untraceable(f"{subject} {what}")


class ReadNames(NamedTuple):
    """Attribute names that some function reads, those that may be absent, and classes called."""

    names: frozenset[str] = _ROOTS
    optional: frozenset[str] = frozenset()
    made: frozenset[int] = frozenset()


class Walk:
    """One walk over all that a cell's step can reach, when these names are read of anything.

    Attributes:
        reader: of the cell.
        names, optional, made: what this walk came upon; see :class:`ReadNames`.
        containers: all that were met, by name, and what they held.
        reads_around: whether it came to code that is not of elman or torch.
    """

    reader: Reader

    def __init__(self, own: Iterable[nn.Module], read_names: ReadNames) -> None:
        self._read_names, self._own = read_names, set(map(id, own))
        self.names, self.optional, self.made = set[str](), set[str](), set[int]()
        self.containers: list[tuple[str, Any, Any]] = []
        self.reads_around = False
        self._visited: dict[int, Any] = {}

    def follow(self, value: Any, place: AccessPath) -> Reader | None:
        """How to read a value again; None if it is a leaf."""
        if is_atom(value):
            return None
        if isinstance(value, Tensor):
            raise place.refusal("a tensor: register it as a parameter or a buffer")
        for kinds, method in _RULES:
            if isinstance(value, kinds):
                reader: Reader | None = method(self, value, place)
                return reader
        kind = type(value)
        if dataclasses.is_dataclass(value) or kind is types.SimpleNamespace:
            return self._record(value, place)
        if kind.__module__ in _WITHOUT_STATE or kind is np.ufunc:
            return None
        raise place.refusal(
            f"a {kind.__name__}, whose changes could not be noticed: make it a number, a string, a "
            f"container of up to {MOST_ENTRIES} of them, or a buffer"
        )

    def _met(self, value: Any) -> bool:
        """Whether the walk has met this object before."""
        met = id(value) in self._visited or id(value) in self._own
        self._visited[id(value)] = value  # kept alive, so that no other object gets its id
        return met

    # Containers and records

    def _container(self, value: Any, place: AccessPath) -> Reader:
        kind = type(value)
        if kind not in CONTAINERS:
            raise place.refusal(f"a {kind.__name__}, whose changes could not be noticed")
        if count(value) > MOST_ENTRIES:
            raise place.refusal(
                f"a {kind.__name__} of more than {MOST_ENTRIES} entries, whose changes would take "
                "long to notice: make it a buffer, or a tuple"
            )
        keyed = isinstance(value, Mapping)
        self.containers.append((place.name, value, entries(value)))
        if keyed and not all(map(is_atom, value)):
            raise place.refusal(f"a {kind.__name__} whose keys are not all numbers or strings")
        return self._entries(value, keyed, place)

    def _tuple(self, value: Any, place: AccessPath) -> Reader:
        return self._entries(value, False, place)

    def _entries(self, value: Any, keyed: bool, place: AccessPath) -> Reader:
        held = [*value.values()] if keyed else [*value]
        labels = [*map(repr, value)] if keyed else range(len(held))
        of_type = self.follow(type(value), place)
        readers = [
            self.follow(v, place.of(f"[{label}]")) for v, label in zip(held, labels, strict=False)
        ]
        plain = not any(readers)

        def read(value: Any, out: Leaves) -> None:
            take(of_type, type(value), out)
            out.append(len(value))
            if keyed:
                out += value
                value = value.values()
            if plain:
                out += value
                return
            for each, reader in zip(value, readers, strict=True):
                take(reader, each, out)

        return read

    def _record(self, value: Any, place: AccessPath) -> Reader:
        """A dataclass, whose methods are followed too, or a namespace."""
        kind = type(value)
        of_kind = self.follow(kind, place)
        if hasattr(value, "__dict__"):
            names = self._names_of_class(kind) | (self._read_names.names & vars(value).keys())
            return parts_reader((type, vars), (of_kind, self._namespace(vars(value), names, place)))
        readers = [self.follow(getattr(value, n), place.of(f".{n}")) for n in kind.__slots__]
        return parts_reader((type, *map(attrgetter, kind.__slots__)), (of_kind, *readers))

    def _member(self, value: Any, place: AccessPath) -> Reader:
        """A reader of a member of an enumeration."""
        gets = (type, attrgetter("_name_"), attrgetter("_value_"))
        of_value = self.follow(value._value_, place.of(".value"))
        return parts_reader(gets, (self.follow(type(value), place), None, of_value))

    # Functions

    def _function(self, f: types.FunctionType, place: AccessPath) -> Reader | None:
        """A reader of a function: its code, its defaults, and the globals and closure it reads."""
        trusted = is_trusted(home(f))
        if trusted or is_of_python(home(f)):
            self._check(f, place)
        if home(f) == "functools":
            raise place.refusal("a function of functools, which chooses among others")
        if trusted and not f.__closure__:
            return None
        if is_check_of_shapes(f):
            return self._wrapped(f, place)
        if self._met(f):  # it may call itself; whoever met it first reads it
            return token
        label = f.__qualname__.rpartition("<locals>.")[2]
        # A closure's variables, by the names that the code has for them.
        cells = zip(f.__code__.co_freevars, f.__closure__ or (), strict=True)
        outer = [(AccessPath(name, label), content(cell)) for name, cell in cells]
        if trusted:  # as what a decorator of torch holds
            held = [self._called(value, where) for where, value in outer]
            return function_reader((), (), held, None)
        code = reads(f.__code__)
        self._allow(code, label)
        held = [self._named(v, code.outer.get(w.name, _BARE), w) for w, v in outer]
        around = self._globals(f.__globals__, code.around, label)
        defaults = [
            (name, self.follow(getattr(f, name), AccessPath(name, label)))
            for name in ("__defaults__", "__kwdefaults__")
        ]
        parts: list[tuple[Callable[[Any], Any], Reader]] = [
            (attrgetter(name), reader) for name, reader in defaults if reader is not None
        ]
        attributes = (self._read_names.names & f.__dict__.keys()) | self._read_names.optional
        if attributes:
            parts.append((vars, self._namespace(f.__dict__, attributes, AccessPath(label))))
        leaves = [name for name, reader in defaults if reader is None]
        return function_reader(leaves, parts, held, around)

    def _allow(self, code: Reads, label: str) -> None:
        """Goes on with what this reads, unless it does what cannot be followed."""
        unknown = [name for name in code.imports if not is_trusted(name)]
        stateful = [n for n in code.attributes for i in code.imports if reads_state(i, n)]
        problem = code.problem or next((f"imports {name}" for name in unknown + stateful), "")
        if problem:
            raise Untraceable(f"{label} {problem}")
        self.reads_around = True
        self.names |= code.attributes
        self.optional |= code.optional

    def _globals(self, scope: dict[str, Any], around: Chains, label: str) -> Reader:
        readers = {
            name: self._named(scope[name], chains, AccessPath(name, label))
            for name, chains in around.items()
            if name in scope
        }
        for name in around.keys() - readers.keys() - NAMED_ATTRIBUTES:
            self.follow(getattr(builtins, name, None), AccessPath(name, label))
        return mapping_reader(readers, around.keys() - readers.keys())

    def _named(
        self, value: Any, chains: frozenset[tuple[str, ...]], place: AccessPath
    ) -> Reader | None:
        """A reader of the attributes that the code takes of the value of a name."""
        if isinstance(value, types.ModuleType):
            return self._names_of_module(value, chains, place)
        if isinstance(value, type) and () in chains and place.name != "__class__":
            self.made.add(id(value))
        whole = () in chains or isinstance(value, CONTAINERS)
        return self.follow(value, place if whole else place.of("." + ".".join(min(chains))))

    def _names_of_module(
        self, module: types.ModuleType, chains: frozenset[tuple[str, ...]], place: AccessPath
    ) -> Reader | None:
        own = not (is_trusted(module.__name__) or is_of_python(module.__name__))
        why = "" if own else objection(module)
        if () in chains or why:
            raise place.refusal(why or "a module, and not directly one of its names")
        readers: dict[str, Reader | None] = {}
        for name in {chain[0] for chain in chains}:
            rest = frozenset(chain[1:] for chain in chains if chain[0] == name)
            value = getattr(module, name, None)
            readers[name] = self._named(value, rest, place.of(f".{name}"))
        if is_trusted(module.__name__):  # its own never change
            readers = {name: reader for name, reader in readers.items() if reader is not None}
            return parts_reader((vars,), (mapping_reader(readers),)) if readers else None
        computed = readers.keys() - vars(module).keys()
        if computed:
            raise place.of(f".{min(computed)}").refusal("which its module computes at each use")
        return parts_reader((vars,), (mapping_reader(readers),))

    def _called(self, value: Any, place: AccessPath) -> Reader | None:
        """Follows what trusted code may call; whatever else it holds is its own."""
        if isinstance(value, types.MethodType) and is_trusted(type(value.__self__).__module__):
            return presence
        if not isinstance(value, (types.FunctionType, types.MethodType, functools.partial)):
            return presence
        return self.follow(value, place)

    def _method(self, method: types.MethodType, place: AccessPath) -> Reader:
        gets = (attrgetter("__func__"), attrgetter("__self__"))
        return parts_reader(gets, [self.follow(get(method), place) for get in gets])

    def _partial(self, partial: functools.partial[Any], place: AccessPath) -> Reader:
        gets = (attrgetter("func"), attrgetter("args"), attrgetter("keywords"))
        return parts_reader(gets, [self.follow(get(partial), place) for get in gets])

    def _wrapped(self, wrapper: Any, place: AccessPath) -> Reader | None:
        """A reader of a wrapper of one function: a descriptor, or a check around it."""
        name = next(
            name for name in ("__func__", "fget", "func", "__wrapped__") if hasattr(wrapper, name)
        )
        reader = self.follow(getattr(wrapper, name), place)
        return None if reader is None else parts_reader((attrgetter(name),), (reader,))

    def _check(self, value: Any, place: AccessPath) -> None:
        """Refuses a builtin or foreign value whose state could change unnoticed."""
        owner = getattr(value, "__self__", None)
        if owner is not None and not isinstance(owner, (type, types.ModuleType)):
            self.follow(owner, place)
        why = objection(value)
        if why:
            raise place.refusal(why)

    # Classes and modules

    def _class(self, kind: type, place: AccessPath) -> Reader | None:
        """A reader of what code reads of a class and its bases, or Python calls by itself."""
        bases = [i for i, base in enumerate(kind.__mro__) if not _is_foreign(base)]
        if not bases:
            self._check(kind, place)
            return None
        if self._met(kind):
            return token
        if not _is_foreign(type(kind)):
            raise place.refusal(f"a class of the metaclass {type(kind).__name__}")
        members = _members(kind)
        names = self._names_of_class(kind) - members.keys()
        if not names and is_trusted(kind.__module__):  # a state with nothing but its fields
            return None
        inner, direct, below = [], set[str](), set[str]()
        for i in bases:
            base = kind.__mro__[i]
            own = self._entries_of(vars(base), names, AccessPath(base.__name__))
            direct |= {n for n in own if own[n] is None and getattr(kind, n, None) is vars(base)[n]}
            known = is_trusted(base.__module__)  # what another class hides of it never changes
            readers = {n: r for n, r in own.items() if r or not (known or n in direct)}
            absent = names - direct - own.keys() - (below if known else set())
            if readers or absent:
                inner.append((i, mapping_reader(readers, absent)))
            below |= own.keys()
        own_reader = class_reader(direct, inner)
        if not members:
            return own_reader
        return parts_reader((_itself, _members), (own_reader, self.follow(members, place)))

    def _entries_of(
        self, scope: Mapping[str, Any], names: frozenset[str], place: AccessPath
    ) -> dict[str, Reader | None]:
        present = sorted(names & scope.keys())
        return {name: self.follow(scope[name], place.of(f".{name}")) for name in present}

    def _names_of_class(self, kind: type) -> frozenset[str]:
        """The names that may be read of a class: a base defines them, or they may be absent."""
        scopes = [vars(base) for base in kind.__mro__ if not _is_foreign(base)]
        fields = {n for scope in scopes for n, v in scope.items() if type(v) is _FIELD}
        defined = frozenset().union(*scopes) - fields
        names = self._read_names.names
        implied = {
            name
            for base in kind.__mro__
            if not is_trusted(base.__module__)
            for name, value in vars(base).items()
            if name.startswith("__") and isinstance(value, _FUNCTIONS)
        }
        names |= implied - _NEVER_IMPLIED
        names |= _MAKE if id(kind) in self._read_names.made else frozenset()
        return (names & defined) | self._read_names.optional

    def _namespace(
        self, scope: Mapping[str, Any], names: frozenset[str], place: AccessPath
    ) -> Reader:
        own = self._entries_of(scope, names, place)
        return mapping_reader(own, names - own.keys())

    def _foreign_module(self, module: nn.Module, place: AccessPath) -> Reader:
        if self._met(module):
            return token
        if [*module.parameters(), *module.buffers()]:
            raise place.refusal("a module with tensors that is no part of the cell")
        return self.module(module, place)

    def module(self, module: nn.Module, place: AccessPath, root: bool = False) -> Reader:
        """A reader of a module: its class, the attributes that code reads, and its children."""
        kind, scope = type(module), module.__dict__
        of_class = self._class(kind, place)
        foreign = {base for base in kind.__mro__ if is_trusted(base.__module__)}
        if foreign <= _PLAIN_BASES:
            # Of the instance only what is read: anything else may change at any time.
            names = self._names_of_class(kind) | (self._read_names.names & scope.keys())
            whole = False
        else:  # a module of torch, whose code is not followed, may read any of its attributes
            names, whole = frozenset(scope.keys()), True
        slots = [n for n in names if isinstance(getattr(kind, n, None), types.MemberDescriptorType)]
        if slots:
            raise place.of(f".{slots[0]}").refusal("a slot: make it an attribute")
        own = self._namespace(scope, names - _MODULE_ATTRIBUTES, place)
        hooks = () if root else _HOOKS
        if any(scope[name] for name in hooks) or (hooks and has_any_global_hook()):
            raise place.refusal("a module with hooks, which a program would not call at each step")
        children = {
            name: presence if child is None else self.module(child, place.of(f".{name}"))
            for name, child in module._modules.items()
            if name != "parametrizations"  # a tensor comes as it is computed, whatever does that
        }
        return module_reader(of_class, own, whole, hooks, mapping_reader(children))


_FIELD = type(Weights.ih)  # of a NamedTuple
_FUNCTIONS = (types.FunctionType, staticmethod, classmethod, property)
_RULES: tuple[tuple[Any, Any], ...] = (
    (enum.Enum, Walk._member),
    (tuple, Walk._tuple),
    (CONTAINERS, Walk._container),
    (nn.Module, Walk._foreign_module),
    (types.FunctionType, Walk._function),
    (types.MethodType, Walk._method),
    (functools.partial, Walk._partial),
    ((staticmethod, classmethod, property, functools.cached_property), Walk._wrapped),
    (type, Walk._class),
    (types.MemberDescriptorType, lambda *_: None),  # a slot, whose values are what is followed
    (types.ModuleType, lambda walk, value, place: walk._names_of_module(value, _BARE, place)),
    (
        (
            types.BuiltinFunctionType,
            types.MethodDescriptorType,
            types.WrapperDescriptorType,
            types.MethodWrapperType,
            types.ClassMethodDescriptorType,
            types.GetSetDescriptorType,
        ),
        Walk._check,
    ),
)


def walk_cell(cell: Cell, kinds: Sequence[type], twin_of: Cell | None = None) -> Walk:
    """Walks until no further name is read; ``kinds`` are the types that its ``project`` gives.

    Bytecode tells which attributes are read, not of which objects. So each name that any function
    reads is looked up on every object; that may lead to further functions, which read further
    names, and the walk begins again with those too.
    """
    parts = [*cell.modules()]
    read_names, own = ReadNames(), [*parts, *(twin_of.modules() if twin_of else ())]
    for part in parts:  # what the step of a linear cell calls
        if isinstance(part, LinearCell):
            called = {"output", "coefficients"} if part.has_affine else {"output"}
            read_names = read_names._replace(names=read_names.names | called)
    while True:
        walk = Walk(own, read_names)
        of_cell = walk.module(cell, AccessPath(type(cell).__name__), root=True)
        walk.reader = of_cell
        for kind in kinds:
            of_kind = walk.follow(kind, AccessPath(kind.__name__))
            if of_kind is not None:
                walk.reader = both_reader(walk.reader, of_kind, kind)
        union = ReadNames(
            read_names.names | walk.names,
            read_names.optional | walk.optional,
            read_names.made | walk.made,
        )
        if union == read_names:
            return walk
        read_names = union


def is_atom(value: Any) -> bool:
    """Whether it never changes, and consists of nothing that does."""
    if type(value) in (tuple, torch.Size, frozenset):
        return all(map(is_atom, value))
    return type(value) in _ATOMS or isinstance(value, (np.number, np.bool_))


def _is_foreign(base: type) -> bool:
    """Whether its functions are not looked into: it is of Python or torch; elman's own may be."""
    if base.__module__.startswith("elman."):
        return not issubclass(base, (Cell, tuple))
    return is_trusted(base.__module__) or is_of_python(base.__module__)


def _members(kind: Any) -> dict[str, Any]:
    return dict(kind.__members__) if issubclass(kind, enum.Enum) else {}


def _itself(value: Any) -> Any:
    return value
