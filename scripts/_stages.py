"""The stages of scripts/test: what each runs, in which environment, and what is kept of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "tests" / "results"
SETS = ("baseline", "avx2", "avx512")
PARALLEL = ("-n", "2", "--dist", "worksteal", "-q")
TABLES = (sys.executable, "-m", "benchmarks.tables")
ENGINE = ("tests/contracts/test_engines.py", "tests/unit/engine")


class Stage(NamedTuple):
    """Commands that end at the first that fails.

    Attributes:
        name: what it is chosen by.
        title: what it does.
        commands: programs with their arguments; "pytest" leaves its counts.
        environment: variables beside those that there are.
        why_not: the reason why it cannot run here, or None.
        only_full: whether it belongs to a full run alone.
    """

    name: str
    title: str
    commands: tuple[tuple[str, ...], ...]
    environment: Callable[[], Mapping[str, str]] = dict
    why_not: Callable[[], str | None] = lambda: None
    only_full: bool = False


def stages(*, fast: bool, full: bool) -> Iterator[Stage]:
    """All of them, in order; the fast ones are fewer, and check no shapes."""
    yield Stage(
        "lint", "Format and lint", (("ruff", "format", "--check", "."), ("ruff", "check", "."))
    )
    yield Stage("types", "Types", (("mypy",),))
    yield Stage("layers", "Import layers", (("lint-imports", "--no-cache", "--no-logo"),))
    # The shape annotations are checked by beartype in every call of the first run; torch.compile
    # and torch.export cannot trace through such checks, so their tests have a run of their own,
    # together with others that such checks would be in the way of, as when the wrong type comes.
    sample = () if full else ("--sample",)
    tests = ("pytest", "--ignore", "tests/docs", *PARALLEL, *sample)
    if fast:
        quick = ("-m", "not slow and not compile")
        yield Stage("tests", "Unit and contract tests, without slow ones", ((*tests, *quick),))
        return
    shapes = ("-m", "not compile and not unchecked", "--jaxtyping-packages=elman,shapes.checked")
    yield Stage("checked", "Unit and contract tests, shapes checked", ((*tests, *shapes),))
    yield Stage(
        "unchecked", "Tests of torch.compile, torch.export and without shape checks",
        ((*tests, "-m", "compile or unchecked"),),
        # All of the random configurations run once for each instruction set, below.
        lambda: {"ELMAN_CASES": "200"} if full else {},
    )  # fmt: skip
    documented = ("pytest", "src", "tests/docs", "--doctest-modules", *PARALLEL)
    yield Stage(
        "docs", "Doctests; the documentation's examples and its strict build",
        # A full run has just written new counts, which the page on trust shows.
        (TABLES, documented) if full else (documented,),
    )  # fmt: skip
    yield Stage(
        "wheel", "The wheel, and an installation that cannot compile", (("scripts/_install_test",),)
    )
    yield sanitized(full=full)
    for isa in SETS:
        yield Stage(
            isa, f"The native engine on {isa}", (("pytest", "-q", "-m", "not compile", *ENGINE),),
            # The other generated suites ran in full above: here a sample of them.
            lambda isa=isa: {"ELMAN_ISA": isa, "ELMAN_CASES": "10000", "ELMAN_FULL": "0"},
            lambda isa=isa: lacks(isa), only_full=True,
        )  # fmt: skip


def sanitized(*, full: bool) -> Stage:
    """The native engine's tests, on a library that AddressSanitizer and UBSan watch."""
    folder = "native/build/sanitized"
    return Stage(
        "sanitized", "The native engine, watched by AddressSanitizer and UBSan",
        (
            ("cmake", "-S", "native", "-B", folder, "-G", "Ninja", "-DELMAN_SANITIZE=ON"),
            ("cmake", "--build", folder),
            ("pytest", "-q", "-s", "-m", "not compile", *ENGINE),
        ),
        lambda: {
            "ELMAN_LIBRARY": str(ROOT / folder / "libelman.so"),
            # Python itself is not built with them, so they come first; new memory holds NaN until
            # it is written.
            "LD_PRELOAD": " ".join(map(runtime, ("asan", "ubsan", "stdc++"))),
            "ASAN_OPTIONS": "detect_leaks=0:max_malloc_fill_size=1000000000:malloc_fill_byte=255",
            **({"ELMAN_CASES": "1000", "ELMAN_FULL": "0"} if full else {}),
        },
        only_full=True,
    )  # fmt: skip


