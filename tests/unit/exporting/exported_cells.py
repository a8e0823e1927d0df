"""Five cells that elman has not, each with what no built-in cell does; and code to run one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves, tree_structure, tree_unflatten

import elman
from elman.cells import Cell, PointwiseCell
from elman.exporting import CompiledC, compiler

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler is here")


class Leaky(PointwiseCell):
    """A parameter of its own, a comparison, and functions of libm."""

    gates, states = ("z", "leak"), ("h", "phase")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.rate = nn.Parameter(torch.linspace(-1, 1, hidden_size))

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        leak = torch.sigmoid(inp.leak + rec.leak + F.softplus(self.rate))
        new = torch.where(inp.z > rec.z, torch.sin(inp.z + state.phase), torch.erf(rec.z))
        phase = torch.fmod(state.phase + leak.abs().sqrt(), 3.0)
        return self.State(h=(1 - leak) * state.h + leak * new, phase=phase)


class FastWeights(Cell):
    """A state that is a matrix, and a product of two things that change."""

    states = ("h", "fast")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 3 * hidden_size)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.hidden_size, self.hidden_size**2

    def project(self, x: Tensor) -> Tensor:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        key, value, query = inp.chunk(3, -1)
        units = (self.hidden_size, self.hidden_size)
        fast = 0.9 * state.fast.unflatten(-1, units) + value.unsqueeze(-1) * key.unsqueeze(-2)
        h = torch.tanh((fast @ query.unsqueeze(-1)).squeeze(-1))
        return self.State(h, fast.flatten(1))


class Heads(Cell):
    """A matrix for each group of units, and a softmax over the groups."""

    states = ("h",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, hidden_size)
        self.blocks = nn.Parameter(torch.randn(2, hidden_size // 2, hidden_size // 2) / 2)

    def project(self, x: Tensor) -> Tensor:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        groups = torch.einsum("bgi,gij->bgj", state.h.unflatten(-1, (2, -1)), self.blocks)
        shares = groups.amax(-1, keepdim=True).softmax(1)
        return self.State(torch.tanh(inp + (shares * groups).flatten(1)))


class LowRank(Cell):
    """A narrow matrix, layer norm, and states of different sizes."""

    states = ("h", "narrow")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.input, self.norm = nn.Linear(input_size, hidden_size), nn.LayerNorm(hidden_size)
        self.down = nn.Linear(hidden_size, 3, bias=False)
        self.up = nn.Linear(3, hidden_size, bias=False)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.hidden_size, 3

    def project(self, x: Tensor) -> Tensor:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        narrow = F.gelu(self.down(state.h)) + 0.5 * state.narrow
        return self.State(torch.tanh(self.norm(inp + self.up(narrow))), narrow)


class Delays(Cell):
    """States that hand on what they were, parts put together, and the input as it is."""

    states = ("h", "last", "one_before")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.gain = nn.Parameter(torch.tensor(0.5))

    def project(self, x: Tensor) -> Tensor:
        return x

    def step(self, inp: Tensor, state: Any) -> Any:
        turned = torch.cat([state.one_before[:, 2:], state.last[:, :2]], -1)
        mean = inp.mean(-1, keepdim=True)
        h = torch.tanh(turned + mean - self.gain * state.h.clamp(-0.5, 0.5))
        return self.State(h, state.h, state.last)


OWN = {kind.__name__: kind for kind in (Leaky, FastWeights, Heads, LowRank, Delays)}


def cell(name: str, inputs: int, units: int) -> Cell:
    """A cell of this test, or a built-in one."""
    kind = OWN.get(name) or elman.cells.by_name(name)
    return kind(inputs, units)


def code_of(
    model: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, *flags: str, **options: Any
) -> CompiledC:
    """The exported code, compiled; it is not checked at export, since the test does."""
    monkeypatch.setattr("elman.exporting._export.compiler", lambda: None)
    exported = elman.export(model, path=folder, name="net", **options)
    assert exported.check is None
    texts = {file.name: file.read_text() for file in exported.files}
    size = int(texts["net.h"].split("NET_OUTPUT_SIZE ")[1].split()[0])
    tokens = "NET_TOKENS" in texts["net.h"]
    return CompiledC(texts, "net", reads_tokens=tokens, output_size=size, flags=flags or ("-O2",))


class Steps:
    """Single steps of a model and of its code, from states that the test sets."""

    def __init__(self, model: Any, code: CompiledC) -> None:
        self.model, self.code = model, code
        self.structure = tree_structure(model.initial_state(1))

    def of_torch(self, x: Tensor, state: list[Tensor]) -> tuple[np.ndarray, list[Tensor]]:
        with torch.no_grad():
            output, after = self.model.step(x, tree_unflatten(state, self.structure))
        return output.flatten().numpy(), tree_leaves(after)

    def of_c(self, x: Tensor, state: list[Tensor]) -> tuple[np.ndarray, np.ndarray]:
        self.code.state[:] = torch.cat([s.flatten() for s in state]).numpy()
        output = self.code(x.numpy())[0]
        return output, self.code.state.copy()


def flat(state: list[Tensor]) -> np.ndarray:
    """All numbers of a state."""
    return torch.cat([s.flatten() for s in state]).detach().numpy()
