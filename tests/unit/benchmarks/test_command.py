"""What `python -m benchmarks.speed` asks for, prints and writes; not the measuring."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.speed import _run
from benchmarks.speed.__main__ import main
from benchmarks.speed._plan import Plan
from benchmarks.speed._result import Result, Row, Timing

Asked = list[Plan]


def row(broken: str | None) -> Row:
    return Row(
        mode="training",
        training=True,
        shape="S3",
        cell="lstm",
        threads=1,
        engine="native",
        broken=broken,
        timings={n: Timing(blocks=[s]) for n, s in (("elman", 1), ("torch", 2))},
        left_out={"jax": "not installed"},
        calls=1,
        floor=0.5,
        flops=1e9,
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Asked:
    """The plans that were run; each run gives two rows at once, and takes no time."""
    plans: Asked = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_run, "run", pretending(plans, None))
    return plans


def pretending(plans: Asked, broken: str | None) -> Callable[..., Result]:
    def run(plan: Plan, report: Callable[[Result, Any], None], *, command: str) -> Result:
        plans.append(plan)
        result = Result(command=command, plan={}, environment={"processor": "P"})
        for _ in range(2):
            result.rows.append(row(broken))
            report(result, result.rows[-1])
        return result

    return run


def test_lists_are_read(asked: Asked) -> None:
    command = "--shapes S1,2x3x4x5x1 --cells gru --modes training,ragged --threads 1"
    assert main([*command.split(), "--peers", "eager,mine.py", "--repeats", "3"]) == 0
    assert asked == [
        Plan(("S1", "2x3x4x5x1"), ("gru",), ("training", "ragged"), (1,), ("eager", "mine.py"), 3)
    ]


def test_a_file_of_settings(asked: Asked, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('shapes = ["S1"]\nrepeats = 4\nthreads = [1]\n')
    assert main(["--config", str(file), "--repeats", "2"]) == 0
    assert asked == [Plan(("S1",), repeats=2, threads=(1,))]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shapes", "S33"], "unknown shape 'S33': did you mean 'S3'?"),
        (["--modes", "trainin"], "did you mean 'training'?"),
        (
            ["--threads", "two"],
            "expected --threads as numbers between commas, as in 1,2, got 'two'",
        ),
        (["--shape", "S1"], "Unknown option"),
        (["--config", "absent.toml"], "absent.toml"),
    ],
)
def test_usage(
    arguments: list[str], message: str, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments]) != 0
    out, err = capsys.readouterr()
    assert message in err
    assert "Traceback" not in err
    assert not asked
    assert out == ""


def test_tables_go_to_stdout_and_progress_to_stderr(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--threads", "1"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("# Benchmark of elman")
    assert "| S3 | lstm | native | 1e+03 | 2e+03 (2.00x) |" in out
    assert err.splitlines() == [
        "left out: jax: not installed",
        *["training, 1 thread, S3 lstm: 1e+03 ms on native; torch 2.00x"] * 2,
    ]
    main(["--threads", "1", "--quiet"])
    assert capsys.readouterr().err == ""


def test_json(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--threads", "1", "--json", "--quiet"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["row", "row", "end"]
    assert events[0]["timings"]["torch"]["blocks"] == [2]
    assert events[-1]["environment"] == {"processor": "P"}


def test_files_are_written_once(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--threads", "1", "--output", "a/b"]) == 0
    folder = Path("a/b")
    assert sorted(file.name for file in folder.iterdir()) == ["bench.json", "bench.md", "bench.svg"]
    written = Result.model_validate_json((folder / "bench.json").read_text(encoding="utf-8"))
    assert len(written.rows) == 2
    capsys.readouterr()
    assert main(["--threads", "1", "--output", "a/b"]) == 2
    assert "a/b has bench.json, bench.md, bench.svg; choose another" in capsys.readouterr().err
    assert len(asked) == 1
    assert main(["--threads", "1", "--output", "a/b", "--force"]) == 0


def test_a_broken_contract_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_run, "run", pretending([], "outputs differ"))
    assert main(["--threads", "1"]) == 1
    out, err = capsys.readouterr()
    assert "no ratio: native is broken: outputs differ" in out
    assert "no ratios, because results are wrong or contract tests failed: native with lstm" in err


def test_help_needs_no_torch() -> None:
    code = (
        "import sys\nfrom benchmarks.speed.__main__ import main\nmain(['--help'])\n"
        "print('loaded:', sorted({'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "loaded: []" in done.stdout
    assert "coupled_peephole" in done.stdout
