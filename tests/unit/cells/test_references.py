"""Cells by reference: what is loaded, what is refused with its line, and that nothing else runs."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.cells import by_name, provide, references, resolve
from elman.cells.options import construct, options_of, parse_options
from elman.training import Run, config_class, load, resume, train
from elman.training._entry import log_engine

HEAD = """import elman
from torch import tanh

"""
LEAKY = """import elman
from torch import tanh


class Leaky(elman.cells.PointwiseCell):
    gates, states = ("z",), ("h",)

    def __init__(self, input_size, hidden_size, slope: float = 1.0, depth: int | None = 2, **more):
        super().__init__(input_size, hidden_size, **more)
        self.slope = slope

    def pointwise(self, inp, rec, state):
        return self.State(h=0.9 * state.h + 0.1 * tanh(self.slope * (inp.z + rec.z)))
"""
HOSTILE = f"open('executed', 'w').close()\n{LEAKY}"
POINTWISE = "class Leaky(elman.cells.PointwiseCell):\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(references, "_loaded", {})
    return tmp_path


def write(text: str = LEAKY, name: str = "leaky.py") -> str:
    Path(name).write_text(text)
    return f"{name}:Leaky"


def test_a_name_a_file_and_a_module() -> None:
    assert resolve("gru") is elman.cells.GRU
    kind = resolve(write())
    assert kind(3, 5).hidden_size == 5
    assert by_name("leaky.py:Leaky") is kind
    assert resolve("elman.cells:GRU") is elman.cells.GRU


def test_a_file_is_executed_again_only_when_it_has_changed() -> None:
    first = resolve(write())
    assert resolve("leaky.py:Leaky") is first
    assert resolve(write(LEAKY.replace("0.9", "0.8"))) is not first


def test_a_file_finds_those_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    write("slope = 3\n", "sub/beside_it.py")
    write(f"from beside_it import slope\n{LEAKY}", "sub/leaky.py")
    monkeypatch.delitem(sys.modules, "beside_it", raising=False)
    before = list(sys.path)
    assert resolve("sub/leaky.py:Leaky").__name__ == "Leaky"
    assert sys.path == before


def test_an_installed_package_brings_cells_by_name(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package as pip leaves it: modules beside a folder of metadata with its entry points."""
    write(name="leaky_package.py")
    metadata = here / "leaky_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: leaky-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[elman.cells]\n"
        "leaky = leaky_package:Leaky\n"
        "broken = no_such_package:Cell\n"
        "system = os:system\n"
    )
    monkeypatch.syspath_prepend(here)
    references._installed.cache_clear()
    try:
        assert by_name("leaky")(3, 5).hidden_size == 5
        assert config_class("classify").parse({"model": {"cell": "leaky"}})
        assert "leaky" in references.names()
        with pytest.raises(
            elman.ConfigError, match=r"broken = no_such_package:Cell .* loaded: Mod"
        ):
            by_name("broken")
        with pytest.raises(elman.ConfigError, match=r"system must be a subclass of elman.cells.Ce"):
            by_name("system")
    finally:
        references._installed.cache_clear()
        sys.modules.pop("leaky_package", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class Leaky(\n  pass\n", "leaky.py:1: '.' was never closed"),
        (f"{HEAD}x = 1 / 0\n", "leaky.py:4: ZeroDivisionError: division by zero"),
        (f"{HEAD}{POINTWISE}".replace("Leaky", "Leeky") + "    pass", "did you mean 'Leeky'"),
        (f"{HEAD}Leaky = 3\n", "leaky.py: Leaky must be a subclass of elman.cells.Cell, got int"),
        (f"{HEAD}class Leaky: ...\n", "leaky.py:4: Leaky must be a subclass of elman.cells.Cell"),
        (f"{HEAD}{POINTWISE}    pass", "leaky.py:4: Leaky must define states, gates, pointwise"),
        (
            f"{HEAD}{POINTWISE}    gates, states = ('z',), ('h', 'h')\n",
            "leaky.py:4: ConfigError: state names must be distinct identifiers: .*'h'",
        ),
    ],
)
def test_what_is_no_cell_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(elman.ConfigError, match=message):
        resolve(write(text))


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("missing.py:Leaky", "missing.py: no such file: the cell must be a name"),
        ("leaky.txt:Leaky", "no module 'leaky': install its package, or give the file"),
        ("../a b:Leaky", "FILE.py:Class or package.module:Class, got '../a b:Leaky'"),
        ("gru:", "got 'gru:'"),
        ("gruu", "unknown cell 'gruu': did you mean 'gru'"),
        ("os:system", "os: system must be a subclass of elman.cells.Cell, got builtin"),
        ("no_such_package.cells:Leaky", "no module 'no_such_package': install its package"),
    ],
)
def test_what_is_no_reference_is_refused(reference: str, message: str) -> None:
    with pytest.raises(elman.ConfigError, match=re.escape(message)):
        resolve(reference)


