"""Start, resume and load a comparison."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from elman import pictures
from elman._claim import claim_folder
from elman._errors import ElmanError
from elman._files import replacing
from elman._folders import check_run_name, next_folder
from elman.comparison._design import Design, Share
from elman.comparison._folder import Folder
from elman.comparison._pictures import drawings
from elman.comparison._pool import ProcessPool
from elman.comparison._result import Comparison
from elman.comparison._sizes import counting, nearest
from elman.comparison._table import markdown
from elman.training import Config, Report, check_config, parts, reading_progress, require_memory


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
    """Train every candidate with every seed, in parallel processes, and compare them.

    All have the same data, budget and settings except for the cell. With ``design.equal``
    "parameters", each has the number of parameters of ``config``, as closely as whole units allow.

    Args:
        config: a configuration from `elman.training.config_class`; its seed is the first one.
        design: which cells, over how many seeds, and what they have in common.
        path: the folder; if None, ``directory/name-N`` with the next free N.
        directory: parent of the folder.
        name: name of the comparison; ``compare-TASK`` if None.
        force: replace the comparison at ``path``, or else at ``directory/name-1``; it is kept until
            a run of the new one has a checkpoint.
        report: called with events: first "plan", then those of all runs (see `elman.training.fit`)
            with the keys "candidate" and "seed", and "ended" after each run.

    Raises:
        ConfigError, DataError: before anything is trained.
        Interrupted: Ctrl-C or SIGTERM; all runs were saved, and `resume` continues.
    """
    check_config(config)
    design, report = design or Design(), report or _ignore
    folder_name = check_run_name(f"compare-{config.task}" if name is None else name)
    require_memory(config, training=True)
    parts.device(config.train.device)  # before any work
    candidates, target = _sized(config, design, report)
    if path is None:
        path = (
            directory / f"{check_run_name(folder_name)}-1"
            if force
            else next_folder(directory, folder_name)
        )
    folder = Folder.make(path, force=force)
    claim = claim_folder(path)
    try:
        folder.write_design(design, Share.of(design, config), target, candidates)
        trained = _trained(folder, report)
    finally:
        restored = folder.predecessor is not None and folder.predecessor.restore()
        claim.close()
    if restored:
        raise ElmanError("\n".join([f"no run could start; {path} is unchanged:", *trained.failed]))
    return trained


def resume(path: Path, *, jobs: int | None = None, report: Report | None = None) -> Comparison:
    """Continue an interrupted comparison; the result equals that of an uninterrupted one.

    Failed runs are trained again; diverged runs are not, since they would diverge again.

    Args:
        path: the folder of the comparison.
        jobs: number of runs in parallel; as before if None. Threads per run do not change.
        report: called with events, see `compare`.

    Raises:
        CheckpointError: the folder is not a comparison, or a file in it cannot be read.
        Interrupted: as in `compare`.
    """
    folder = Folder(path)
    folder.design()
    claim = claim_folder(path)
    try:
        return _trained(folder, report or _ignore, jobs)
    finally:
        claim.close()


def load(path: Path | str) -> Comparison:
    """The results of a comparison so far.

    Raises:
        CheckpointError: the folder is not a comparison, or a file in it cannot be read.
    """
    return Folder(Path(path)).comparison()


def _sized(config: Config, design: Design, report: Report) -> tuple[dict[str, Any], int | None]:
    """Each candidate's settings and number of parameters, and the target number."""
    settings, candidates = design.settings(config), {}
    with counting(config, reading_progress(report)) as count:
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
    """A report that also tells the replaced comparison when it can be deleted."""
    predecessor = folder.predecessor

    def hear(event: dict[str, Any]) -> None:
        if predecessor:
            predecessor.hear(event)
        report(event)

    return hear


def _written(folder: Folder) -> Comparison:
    """Write tables and plots into the folder, and return the comparison."""
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
    """Report nothing."""
