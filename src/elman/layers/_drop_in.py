"""torch.nn's RNN, LSTM and GRU: its constructor, weights, layouts and errors, on elman's cells.

They are torch.nn.RNNBase, and not torch.nn.LSTM and its like: torch.compile breaks its graph at
every instance of those.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from elman import cells
from elman import engine as engines
from elman import init as schemes
from elman._checks import check_dtype, check_state, check_tensor
from elman._errors import ConfigError, DtypeError, ShapeError
from elman.cells import WEIGHT_NAMES, Activation, PointwiseCell, Weights
from elman.layers._base import check_lengths, check_reset

"""torch's names of the fields of :class:`elman.cells.Weights`, in that order."""


class OnTorch(nn.Module):
    """What all drop-ins, layers and cells, have and torch's own modules have not."""

    hidden_size: int

    def reset_parameters(self) -> None:
        """U(-1/sqrt(H), 1/sqrt(H)), drawn in torch.nn's order; an activation keeps its own."""
        bound = 1 / math.sqrt(self.hidden_size)
        for name, parameter in self.named_parameters():
            if name.startswith(WEIGHT_NAMES):
                nn.init.uniform_(parameter, -bound, bound)

    def _get_name(self) -> str:
        """What torch shows a module as: not to be taken for torch's own."""
        return f"elman.{type(self).__name__}"


