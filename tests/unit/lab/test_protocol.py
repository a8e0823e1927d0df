"""Events and live answers."""

from __future__ import annotations

import pytest

from elman.lab import Live
from elman.lab._protocol import BadMessage, encode, read_message


def test_an_event_has_null_for_what_json_has_not() -> None:
    assert encode({"event": "a", "y": [float("nan"), {"z": float("-inf")}]}) == (
        '{"event": "a", "y": [null, {"z": null}]}'
    )


def test_a_long_array_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 256 entries, got 257"):
        encode({"event": "a", "y": [0] * 257})


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"do": "ask", "id": 1.5, "name": "a"}',
        '{"do": "ask", "id": true, "name": "a"}',
        '{"do": "ask", "id": -1, "name": "a"}',
        '{"do": "ask", "id": 1, "name": "a", "settings": []}',
        '{"do": "ask", "id": 1, "name": "a", "extra": 1}',
        '{"do": "ask", "id": 1, "name": "' + "a" * 65 + '"}',
    ],
)
def test_a_message_out_of_bounds_is_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        read_message(text)


def test_the_error_of_a_message_says_whose_it_is() -> None:
    with pytest.raises(BadMessage) as error:
        read_message('{"do": "ask", "id": 7}')
    assert error.value.of == 7
    assert "name" in str(error.value)


def test_live_events_come_as_they_are_reported_and_an_error_is_raised() -> None:
    def work(report: object) -> None:
        assert callable(report)
        report({"event": "a"})
        raise RuntimeError("broken")

    live = Live(work)
    assert next(live) == {"event": "a"}
    with pytest.raises(RuntimeError, match="broken"):
        next(live)
