"""The text of lessons: what is read from lesson.md, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from elman import DataError
from elman.lab._lesson import parse_text

TEXT = """# The gradient

## Predict

What happens at radius $r = 1.2$?

- It vanishes.
- [x] It *explodes*.

Answer: It explodes, <script>.

## Play

| a | b |
|:--|--:|
| 1 | 2 |

## Break it

Turn it up.

Goal break: the ratio is above $10^4$

## Cure it

Goal cure: the ratio is within 10

## Say it

$$
\\frac{dL}{dh_t}
$$

```python
import elman
## no heading
```
"""


def parsed(tmp_path: Path, text: str = TEXT) -> dict[str, object]:
    file = tmp_path / "lesson.md"
    file.write_text(text)
    return parse_text(file).json()


def test_sections_become_html_and_formulas_mathml(tmp_path: Path) -> None:
    text = parsed(tmp_path)
    assert text["title"] == "The gradient"
    assert '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">' in str(text["say"])
    assert text["python"] == "import elman\n## no heading\n"
    assert text["break"] == "<p>Turn it up.</p>\n"
    goals = text["goals"]
    assert isinstance(goals, dict)
    assert goals["cure"] == "the ratio is within 10"


def test_the_question_has_its_choices_and_the_right_one(tmp_path: Path) -> None:
    predict = parsed(tmp_path)["predict"]
    assert isinstance(predict, dict)
    assert predict["choices"] == ["It vanishes.", "It <em>explodes</em>."]
    assert predict["right"] == 1
    assert "<script>" not in predict["answer"]


def test_a_table_has_no_style_attribute(tmp_path: Path) -> None:
    play = str(parsed(tmp_path)["play"])
    assert '<td class="right">2</td>' in play
    assert "style" not in play


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("# The gradient\n", "", "expected a title"),
        ("## Play", "## Plays", "the sections must be Predict, Play, Break it, Cure it, Say it"),
        ("[x] ", "", "one of them marked '- [x]', got 2, 0 of them marked"),
        ("Answer:", "Reply:", "expected a line 'Answer: ...'"),
        ("Goal cure:", "Aim:", "expected a line 'Goal cure: ...' in Cure it"),
        ("```python", "```text", "expected an example in ```python"),
    ],
)
def test_a_missing_part_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(DataError) as error:
        parsed(tmp_path, TEXT.replace(old, new))
    assert said in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "lesson.md"))
