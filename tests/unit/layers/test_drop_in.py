"""RNN, LSTM and GRU beside torch.nn's: construction, calls, errors, and what torch.nn has not."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.rnn import pack_sequence

import elman

KINDS = ("RNN", "LSTM", "GRU")
EVERY_OPTION: dict[str, Any] = {"num_layers": 2, "bidirectional": True, "batch_first": True}


def pair(kind: str, *args: Any, **options: Any) -> tuple[Any, Any]:
    """torch's layer and ours, made from the same seed."""
    made = []
    for library in (nn, elman):
        torch.manual_seed(0)
        made.append(getattr(library, kind)(*args, **options))
    return made[0], made[1]


def states(final: Any) -> tuple[Tensor, ...]:
    return final if isinstance(final, tuple) else (final,)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, EVERY_OPTION, {"bias": False}], ids=str)
def test_one_seed_makes_the_same_weights_in_the_same_order(
    kind: str, options: dict[str, Any]
) -> None:
    theirs, ours = pair(kind, 3, 5, **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)
    assert [len(each) for each in ours.all_weights] == [len(each) for each in theirs.all_weights]
    assert all(
        torch.equal(w, t)
        for row, torchs in zip(ours.all_weights, theirs.all_weights, strict=True)
        for w, t in zip(row, torchs, strict=True)
    )
    assert ours.flatten_parameters() is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options", [{}, EVERY_OPTION, {"bias": False, "num_layers": 2, "dropout": 0.25}], ids=str
)
def test_it_is_shown_as_torchs_is_and_as_elmans(kind: str, options: dict[str, Any]) -> None:
    theirs, ours = pair(kind, 3, 5, **options)
    assert repr(ours) == f"elman.{theirs!r}"


