"""torch.nn's RNN, LSTM and GRU: its arguments, weights, layouts and errors, on elman's cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from elman import cells
from elman import engine as engines
from elman import init as schemes
from elman._errors import ConfigError, DtypeError, ShapeError
from elman.cells import PointwiseCell, Weights
from elman.cells._base import check_dtype, check_state, check_tensor
from elman.cells._elman import Activation
from elman.layers._base import check_lengths, check_reset

PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
"""torch's names, and its order, of the fields of :class:`elman.cells.Weights`."""


class DropIn(nn.Module):
    """What RNN, LSTM and GRU share: the flat weights of layers and directions, and the call.

    The parameters live here under torch's names; the cells are templates that run with them.
    """

    def __init__(
        self,
        cell: Callable[..., PointwiseCell],
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
        init: str | None,
        engine: str,
    ) -> None:
        super().__init__()
        _check_options(num_layers, bias, batch_first, dropout, hidden_size, proj_size)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.dropout, self.proj_size = float(dropout), proj_size
        self.engine = engines.check_name(engine)
        ways = ("", "_reverse") if bidirectional else ("",)
        self._suffixes = [f"_l{layer}{way}" for layer in range(num_layers) for way in ways]
        # In a tuple, so that torch does not register the templates as parts with weights.
        self._templates = tuple(self._template(cell, suffix) for suffix in self._suffixes)
        # Of the weights of each layer and direction, None where there is none.
        self._names: dict[str, tuple[str | None, ...]] = {}
        for template, suffix in zip(self._templates, self._suffixes, strict=True):
            there = dict(zip(PARTS, template.weights, strict=True))
            self._names[suffix] = tuple(None if there[p] is None else p + suffix for p in PARTS)
            for part, tensor in there.items():
                if tensor is not None:
                    empty = torch.empty(tensor.shape, device=device, dtype=dtype)
                    self.register_parameter(part + suffix, nn.Parameter(empty))
        self.reset_parameters()
        if init is not None:
            schemes.initialize(self, init)

    def _template(self, make: Callable[..., PointwiseCell], suffix: str) -> Any:
        above = (self.proj_size or self.hidden_size) * (2 if self.bidirectional else 1)
        size = self.input_size if suffix.startswith("_l0") else above
        cell = make(size, self.hidden_size, bias=self.bias, device="meta")
        return cells.Projected(cell, self.proj_size) if self.proj_size else cell

    def reset_parameters(self) -> None:
        """U(-1/sqrt(H), 1/sqrt(H)), drawn in torch.nn's order."""
        bound = 1 / math.sqrt(self.hidden_size)
        for name, parameter in self.named_parameters(recurse=False):
            if name.startswith(PARTS):
                nn.init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do: the parameters are plain. Kept so that code written for torch.nn runs."""

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The weights of each layer and direction, as torch.nn lists them."""
        return [[t for t in self._weights(s) if t is not None] for s in self._suffixes]

    def _weights(self, suffix: str) -> Weights:
        # By name and not from the templates: where a weight is parametrized, it is computed here.
        plain = self._parameters
        return Weights(
            *[
                plain[name] if name in plain else None if name is None else getattr(self, name)
                for name in self._names[suffix]
            ]  # type: ignore[arg-type]
        )

    def gated_weights(self) -> Iterator[tuple[PointwiseCell, Weights]]:
        """What :func:`elman.init.initialize` fills."""
        for template, suffix in zip(self._templates, self._suffixes, strict=True):
            yield template, self._weights(suffix)

    def forward(
        self,
        input: Tensor | PackedSequence,  # noqa: A002 - torch's name
        hx: Any = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> Any:
        """torch.nn's call, and keyword-only ``lengths`` and ``reset``.

        Args:
            input: (time, batch, input_size), with ``batch_first`` (batch, time, input_size),
                unbatched (time, input_size), or a PackedSequence.
            hx: the state before the first step, (layers * directions, batch, size); for an LSTM a
                pair of them; zeros if None.
            lengths: (batch,) integers from 0 to time, in any order; no packing needed.
            reset: boolean, (time, batch) or, with ``batch_first``, (batch, time): begin anew.

        Returns: output and final state, laid out as in torch.nn; the output is 0 at padding. Under
        autocast both are in the dtype of the weights. Errors are of the types of torch.nn.
        """
        if isinstance(input, PackedSequence):
            return self._packed(input, hx, lengths, reset)
        name = type(self).__name__
        check_tensor("input", input)
        if input.dim() not in (2, 3):
            raise ConfigError(
                f"{name}: Expected input to be 2D or 3D, got {input.dim()}D tensor instead"
            )
        batched, batch_dim = input.dim() == 3, 0 if self.batch_first else 1
        if not batched:
            input = input.unsqueeze(batch_dim)  # noqa: A001
            lengths = None if lengths is None else lengths.reshape(-1)
            reset = None if reset is None else reset.unsqueeze(batch_dim)
        self._check_input(input)
        x = input.transpose(0, 1) if self.batch_first else input
        if lengths is not None:
            lengths = check_lengths(lengths, x.shape[1], x.shape[0], x)
        if reset is not None:
            reset = check_reset(reset, input, self.batch_first)
            reset = reset.T if self.batch_first else reset
        output, final = self._run(x, self._initial(hx, x, batched), lengths, reset)
        output = output.transpose(0, 1) if self.batch_first else output
        if not batched:
            return output.squeeze(batch_dim), self._pack_state(tuple(s.squeeze(1) for s in final))
        return output, self._pack_state(final)

    def _run(
        self,
        x: Tensor,
        states: Iterable[Iterable[Tensor]],
        lengths: Tensor | None,
        reset: Tensor | None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """All layers and directions, time first; final states as torch.nn stacks them."""
        outputs: list[Tensor] = []
        finals: list[Any] = []
        for cell, suffix, state in zip(self._templates, self._suffixes, states, strict=True):
            reverse = suffix.endswith("_reverse")
            if finals and not reverse:
                x = F.dropout(_side_by_side(outputs), self.dropout, self.training)
                outputs = []
            recurrence = engines.Recurrence(
                cell,
                x,
                cell.State(*state),
                self._weights(suffix),
                lengths=lengths,
                reset=reset,
                reverse=reverse,
                layer=self,
                part=suffix[1:],
            )
            output, final = engines.run(recurrence, self.engine)
            outputs.append(output)
            finals.append(final)
        return _side_by_side(outputs), tuple(map(torch.stack, zip(*finals, strict=True)))

    def initial_state(self, batch_size: int) -> Any:
        """What :meth:`step` begins with: zeros, a tuple of states by name, one for each layer."""
        like = self._weights(self._suffixes[0]).ih
        return tuple(
            cell.initial_state(batch_size, device=like.device, dtype=like.dtype)
            for cell in self._templates
        )

    def step(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """One time step: x (batch, input_size) to output (batch, size) and the next state."""
        if self.bidirectional:
            raise ConfigError(
                "a bidirectional layer cannot step: its backward layer needs the end of the "
                "sequence"
            )
        check_tensor("x", x)
        if x.dim() != 2 or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"expected x of shape (batch, {self.input_size}), got {tuple(x.shape)}"
            )
        before = self.initial_state(x.shape[0]) if state is None else state
        if not isinstance(before, tuple) or len(before) != self.num_layers:
            raise ConfigError(
                f"expected a tuple of {self.num_layers} states, one for each layer, as step and "
                "initial_state return it"
            )
        after: list[Any] = []
        parts = zip(self._templates, self._suffixes, before, strict=True)
        for cell, suffix, s in parts:
            if after:
                x = F.dropout(after[-1][0], self.dropout, self.training)
            s = check_state(cell, s, x, x.shape[0])
            weights = self._weights(suffix)
            recurrence = engines.Recurrence(cell, x, s, weights, layer=self, part=suffix[1:])
            after.append(engines.step(recurrence))
        return after[-1][0], tuple(after)

    def _packed(self, packed: PackedSequence, hx: Any, lengths: Any, reset: Any) -> Any:
        if lengths is not None or reset is not None:
            raise ConfigError(
                "a PackedSequence has its own lengths: use lengths= and reset= with a padded tensor"
            )
        padded, sizes = pad_packed_sequence(packed)
        self._check_input(padded)
        output, final = self._run(padded, self._initial(hx, padded, True), sizes, None)
        order = packed.sorted_indices
        if order is not None:
            output, sizes = output.index_select(1, order), sizes[order.to(sizes.device)]
        data = pack_padded_sequence(output, sizes).data
        return (
            PackedSequence(data, packed.batch_sizes, order, packed.unsorted_indices),
            self._pack_state(final),
        )

    def _check_input(self, input: Tensor) -> None:  # noqa: A002
        weight = getattr(self, PARTS[0] + self._suffixes[0])
        if input.dtype != weight.dtype and not torch.is_autocast_enabled(input.device.type):
            raise ConfigError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). "
                f"Convert input: input.to({weight.dtype}), "
                f"or convert model: model.to({input.dtype})"
            )
        if input.shape[-1] != self.input_size:
            raise ShapeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, "
                f"got {input.shape[-1]}"
            )

    def _initial(self, hx: Any, x: Tensor, batched: bool) -> Iterable[Iterable[Tensor]]:
        """For each layer and direction its (batch, size) states: those of ``hx``, or zeros."""
        sizes, batch = self._templates[0].state_sizes, x.shape[1]
        if hx is None:
            zeros = [x.new_zeros(batch, size) for size in sizes]
            return [zeros] * len(self._suffixes)
        states = (hx,) if len(sizes) == 1 else hx
        if not isinstance(states, (tuple, list)) or len(states) != len(sizes):
            raise DtypeError(
                f"expected hx as a tuple of {len(sizes)} tensors, got {type(hx).__name__}"
            )
        for state in states:
            check_tensor("hx", state)
        if not batched:
            _check_dimensions(states, 2, "unbatched")
            states = [state.unsqueeze(1) for state in states]
        _check_dimensions(states, 3, "batched")
        for i, (state, size) in enumerate(zip(states, sizes, strict=True)):
            shape = (len(self._suffixes), batch, size)
            name = "hidden" if len(sizes) == 1 else f"hidden[{i}]"
            if tuple(state.shape) != shape:
                raise ShapeError(f"Expected {name} size {shape}, got {list(state.shape)}")
            check_dtype(name, state, x)
        return zip(*[state.unbind() for state in states], strict=True)

    def _pack_state(self, states: tuple[Tensor, ...]) -> Any:
        return states[0] if len(states) == 1 else states

    def _get_name(self) -> str:
        """What torch shows a module as: not to be taken for torch's own."""
        return f"elman.{type(self).__name__}"

    def extra_repr(self) -> str:
        return options_repr(self)


