"""Short and long rows: runs that were measured on the same ones share a picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from elman.pictures import drawn
from elman.reporting import Measures, ReportTable, _measure, measure, report
from elman.reporting._lengths import lengths
from elman.tasks import Translate
from elman.training import config_class, train


def measured(title: str, *rows: list[str | float | None], task: str = "translate") -> Measures:
    columns = ["tokens", "rows", "phoneme_error", "exact_match"]
    tables = [ReportTable(title="true label", columns=["", "a"], rows=[["a", 1.0]])]
    grouped = title.startswith("by length")
    tables.append(ReportTable(title=title, columns=columns, rows=[*rows], by_length=grouped))
    return Measures(
        task=task, checkpoint="best", rows=1, steps=1, loss_steps=[0], layers=[], tables=tables
    )


def test_each_run_is_a_line_over_the_same_rows() -> None:
    title = "by length of the source; BLEU|a"
    runs = {
        "seeing": measured(title, ["1-2", 9.0, 0.1, 0.9], ["3-4", 5.0, 0.125, 0.8]),
        "blind": measured(title, ["1-2", 9.0, 0.2, 0.9], ["3-4", 5.0, None, 0.8]),
        "other rows": measured(title, ["1-2", 8.0, 0.3, 0.9], ["3-4", 5.0, 0.9, 0.8]),
        "other task": measured(title, ["1-2", 9.0, 0.1, 0], ["3-4", 5.0, 0.1, 0], task="mine"),
        "no rows": measured("else", ["1-2", 9.0, 0.1, 0.9], ["3-4", 5.0, 0.125, 0.8]),
    }
    [figure] = lengths(runs)
    assert figure.title == "Phoneme error by length of the source"
    with drawn(figure.picture) as sheet:
        [axes] = sheet.axes
        seeing, blind = axes.lines
        assert [text.get_text() for text in axes.get_xticklabels()] == ["1-2\n9", "3-4\n5"]
        assert [text.get_text() for text in axes.get_legend().texts] == ["seeing", "blind"]
    assert list(seeing.get_ydata()) == [0.1, 0.125]
    assert list(blind.get_ydata()) == pytest.approx([0.2, float("nan")], nan_ok=True)
    assert seeing.get_color() != blind.get_color()


def test_one_run_has_its_own_picture_only() -> None:
    assert not [*lengths({"a": measured("by length", ["1", 9.0, 0.1, 0.9])})]


def test_translation_with_and_without_attention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "pairs.tsv"
    words = ["a" * n + b for n in range(1, 9) for b in "bcdefgh"]
    table.write_text("source\ttarget\n" + "".join(f"{w}\t{w.upper()}\n" for w in words))
    searches = []
    search = Translate.translations

    def counted(task: Translate, rows: object) -> object:
        searches.append(task)
        return search(task, rows)  # type: ignore[arg-type]

    runs = []
    for attention in ("luong", "none"):
        tree = {
            "data": {
                "train": [table],
                "level": "char",
                "target_level": "char",
                "aim": "exact_match",
            },
            "model": {"hidden": 4, "embedding": 4, "attention": attention},
            "train": {"max_steps": 1, "threads": 1},
        }
        runs.append(train(config_class("translate").parse(tree), tmp_path / attention).run.path)
        with monkeypatch.context() as patch:
            patch.setattr(Translate, "translations", counted)
            patch.setattr(_measure, "_layers", lambda *_: [])  # which takes longest
            measure(runs[-1])
    assert len(searches) == len(runs)  # once each, for the table and the pictures
    text = report(runs, tmp_path / "both").read_text(encoding="utf-8")
    assert 'id="by-length"' in text
    assert "Exact match by length of the source" in text
    assert (tmp_path / "both" / "by-length.png").exists()
