"""What the commands of the documentation print, kept in files that the build pastes under them.

    python -m docs._build.outputs              # runs all pages again, minutes
    python -m docs._build.outputs cli report   # these pages
    python -m docs._build.outputs --long ball  # with what a page says is not run

A page runs from top to bottom in a folder of its own, as its test runs it. What a block printed is
kept with the block's text: where a command changes, the build has nothing to paste, and a test
says so.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypedDict

from docs._build.blocks import PAGES, ROOT, TEXT, Block, blocks_of, commands

KEPT = Path(__file__).parent / "outputs"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LONG = re.compile("it (trains|takes|needs)|the first trains")  # a reader cares for such reasons
MOST_LINES = 120


class Output(TypedDict):
    """What a command printed; that of a Python block has no command."""

    command: str
    output: str


class Run(NamedTuple):
    """A block that was run, and what it printed."""

    code: str
    outputs: list[Output]


def shown(text: str, folder: Path) -> str:
    """As a reader's terminal has it, without colors and places of the machine that ran it."""
    text = ESCAPE.sub("", text)
    text = "\n".join(line.rsplit("\r", 1)[-1].rstrip() for line in text.splitlines())
    for place, name in ((f"{folder}/", ""), (f"{ROOT}/", ""), (str(Path.home()), "~")):
        text = text.replace(place, name)
    lines = text.strip("\n").splitlines()
    if len(lines) > MOST_LINES:
        half = MOST_LINES // 2
        lines = [*lines[:half], f"... {len(lines) - 2 * half} lines more ...", *lines[-half:]]
    return "\n".join(lines)


def run_shell(block: Block, folder: Path) -> Iterator[Output]:
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": programs, "PYTHONUNBUFFERED": "1", "COLUMNS": "100"}
    for command in commands(block):
        run = subprocess.run(
            command, shell=True, cwd=folder, env=environment, text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if run.returncode:
            raise RuntimeError(f"{command}\n{run.stdout}")
        yield Output(command=command, output=shown(run.stdout, folder))


def run_python(block: Block, page: Path, names: dict[str, object], folder: Path) -> Output:
    code = "\n" * (block.line - 1) + block.code
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, str(page), "exec"), names)  # noqa: S102 - our own documentation
    return Output(command="", output=shown(printed.getvalue(), folder))


def runs_of(page: Path, *, long: bool) -> Iterator[Run]:
    """Runs a page, and tells what its blocks printed."""
    names: dict[str, object] = {"__name__": "__main__"}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("book.txt").write_text(TEXT * 500, encoding="utf-8")
        for block in blocks_of(page.read_text(encoding="utf-8")):
            if block.needs or not (block.run or (long and block.language == "bash")):
                continue
            if block.language == "bash":
                yield Run(block.code, list(run_shell(block, Path(folder))))
            elif block.language == "python":
                output = run_python(block, page, names, Path(folder))
                if output["output"]:
                    yield Run(block.code, [output])


def file_of(page: Path) -> Path:
    return KEPT / f"{page.stem}.json"


def kept(page: Path) -> dict[str, list[Output]]:
    """What each block of a page printed when it was run last."""
    file = file_of(page)
    if not file.exists():
        return {}
    return {entry["block"]: entry["outputs"] for entry in json.loads(file.read_text("utf-8"))}


def keep(page: Path, *, long: bool) -> None:
    made = {run.code: run.outputs for run in runs_of(page, long=long)}
    if not long:  # what takes long stays as it was, where its commands did
        still = {block.code for block in blocks_of(page.read_text("utf-8")) if not block.run}
        made |= {code: outputs for code, outputs in kept(page).items() if code in still}
    if made:
        KEPT.mkdir(exist_ok=True)
        entries = [{"block": code, "outputs": outputs} for code, outputs in made.items()]
        text = json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
        file_of(page).write_text(text, encoding="utf-8")


def as_html(outputs: list[Output]) -> str:
    """A box under a block: each command, where there are several, and what it printed."""
    parts = []
    for output in outputs:
        command = html.escape(output["command"])
        head = f'<span class="prompt">$ {command}</span>\n' if len(outputs) > 1 else ""
        parts.append(head + html.escape(output["output"]))
    text = "\n".join(part for part in parts if part)
    return (
        '<div class="output" data-search-exclude tabindex="0" role="region" '
        f'aria-label="Output"><pre>{text}</pre></div>'
    )


def pasted(markdown: str, page: Path) -> str:
    """The page with what its blocks printed under them, and why some are not run said."""
    printed = kept(page)
    parts, end = [], 0
    for block in blocks_of(markdown):
        parts.append(markdown[end : block.end])
        end = block.end
        if any(output["output"] for output in printed.get(block.code, [])):
            parts.append(f"\n\n{as_html(printed[block.code])}\n")
        elif block.language == "bash" and LONG.match(block.note or ""):
            note = f"No output here: {html.escape(block.note or '')}."
            parts.append(f'\n\n<p class="note">{note}</p>\n')
    return "".join([*parts, markdown[end:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", help="names such as cli; all pages unless given")
    parser.add_argument("--long", action="store_true", help="with what the pages do not run")
    args = parser.parse_args()
    known = {page.stem: page for page in PAGES if page.parent != ROOT}
    unknown = [name for name in args.pages if name not in known]
    if unknown:
        parser.error(f"no page {', '.join(unknown)}: choose from {', '.join(known)}")
    if len(args.pages) == 1:
        warnings.simplefilter("ignore")  # those of libraries about one another
        keep(known[args.pages[0]], long=args.long)
        return
    failed = []
    for name in args.pages or known:
        print(name, flush=True)
        command = [sys.executable, "-m", "docs._build.outputs", name, *["--long"][: args.long]]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
