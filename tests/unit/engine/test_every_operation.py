"""Every operation of torch's own database, as part of a step: equal to torch, or refused aloud."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from elman.engine._native import NativePlan
from elman.engine.compiler._lower import RULES
from sampling import cases, is_full, record
from unit.engine import operator_cells
from unit.engine.operator_cells import Verdict, judged
from unit.engine.operator_samples import (
    ROWS,
    Sample,
    counts,
    database,
    name_of,
    samples_of,
)

pytestmark = pytest.mark.unchecked  # thousands of calls of the reference, which has its own tests

BEFORE = Path(__file__).with_name("operations_native_before.json")
QUICK = 12  # operators of a sampled run


class _Dispatched(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The operations that torch carries out."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(func.overloadpacket).removeprefix("aten."))
        return func(*args, **(kwargs or {}))


def _names_it(sample: Sample, reason: str) -> bool:
    """Whether a refusal names an operation of this step, and the line on which it stands."""
    state = torch.zeros(ROWS, sample.units, dtype=sample.dtype)

    def step(*gates: torch.Tensor) -> torch.Tensor:
        return operator_cells.as_state(sample.applied(gates, sample.own), state)

    gates = [g[0] for g in sample.gates]
    with _Dispatched() as dispatched:  # type: ignore[no-untyped-call]
        step(*gates)
        with suppress(Exception):  # what torch cannot map over may consist of other operations
            torch.func.vjp(step, *gates)
    names = dispatched.names | {"Python number", "number of rows", sample.operator.split("/")[0]}
    line = re.search(r"\(/.*operator_\w+\.py:\d+: .+\)", reason)
    return bool(line or "number of rows" in reason) and any(name in reason for name in names)


def _judged(sample: Sample) -> Verdict:
    try:
        return judged(sample)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told with the others
        return Verdict("failed", f"{type(error).__name__}: {error}")


def _complaints(sample: Sample, verdict: Verdict, ran_before: bool) -> Iterator[str]:
    """What is wrong about a verdict."""
    if verdict.kind in ("differs", "failed"):
        yield verdict.kind
    if verdict.kind in ("refused", "no gradient"):
        by_torch = verdict.kind == "no gradient" and "is not implemented" in verdict.reason
        if not by_torch and not _names_it(sample, verdict.reason):
            yield "refused without its name and line"
        if ran_before:
            yield "refused, and ran natively before"


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_operation_is_equal_or_refused() -> None:
    outcomes: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    covered, native, wrong = set[str](), set[str](), list[str]()
    before = json.loads(BEFORE.read_text(encoding="utf-8"))
    for operator in cases(database(), QUICK):
        name, of_our_kinds = name_of(operator), counts(operator)
        for sample in samples_of(operator):
            verdict = _judged(sample)
            outcomes[of_our_kinds][verdict.kind] += 1
            for complaint in _complaints(sample, verdict, sample.text in before.get(name, ())):
                wrong.append(f"{complaint}: {name} {sample.text}: {verdict.reason}")
            if of_our_kinds and verdict.kind in ("equal", "refused", "no gradient"):
                covered.add(name)
            if of_our_kinds and verdict.kind == "equal":
                native.add(name)
    if is_full():
        facts = {"operators": len(covered), "native": len(native), "complaints": wrong}
        facts |= _told(outcomes[True]) | {
            f"others: {k}": n for k, n in _told(outcomes[False]).items()
        }
        record("operators", facts)
        assert len(covered) >= 250, facts
        assert len(native) >= 120, facts
        assert facts["share"] >= 0.6, facts
    assert not wrong, "\n".join(wrong)


def _told(outcomes: Counter[str]) -> dict[str, Any]:
    """Samples by what came of them, and the share of them that runs natively."""
    share = outcomes["equal"] / max(outcomes["equal"] + outcomes["refused"], 1)
    return {"samples": outcomes.total(), **outcomes, "share": round(share, 4)}


def _sample(name: str, text: str) -> Sample:
    operators = [o for o in database() if name_of(o) == name]
    return next(s for o in operators for s in samples_of(o) if text in s.text)


@pytest.mark.slow
def test_a_dropped_option_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    sample, one = _sample("sub", "alpha="), RULES["sub"]
    assert judged(sample) == Verdict("equal")

    def without_alpha(low: Any, node: Any, a: Any, b: Any, alpha: float = 1) -> Any:
        return one.lower(low, node, a, b)

    monkeypatch.setitem(RULES, "sub", replace(one, lower=without_alpha))
    assert judged(sample).kind == "differs"


@pytest.mark.slow
def test_a_mask_that_is_taken_for_another_type_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    sample, arguments = _sample("where", "bool:own1"), NativePlan.arguments
    assert judged(sample) == Verdict("equal")

    def misread(plan: NativePlan) -> Any:
        incoming, own = arguments(plan)
        return incoming, [torch.full_like(t, 1e-42) if t.dim() else t for t in own]

    monkeypatch.setattr(NativePlan, "arguments", misread)
    assert judged(sample).kind == "differs"
