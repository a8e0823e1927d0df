"""torch's own database of operators and their sample inputs, made into steps of a cell.

A sample has tensors of any shape. In a step, one of as many dimensions as the largest of its
tensors becomes a gate (batch, units), an integer or boolean one a mask that ``project`` gives; what
is broadcast against them becomes a parameter or a buffer of the cell's, of the sample's type and
values. All other arguments stay what they are.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

# Beside the sample's own: what rounding, branches and overflow meet first.
SPECIAL = (
    *(float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1e-42, -1e-42, 1e-38, 1.0, -1.0, 0.5),
    *(-0.5, 1.5, 2.5, -2.5, 3.0, -7.0, 88.0, -104.0, 501.0, -1001.2, 13437.7, 1e5, -3e7),
)
DTYPES = {  # how many samples of each type at most
    torch.float32: 8,
    torch.float64: 2,
    torch.int64: 2,
    torch.bool: 2,
    torch.uint8: 1,
}
# Of quotients that no float holds, torch's own vectors say NaN, and its numbers one at a time not.
_OF_REMAINDERS = ("mod", "remainder", "floor_divide", "rounding")
_UFUNCS = ("UnaryUfuncInfo", "BinaryUfuncInfo")
ROWS = 7  # in no sample's shape


@dataclass(frozen=True)
class Place:
    """Where a tensor of a sample is in a step: the gate, or own tensor, ``number``."""

    kind: str
    number: int
    rank: int


@dataclass
class Sample:
    """An operation with arguments, as part of a step.

    Attributes:
        operator: torch's name of it, with its variant.
        text: the arguments, in short.
        call: the operation.
        args, options: with a :class:`Place` for each tensor.
        dtype: that the cell computes in.
        units: how many the cell has.
        gates: what ``project`` gives, (time, batch, a multiple of the units).
        own: parameters and buffers.
        tolerance: torch's for this operation: relative and absolute.
    """

    operator: str
    text: str
    call: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any]
    dtype: torch.dtype
    units: int
    gates: list[Tensor] = field(default_factory=list)
    own: list[Tensor] = field(default_factory=list)
    tolerance: tuple[float, float] = (0.0, 0.0)

    def applied(self, gates: Sequence[Tensor], own: Sequence[Tensor]) -> Any:
        """What the operation makes of these."""

        def tensor(place: Place) -> Tensor:
            t = (gates if place.kind == "gate" else own)[place.number]
            for _ in range(place.rank - 2 if place.kind == "gate" else 0):
                t = t.unsqueeze(0)
            return t

        args, options = tree_map_only(Place, tensor, (self.args, self.options))
        return self.call(*args, **options)


# Inner operators of torch's that check nothing of what they take, and write where they should not;
# and what "empty" tensors hold is not said.
_UNCHECKED = ("native_batch_norm", "_native_batch_norm_legit", "_batch_norm_with_update")


@cache
def database() -> tuple[Any, ...]:
    """Every operator that torch knows samples of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    return tuple(o for o in op_db if o.name not in _UNCHECKED and "empty" not in o.name)


def name_of(operator: Any) -> str:
    """As torch's tests call it."""
    variant = operator.variant_test_name
    return f"{operator.name}/{variant}" if variant else str(operator.name)


# Neither elementwise nor a comparison, a reduction, a shape or a type: linear algebra and Fourier
# transforms; pooling, padding and interpolation; sorting, searching and indexing; losses, which
# average over the batch; random numbers.
_OF_OTHER_KINDS = re.compile(
    r"linalg|matmul|^(baddb|addm|m|b)?m[mv]$|^addr|^(in|out)er|^ger|^kron|cross$|einsum|tensordot"
    r"|^cov|cdist|linear$|attention|embedding|conv|fft|stft"
    r"|pool|[._]pad|interpolate|upsample|grid|pixel_|shuffle|fold"
    r"|sort|topk|kthvalue|unique|searchsorted|hist|bucketize|gather|scatter|index|^take|one_hot"
    r"|repeat_interleave|tri[lu]|resize"
    r"|loss|cross_entropy|bernoulli|rand|normal(_|$)|dropout|multinomial|uniform|hash_tensor"
)


def counts(operator: Any) -> bool:
    """Whether it is elementwise, a comparison, a reduction, of shapes or of types."""
    ufunc = type(operator).__name__ in _UFUNCS
    return ufunc or not _OF_OTHER_KINDS.search(name_of(operator))


def samples_of(operator: Any) -> Iterator[Sample]:
    """The samples of an operator that have the form of a step, one of each form."""
    forms = set()
    for dtype, most in DTYPES.items():
        count = 0
        for raw in _raw_samples(operator, dtype):
            sample = _as_step(operator, raw, dtype)
            if sample is not None and sample.text not in forms and count < most:
                forms.add(sample.text)
                count += 1
                yield sample


def _raw_samples(operator: Any, dtype: torch.dtype) -> Iterator[Any]:
    if dtype not in operator.dtypes:
        return
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from operator.sample_inputs("cpu", dtype, requires_grad=False)
        if type(operator).__name__ in _UFUNCS:
            yield from operator.reference_inputs("cpu", dtype, requires_grad=False)


