"""The folder of a comparison: its design, and the outcome of each run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w
from pydantic import ValidationError

from elman._claim import claim_folder
from elman._errors import CheckpointError, ConfigError
from elman._files import read_plain, read_toml, replacing, why, writing_in
from elman.cells.references import is_own
from elman.comparison._design import Design, Share
from elman.comparison._predecessor import Predecessor, recover
from elman.comparison._result import FORMAT, Candidate, Comparison, Outcome
from elman.training import Config, config_class

DESIGN = "comparison.toml"


class Job(NamedTuple):
    """A run to train."""

    name: str
    seed: int


class Folder:
    """Reads and writes the files that `elman.comparison` describes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.predecessor: Predecessor | None = None

    @classmethod
    def make(cls, path: Path, *, force: bool) -> Folder:
        """Create an empty folder; ``force`` replaces the comparison at that path.

        Raises:
            ConfigError: the path exists, or another process uses the comparison there.
            DataError: the folder cannot be created.
        """
        folder = cls(path)
        recover(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            if not (path / DESIGN).exists():
                raise ConfigError(f"{path}: exists and is not a comparison: choose another path")
            if not force:
                raise ConfigError(f"{path}: this comparison exists: resume it, or use force")
            claim_folder(path).close()
            with writing_in(path.parent):
                folder.predecessor = Predecessor(path)
        with writing_in(path):
            path.mkdir(parents=True, exist_ok=True)
        return folder

    def write_design(
        self,
        design: Design,
        share: Share,
        target: int | None,
        candidates: Mapping[str, tuple[Config, int]],
    ) -> None:
        """Write comparison.toml, before any run starts."""
        first = next(iter(candidates.values()))[0].train
        seeds = [first.seed + number for number in range(design.seeds)]
        content = {
            "format": FORMAT,
            "equal": design.equal,
            "target": target,
            "seeds": seeds,
            **share._asdict(),
            "candidates": {
                name: {"parameters": parameters, **config.toml()}
                for name, (config, parameters) in candidates.items()
            },
        }
        with replacing(self.path / DESIGN) as file:
            tomli_w.dump({key: value for key, value in content.items() if value is not None}, file)

    def design(self) -> dict[str, Any]:
        """The content of comparison.toml.

        Raises:
            CheckpointError: it cannot be read, or has another format.
        """
        file = self.path / DESIGN
        recover(self.path)
        try:
            content = read_toml(file)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise CheckpointError(f"{self.path}: not a comparison: it has no {DESIGN}") from error
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{file}: cannot be read: {why(error)}; compare again") from error
        if content.get("format") != FORMAT:
            raise CheckpointError(
                f"{file}: the comparison's format must be {FORMAT}, got "
                f"{content.get('format')!r}: use the elman version that wrote it, or compare again"
            )
        return content

    def settings(self, name: str, seed: int) -> Config:
        """The full configuration of a run."""
        design = self.design()
        tree = {k: v for k, v in design["candidates"][name].items() if k != "parameters"}
        tree["train"] = {**tree["train"], "seed": seed, "threads": design["threads"]}
        return config_class(tree["task"]).parse(tree)

    def own_cells(self) -> list[str]:
        """The references of cells that do not come with elman; nothing is executed."""
        candidates = self.design()["candidates"].values()
        cells = (candidate["model"]["cell"] for candidate in candidates)
        return list(dict.fromkeys(cell for cell in cells if is_own(cell)))

    def run(self, name: str, seed: int) -> Path:
        return self.path / "runs" / f"{name}-{seed}"

    def log(self, job: Job) -> Path:
        """The file for the stderr of a process."""
        return self.path / "outcomes" / f"{job.name}-{job.seed}.log"

    def save(self, name: str, outcome: Outcome) -> None:
        with replacing(self._outcome(name, outcome.seed)) as file:
            file.write(outcome.model_dump_json(indent=1).encode())

    def outcome(self, name: str, seed: int) -> Outcome | None:
        """The outcome of a run; None if it has not ended."""
        file = self._outcome(name, seed)
        if not os.path.lexists(file):
            return None
        try:
            return Outcome.model_validate_json(read_plain(file))
        except (OSError, ValidationError) as error:
            raise CheckpointError(f"{file}: cannot be read: delete it and resume") from error

    def forget(self, job: Job) -> None:
        """Delete the outcome of an earlier attempt."""
        self._outcome(*job).unlink(missing_ok=True)

    def left(self) -> Iterator[Job]:
        """The runs that have failed or not ended, seed by seed."""
        design = self.design()
        for seed in design["seeds"]:
            for name in design["candidates"]:
                outcome = self.outcome(name, seed)
                if outcome is None or outcome.status == "failed":
                    yield Job(name, seed)

    def comparison(self) -> Comparison:
        """The comparison so far."""
        design = self.design()
        candidates = []
        for name, settings in design["candidates"].items():
            outcomes = (self.outcome(name, seed) for seed in design["seeds"])
            candidates.append(
                Candidate(
                    name=name,
                    cell=settings["model"]["cell"],
                    hidden=settings["model"]["hidden"],
                    parameters=settings["parameters"],
                    runs=[outcome for outcome in outcomes if outcome],
                )
            )
        budget = settings["train"]
        return Comparison(
            path=self.path,
            task=settings["task"],
            equal=design["equal"],
            target=design.get("target"),
            epochs=budget.get("epochs"),
            max_steps=budget.get("max_steps"),
            seeds=design["seeds"],
            jobs=design["jobs"],
            threads=design["threads"],
            candidates=candidates,
        ).judged()

    def _outcome(self, name: str, seed: int) -> Path:
        return self.path / "outcomes" / f"{name}-{seed}.json"
