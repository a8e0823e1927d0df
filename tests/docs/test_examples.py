"""Every example of the README and the documentation runs, in order, page by page.

A quick run takes all pages whose examples are Python, and some of those that run commands, which
train: the seed draws them.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from docs._build.blocks import PAGES, TEXT, Block, blocks_of, commands

import sampling
from elman.cli._compare import OPTIONS as COMPARE
from elman.cli._main import app
from elman.cli._request import parse_request
from elman.cli._train import OPTIONS


def run_python(block: Block, page: Path, names: dict[str, object]) -> None:
    code = "\n" * (block.line - 1) + block.code  # so that a traceback shows the page's line
    exec(compile(code, str(page), "exec"), names)  # noqa: S102 - our own documentation


def run_shell(block: Block) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in commands(block):
        run = subprocess.run(
            command, shell=True, env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, f"{command}\n{run.stdout}{run.stderr}"


def trains(page: Path) -> bool:
    """Whether a page has commands to run."""
    return any(b.language == "bash" and b.run for b in blocks_of(page.read_text("utf-8")))


DRAWN = [
    *(page for page in PAGES if not trains(page)),
    *sampling.cases([page for page in PAGES if trains(page)], 4),
]


@pytest.mark.parametrize("page", DRAWN, ids=lambda page: page.name)
@pytest.mark.timeout(900)  # a page takes minutes where others compute too
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text(TEXT * 500, encoding="utf-8")
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if not block.run or block.needs:
            continue
        if block.language == "python":
            run_python(block, page, names)
        elif block.language == "bash":
            run_shell(block)


def packages() -> list[tuple[Path, str]]:
    """Pages and the packages that some of their examples need."""
    needs = [(page, block.needs) for page in PAGES for block in blocks_of(page.read_text("utf-8"))]
    return sorted({(page, package) for page, package in needs if package})


@pytest.mark.parametrize(
    ("page", "package"), packages(), ids=lambda value: getattr(value, "name", value)
)
def test_examples_that_need_a_package_run(page: Path, package: str, tmp_path: Path) -> None:
    """In a process of their own, since a library such as Keras changes the state of another."""
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install {package}")
    lines: list[str] = []
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if block.language == "python" and block.run and block.needs in (None, package):
            lines += [""] * (block.line - 1 - len(lines)) + block.code.splitlines()
    script = tmp_path / f"{page.stem}.py"  # whose lines are those of the page
    script.write_text("\n".join(lines), encoding="utf-8")
    path = {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    command = [sys.executable, str(script)]
    run = subprocess.run(
        command, cwd=tmp_path, env=os.environ | path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def long_commands() -> list[str]:
    """The elman commands that take too long to run here."""
    blocks = [b for page in PAGES for b in blocks_of(page.read_text(encoding="utf-8")) if not b.run]
    shell = [command for b in blocks if b.language == "bash" for command in commands(b)]
    return [command for command in shell if command.startswith("elman ")]


@pytest.mark.parametrize("command", long_commands())
def test_the_flags_of_long_commands_exist(command: str) -> None:
    _, name, *rest = shlex.split(command)
    options = {"train": OPTIONS, "compare": COMPARE}  # which read their own
    if name in options:
        assert parse_request(name, "", rest, options[name])
    else:
        app.parse_args([name, *rest], exit_on_error=False, print_error=False)