def test_options_come_from_the_signature() -> None:
    kind = resolve(write())
    assert list(options_of(kind)) == ["slope", "depth", "bias"]
    texts: Any = {"slope": "2", "depth": "none", "bias": "no"}
    assert parse_options(kind, texts) == {"slope": 2.0, "depth": None, "bias": False}
    assert parse_options(kind, {"slope": 2, "depth": 3}) == {"slope": 2.0, "depth": 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slpe": 1}, "unknown option slpe of Leaky; did you mean 'slope'"),
        ({"slope": "steep"}, "option slope of Leaky must be float, got 'steep'"),
        ({"depth": "2.5"}, "option depth of Leaky must be int or none, got '2.5'"),
        ({"depth": True}, "option depth of Leaky must be int or none, got True"),
        ({"device": "cpu"}, "unknown option device of Leaky"),
    ],
)
def test_a_wrong_option_is_refused(options: Any, message: str) -> None:
    with pytest.raises(elman.ConfigError, match=message):
        parse_options(resolve(write()), options)


def test_a_constructor_that_fails_is_named_with_its_line() -> None:
    text = LEAKY.replace("        self.slope = slope\n", "        self.slope = slope.real.no\n")
    with pytest.raises(elman.ConfigError, match=r"leaky.py:10: Leaky\(8, 16\) raised AttributeErr"):
        construct(resolve(write(text)), {})
    with pytest.raises(elman.ConfigError, match=r"needs the option slope: give it as --model.opt"):
        construct(resolve(write(LEAKY.replace("slope: float = 1.0", "slope"))), {})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the user's own cell, whose file does harm wherever it is executed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "leaky.py").write_text(HOSTILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        resolve("leaky.py:Leaky")
        tree = {
            "data": {"name": "parity", "rows": 40, "steps": 4},
            "model": {"cell": "leaky.py:Leaky", "hidden": 3, "options": {"slope": 3}},
            "train": {"max_steps": 2, "baselines": False},
        }
        train(config_class("classify").parse(tree), Path("run"))
    return folder


@pytest.fixture
def run(trained: Path, here: Path) -> Path:
    """That run, in a process that does not know its cell."""
    shutil.copytree(trained / "run", here / "run")
    shutil.copy(trained / "leaky.py", here)
    return Path("run")


def test_a_run_keeps_a_copy_and_its_hash(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert (run / "cell" / "leaky.py").read_text() == HOSTILE
    digest = hashlib.sha256(HOSTILE.encode()).hexdigest()
    assert (run / "cell" / "SHA256SUMS").read_text() == f"{digest}  leaky.py\n"
    task = load(run, cells=[resolve("leaky.py:Leaky")])
    assert [m.slope for m in task.network.modules() if hasattr(m, "slope")] == [3.0, 3.0]
    assert "changed" not in caplog.text
    load(run, cells=[resolve(write(LEAKY.replace("0.9", "0.8")))])
    assert "has changed since" in caplog.text


@pytest.mark.parametrize("place", ["a file", "a module of that name", "os:system"])
def test_a_run_folder_executes_nothing(place: str, run: Path, here: Path) -> None:
    config = run / "config.toml"
    if place != "a file":
        name = "hostile_module:Leaky" if place == "a module of that name" else "os:system"
        config.write_text(config.read_text().replace("leaky.py:Leaky", name))
        write(HOSTILE, "hostile_module.py")
        sys.path.insert(0, str(here))
    try:
        for look in (load, resume, elman.diagnose, elman.training.evaluate):
            with pytest.raises(elman.ConfigError, match="run folder must not choose which code"):
                look(run)
    finally:
        if place != "a file":
            sys.path.remove(str(here))
    assert not Path("executed").exists()
    assert "hostile_module" not in sys.modules


def test_the_class_of_the_call_is_used(run: Path) -> None:
    Path("leaky.py").rename("elsewhere.py")
    kind = resolve("elsewhere.py:Leaky")
    with provide(kind):
        assert type(load(run).network).__name__ == "SequenceNetwork"
    with pytest.raises(elman.ConfigError, match="run folder must not choose"):
        load(run)
    result = resume(run, {"max_steps": 3}, cells=[kind])
    assert Run.open(result.run.path).load("last").progress["update"] == 3
    with pytest.raises(elman.ConfigError, match="cells must have different names, got Leaky twice"):
        load(run, cells=[kind, kind])


def test_a_cell_on_the_reference_says_why(caplog: pytest.LogCaptureFixture) -> None:
    branch = "        if inp.z.sum() > 0:\n            return self.State(h=state.h)\n        return"
    write(LEAKY.replace("        return", branch))
    resolve("leaky.py:Leaky")
    log_engine(config_class("classify").parse({"model": {"cell": "leaky.py:Leaky"}}).model)
    assert re.search(r"runs on reference, not on native: .*leaky.py:13: if inp.z.s", caplog.text)