def _as_step(operator: Any, raw: Any, dtype: torch.dtype) -> Sample | None:
    tensors = [t for t in _leaves((raw.input, raw.args, raw.kwargs)) if isinstance(t, Tensor)]
    ranks = [t.dim() for t in tensors]
    if not tensors or any(t.layout != torch.strided or not t.numel() for t in tensors):
        return None
    most = max(ranks)
    units = max((t.shape[-1] for t in tensors if t.dim() == most and most), default=5)
    if not 1 < units <= 40:
        return None
    computes = dtype if dtype.is_floating_point else torch.float32
    sample = Sample(name_of(operator), "", operator.op, (), {}, computes, units)
    special = SPECIAL if type(operator).__name__ in _UFUNCS else ()
    if any(word in operator.name + operator.variant_test_name for word in _OF_REMAINDERS):
        special = [x for x in special if not 0 < abs(x) < 1e-30]

    def placed(t: Tensor) -> Place:
        if t.dim() == most and (most == 0 or t.shape[-1] == units):
            sample.gates.append(_gate(t.detach(), units, special))
            return Place("gate", len(sample.gates) - 1, most)
        sample.own.append(_own(t.detach(), units))
        return Place("own", len(sample.own) - 1, min(t.dim(), 1))

    everything = _over_units(operator, (raw.input, *raw.args), raw.kwargs)
    sample.args, sample.options = tree_map_only(Tensor, placed, everything)
    sample.text = f"{_short(sample, (sample.args, sample.options))} in {_type(dtype)}"
    sample.tolerance = _tolerance(operator, computes)
    return sample


def _leaves(x: Any) -> Iterator[Any]:
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, (list, tuple)):
        for each in x:
            yield from _leaves(each)
    else:
        yield x


def _over_units(operator: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What goes over dimensions of a tensor goes over the units of a row, in a step."""
    reduces = type(operator).__name__ == "ReductionOpInfo"
    if reduces or "dim" in options:
        options = {**options, "dim": -1}
    elif operator.name in _DIM_IS_SECOND and len(args) > 1 and type(args[1]) in (int, tuple, list):
        args = (args[0], -1, *args[2:])
    return args, options


_DIM_IS_SECOND = frozenset((
    "softmax", "log_softmax", "nn.functional.softmin", "logsumexp", "cumsum", "cumprod", "cummax",
    "cummin", "logcumsumexp", "std_mean", "var_mean", "std", "var", "sort", "argsort", "msort",
    "nansum", "mode", "median", "max", "min", "unbind", "glu", "nn.functional.glu", "amax", "amin",
))  # fmt: skip


def _gate(t: Tensor, units: int, special: Sequence[float]) -> Tensor:
    """The sample's values over three steps and ROWS rows; in the last step special ones too."""
    values = t.reshape(-1)
    size = 3 * ROWS * units
    values = values.repeat(size // len(values) + 1)[:size].clone()
    if special and t.is_floating_point():
        extremes = torch.tensor(special, dtype=t.dtype)
        # Another rotation in each, so that they meet in pairs.
        count = min(size // 3, 3 * len(extremes))
        values[size - count :] = extremes.roll(len(values) % 7).repeat(3)[:count]
    return values.reshape(3, ROWS, units)


def _own(t: Tensor, units: int) -> Tensor:
    """One number, or one for each unit."""
    if t.dim() == 0:
        return t.clone()
    values = t.reshape(-1)
    size = 1 if t.shape[-1] == 1 else units
    return values.repeat(size // len(values) + 1)[:size].clone()


def _type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _short(sample: Sample, x: Any) -> str:
    """Arguments in short: what two samples of one form have in common."""
    if isinstance(x, Place):
        t = (sample.gates if x.kind == "gate" else sample.own)[x.number]
        return f"{_type(t.dtype)}:{x.kind}{x.rank}"
    if isinstance(x, Tensor):
        return f"{_type(x.dtype)}{list(x.shape)}"
    if isinstance(x, dict):
        return ", ".join(f"{k}={_short(sample, v)}" for k, v in x.items())
    if isinstance(x, (list, tuple)):
        return f"({', '.join(_short(sample, v) for v in x)})"
    return f"{x:.4g}" if isinstance(x, float) else f"{x}"[:40]


_TESTS_OF_EAGER = (
    *("TestUnaryUfuncs", "TestBinaryUfuncs", "TestBinaryUfuncsDevice", "TestReductions"),
    *("TestCommon", "TestDecomp", "TestMasked"),
)


def _tolerance(operator: Any, dtype: torch.dtype) -> tuple[float, float]:
    """That of torch.testing for the type, or what torch's own tests of the operation allow."""
    from torch.testing._comparison import default_tolerances
    from torch.testing._internal.common_device_type import toleranceOverride

    relative, absolute = default_tolerances(dtype)
    for info in operator.decorators:
        if getattr(info, "cls_name", None) not in _TESTS_OF_EAGER:
            continue
        for each in info.decorators:
            if isinstance(each, toleranceOverride) and dtype in each.d:
                relative = max(relative, each.d[dtype].rtol)
                absolute = max(absolute, each.d[dtype].atol)
    return relative, absolute