def runtime(name: str) -> str:
    """Where the compiler has a library of its own."""
    command = [os.environ.get("CXX", "c++"), f"-print-file-name=lib{name}.so"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def lacks(isa: str) -> str | None:
    """Why the library cannot run on an instruction set."""
    code = "from elman.engine.runtime import _library; print(_library.missing() or '')"
    environment = {**os.environ, "ELMAN_ISA": isa}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or answer.stderr.strip() or None


class Outcome(NamedTuple):
    """How a stage ended: "passed", "failed" or "skipped"; counts by folder; reasons."""

    status: str
    seconds: int
    suites: Mapping[str, Mapping[str, int]] = {}
    reasons: Mapping[str, int] = {}

    def total(self, what: str) -> int:
        return sum(counts.get(what, 0) for counts in self.suites.values())


def run(stage: Stage) -> Outcome:
    """Carries a stage out."""
    begun = time.monotonic()
    print(f"\n== {stage.title}", flush=True)
    reason = stage.why_not()
    if reason is not None:
        print(f"skipped: {reason}", flush=True)
        return Outcome("skipped", 0, reasons={reason: 1})
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        status = "passed" if all(succeeds(c, stage, report) for c in stage.commands) else "failed"
        suites, reasons = counted(report) if report.exists() else ({}, {})
    return Outcome(status, round(time.monotonic() - begun), suites, reasons)


def succeeds(command: tuple[str, ...], stage: Stage, report: Path) -> bool:
    environment = dict(os.environ)
    if command[0] == "pytest":  # only what is tested runs in the stage's environment
        command = (*command, f"--junitxml={report}", "-o", "junit_family=xunit1")
        environment |= stage.environment()
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0


def counted(report: Path) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Tests that passed, failed and were skipped in each folder; and why they were skipped."""
    suites: dict[str, Counter[str]] = {}
    reasons = Counter[str]()
    for case in ET.parse(report).iter("testcase"):
        ended = next((ENDS[e.tag] for e in case if e.tag in ENDS), "passed")
        suites.setdefault(suite(case.get("file") or case.get("classname", "")), Counter())[
            ended
        ] += 1
        reasons.update(e.get("message", "") for e in case if e.tag == "skipped")
    return {name: dict(counts) for name, counts in sorted(suites.items())}, dict(
        sorted(reasons.items())
    )


ENDS = {"failure": "failed", "error": "failed", "skipped": "skipped"}


def suite(file: str) -> str:
    """The folder of a test, three deep at most."""
    return "/".join(Path(file).parent.parts[:3])


def commit() -> str:
    """The commit that is tested, and whether the files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    changed = git(
        "status", "--porcelain", "--", ".", f":!{RESULTS.relative_to(ROOT)}", ":!docs/trust.md"
    )
    return git("rev-parse", "HEAD") + (" with changes" if changed else "")


def keep(stage: Stage, outcome: Outcome) -> None:
    """Writes a stage's outcome beside those of the others."""
    facts = {
        "stage": stage.name,
        "title": stage.title,
        "commit": os.environ["ELMAN_COMMIT"],
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "seed": int(os.environ["ELMAN_SAMPLE_SEED"]),
        **{what: outcome.total(what) for what in ("passed", "failed", "skipped")},
        **outcome._asdict(),
    }
    unfinished = RESULTS / f"stage-{stage.name}.tmp"
    unfinished.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(unfinished.with_suffix(".json"))


def chosen(words: list[str]) -> tuple[list[Stage], bool]:
    """The stages that the arguments ask for, and whether this is a full run."""
    mode, *names = words or [""]
    full = mode == "--full"
    everything = list(stages(fast=mode == "--fast", full=full))
    if full and names:
        known = {stage.name: stage for stage in everything}
        unknown = [name for name in names if name not in known]
        if unknown:
            sys.exit(f"no stage {', '.join(unknown)}: choose from {', '.join(known)}")
        return [known[name] for name in names], True
    if mode not in ("", "--fast", "--sanitize", "--full") or names:
        sys.exit(
            "usage: scripts/test [--fast | --sanitize | --full [STAGE ...] | -- PYTEST ARGUMENTS]"
        )
    if mode == "--sanitize":
        return [sanitized(full=False)], False
    return [stage for stage in everything if full or not stage.only_full], full


def summary(outcomes: Iterable[tuple[Stage, Outcome]]) -> Iterator[str]:
    for stage, outcome in outcomes:
        counts = ", ".join(
            f"{n:,} {what}"
            for what in ("passed", "failed", "skipped")
            if (n := outcome.total(what))
        )
        yield f"{outcome.status:8}{stage.name:11}{outcome.seconds:6} s  {counts}".rstrip()


def main(words: list[str]) -> int:
    """Runs the stages; after a failure a full run goes on, any other ends."""
    selected, full = chosen(words)
    seed = os.environ.setdefault("ELMAN_SAMPLE_SEED", f"{datetime.now(UTC):%Y%m%d}")
    if full:
        RESULTS.mkdir(exist_ok=True)
        os.environ |= {"ELMAN_FULL": "1", "ELMAN_RESULTS": str(RESULTS), "ELMAN_COMMIT": commit()}
    again = f"ELMAN_SAMPLE_SEED={seed} scripts/test -- PATH"
    print(f"{'all' if full else 'a sample'} of each generated suite, seed {seed}; repeat: {again}")
    outcomes: list[tuple[Stage, Outcome]] = []
    for stage in selected:
        outcomes.append((stage, run(stage)))
        if full:
            keep(*outcomes[-1])
        elif outcomes[-1][1].status == "failed":
            break
    if full:
        subprocess.run(TABLES, cwd=ROOT, check=True)
    print("", *summary(outcomes), sep="\n")
    failed = [stage.name for stage, outcome in outcomes if outcome.status == "failed"]
    if failed:
        print(f"failed: {', '.join(failed)}; repeat a test: {again}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
