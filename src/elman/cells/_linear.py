"""The contract of cells that are linear in their state: their steps can be computed in parallel."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from elman._errors import ConfigError, DtypeError, ShapeError
from elman.cells._base import Cell, named_tuple

Number = Tensor | tuple[Any, ...]
"""Real or complex; or in parts, (re, im), or a matrix ((a_11, a_12), (a_21, a_22))."""

_FORMS = {
    1: (("a", "b"),),
    2: (("a_re", "a_im", "b_re", "b_im"), ("a_11", "a_12", "a_21", "a_22", "b_1", "b_2")),
}
"""What the numbers of a and b are called, by the number of real states that s is kept as."""


class LinearCell(Cell):
    r"""A cell that is linear in its state, unit by unit.

    .. math::
        s_t = a_t \odot s_{t-1} + b_t \qquad h_t = output(s_t, \ldots)

    A subclass gives :meth:`coefficients`, a_t and b_t, which depend on x_t alone. Its step, and
    with it streaming, follows from them, and so does the scan of the engine "parallel". It names
    its ``states``:

    - ``("h",)``: s is real, and is the output h;
    - ``("h", "c")``: s is real, and is called c; :meth:`output` makes h of it;
    - ``("h", "re", "im")``: s is complex and kept as two real states, of which :meth:`output` makes
      h. Instead of complex numbers a_t may be a 2 x 2 matrix for each unit, of any two states.

    What :meth:`coefficients` returns after a and b goes to :meth:`output`, whose result never comes
    back into the recurrence, so that it is computed for all time steps at once, too.

    A cell that gives :meth:`affine` as well has its matrix products there, and
    :meth:`coefficients` is elementwise in them. Then the native engine computes the gates where it
    needs them, and keeps neither a nor b in memory.

    Args:
        input_size: features of x_t.
        hidden_size: units of each state.

    Raises:
        ConfigError: ``states`` and the arguments of :meth:`output` disagree; when a class is made.
        DtypeError, ShapeError: a and b do not fit the states; with the file and line of
            :meth:`coefficients`.

    Example:
        >>> import torch, elman
        >>> class Average(elman.cells.LinearCell):
        ...     states = ("h", "c")
        ...     def __init__(self, input_size, hidden_size):
        ...         super().__init__(input_size, hidden_size)
        ...         self.input = torch.nn.Linear(input_size, 2 * hidden_size)
        ...     def coefficients(self, x):
        ...         z, gate = self.input(x).chunk(2, -1)
        ...         return torch.full_like(z, 0.9), 0.1 * z, torch.sigmoid(gate)
        ...     def output(self, c, gate):
        ...         return gate * torch.tanh(c)
        >>> layer = elman.Recurrent(Average(3, 5), engine="parallel")
        >>> output, state = layer(torch.randn(2, 7, 3))
        >>> output.shape, state.c.shape
        (torch.Size([2, 7, 5]), torch.Size([2, 5]))

    References:
        G. E. Blelloch, "Prefix sums and their applications", Carnegie Mellon University, 1990;
        E. Martin and C. Cundy, "Parallelizing linear recurrent neural nets over sequence length",
        ICLR 2018.
    """

    recurrence = "linear"
    has_affine: ClassVar[bool] = False
    """Whether the cell gives :meth:`affine`, so that its step computes the coefficients."""
    _inputs: ClassVar[dict[int, Any]]
    _rest: ClassVar[int]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.has_affine = cls.affine is not LinearCell.affine
        if "states" not in cls.__dict__ and "output" not in cls.__dict__:
            return
        parts = max(1, len(cls.states) - 1)
        has_output = cls.output is not LinearCell.output
        arguments = tuple(inspect.signature(cls.output).parameters)[1:] if has_output else ("s",)
        if parts not in _FORMS or has_output != (len(cls.states) > 1) or len(arguments) < parts:
            takes = f"output({', '.join(arguments)})" if has_output else "no output()"
            raise ConfigError(
                f"{_place(cls.output if has_output else cls.coefficients)}: {cls.__name__}.states "
                "must be the output alone, or the output and one or two linear states that "
                f"output() takes first, got states = {cls.states} and {takes}"
            )
        cls._rest = len(arguments) - parts
        cls._inputs = {
            len(names): named_tuple("Inputs", names + arguments[parts:]) for names in _FORMS[parts]
        }

    def affine(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The matrix products of x (..., input_size), of which :meth:`coefficients` is made.

        One tensor or several, of (..., a multiple of hidden_size) each. A cell that does not give
        it has its products in :meth:`coefficients`.
        """
        return x

    @abstractmethod
    def coefficients(self, *affine: Tensor) -> tuple[Any, ...]:
        """A and b of every step of x (..., input_size), and what else :meth:`output` takes.

        a and b are (..., hidden_size), or broadcast to it, each in the forms of :data:`Number`.
        Where the cell gives :meth:`affine`, that is what comes in, and all of this is elementwise.
        """

    def output(self, *s: Any, **_: Any) -> Tensor:
        """The output of one step, or of all, from the linear state, (..., hidden_size) each part.

        A cell with more than one state gives it, with what :meth:`coefficients` returns last.
        """
        output: Tensor = s[0]
        return output

    def project(self, x: Tensor) -> Any:
        """What :meth:`affine` gives; for a cell without, :meth:`given` for all steps."""
        return self.affine(x) if self.has_affine else self._given(x)

    def given(self, inp: Any) -> Any:
        """What :meth:`coefficients` gives for what was projected, in real numbers by name.

        Of one step, or of all steps at once.
        """
        if not self.has_affine:
            return inp
        return self._given(*(inp if isinstance(inp, tuple) else (inp,)))

    def _given(self, *affine: Tensor) -> Any:
        returned = self.coefficients(*affine)
        if not isinstance(returned, tuple) or len(returned) != 2 + self._rest:
            got = len(returned) if isinstance(returned, tuple) else type(returned).__name__
            names = ("a", "b", *next(iter(self._inputs.values()))._fields[-self._rest :])
            raise self._error(DtypeError, f"return {', '.join(names[: 2 + self._rest])}", got)
        a, b, *rest = returned
        numbers, first = self._numbers(a, b), affine[0]
        kind, shape = self._inputs[len(numbers)], (*first.shape[:-1], self.hidden_size)
        for name, number in zip(kind._fields, numbers, strict=False):
            self._check(name, number, first.dtype, shape)
        return kind(*(n if n.shape == shape else n.expand(shape) for n in numbers), *rest)

    def numbers(self, given: Any) -> int:
        """How many of the tensors of :meth:`given` are those of a and b."""
        return len(given) - self._rest

    def _numbers(self, a: Number, b: Number) -> tuple[Tensor, ...]:
        """The real numbers of a and b."""
        if len(self.states) < 3:
            return self._real("a", a), self._real("b", b)
        if isinstance(a, tuple) and isinstance(a[0], tuple):
            return (*a[0], *a[1], *self._pair("b", b))
        return (*self._pair("a", a), *self._pair("b", b))

    def _real(self, name: str, number: Number) -> Tensor:
        if isinstance(number, Tensor) and not number.is_complex():
            return number
        raise self._error(
            DtypeError,
            f"give a real {name} for states = {self.states}",
            f"{_form(number)}: a complex state is kept as two, as in states = ('h', 're', 'im')",
        )

    def _pair(self, name: str, number: Number) -> tuple[Tensor, ...]:
        if isinstance(number, tuple) and len(number) == 2:
            return number
        if isinstance(number, Tensor) and number.is_complex():
            return number.real, number.imag
        raise self._error(
            DtypeError,
            f"give a complex {name} for states = {self.states}",
            f"{_form(number)}: return a complex tensor, or its parts as (re, im)",
        )

    def _check(self, name: str, number: Tensor, dtype: torch.dtype, shape: Any) -> None:
        if number.dtype != dtype:
            raise self._error(
                DtypeError, f"give {name} in {dtype}, as x is", f"it in {number.dtype}"
            )
        sizes = tuple(number.shape)
        pairs = zip(reversed(sizes), reversed(shape), strict=False)
        if len(sizes) > len(shape) or any(n not in (1, size) for n, size in pairs):
            raise self._error(ShapeError, f"give {name} of shape {tuple(shape)}", sizes)

    def _error(self, kind: type[Exception], must: str, got: Any) -> Exception:
        name = type(self).__name__
        return kind(f"{_place(self.coefficients)}: {name}.coefficients must {must}, got {got}")

    def step(self, inp: Any, state: Any) -> Any:
        """One step of s = a s + b, and its output."""
        given = self.given(inp)
        return self.emit(self.advance(given, state[1:] or state), given)

    def advance(self, given: Any, s: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One step of the linear part alone."""
        numbers = given[: self.numbers(given)]
        if len(numbers) == 2:
            a, b = numbers
            return (a * s[0] + b,)
        one, two = s
        if len(numbers) == 4:
            re, im, b_re, b_im = numbers
            return re * one - im * two + b_re, im * one + re * two + b_im
        a_11, a_12, a_21, a_22, b_1, b_2 = numbers
        return a_11 * one + a_12 * two + b_1, a_21 * one + a_22 * two + b_2

    def emit(self, s: tuple[Tensor, ...], given: Any) -> Any:
        """The state with the linear part ``s``; of one step, or of all steps at once."""
        if self.retention is not None:
            self.watch(**{self.retention: given[0]})
        if len(self.states) == 1:
            return self.State(*s)
        return self.State(self.output(*s, *given[self.numbers(given) :]), *s)


def _place(function: Any) -> str:
    code = inspect.unwrap(function).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


def _form(number: Number) -> str:
    return str(number.dtype) if isinstance(number, Tensor) else f"a tuple of {len(number)}"
