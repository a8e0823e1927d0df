"""One case measured: contract test, candidates, their results checked, and then the timing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from benchmarks.speed._custom import make_cell
from benchmarks.speed._machine import floor, flops, peak
from benchmarks.speed._others import Others
from benchmarks.speed._plan import Case
from benchmarks.speed._problem import Problem, difference, expected
from benchmarks.speed._result import OURS, YARDSTICK, Row, Timing
from benchmarks.speed.peers import _elman
from benchmarks.speed.peers._base import Candidate, Peer

from elman._errors import EngineError
from elman.testing import ContractError, check_engine, interleave, scan_is_the_fold_of_step


class Ready(dict[str, Callable[[], Any]]):
    """Candidates whose results are right, how long the first call of each took, and who is out."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        self.cell = cell
        self.first: dict[str, float] = {}
        self.left_out: dict[str, str] = {}

    def admit(self, candidates: Mapping[str, Candidate], wanted: Any) -> None:
        """Call each once, and keep those that compute what is wanted."""
        for name, candidate in candidates.items():
            begin = time.perf_counter()
            returned = candidate.call()
            self.first[name] = time.perf_counter() - begin
            wrong = difference(candidate.read(returned), wanted, self.cell)
            if wrong is None:
                self[name] = candidate.call
            else:
                self.left_out[name] = f"wrong results: {wrong}"


def measure(case: Case, peers: Mapping[str, Peer], *, repeats: int, engine: str = "auto") -> Row:
    """The row of this case.

    Args:
        case: what to measure.
        peers: the others, by name.
        repeats: blocks of each candidate.
        engine: of elman.

    Raises:
        EngineError: an engine that was asked for by name cannot run. A row of which elman's own
            results are wrong is ``broken``, and the others go on.
    """
    problem = Problem.of(case)
    chosen = _elman.engine_of(problem, engine)
    broken = broken_contract(case.cell, chosen)
    ready = Ready(case.cell)
    wanted = expected(problem)
    ours = _elman.prepare(problem, engine)
    ready.admit(ours, wanted)
    if OURS not in ready:  # timed all the same: the reason stands beside the time, and no ratio
        broken = broken or ready.left_out.pop(OURS)
        ready[OURS] = ours[OURS].call
    for name, peer in peers.items():
        _admit_peer(ready, name, peer, problem, wanted)
    yardstick = _admit_yardstick(ready, case, engine) if case.mode == "custom" else None
    others = Others()
    before, blocks, after = peak(), interleave(ready, repeats), peak()
    timings = {name: Timing(blocks=seconds) for name, seconds in blocks.items()}
    share = others.share()
    return Row(
        mode=case.mode,
        training=case.training,
        shape=case.shape.name,
        cell=case.cell,
        threads=case.threads,
        engine=chosen,
        broken=broken,
        timings={name: _with_first(t, ready.first[name]) for name, t in timings.items()},
        left_out=ready.left_out,
        calls=case.shape.steps if case.mode == "streaming" else 1,
        floor=floor(problem, max(before, after)[0]),
        flops=flops(problem),
        others=share,
        yardstick_flops=yardstick,
    )


def _admit_peer(ready: Ready, name: str, peer: Peer, problem: Problem, wanted: Any) -> None:
    reason = peer.why_not(problem.case)
    if reason is not None:
        ready.left_out[name] = reason
        return
    try:
        ready.admit(peer.prepare(problem), wanted)
    except Exception as error:  # noqa: BLE001 - what another library raises ends its row, not ours
        ready.left_out[name] = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _admit_yardstick(ready: Ready, case: Case, engine: str) -> float:
    """The LSTM of elman at the same shape; returns its FLOPs."""
    problem = Problem.of(replace(case, cell="lstm"))
    candidates = {YARDSTICK: _elman.prepare(problem, engine)[OURS]}
    ready.admit(candidates, expected(problem))
    return flops(problem)


def _with_first(timing: Timing, first: float) -> Timing:
    return timing.model_copy(update={"first": first})


@cache
def broken_contract(cell: str, engine: str) -> str | None:
    """Why the contract tests of this engine and cell failed; None if they passed."""

    def make() -> Any:
        return make_cell(cell, 3, 5)

    try:
        scan_is_the_fold_of_step(make)
        for name in engine.split("+"):
            check_engine(name, make)
    except (ContractError, EngineError) as error:
        return str(error)
    return None