def test_positional_arguments_are_torchs() -> None:
    args: tuple[Any, ...] = (3, 5, 2, False, True, 0.5, True)
    for kind, extra in (("LSTM", (2, "cpu", torch.float64)), ("GRU", ())):
        theirs, ours = pair(kind, *args, *extra)
        assert repr(ours) == f"elman.{theirs!r}"
        assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs, ours = pair("RNN", 3, 5, 2, "relu", False, True, 0.5, True)
    assert (ours.nonlinearity, ours.batch_first, ours.dropout) == ("relu", True, 0.5)
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_dropout_between_layers_is_torchs_mask_for_mask(kind: str, bidirectional: bool) -> None:
    options = {"num_layers": 3, "dropout": 0.5, "bidirectional": bidirectional}
    theirs, ours = pair(kind, 3, 5, dtype=torch.float64, **options)
    x = torch.randn(7, 4, 3, dtype=torch.float64)
    outputs = []
    for layer in (theirs, ours):
        torch.manual_seed(1)
        outputs.append(layer(x)[0])
    torch.testing.assert_close(outputs[1], outputs[0])
    assert not torch.equal(ours(x)[0], ours(x)[0])
    ours.eval()
    assert torch.equal(ours(x)[0], ours(x)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_length_zero_ends_where_it_began(kind: str) -> None:
    layer = getattr(elman, kind)(3, 5, **EVERY_OPTION)
    x, lengths = torch.randn(3, 6, 3), torch.tensor([4, 0, 6])
    first = layer(x)[1]
    output, final = layer(x, first, lengths=lengths)
    assert torch.equal(output[1], torch.zeros(6, 10))
    assert torch.equal(output[0, 4:], torch.zeros(2, 10))
    for before, after in zip(states(first), states(final), strict=True):
        assert torch.equal(after[:, 1], before[:, 1])
        assert not torch.equal(after[:, 0], before[:, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_leaks_out_of_the_padding(kind: str) -> None:
    layer = getattr(elman, kind)(3, 5, **EVERY_OPTION)
    lengths = torch.tensor([4, 0, 6])
    clean, dirty = torch.randn(3, 6, 3), torch.empty(0)
    dirty = clean.clone()
    dirty[0, 4:], dirty[1] = torch.nan, torch.inf
    gradients = []
    for x in (clean, dirty):
        output, final = layer(x, lengths=lengths)
        loss = output.square().sum() + sum(state.square().sum() for state in states(final))
        gradients.append(torch.autograd.grad(loss, list(layer.parameters())))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_first", [True, False])
def test_reset_cuts_a_row_into_sequences_of_their_own(kind: str, batch_first: bool) -> None:
    theirs, ours = pair(
        kind, 3, 5, num_layers=2, bidirectional=True, batch_first=True, dtype=torch.float64
    )
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    reset = torch.zeros(2, 9, dtype=torch.bool)
    reset[0, 4] = reset[1, 2] = reset[1, 7] = True
    cuts = [[x[0, :4], x[0, 4:]], [x[1, :2], x[1, 2:7], x[1, 7:]]]
    alone = torch.stack([torch.cat([theirs(part)[0] for part in row]) for row in cuts])
    if batch_first:
        together = ours(x, reset=reset)[0]
    else:
        ours.batch_first = False
        together = ours(x.transpose(0, 1), reset=reset.T)[0].transpose(0, 1)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("batch_first", [True, False])
def test_an_unbatched_sequence_takes_lengths_and_reset(batch_first: bool) -> None:
    layer = elman.GRU(3, 5, batch_first=batch_first)
    x, reset = torch.randn(6, 3), torch.tensor([0, 0, 1, 0, 0, 0]).bool()
    output, final = layer(x, lengths=torch.tensor(5), reset=reset)
    torch.testing.assert_close(output[2:5], layer(x[2:5])[0])
    assert torch.equal(output[5], torch.zeros(5))
    assert torch.equal(final[0], output[4])


def test_no_rows_is_no_error() -> None:
    output, (h, c) = elman.LSTM(3, 5)(torch.randn(7, 0, 3))
    assert (output.shape, h.shape, c.shape) == ((7, 0, 5), (1, 0, 5), (1, 0, 5))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("x", "hx"),
    [
        (torch.randn(3), None),
        (torch.randn(1, 2, 2, 3), None),
        (torch.randn(4, 2, 7), None),
        (torch.randn(0, 2, 3), None),
        (torch.randn(4, 2, 3), torch.zeros(1, 5)),
        (torch.randn(4, 3), torch.zeros(1, 1, 5)),
        (torch.randn(4, 2, 3), torch.zeros(1, 3, 5)),
        (torch.randn(4, 2, 3), torch.zeros(1, 2, 6)),
        (torch.randn(4, 2, 3), torch.zeros(1, 2, 5, dtype=torch.float64)),
        (torch.randn(4, 2, 3, dtype=torch.float64), None),
    ],
    ids=lambda tensor: str(list(tensor.shape)) if isinstance(tensor, Tensor) else "",
)
def test_bad_tensors_raise_what_torch_raises(kind: str, x: Tensor, hx: Tensor | None) -> None:
    state = (hx, hx) if kind == "LSTM" and hx is not None else hx
    theirs, ours = pair(kind, 3, 5)
    with pytest.raises(Exception) as expected:  # noqa: PT011 - whatever it is
        theirs(x, state)
    with pytest.raises(expected.type):
        ours(x, state)


@pytest.mark.parametrize(
    ("x", "hx", "message"),
    [
        (torch.randn(4, 2, 7), None, r"input_size\. Expected 3, got 7"),
        (torch.randn(4, 2, 3), torch.zeros(1, 3, 5), r"hidden size \(1, 2, 5\), got \[1, 3, 5\]"),
        (torch.randn(4, 2, 3), torch.zeros(1, 5), "batched 3-D input, hx should also be 3-D"),
        (torch.randn(4, 3), torch.zeros(1, 1, 5), "unbatched 2-D input, hx should also be 2-D"),
    ],
    ids=["input", "state", "batched", "unbatched"],
)
def test_shapes_that_do_not_fit_are_told_in_torchs_words(
    x: Tensor, hx: Tensor | None, message: str
) -> None:
    for layer in pair("GRU", 3, 5):
        with pytest.raises(RuntimeError, match=message):
            layer(x, hx)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [
        {"dropout": -0.1, "num_layers": 2},
        {"dropout": 1.5, "num_layers": 2},
        {"dropout": True, "num_layers": 2},
        {"num_layers": 0},
        {"hidden_size": 0},
        {"input_size": -1},
    ],
    ids=str,
)
def test_bad_options_raise_what_torch_raises(kind: str, options: dict[str, Any]) -> None:
    made = {"input_size": 3, "hidden_size": 5} | options
    with pytest.raises(ValueError) as expected:  # noqa: PT011 - whatever it says
        getattr(nn, kind)(**made)
    first_words = str(expected.value).split(" representing")[0]
    with pytest.raises(elman.ConfigError, match=first_words.replace("[", r"\[")):
        getattr(elman, kind)(**made)


@pytest.mark.parametrize("size", [-1, 5, 6])
def test_a_projection_must_be_smaller_than_the_state(size: int) -> None:
    for library in (nn, elman):
        with pytest.raises(ValueError, match="proj_size"):
            library.LSTM(3, 5, proj_size=size)


def test_dropout_with_nothing_between_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"dropout=0\.5 with num_layers=1: it would never be"):
        elman.LSTM(3, 5, dropout=0.5)


