"""The comparison's folder, and what tables and pictures make of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from elman import pictures
from elman._claim import Claim
from elman._errors import CheckpointError, ConfigError
from elman.cli._compare import summary
from elman.comparison import Comparison, Design, Outcome, load, markdown
from elman.comparison._design import Share
from elman.comparison._folder import Folder, Job
from elman.comparison._pictures import drawings
from elman.training import config_class

CONFIG = config_class("classify").parse({"data": {"name": "parity"}, "train": {"seed": 5}})


def done(seed: int, accuracy: float) -> Outcome:
    return Outcome(
        seed=seed,
        status="done",
        seconds=2.0 + seed,
        peak_memory=300_000_000,
        metric="accuracy",
        higher_is_better=True,
        metrics={split: {"accuracy": accuracy, "nats": 0.3} for split in ("valid", "test")},
        baselines={"most_frequent": {"test": {"accuracy": 0.5}}},
        curve=[(10, accuracy / 2), (20, accuracy)],
        by_length_of="share right",
        by_length=[["1", 9, accuracy], ["2 to 4", 9, accuracy - 0.1]],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Two candidates, three seeds; the second candidate's last one diverged."""
    made = Folder.make(tmp_path / "c", force=False)
    found = {n: (c, 700) for n, c in Design(cells=["lstm", "gru"]).settings(CONFIG).items()}
    made.write_design(Design(), Share(2, 1), 710, found)
    for seed in (5, 6, 7):
        made.save("lstm", done(seed, 0.9 + seed / 1000))
    for seed in (5, 6):
        made.save("gru", done(seed, 0.7 + seed / 1000))
    made.save("gru", Outcome(seed=7, status="diverged", message="the loss is not finite"))
    return made


def test_what_is_left_to_train(folder: Folder) -> None:
    assert list(folder.left()) == []
    folder.forget(Job("lstm", 6))
    folder.save("gru", Outcome(seed=5, status="failed", message="the disk is full"))
    assert list(folder.left()) == [Job("gru", 5), Job("lstm", 6)]
    assert load(folder.path).failed == ["gru seed 5: the disk is full"]


def test_the_settings_of_a_run(folder: Folder) -> None:
    found = folder.settings("gru", 6)
    assert (found.model.cell, found.train.seed, found.train.threads) == ("gru", 6, 1)  # type: ignore[attr-defined]


def test_metrics_over_seeds(folder: Folder) -> None:
    found = load(folder.path)
    lstm, gru = found.candidates
    spread = lstm.metric("test", "accuracy")
    assert spread is not None
    assert spread.mean == pytest.approx(0.906)
    assert spread.deviation == pytest.approx(0.001)
    assert len(gru.done) == 2
    assert (found.metric, found.higher_is_better, found.splits) == (
        "accuracy",
        True,
        ["valid", "test"],
    )
    groups, columns = found.by_length()
    assert groups == ["1", "2 to 4"]
    assert columns["gru"] == [[pytest.approx(0.7055)], [pytest.approx(0.6055)]]


def test_the_table_as_json_comes_back(folder: Folder) -> None:
    found = load(folder.path)
    assert Comparison.model_validate_json(found.model_dump_json()) == found


def test_the_page_says_what_was_equal_and_what_ended_badly(folder: Folder) -> None:
    page = markdown(load(folder.path))
    assert "Equal parameters: 710, matched to within 1.4%." in page
    assert "| lstm | 96 | 700 | 0.906 ± 0.001 | 0.906 ± 0.001 | 8 ± 1 | 300 | 3 |" in page
    assert "| 2 of 3 |" in page
    assert "- gru, seed 7, diverged: the loss is not finite" in page
    assert "- gru: only 2 seeds finished; a significance test needs 3" in page
    assert "| most_frequent |  | 0.5 |" in page
    assert "test share right by steps:" in page
    assert "| 2 to 4 | 0.806 | 0.6055 |" in page


def test_pictures(folder: Folder, tmp_path: Path) -> None:
    files = pictures.save(drawings(load(folder.path)), tmp_path)
    assert {file.stem for file in files} == {"validation", "final", "by_length"}
    assert "most frequent" in (tmp_path / "final.svg").read_text()


def test_a_comparison_of_which_nothing_has_ended(folder: Folder) -> None:
    for name in ("lstm", "gru"):
        for seed in (5, 6, 7):
            folder.forget(Job(name, seed))
    found = load(folder.path)
    assert list(drawings(found)) == []
    assert found.verdict is None
    assert "Equal budget" in markdown(found)


def test_folders_that_are_none(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"not a comparison: it has no comparison.toml"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="exists and is not a comparison"):
        Folder.make(tmp_path, force=True)
    with pytest.raises(ConfigError, match="this comparison exists: resume it"):
        Folder.make(folder.path, force=False)
    (folder.path / "outcomes/gru-5.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"gru-5.json: cannot be read"):
        load(folder.path)
    made = Folder.make(folder.path, force=True)
    assert list(folder.path.iterdir()) == []
    assert made.predecessor
    made.predecessor.hear({"event": "start"})
    (folder.path / "comparison.toml").write_text("format = 0")
    with pytest.raises(
        CheckpointError, match="format must be 1, got 0: use the elman version that wrote it, or"
    ):
        load(folder.path)


def test_one_that_is_replaced_comes_back_unless_its_successor_has_begun(folder: Folder) -> None:
    path = folder.path
    before = sorted(file.name for file in path.rglob("*"))
    made = Folder.make(path, force=True)
    assert list(path.iterdir()) == []
    assert made.predecessor
    made.predecessor.hear({"event": "reading"})
    assert made.predecessor.restore()
    assert sorted(file.name for file in path.rglob("*")) == before
    again = Folder.make(path, force=True)
    assert again.predecessor
    again.predecessor.hear({"event": "start"})
    assert not again.predecessor.restore()
    assert [entry.name for entry in path.parent.iterdir()] == ["c"]


@pytest.mark.parametrize("begun", [False, True])
def test_after_a_kill_the_next_start_puts_it_right(folder: Folder, begun: bool) -> None:
    Folder.make(folder.path, force=True)  # and the process is gone
    if begun:
        last = folder.path / "runs/gru-5/checkpoints/last"
        last.mkdir(parents=True)
        (last / "state.json").write_text("{}")
        with pytest.raises(CheckpointError, match="not a comparison"):
            load(folder.path)
    else:
        assert load(folder.path).done
    assert [entry.name for entry in folder.path.parent.iterdir()] == ["c"]


def test_one_that_is_being_trained_is_not_replaced(folder: Folder) -> None:
    claim = Claim(folder.path)
    with pytest.raises(ConfigError, match="another process is training"):
        Folder.make(folder.path, force=True)
    claim.close()


def test_the_terminal_shows_the_baselines(folder: Folder) -> None:
    lines = summary(load(folder.path)).splitlines()
    (head,) = (number for number, line in enumerate(lines) if line.startswith("baseline"))
    assert lines[head + 1].split() == ["most_frequent", "0.5"]
