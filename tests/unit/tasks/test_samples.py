"""A sample of predictions: evenly spaced rows, each with its input and its target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from elman.tasks import by_name
from elman.training import config_class


def made(name: str, folder: Path) -> Any:
    """A task with an untrained network."""
    files = {
        "classify": (
            "a.csv",
            "text,label\n" + "".join(f"w{i} so good,{i % 2}\n" for i in range(40)),
        ),
        "regress": ("a.csv", "x,target\n" + "".join(f"1 2 {i},{i}\n" for i in range(40))),
        "tag": ("a.tsv", "".join(f"w{i}\tN\nruns\tV\n\n" for i in range(40))),
        "translate": (
            "a.tsv",
            "source\ttarget\n" + "".join(f"{i} so\tno {i}\n" for i in range(40)),
        ),
    }
    file, text = files[name]
    (folder / file).write_text(text)
    data = {"train": [folder / file], **({"series": "x"} if name == "regress" else {})}
    config = config_class(name).parse({"data": data, "model": {"hidden": 4}})
    return by_name(name).prepare(config.data, config.model)


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("classify", ["input", "prediction", "probability", "target"]),
        ("regress", ["input", "prediction", "target"]),
        ("tag", ["input", "prediction", "target"]),
        ("translate", ["input", "prediction", "references"]),
    ],
)
def test_each_prediction_stands_beside_its_input(
    name: str, columns: list[str], tmp_path: Path
) -> None:
    task = made(name, tmp_path)
    predictions = task.predict("train")
    samples = task.samples(predictions)
    assert samples.columns == columns
    assert len(samples.rows) == 12
    assert len({row[0] for row in samples.rows}) == 12
    for row in samples.rows:
        text, *_, target = row
        if name == "classify":
            number = int(str(text).split()[0].removeprefix("w"))
            assert target == str(number % 2)
            assert row[1] in task.labels
            assert 0.5 <= row[2] <= 1
        elif name == "regress":
            assert text == f"1 2 {int(target)}"  # in the units of the file
        elif name == "tag":
            assert text.endswith(" runs")
            assert target == "N V"
            assert len(row[1].split()) == 2
        else:
            assert target == f"no {text.split()[0]}"
