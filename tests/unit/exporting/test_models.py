"""C of stacks, of trained tasks with vocabulary and head, and of whole numbers of both."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import elman
import sampling
from elman._errors import ConfigError, DtypeError, ElmanError
from elman.cells import GRU, LSTM, Elman
from elman.exporting import CompiledC, ExportCheck, compiler
from elman.layers import CausalConv1d, FeedForward
from elman.nn import POOLS
from elman.training import config_class, train
from unit.exporting.exported_cells import code_of, needs_compiler

pytestmark = pytest.mark.unchecked


def run_of(task: str, data: dict[str, Any], model: dict[str, Any], steps: int = 2) -> Any:
    """A run after a few updates."""
    sections = {"data": data, "model": {"hidden": 6, **model}, "train": {"max_steps": steps}}
    config = config_class(task).parse(sections)
    return elman.load(train(config, report=lambda _: None).run.path)


@pytest.fixture
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    draw = random.Random(0)
    words = ["good", "Fine", "bad", "poor", "the", "film", "Ünï", "a\\b", "'s"]
    rows = [" ".join(draw.choices(words, k=draw.randint(2, 6))) for _ in range(60)]
    lines = [f"{text},{'yes' if 'good' in text else 'no?'}" for text in rows]
    file = tmp_path / "reviews.csv"
    file.write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    return file


@pytest.fixture
def numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    draw = random.Random(0)
    file = tmp_path / "series.jsonl"
    rows = [[[draw.gauss(50, 9), draw.gauss(-1, 0.1)] for _ in range(5)] for _ in range(40)]
    lines = [json.dumps({"x": x, "y": sum(a for a, _ in x)}) for x in rows]
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "book.txt"
    file.write_text("The cat sat on the mat .\nA dog ran home !\n" * 200, encoding="utf-8")
    return file


def network() -> nn.Module:
    return elman.Stack(
        elman.Dropout(elman.Recurrent(LSTM(3, 6), learn_initial_state=True), 0.5),
        elman.Residual(elman.Recurrent(GRU(6, 6))),
        CausalConv1d(6, 5, 3),
        CausalConv1d(5, 5, 2, groups=5),
    )


MODELS = {
    "stack": network,
    "drop-in": lambda: elman.LSTM(3, 6, num_layers=2, proj_size=2),
    "relu": lambda: elman.RNN(3, 4, nonlinearity="relu"),
    "no state": lambda: FeedForward(3, 1, 5),
    "float64": lambda: elman.Recurrent(GRU(3, 4)).double(),
}


@needs_compiler
@pytest.mark.parametrize("name", sampling.cases(list(MODELS), 2))
def test_a_layer_is_checked_on_random_inputs(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    with torch.no_grad():
        for parameter in model.parameters():  # an initial state of zeros would hide one
            parameter.add_(0.01)
    check = elman.export(model, path=tmp_path).check
    assert check is not None
    assert check.difference < 1e-6


@needs_compiler
@pytest.mark.parametrize("pool", sampling.cases(POOLS, 1))
def test_a_classifier_has_its_pool_its_temperature_and_its_labels(reviews: Path, pool: str) -> None:
    task = run_of("classify", {"train": [reviews]}, {"bidirectional": False, "pool": pool})
    task.network.get_buffer("temperature").fill_(1.7)
    exported = elman.export(task, path="c")
    check = exported.check
    assert check is not None
    assert (check.difference, check.after) == (pytest.approx(0, abs=1e-6), check.before)
    assert r'"no\?"' in Path("c", "net.c").read_text()


@needs_compiler
def test_every_word_is_its_token(reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = run_of("classify", {"train": [reviews]}, {"bidirectional": False})
    code = code_of(task, Path("c"), monkeypatch)
    words = task.input.tokens.tokens
    assert [code.token(word) for word in words] == list(range(len(words)))
    assert code.token("GOOD") == words.index("good")
    assert [code.token(word) for word in ("", "goo", "goodx", "zzz")] == [0] * 4


@needs_compiler
@pytest.mark.parametrize("task", sampling.cases(["classify", "regress"], 1))
def test_numbers_come_in_as_they_were_measured(numbers: Path, task: str) -> None:
    data = {"train": [numbers], "series": "x", "standardize": True}
    if task == "classify":
        rows = [json.loads(line) for line in numbers.read_text().splitlines()]
        lines = [json.dumps({"x": row["x"], "label": row["y"] > 250}) for row in rows]
        numbers.write_text("\n".join(lines))
    else:
        data["target"] = "y"
    check = elman.export(run_of(task, data, {"bidirectional": False}), path="c").check
    assert check is not None
    assert check.after == pytest.approx(check.before, rel=1e-4)
    assert check.difference < (1e-4 if task == "regress" else 1e-6)


LANGUAGES = {
    "word": ({}, {}),
    "char": ({"level": "char"}, {"input": "one-hot"}),
    "bpe": ({"level": "bpe"}, {"tied": True, "dropout": 0.5}),
}


@needs_compiler
@pytest.mark.parametrize("level", sampling.cases(list(LANGUAGES), 1))
def test_a_language_model_gives_probabilities(
    book: Path, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, model = LANGUAGES[level]
    task = run_of("language", {"train": [book], **data}, model)
    check = elman.export(task, path="c").check
    assert check is not None
    assert check.metric is not None
    assert check.difference < 1e-6
    assert check.after == pytest.approx(check.before, rel=1e-5)
    text = Path("c", "net.h").read_text()
    assert ("net_token" in text) == (level != "bpe")
    assert ("not here" in text) == (level == "bpe")
    code = code_of(task, Path("c"), monkeypatch)
    before = code.state.copy()
    code(np.array([len(task.vocabulary)]))  # no token
    assert np.array_equal(code.state, before)


@needs_compiler
def test_int8_that_costs_too_much_is_refused(book: Path) -> None:
    task = run_of("language", {"train": [book]}, {"embedding": 4}, steps=60)
    check = elman.export(task, path="c", weights="int8", max_loss=1).check
    assert check is not None
    assert check.after != check.before
    with torch.no_grad():  # a row with one large number has a scale that the others drown in
        task.network.output.weight[:, 0] = 1000.0
    with pytest.raises(ElmanError, match=r"int8 cost .* of perplexity .*: nothing was written"):
        elman.export(task, path="none", weights="int8", max_loss=1e-9)
    assert not Path("none").exists()


@needs_compiler
def test_code_that_computes_no_numbers_is_refused(tmp_path: Path) -> None:
    layer = elman.Recurrent(Elman(3, 4, "relu"))
    torch.nn.init.constant_(layer.cell.weight_hh, 1e20)  # infinite within a few steps
    with pytest.raises(ElmanError, match=r"gives NaN or infinity .*: nothing was written"):
        elman.export(layer, path=tmp_path / "none")
    assert not (tmp_path / "none").exists()


@needs_compiler
def test_float32_code_that_costs_the_metric_is_refused(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = run_of("language", {"train": [book]}, {"embedding": 4}, steps=60)
    monkeypatch.setattr(ExportCheck, "loss", property(lambda _: float("nan")))
    with pytest.raises(ElmanError, match=r"float32 cost nan% of perplexity"):
        elman.export(task, path="none")
    assert not Path("none").exists()


@needs_compiler
def test_without_libm_nothing_is_linked(tmp_path: Path) -> None:
    for cell in sampling.cases(["minlstm", "layernormlstm", "slstm"], 1):
        layer = elman.Recurrent(elman.cells.by_name(cell)(3, 4))
        check = elman.export(layer, path=tmp_path, libm=False).check
        assert check is not None
        assert check.difference < 1e-5
        text = (tmp_path / "net.c").read_text()
        assert "math.h" not in text
        line = [compiler(), "-std=c99", "-ffreestanding", "-O2", "-c", "net.c", "-o", "net.o"]
        subprocess.run(line, cwd=tmp_path, check=True)
    with pytest.raises(ConfigError, match=r"needs math\.h.*--no-libm"):
        elman.export(elman.Recurrent(Sine(3, 3)), path=tmp_path, libm=False)


class Sine(elman.cells.Cell):
    """A step of one function, which the test changes."""

    states = ("h",)
    function = staticmethod(lambda x, h: torch.sin(x + h))

    def project(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def step(self, inp: torch.Tensor, state: Any) -> Any:
        return self.State(type(self).function(inp, state.h))


REFUSED = {
    "draws random": lambda x, h: h + torch.rand_like(x),
    "condition": lambda x, h: h if bool(h.sum() > 0) else x,
    "in place": lambda x, h: h.add_(x),
    "aten.sort": lambda x, h: torch.sort(x + h)[0],
    "of whole numbers": lambda x, h: h + (x > 0).sum(-1, keepdim=True),
    "6 after it": lambda x, h: torch.cat([x, h], -1),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_no_graph_can_say_is_refused(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sine, "function", staticmethod(REFUSED[why]))
    with pytest.raises(ConfigError, match=why):
        elman.export(elman.Recurrent(Sine(3, 3)), path=tmp_path)


def test_what_cannot_stream_is_named(reviews: Path, tmp_path: Path) -> None:
    layer = elman.Bidirectional(GRU(3, 4), GRU(3, 4))
    with pytest.raises(ConfigError, match="bidirectional layer cannot step"):
        elman.export(layer, path=tmp_path)
    with pytest.raises(ConfigError, match=r"--model\.no-bidirectional"):
        elman.export(run_of("classify", {"train": [reviews]}, {}), path=tmp_path)
    with pytest.raises(ConfigError, match="window='around' cannot step"):
        elman.export(FeedForward(3, 3, 4, window="around"), path=tmp_path)
    with pytest.raises(DtypeError, match="got Linear"):
        elman.export(nn.Linear(3, 3), path=tmp_path)


@pytest.mark.parametrize("name", ["3d", "a-b", "", "float", "é"])
def test_names_are_of_c(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="C identifier"):
        elman.export(elman.Recurrent(GRU(3, 4)), path=tmp_path, name=name)


def test_arguments_are_checked(tmp_path: Path) -> None:
    layer = elman.Recurrent(GRU(3, 4))
    for options, match in (
        ({"to": "cc"}, "to must be one of c"),
        ({"weights": "int4"}, "float32 or int8"),
        ({"max_loss": -1.0}, "at least 0"),
    ):
        with pytest.raises(ConfigError, match=match):
            elman.export(layer, path=tmp_path, **options)  # type: ignore[arg-type]


@needs_compiler
def test_a_compiler_that_refuses_says_why() -> None:
    texts = {"net.h": "typedef int net_state;\n#include <stddef.h>\n", "net.c": "int x = ;\n"}
    with pytest.raises(ElmanError, match="refused the exported file"):
        CompiledC(texts, "net", reads_tokens=False, output_size=1)