def test_lengths_and_reset_must_fit() -> None:
    layer, x = elman.LSTM(3, 5, batch_first=True), torch.randn(2, 4, 3)
    with pytest.raises(elman.ShapeError, match=r"lengths of shape \(2,\)"):
        layer(x, lengths=torch.tensor([1, 2, 3]))
    with pytest.raises(elman.DtypeError, match="lengths as an integer tensor"):
        layer(x, lengths=torch.tensor([1.0, 2.0]))
    with pytest.raises(
        elman.ShapeError, match="lengths from 0 to 4, the steps of x, got 5 in row 1"
    ):
        layer(x, lengths=torch.tensor([1, 5]))
    with pytest.raises(elman.ShapeError, match=r"reset of shape \(2, 4\)"):
        layer(x, reset=torch.zeros(4, 2, dtype=torch.bool))
    with pytest.raises(elman.DtypeError, match="reset as a boolean tensor"):
        layer(x, reset=torch.zeros(2, 4))


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"])
def test_hx_of_another_dtype_is_an_error_of_torchs_type(kind: str) -> None:
    shape = (2, 5) if kind.endswith("Cell") else (1, 2, 5)
    x = torch.randn(2, 3) if kind.endswith("Cell") else torch.randn(4, 2, 3)
    hx = torch.zeros(shape).double()
    for module in (torch.nn, elman):
        with pytest.raises(RuntimeError) as raised:
            getattr(module, kind)(3, 5)(x, (hx, hx) if "LSTM" in kind else hx)
    assert "in torch.float32, as the input is, got torch.float64" in str(raised.value)


def test_a_packed_sequence_has_its_own_lengths() -> None:
    packed = pack_sequence([torch.randn(4, 3), torch.randn(2, 3)])
    with pytest.raises(elman.ConfigError, match="has its own lengths"):
        elman.LSTM(3, 5)(packed, lengths=torch.tensor([4, 2]))


@pytest.mark.parametrize("layers", [1, 2])
def test_a_state_may_be_cut_off_in_place_between_windows(layers: int) -> None:
    ours, x = elman.LSTM(3, 5, layers), torch.randn(7, 2, 3)
    _, state = ours(x)
    for s in state:
        s.detach_()  # torch refuses this for a view
    ours(x, state)[0].sum().backward()


def test_the_state_of_an_lstm_is_a_pair() -> None:
    layer, x, h = elman.LSTM(3, 5), torch.randn(4, 2, 3), torch.zeros(1, 2, 5)
    with pytest.raises(elman.DtypeError, match="tuple of 2 tensors, got Tensor"):
        layer(x, h)
    torch.testing.assert_close(layer(x, [h, h]), layer(x))