class DropIn(OnTorch, nn.RNNBase):
    """What RNN, LSTM and GRU share: torch's constructor and parameters, and the call.

    The parameters live here under torch's names; the cells are templates that run with them.
    """

    engine: str
    _mode: ClassVar[str]
    _cell: ClassVar[type[PointwiseCell]]
    _parts: tuple[tuple[Any, tuple[str | None, ...], str], ...]

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
        if proj_size and self._mode != "LSTM":
            raise ConfigError(
                f"proj_size argument is only supported for LSTM, not {type(self).__name__}"
            )
        if dropout and num_layers == 1:  # torch warns, and never applies it
            raise ConfigError(
                f"dropout acts between layers, got dropout={dropout} with num_layers=1: it would "
                "never be applied; drop the output with torch.nn.Dropout, or set dropout=0"
            )
        layout = (num_layers, bias, batch_first, dropout, bidirectional, proj_size)
        try:
            super().__init__(self._mode, input_size, hidden_size, *layout, device, dtype)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        except TypeError as error:
            raise DtypeError(str(error)) from None
        self._prepare(engine)
        if init is not None:
            schemes.initialize(self, init)

    def _prepare(self, engine: str) -> None:
        """Sets what torch's layer does not have: the engine, and a template for each direction."""
        self.engine = engines.check_name(engine)
        above = (self.proj_size or self.hidden_size) * (2 if self.bidirectional else 1)
        parts: list[tuple[Any, tuple[str | None, ...], str]] = []
        for names in self._all_weights:
            part = names[0].removeprefix("weight_ih_")
            size = self.input_size if part.startswith("l0") else above
            template = self._template(size)
            fields = [f"{field}_{part}" for field in WEIGHT_NAMES]
            parts.append((template, tuple(n if n in names else None for n in fields), part))
        self._parts = tuple(parts)  # a tuple, in which torch does not look for modules

    def _template(self, input_size: int) -> Any:
        cell = self._cell(input_size, self.hidden_size, bias=self.bias, device="meta")
        return cells.Projected(cell, self.proj_size) if self.proj_size else cell

    @property
    def _flat_weights(self) -> list[Tensor | None]:
        """Torch's list of the weights, which it keeps and which goes stale; here it is computed."""
        return [getattr(self, name, None) for name in self._flat_weights_names]

    @_flat_weights.setter
    def _flat_weights(self, weights: Any) -> None: ...

    def flatten_parameters(self) -> None:
        """Nothing to do: the parameters are plain. Kept so that code written for torch.nn runs."""

    _init_flat_weights = _update_flat_weights = flatten_parameters

    def parts(self) -> Iterator[tuple[Any, Weights, str]]:
        """The cell, the weights and the name of each layer and direction, in torch's order.

        The weights are taken by name: one that is parametrized is computed here.
        """
        plain = self._parameters
        for cell, names, part in self._parts:
            tensors: list[Any] = [
                plain[name] if name in plain else None if name is None else getattr(self, name)
                for name in names
            ]
            yield cell, Weights(*tensors), part

    def gated_weights(self) -> Iterator[tuple[PointwiseCell, Weights]]:
        """What :func:`elman.init.initialize` fills."""
        return ((cell, weights) for cell, weights, _ in self.parts())

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
        check_tensor("input", input)
        if input.dim() == 2:
            return self._unbatched(input, hx, lengths, reset)
        self._check_input(input)
        x = input.transpose(0, 1) if self.batch_first else input
        if lengths is not None:
            lengths = check_lengths(lengths, x.shape[1], x.shape[0], x)
        if reset is not None:
            reset = check_reset(reset, input, self.batch_first)
            reset = reset.T if self.batch_first else reset
        output, finals = self._run(x, self._initial(hx, x), lengths, reset)
        output = output.transpose(0, 1) if self.batch_first else output
        return output, _pack(torch.stack(s) for s in zip(*finals, strict=True))

    def _packed(self, packed: PackedSequence, hx: Any, lengths: Any, reset: Any) -> Any:
        if lengths is not None or reset is not None:
            raise ConfigError(
                "a PackedSequence has its own lengths: use lengths= and reset= with a padded tensor"
            )
        padded, sizes = pad_packed_sequence(packed, self.batch_first)
        output, state = self.forward(padded, hx, lengths=sizes)
        order = packed.sorted_indices
        if order is not None:
            output = output.index_select(0 if self.batch_first else 1, order)
            sizes = sizes[order.to(sizes.device)]
        data = pack_padded_sequence(output, sizes, self.batch_first).data
        return PackedSequence(data, packed.batch_sizes, order, packed.unsorted_indices), state

    def _unbatched(self, x: Tensor, hx: Any, lengths: Tensor | None, reset: Tensor | None) -> Any:
        batch_dim = 0 if self.batch_first else 1
        if hx is not None:
            hx = _pack(state.unsqueeze(1) for state in self._unpack(hx, 2))
        if lengths is not None:
            lengths = lengths.reshape(-1)
        if reset is not None:
            reset = reset.unsqueeze(batch_dim)
        output, state = self.forward(x.unsqueeze(batch_dim), hx, lengths=lengths, reset=reset)
        return output.squeeze(batch_dim), _pack(s.squeeze(1) for s in self._unpack(state, 3))

    def _run(
        self,
        x: Tensor,
        states: Iterable[Iterable[Tensor]],
        lengths: Tensor | None,
        reset: Tensor | None,
    ) -> tuple[Tensor, list[Any]]:
        """Output and final states of all layers and directions, time first."""
        outputs: list[Tensor] = []
        finals: list[Any] = []
        for (cell, weights, part), state in zip(self.parts(), states, strict=True):
            reverse = part.endswith("_reverse")
            if finals and not reverse:
                x = F.dropout(_side_by_side(outputs), self.dropout, self.training)
                outputs = []
            recurrence = engines.Recurrence(
                cell,
                x,
                cell.State(*state),
                weights,
                lengths=lengths,
                reset=reset,
                reverse=reverse,
                layer=self,
                part=part,
            )
            output, final = engines.run(recurrence, self.engine)
            outputs.append(output)
            finals.append(final)
        return _side_by_side(outputs), finals

    def initial_state(self, batch_size: int) -> Any:
        """What :meth:`step` begins with: zeros, a tuple of states by name, one for each layer."""
        like = getattr(self, self._flat_weights_names[0])
        return tuple(
            cell.initial_state(batch_size, device=like.device, dtype=like.dtype)
            for cell, _, _ in self._parts
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
        for (cell, weights, part), s in zip(self.parts(), before, strict=True):
            if after:
                x = F.dropout(after[-1][0], self.dropout, self.training)
            s = check_state(cell, s, x, x.shape[0])
            recurrence = engines.Recurrence(cell, x, s, weights, layer=self, part=part)
            after.append(engines.step(recurrence))
        return after[-1][0], tuple(after)

    def _check_input(self, input: Tensor) -> None:  # noqa: A002
        if input.dim() != 3:
            raise ConfigError(
                f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.dim()}D tensor "
                "instead"
            )
        dtype = getattr(self, self._flat_weights_names[0]).dtype
        if input.dtype != dtype and not torch.is_autocast_enabled(input.device.type):
            raise ConfigError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({dtype}). "
                f"Convert input: input.to({dtype}), or convert model: model.to({input.dtype})"
            )
        if input.shape[-1] != self.input_size:
            raise ShapeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, "
                f"got {input.shape[-1]}"
            )

    def _initial(self, hx: Any, x: Tensor) -> Iterable[Iterable[Tensor]]:
        """For each layer and direction its (batch, size) states: those of ``hx``, or zeros."""
        sizes, batch = self._parts[0][0].state_sizes, x.shape[1]
        if hx is None:
            zeros = [x.new_zeros(batch, size) for size in sizes]
            return [zeros] * len(self._parts)
        states = self._unpack(hx, 3)
        for i, (state, size) in enumerate(zip(states, sizes, strict=True)):
            shape = (len(self._parts), batch, size)
            name = "hidden" if len(sizes) == 1 else f"hidden[{i}]"
            if tuple(state.shape) != shape:
                raise ShapeError(f"Expected {name} size {shape}, got {list(state.shape)}")
            check_dtype(name, state, x)
        return zip(*[state.unbind() for state in states], strict=True)

    def _unpack(self, hx: Any, dimensions: int) -> Sequence[Tensor]:
        """The states of torch's ``hx``, or a clear error."""
        count = len(self._parts[0][0].state_sizes)
        states = (hx,) if count == 1 else hx
        if not isinstance(states, (tuple, list)) or len(states) != count:
            raise DtypeError(f"expected hx as a tuple of {count} tensors, got {type(hx).__name__}")
        for state in states:
            check_tensor("hx", state)
            if state.dim() != dimensions:
                kind = "batched" if dimensions == 3 else "unbatched"
                raise ShapeError(
                    f"For {kind} {dimensions}-D input, hx should also be {dimensions}-D but got "
                    f"{state.dim()}-D tensor"
                )
        return states

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.engine == "auto" else f", engine={self.engine}")


