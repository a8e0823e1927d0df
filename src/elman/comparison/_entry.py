"""The ways into a comparison: a new one, one that was stopped, one that is done."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from elman import pictures
from elman._errors import ElmanError
from elman.comparison._design import Design, Share
from elman.comparison._folder import Folder
from elman.comparison._pictures import drawings
from elman.comparison._pool import ProcessPool
from elman.comparison._result import Comparison
from elman.comparison._sizes import counting, nearest
from elman.comparison._table import markdown
from elman.data._files import replacing
from elman.training import Config, Report
from elman.training._config import check_config
from elman.training._entry import percents
from elman.training._folder import named, next_folder
from elman.training._memory import require_memory
from elman.training._parts import device
from elman.training._successor import claimed


def compare(
    config: Config,
    design: Design | None = None,
    path: Path | None = None,
    *,
    directory: Path = Path("runs"),
    name: str | None = None,
    force: bool = False,
    report: Report | None = None,
) -> Comparison:
    """Train every candidate with every seed, in processes side by side, and compare them.

    All have the same data, budget and settings but for the cell; with ``design.equal`` "parameters"
    as many parameters as the network of ``config`` has, as nearly as whole units allow.

    Args:
        config: of a class that `elman.training.config_class` gave; its seed is the first one.
        design: which cells, over how many seeds, and what they have in common.
        path: the folder; ``directory/name-N`` with the next free N if None.
        directory: where the folder is made.
        name: what it is called; ``compare-TASK`` if None.
        force: replace the comparison that is at ``path``, or else at ``directory/name-1``; it stays
            until a run of this one has a checkpoint.
        report: called with events: "plan" first, then those of all runs (see `elman.training.fit`)
            with the keys "candidate" and "seed", and "ended" for each.

    Raises:
        ConfigError, DataError: before anything is trained.
        Interrupted: Ctrl-C or SIGTERM; all runs were saved, and `resume` goes on.
    """
    check_config(config)
    design, report = design or Design(), report or _ignore
    folder_name = named(f"compare-{config.task}" if name is None else name)
    require_memory(config, training=True)
    device(config.train.device)  # before any work
    candidates, target = _sized(config, design, report)
    if path is None:
        path = (
            directory / f"{named(folder_name)}-1" if force else next_folder(directory, folder_name)
        )
    folder = Folder.make(path, force=force)
    claim = claimed(path)
    try:
        folder.write_design(design, Share.of(design, config), target, candidates)
        trained = _trained(folder, report)
    finally:
        restored = folder.predecessor is not None and folder.predecessor.restore()
        claim.close()
    if restored:
        raise ElmanError(
            "\n".join([f"no run could begin, and {path} is as it was:", *trained.failed])
        )
    return trained


def resume(path: Path, *, jobs: int | None = None, report: Report | None = None) -> Comparison:
    """Go on with a comparison that was stopped; the result is that of one that was not.

    Runs that failed are tried again; those that diverged would do so again.

    Args:
        path: its folder.
        jobs: how many runs at once; as before if None. Each has as many threads as before.
        report: called with events, see `compare`.

    Raises:
        CheckpointError: it is no comparison, or a file in it cannot be read.
        Interrupted: as in `compare`.
    """
    folder = Folder(path)
    folder.design()
    claim = claimed(path)
    try:
        return _trained(folder, report or _ignore, jobs)
    finally:
        claim.close()


def load(path: Path | str) -> Comparison:
    """What a comparison has come to by now.

    Raises:
        CheckpointError: it is no comparison, or a file in it cannot be read.
    """
    return Folder(Path(path)).comparison()


def _sized(config: Config, design: Design, report: Report) -> tuple[dict[str, Any], int | None]:
    """Each candidate's settings and parameters, and how many these were to be."""
    settings, candidates = design.settings(config), {}
    with counting(config, percents(report)) as count:
        target = count(config) if design.equal == "parameters" else None
        for name, own in settings.items():
            if target is not None and not design.fixed(name):
                own = nearest(own, target, count)
            candidates[name] = own, count(own)
    return candidates, target


def _trained(folder: Folder, report: Report, jobs: int | None = None) -> Comparison:
    comparison = folder.comparison()
    report({"event": "plan", **comparison.model_dump(mode="json", exclude_defaults=True)})
    pool = ProcessPool(
        folder, _heard(folder, report), at_once=jobs or comparison.jobs, threads=comparison.threads
    )
    pool.train(list(folder.left()))
    return _written(folder)


def _heard(folder: Folder, report: Report) -> Report:
    """The report, through which the comparison that is replaced hears when it can go."""
    predecessor = folder.predecessor

    def hear(event: dict[str, Any]) -> None:
        if predecessor:
            predecessor.hear(event)
        report(event)

    return hear


def _written(folder: Folder) -> Comparison:
    """The comparison, its tables and pictures in its folder."""
    comparison = folder.comparison()
    if pictures.available():
        place = folder.path / "pictures"
        shutil.rmtree(place, ignore_errors=True)
        comparison.pictures = pictures.save(drawings(comparison), place)
    for name, text in (
        ("table.json", comparison.model_dump_json(indent=1)),
        ("table.md", markdown(comparison)),
    ):
        with replacing(folder.path / name) as file:
            file.write(text.encode())
    return comparison


def _ignore(event: dict[str, Any]) -> None:
    """Say nothing."""