_USUAL = {
    "nonlinearity": "tanh",
    "proj_size": 0,
    "num_layers": 1,
    "bias": True,
    "batch_first": False,
    "dropout": 0.0,
    "bidirectional": False,
    "engine": "auto",
}


def options_repr(module: Any) -> str:
    """The sizes, and what is not as usual, as torch.nn shows it; a module is shown as a part."""
    options = {name: getattr(module, name, usual) for name, usual in _USUAL.items()}
    unusual = {k: v for k, v in options.items() if v != _USUAL[k] and not isinstance(v, nn.Module)}
    options_text = [f"{name}={option}" for name, option in unusual.items()]
    return ", ".join([f"{module.input_size}, {module.hidden_size}", *options_text])


def _check_dimensions(states: Sequence[Tensor], expected: int, kind: str) -> None:
    for state in states:
        if state.dim() != expected:
            raise ShapeError(
                f"For {kind} {expected}-D input, hx should also be {expected}-D but got "
                f"{state.dim()}-D tensor"
            )


def _side_by_side(directions: list[Tensor]) -> Tensor:
    return torch.cat(directions, -1) if len(directions) > 1 else directions[0]


def _check_options(
    num_layers: int, bias: bool, batch_first: bool, dropout: float, hidden_size: int, proj_size: int
) -> None:
    for name, value in (("bias", bias), ("batch_first", batch_first)):
        if not isinstance(value, bool):
            raise DtypeError(f"{name} should be of type bool, got: {type(value).__name__}")
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
        raise ConfigError(
            "dropout should be a number in range [0, 1] representing the probability of an element "
            f"being zeroed, got {dropout}"
        )
    if num_layers <= 0:
        raise ConfigError(f"num_layers must be greater than zero, got {num_layers}")
    if dropout > 0 and num_layers == 1:
        raise ConfigError(
            f"dropout acts between layers, got dropout={dropout} with num_layers=1: it would never "
            "be applied; drop the output with torch.nn.Dropout, or set dropout=0"
        )
    if proj_size < 0:
        raise ConfigError("proj_size should be a positive integer or zero to disable projections")
    if proj_size and isinstance(hidden_size, int) and proj_size >= hidden_size:
        raise ConfigError("proj_size has to be smaller than hidden_size")


