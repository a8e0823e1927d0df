"""torch's own cases of its recurrent modules, run against ours: values, gradients and errors."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.testing._internal.common_modules import (
    ErrorModuleInput,
    ModuleErrorEnum,
    ModuleInfo,
    ModuleInput,
    module_db,
)
from torch.utils import _pytree as pytree

import elman

# Importing torch's cases forbids setting backend flags, in every other test of this process too.
torch.backends.flags_frozen.__globals__["__allow_nonbracketed_mutation_flag"] = True

NAMES = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
INFOS: dict[str, ModuleInfo] = {
    name: next(info for info in module_db if info.module_cls is getattr(nn, name)) for name in NAMES
}
DTYPES = (torch.float32, torch.float64)
TOLERANCE = {
    torch.float32: {"rtol": 1e-5, "atol": 1e-5},
    torch.float64: {"rtol": 0.0, "atol": 1e-12},
}


def value_cases(name: str, dtype: torch.dtype, training: bool) -> list[ModuleInput]:
    info = INFOS[name]
    cases: list[ModuleInput] = list(
        info.module_inputs_func(
            info,
            device="cpu",
            dtype=dtype,
            requires_grad=True,
            training=training,
            with_packed_sequence=True,
        )
    )
    return cases


def error_cases(name: str, dtype: torch.dtype) -> list[ErrorModuleInput]:
    info = INFOS[name]
    cases: list[ErrorModuleInput] = info.module_error_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=False, training=True
    )
    return cases


def tensors(tree: Any) -> list[Tensor]:
    """The floating tensors of arguments or results, PackedSequences opened."""
    leaves = pytree.tree_leaves(tree, is_leaf=lambda leaf: isinstance(leaf, PackedSequence))
    opened = [leaf.data if isinstance(leaf, PackedSequence) else leaf for leaf in leaves]
    return [leaf for leaf in opened if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def gradients(module: nn.Module, arguments: Any, results: Any) -> tuple[Tensor, ...]:
    """Of a weighted sum of all results, with respect to every input and parameter."""
    torch.manual_seed(1)
    loss = sum((result * torch.rand(result.shape).to(result)).sum() for result in tensors(results))
    return torch.autograd.grad(loss, [*tensors(arguments), *module.parameters()])


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients(name: str, training: bool, dtype: torch.dtype) -> None:
    cases = value_cases(name, dtype, training)
    assert cases
    for case in cases:
        made, call = case.constructor_input, case.forward_input
        theirs = getattr(nn, name)(*made.args, **made.kwargs).to(dtype).train(training)
        ours = getattr(elman, name)(*made.args, **made.kwargs).to(dtype).train(training)
        ours.load_state_dict(theirs.state_dict())
        arguments = (call.args, call.kwargs)
        expected, got = theirs(*call.args, **call.kwargs), ours(*call.args, **call.kwargs)
        torch.testing.assert_close(got, expected, **TOLERANCE[dtype])
        torch.testing.assert_close(
            gradients(ours, arguments, got),
            gradients(theirs, arguments, expected),
            **TOLERANCE[dtype],
        )


def test_packed_sequences_are_among_torchs_cases() -> None:
    for name in ("RNN", "GRU"):
        cases = value_cases(name, torch.float64, True)
        assert any(isinstance(case.forward_input.args[0], PackedSequence) for case in cases)


@pytest.mark.unchecked
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_errors(name: str, dtype: torch.dtype) -> None:
    cases = error_cases(name, dtype)
    assert cases
    for case in cases:
        wrong = case.module_error_input
        made, call = wrong.constructor_input, wrong.forward_input
        construct = partial(getattr(elman, name), *made.args, **made.kwargs)
        fails = construct
        if case.error_on is ModuleErrorEnum.FORWARD_ERROR:
            fails = partial(construct(), *call.args, **call.kwargs)
        with pytest.raises(case.error_type, match=case.error_regex) as raised:
            fails()
        assert isinstance(raised.value, elman.ElmanError)


def test_the_cases_of_torch_leave_backend_flags_settable() -> None:
    assert not torch.backends.flags_frozen()
    torch.backends.cudnn.enabled = torch.backends.cudnn.enabled