@pytest.mark.parametrize("kind", KINDS)
def test_copies_compute_the_same_and_share_nothing(kind: str) -> None:
    layer, x = getattr(elman, kind)(3, 5, **EVERY_OPTION), torch.randn(2, 4, 3)
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(copied(x), layer(x), rtol=0, atol=0)
        with torch.no_grad():
            copied.weight_hh_l0.zero_()
        assert not torch.equal(copied(x)[0], layer(x)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_state_dict_goes_either_way(kind: str) -> None:
    theirs, ours = (getattr(library, kind)(3, 5, **EVERY_OPTION) for library in (nn, elman))
    x = torch.randn(2, 4, 3)
    assert not torch.allclose(ours(x)[0], theirs(x)[0])
    for source, target in ((theirs, ours), (ours, theirs)):
        file = io.BytesIO()
        nn.init.normal_(source.weight_ih_l0)
        torch.save(source.state_dict(), file)
        file.seek(0)
        target.load_state_dict(torch.load(file, weights_only=True))
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_a_weight_may_be_replaced_frozen_or_computed_by_a_hook() -> None:
    layer, x = elman.GRU(3, 5), torch.randn(4, 2, 3)
    layer.weight_hh_l0 = nn.Parameter(torch.zeros(15, 5))
    layer.bias_hh_l0.requires_grad_(False)
    layer(x)[0].sum().backward()
    assert layer.weight_hh_l0.grad.abs().sum() > 0
    assert layer.bias_hh_l0.grad is None
    before = layer(x)[0]
    prune.random_unstructured(layer, "weight_ih_l0", amount=0.5)
    assert not torch.equal(layer(x)[0], before)
    assert torch.equal((layer.weight_ih_l0 == 0).sum(), torch.tensor(22))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_torchs_base_class_and_its_list_of_weights_is_never_stale(kind: str) -> None:
    layer = getattr(elman, kind)(3, 5, num_layers=2)
    assert isinstance(layer, nn.RNNBase)

    def listed() -> bool:
        named = [getattr(layer, name) for name in layer._flat_weights_names]
        return all(a is b for a, b in zip(layer._flat_weights, named, strict=True))

    assert listed()
    layer.weight_hh_l1 = nn.Parameter(torch.zeros_like(layer.weight_hh_l1))
    assert listed()
    assert not layer._flat_weights[5].any()
    layer = layer.double()
    assert listed()
    layer.load_state_dict(getattr(nn, kind)(3, 5, num_layers=2).state_dict(), assign=True)
    assert listed()
    assert layer._flat_weights[0].dtype is torch.float32
    layer = copy.deepcopy(layer)
    assert listed()


def test_a_parametrized_layer_is_copied_after_it_was_cast() -> None:
    """torch's own list of weights would hold a computed one then, which cannot be copied."""
    layer, x = elman.LSTM(3, 5), torch.randn(4, 2, 3).double()
    parametrizations.weight_norm(layer, "weight_hh_l0")
    layer = layer.double()
    torch.testing.assert_close(copy.deepcopy(layer)(x), layer(x), rtol=0, atol=0)


def test_parameters_that_torch_swaps_are_the_ones_computed_with() -> None:
    layer, x = elman.GRU(3, 5), torch.randn(4, 2, 3)
    parameters = {id(p) for p in layer.parameters()}
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        layer.double()
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    assert {id(p) for p in layer.parameters()} == parameters
    assert layer(x.double())[0].dtype is torch.float64


def test_dtype_and_device_are_the_parameters() -> None:
    layer = elman.LSTM(3, 5, num_layers=2, dtype=torch.float64)
    assert layer(torch.randn(4, 2, 3, dtype=torch.float64))[0].dtype is torch.float64
    assert layer.to(torch.bfloat16)(torch.randn(4, 2, 3).bfloat16())[0].dtype is torch.bfloat16
    on_meta = elman.LSTM(3, 5, proj_size=2, device="meta")
    assert on_meta(torch.randn(4, 2, 3, device="meta"))[0].shape == (4, 2, 2)


def test_a_scheme_and_an_engine_are_chosen_by_name() -> None:
    layer = elman.RNN(3, 5, num_layers=2, nonlinearity="relu", init="identity", engine="reference")
    assert torch.equal(layer.weight_hh_l1, torch.eye(5))
    assert torch.equal(layer.bias_ih_l1, torch.zeros(5))
    assert "engine=reference" in repr(layer)
    with pytest.raises(elman.ConfigError, match="did you mean 'reference'"):
        elman.LSTM(3, 5, engine="referense")


@pytest.mark.parametrize("kind", KINDS)
def test_steps_one_by_one_are_the_whole(kind: str) -> None:
    options = {"proj_size": 2} if kind == "LSTM" else {}
    layer = getattr(elman, kind)(3, 5, num_layers=2, **options)
    x, state = torch.randn(6, 2, 3), None
    output, final = layer(x)
    for t in range(6):
        output_t, state = layer.step(x[t], state)
        torch.testing.assert_close(output_t, output[t])
    for k, last in enumerate(zip(*state, strict=True)):
        torch.testing.assert_close(torch.stack(last), states(final)[k])
    with pytest.raises(elman.ConfigError, match="bidirectional layer cannot step"):
        elman.GRU(3, 5, bidirectional=True).step(x[0])


@pytest.mark.parametrize(
    ("features", "state", "message"),
    [
        (4, None, r"expected x of shape \(batch, 3\), got \(2, 4\)"),
        (3, torch.zeros(2, 2, 5), "expected a tuple of 2 states, one for each layer"),
        (3, (torch.zeros(2, 5),), "expected a tuple of 2 states, one for each layer"),
        (3, (torch.zeros(2, 5), torch.zeros(1, 5)), r"shape \(2, 5\) .*, got \(1, 5\)"),
    ],
)
def test_steps_from_what_does_not_fit(features: int, state: Any, message: str) -> None:
    with pytest.raises(elman.ElmanError, match=message):
        elman.GRU(3, 5, num_layers=2).step(torch.randn(2, features), state)


ACTIVATIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "identity": lambda x: x,
    "sigmoid": torch.sigmoid,
    "gelu": nn.functional.gelu,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_nonlinearity_by_name_and_as_a_callable(name: str) -> None:
    x, activation = torch.randn(1, 2, 3), ACTIVATIONS[name]
    named = elman.RNN(3, 5, nonlinearity=name)
    called = elman.RNN(3, 5, nonlinearity=activation)
    called.load_state_dict(named.state_dict())
    z = x[0] @ named.weight_ih_l0.T + named.bias_ih_l0 + named.bias_hh_l0
    for layer in (named, called):
        torch.testing.assert_close(layer(x)[0][0], activation(z))
    assert f"nonlinearity={name}" in repr(named) or name == "tanh"


def test_an_unknown_nonlinearity_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown activation 'rleu': did you mean 'relu'"):
        elman.RNN(3, 5, nonlinearity="rleu")


def test_an_activation_is_an_option_of_rnn_alone() -> None:
    for kind in KINDS:
        with pytest.raises(TypeError, match="activation"):
            getattr(elman, kind)(3, 5, activation="relu")
    for kind in ("LSTM", "GRU"):
        with pytest.raises(TypeError, match="nonlinearity"):
            getattr(elman, kind)(3, 5, nonlinearity="relu")


def test_new_random_weights_leave_the_activations_own() -> None:
    layer = elman.RNN(3, 5, nonlinearity=nn.PReLU())
    before = layer.weight_hh_l0.detach().clone()
    layer.reset_parameters()
    assert not torch.equal(layer.weight_hh_l0, before)
    assert torch.equal(layer.nonlinearity.weight, torch.tensor([0.25]))


def test_a_module_as_nonlinearity_is_part_of_the_layer() -> None:
    layer = elman.RNN(3, 5, num_layers=2, nonlinearity=nn.PReLU(5))
    assert "nonlinearity.weight" in layer.state_dict()
    layer = layer.double()
    assert layer(torch.randn(4, 2, 3).double())[0].dtype is torch.float64
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(torch.randn(4, 2, 3).double())[0].sum().backward()
    optimizer.step()
    assert not torch.equal(layer.nonlinearity.weight, torch.full((5,), 0.25).double())


def test_a_copy_runs_with_its_own_nonlinearity() -> None:
    layer, x = elman.RNN(3, 5, nonlinearity=nn.PReLU()), torch.randn(4, 2, 3)
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        nn.init.constant_(copied.nonlinearity.weight, 2.0)
        assert not torch.equal(copied(x)[0], layer(x)[0])
        layer.load_state_dict(copied.state_dict())
        assert torch.equal(copied(x)[0], layer(x)[0])
        nn.init.constant_(layer.nonlinearity.weight, 0.25)


@pytest.mark.parametrize("kind", ["RNN", "GRU"])
def test_only_an_lstm_is_projected(kind: str) -> None:
    for library in (torch.nn, elman):
        with pytest.raises(ValueError, match="proj_size argument is only supported for LSTM"):
            getattr(library, kind)(3, 5, proj_size=2)
    options = (1, *([] if kind == "GRU" else ["tanh"]), True, False, 0.0, False)
    with pytest.raises(ValueError, match="proj_size argument is only supported for LSTM"):
        getattr(elman, kind)(3, 5, *options, 2)