def _no_projection(name: str, proj_size: int) -> None:
    if proj_size:
        raise ConfigError(f"proj_size argument is only supported for LSTM, not {name}")


@final
class RNN(DropIn):
    r"""torch.nn.RNN with any activation, ``lengths`` and ``reset``.

    .. math:: h_t = s_h(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh})

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device,
            dtype: as torch.nn.RNN.
        nonlinearity: "tanh", "relu", "identity", "sigmoid", "gelu", or any elementwise callable;
            a module, such as torch.nn.PReLU(), is shared by all layers and trained with them.
        init: the name of a scheme of :mod:`elman.init`.
        engine: "auto", or the name of an engine.

    Shapes: see :meth:`forward`.

    Raises:
        ConfigError: dropout > 0 with one layer; all else is of the type that torch.nn raises.

    Example:
        >>> import torch, elman
        >>> rnn = elman.RNN(3, 5, nonlinearity="relu", init="identity", batch_first=True)
        >>> output, h_n = rnn(torch.randn(2, 7, 3), lengths=torch.tensor([4, 7]))
        >>> output.shape, h_n.shape
        (torch.Size([2, 7, 5]), torch.Size([1, 2, 5]))

    References:
        J. L. Elman, "Finding structure in time", Cognitive Science 14, 1990.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str | Activation = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: str | None = None,
        engine: str = "auto",
        proj_size: int = 0,
    ) -> None:
        _no_projection("RNN", proj_size)
        cell = partial(cells.Elman, activation=nonlinearity)
        layout = (num_layers, bias, batch_first, dropout, bidirectional, 0)
        super().__init__(cell, input_size, hidden_size, *layout, device, dtype, init, engine)
        self.nonlinearity = nonlinearity


@final
class LSTM(DropIn):
    r"""torch.nn.LSTM with ``lengths`` and ``reset``; the equations are :class:`elman.cells.LSTM`'s.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size,
            device, dtype: as torch.nn.LSTM.
        init: the name of a scheme of :mod:`elman.init`.
        engine: "auto", or the name of an engine.

    Shapes: see :meth:`forward`.

    Raises:
        ConfigError: dropout > 0 with one layer; all else is of the type that torch.nn raises.

    Example:
        >>> import torch, elman
        >>> lstm, theirs = elman.LSTM(3, 5, num_layers=2), torch.nn.LSTM(3, 5, num_layers=2)
        >>> lstm.load_state_dict(theirs.state_dict())
        <All keys matched successfully>
        >>> x = torch.randn(7, 2, 3)
        >>> torch.allclose(lstm(x)[0], theirs(x)[0], atol=1e-6)
        True

    References:
        S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: str | None = None,
        engine: str = "auto",
    ) -> None:
        layout = (num_layers, bias, batch_first, dropout, bidirectional, proj_size)
        super().__init__(cells.LSTM, input_size, hidden_size, *layout, device, dtype, init, engine)


@final
class GRU(DropIn):
    r"""torch.nn.GRU with ``lengths`` and ``reset``; the equations are :class:`elman.cells.GRU`'s.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device,
            dtype: as torch.nn.GRU.
        init: the name of a scheme of :mod:`elman.init`.
        engine: "auto", or the name of an engine.

    Shapes: see :meth:`forward`.

    Raises:
        ConfigError: dropout > 0 with one layer; all else is of the type that torch.nn raises.

    Example:
        >>> import torch, elman
        >>> gru = elman.GRU(3, 5, bidirectional=True)
        >>> output, h_n = gru(torch.randn(7, 2, 3))
        >>> output.shape, h_n.shape
        (torch.Size([7, 2, 10]), torch.Size([2, 2, 5]))

    References:
        K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
        machine translation", EMNLP 2014.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: str | None = None,
        engine: str = "auto",
        proj_size: int = 0,
    ) -> None:
        _no_projection("GRU", proj_size)
        layout = (num_layers, bias, batch_first, dropout, bidirectional, 0)
        super().__init__(cells.GRU, input_size, hidden_size, *layout, device, dtype, init, engine)
