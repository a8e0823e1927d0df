"""The ways into a comparison: a new one, one that was stopped, one that is done."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from elman import pictures
from elman._errors import ElmanError
from elman._files import replacing
from elman.comparison._folder import Folder
from elman.comparison._pictures import drawings
from elman.comparison._plan import Plan, Share
from elman.comparison._pool import Pool
from elman.comparison._result import Comparison
from elman.comparison._sizes import counting, nearest
from elman.comparison._table import markdown
from elman.training import Config, Report
from elman.training._config import check_config
from elman.training._entry import percents
from elman.training._folder import named, next_folder
from elman.training._memory import require_memory
from elman.training._parts import device
from elman.training._successor import claimed


def compare(
    config: Config,
    plan: Plan | None = None,
    path: Path | None = None,
    *,
    directory: Path = Path("runs"),
    name: str | None = None,
    force: bool = False,
    report: Report | None = None,
) -> Comparison:
    """Train every candidate with every seed, in processes side by side, and compare them.

    All have the same data, budget and settings but for the cell; with ``plan.equal`` "parameters"
    as many parameters as the network of ``config`` has, as nearly as whole units allow.

    Args:
        config: of a class that `elman.training.config_class` gave; its seed is the first one.
        plan: which cells, and what they have in equal measure.
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
    plan, report = plan or Plan(), report or _ignore
    called = named(f"compare-{config.task}" if name is None else name)
    require_memory(config, training=True)
    device(config.train.device)  # before any work
    found, target = _sized(config, plan, report)
    if path is None:
        path = directory / f"{named(called)}-1" if force else next_folder(directory, called)
    folder = Folder.make(path, force=force)
    claim = claimed(path)
    try:
        folder.ask(plan, Share.of(plan, config), target, found)
        trained = _trained(folder, report)
    finally:
        restored = folder.replaced is not None and folder.replaced.restore()
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
    folder.asked()
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


def _sized(config: Config, plan: Plan, report: Report) -> tuple[dict[str, Any], int | None]:
    """Each candidate's settings and parameters, and how many these were to be."""
    settings, found = plan.settings(config), {}
    with counting(config, percents(report)) as count:
        target = count(config) if plan.equal == "parameters" else None
        for name, own in settings.items():
            if target is not None and not plan.fixed(name):
                own = nearest(own, target, count)
            found[name] = own, count(own)
    return found, target


def _trained(folder: Folder, report: Report, jobs: int | None = None) -> Comparison:
    before = folder.comparison()
    report({"event": "plan", **before.model_dump(mode="json", exclude_defaults=True)})
    pool = Pool(folder, _heard(folder, report), at_once=jobs or before.jobs, threads=before.threads)
    pool.train(list(folder.left()))
    return _written(folder)


def _heard(folder: Folder, report: Report) -> Report:
    """The report, through which the comparison that is replaced hears when it can go."""
    replaced = folder.replaced

    def hear(event: dict[str, Any]) -> None:
        if replaced:
            replaced.hear(event)
        report(event)

    return hear


def _written(folder: Folder) -> Comparison:
    """The comparison, its tables and pictures in its folder."""
    found = folder.comparison()
    if pictures.available():
        place = folder.path / "pictures"
        shutil.rmtree(place, ignore_errors=True)
        found.pictures = pictures.save(drawings(found), place)
    for name, text in (
        ("table.json", found.model_dump_json(indent=1)),
        ("table.md", markdown(found)),
    ):
        with replacing(folder.path / name) as file:
            file.write(text.encode())
    return found


def _ignore(event: dict[str, Any]) -> None:
    """Say nothing."""