def _pack(states: Iterable[Tensor]) -> Any:
    """As torch returns a state: a tensor, or a tuple where there are more."""
    packed = tuple(states)
    return packed if len(packed) > 1 else packed[0]


def _side_by_side(directions: list[Tensor]) -> Tensor:
    return torch.cat(directions, -1) if len(directions) > 1 else directions[0]


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

    _mode, _cell = "RNN_TANH", cells.Elman

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str | Activation = "tanh",
        *args: Any,
        init: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, *args, **options)
        self.nonlinearity = nonlinearity
        self.mode = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}.get(str(nonlinearity), "RNN")
        self._prepare(self.engine)  # now that a module among activations can be registered
        if init is not None:
            schemes.initialize(self, init)

    def _template(self, input_size: int) -> Any:
        activation = getattr(self, "nonlinearity", "tanh")
        return cells.Elman(input_size, self.hidden_size, activation, bias=self.bias, device="meta")

    def extra_repr(self) -> str:
        if self.nonlinearity == "tanh" or isinstance(self.nonlinearity, nn.Module):
            return super().extra_repr()  # torch shows a module as a part
        return f"{super().extra_repr()}, nonlinearity={self.nonlinearity}"


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

    _mode, _cell = "LSTM", cells.LSTM


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

    _mode, _cell = "GRU", cells.GRU
