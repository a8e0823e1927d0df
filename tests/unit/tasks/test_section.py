from __future__ import annotations

import pytest
from pydantic import Field, model_validator

from elman._errors import ConfigError
from elman.tasks import Section


class Inner(Section):
    size: int = Field(4, ge=1)
    kind: str | None = None


class Outer(Section):
    inner: Inner = Inner()
    pair: tuple[int, int] = (1, 2)

    @model_validator(mode="after")
    def _ordered(self) -> Outer:
        if self.pair[0] > self.pair[1]:
            raise ValueError("Pair must be in order")
        return self


def test_values_from_text_are_converted() -> None:
    assert Outer.parse({"inner": {"size": "12"}, "pair": ["3", 4]}).pair == (3, 4)


def test_each_problem_is_a_line_with_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        Outer.parse({"inner": {"size": 0, "sise": 3}, "inr": {}, "pair": [1, "x"]})
    assert str(caught.value).splitlines() == [
        "inner.size: input should be greater than or equal to 1, got 0",
        "inner.sise: unknown key; did you mean 'size'? choose from: size, kind",
        "pair.1: input should be a valid integer, unable to parse string as an integer, got 'x'",
        "inr: unknown key; did you mean 'inner'? choose from: inner, pair",
    ]


def test_problems_between_keys_have_no_value() -> None:
    with pytest.raises(ConfigError, match=r"^pair must be in order$"):
        Outer.parse({"pair": [2, 1]})


def test_sections_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Outer().inner = Inner()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_are_finite(value: float) -> None:
    class Rate(Section):
        lr: float

    with pytest.raises(ConfigError, match="finite"):
        Rate.parse({"lr": value})
