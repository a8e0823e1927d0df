"""The training loop."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman import pictures
from elman._errors import Diverged, Interrupted
from elman._signals import Stop, stop_on_signals
from elman.bptt import State
from elman.layers import FeedForward
from elman.metrics import Metric
from elman.tasks import Batch, Metrics, Table, Task, is_named
from elman.training import parts
from elman.training._checkpoint import (
    Checkpoint,
    pack_module,
    pack_optimizer,
    pack_state,
    unpack_module,
    unpack_optimizer,
    unpack_state,
)
from elman.training._config import Training
from elman.training._progress import Progress, RunningMeans
from elman.training._run import Run
from elman.training._subnormals import subnormals_as_zero
from elman.training._tensorboard import TensorBoard
from elman.training._watch import Watch

log = logging.getLogger(__name__)

LATE = 3
"""Validations without improvement after which early stopping is suggested."""

Report = Callable[[dict[str, Any]], object]
"""Called with each event; the caller decides what to print."""


class Result(NamedTuple):
    """What a run came to.

    Attributes:
        run: its folder.
        metric: what it is judged by.
        metrics: of the best checkpoint, by split.
        baselines: the metrics of simple models, by name and split.
        tables: about the last split.
        pictures: the files of the pictures of the last split.
    """

    run: Run
    metric: Metric
    metrics: dict[str, Metrics]
    baselines: dict[str, dict[str, Metrics]]
    tables: list[Table]
    pictures: list[Path]


class Trainer:
    """One training run of a task, from its start or from a checkpoint."""

    def __init__(self, task: Task, config: Training, run: Run, report: Report) -> None:
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.task, self.config, self.run, self.report = task, config, run, report
        task.seed = config.seed
        self.device = parts.device(config.device)
        task.network = task.build().to(self.device)
        self.parameters = [p for p in task.network.parameters() if p.requires_grad]
        self.policy, self.clip = parts.policy(config), parts.clip(config)
        self.optimizer = parts.optimizer(config, self.parameters)
        self.updates = self._planned_updates()
        self.schedule = parts.schedule(config, self.updates)
        self.at = Progress()
        self.state: State = None
        self.stop = Stop()
        self.pause: int | None = None  # the update after which it stops, as if it had been told to
        self.unheard: OSError | None = None  # the error of a report whose reader is gone
        self.board = TensorBoard() if config.tensorboard else None
        self.watch = Watch(
            task.network, self.policy
        )  # also locates the first NaN in a run without --watch
        self.begun = self.resumed_at = time.perf_counter()
        self.loss, self.terms, self.windows = torch.zeros(()), 0, 0  # since the last update

    def fit(self) -> Result:
        """Train until the budget or the patience is used up, then evaluate the best weights."""
        sparse = [
            e for e in parts.sparse_embeddings(self.config, self.task.network) if not e.sparse
        ]
        try:
            for embedding in sparse:
                embedding.sparse = True
            self._start()
            with subnormals_as_zero(), stop_on_signals() as self.stop:
                while not self.over:
                    self._epoch()
            result = self._finish()
        finally:
            for embedding in sparse:  # another optimizer may use the network
                embedding.sparse = False
            if self.board:
                self.board.close()
        if self.unheard:
            raise self.unheard
        return result

    def _epoch(self) -> None:
        task, at = self.task, self.at
        task.network.train()
        for batch in islice(task.batches("train", at.epoch), at.batch, None):
            if at.window == 0 and not batch.continues:
                self.state = None
            segment = partial(task.loss, batch)
            for window in islice(self.policy.windows(batch.steps), at.window, None):
                before = self.state
                loss, self.state = self.policy.run(segment, window, before)
                terms = batch.count(window.loss_from, window.stop)
                divisor = self._divisor(batch, terms)
                (loss / divisor).backward()  # type: ignore[no-untyped-call]
                self.watch.follow(segment, window, before, divisor)
                at.window += 1
                self._gather(loss.detach(), terms)
                if self.windows == self.config.accumulate:
                    self._update()
                if self.over:
                    return
            at.batch, at.window = at.batch + 1, 0
        if self.windows:
            self._update()
        self._end_epoch()

    def _update(self) -> None:
        if self.windows > 1:
            torch._foreach_div_(
                [p.grad for p in self.parameters if p.grad is not None], self.windows
            )
        report = self.clip(self.parameters)
        # The only synchronization with the device per update.
        loss, norm, clipped = torch.stack([t.to(self.loss) for t in (self.loss, *report)]).tolist()
        self._check_finite(loss, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * self.schedule(self.at.epoch, self.at.update)
        looks = self.config.watch and self._looks_after(self.at.update + 1)
        if looks:
            self.watch.hold()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.at.update += 1
        self.at.tally.add(loss, self.terms, norm, clipped, time.perf_counter() - self.resumed_at)
        self._clear()
        if self.config.watch:
            self.at.norms.append(norm)
            self.at.clipped += bool(clipped)
        self._after_update(looks)
        self.resumed_at = time.perf_counter()

    def _after_update(self, looks: bool) -> None:
        config, update = self.config, self.at.update
        pauses = update == self.pause
        if pauses or update % config.log_every == 0:
            self._log()
        if looks:
            self._look()
        validates = pauses or (config.validate_every and update % config.validate_every == 0)
        if validates:
            self._validate()
        if validates or (config.checkpoint_every and update % config.checkpoint_every == 0):
            self._save()
        self._stop_if_signaled()

    def _end_epoch(self) -> None:
        self.at.epoch, self.at.batch, self.state = self.at.epoch + 1, 0, None
        self._validate()
        self._save()
        self._stop_if_signaled()
        self.resumed_at = time.perf_counter()

    @property
    def over(self) -> bool:
        """Whether the budget or the patience is used up."""
        config, at = self.config, self.at
        return (
            (config.epochs is not None and at.epoch >= config.epochs)
            or (config.max_steps is not None and at.update >= config.max_steps)
            or (config.patience is not None and at.stale >= config.patience)
        )

    def _divisor(self, batch: Batch, terms: int) -> int:
        return max(1, terms) if self.config.loss == "mean" else batch.rows

    def _gather(self, loss: Tensor, terms: int) -> None:
        self.loss = self.loss.to(loss) + loss
        self.terms += terms
        self.windows += 1

    def _clear(self) -> None:
        self.loss, self.terms, self.windows = torch.zeros(()), 0, 0

    def _check_finite(self, loss: float, norm: float) -> None:
        """Check before the update, so that the weights stay finite."""
        if math.isfinite(loss) and math.isfinite(norm):
            return
        what = "gradient's norm" if math.isfinite(loss) else "loss"
        if self.config.watch:
            self.at.norms.append(norm)
            self._look()
        where = self.watch.first_bad()
        origin = {"first_bad": asdict(where)} if where else {}
        self._emit("diverged", **{self.task.unit: loss / max(1, self.terms)}, norm=norm, **origin)
        in_data = where is not None and where.source == "data"
        raise Diverged(
            f"the {what} is not finite at update {self.at.update + 1} (epoch {self.at.epochs})"
            + (f", {where}" if where else "")
            + (": correct the data" if in_data else ": lower train.lr or train.clip_limit")
            + f"; the last good checkpoint is in {self.run.path}"
        )

    def _validate(self) -> None:
        if "valid" not in self.task.splits:
            return
        metrics = self.task.evaluate("valid")
        score, best = self.task.selection.cost(metrics), self.at.best
        better = best is None or score < best
        self.at.best, self.at.stale = (score, 0) if better else (best, self.at.stale + 1)
        self.at.validated = self.at.update
        self._emit("valid", **metrics, best=better)
        if better:
            self._save_best()

    def _save_best(self) -> None:
        model = pack_module(self.task.network)
        self.run.save("best", Checkpoint(model, progress=self.at.packed()))

    def _save(self) -> None:
        self._clock()
        checkpoint = Checkpoint(
            pack_module(self.task.network),
            pack_optimizer(self.optimizer),
            pack_state(self.state),
            self.at.packed(),
        )
        self.run.save("last", checkpoint)

    def restore(self) -> None:
        """Restore the checkpoint "last"."""
        run, checkpoint = self.run, self.run.load("last")
        unpack_module(self.task.network, checkpoint.model, run.where("last", "model"))
        unpack_optimizer(self.optimizer, checkpoint.optimizer, run.where("last", "optimizer"))
        run.rewind_metrics(checkpoint.progress["metrics_bytes"])
        self.at = Progress.unpacked(checkpoint.progress)
        rows = next(
            (leaf.shape[0] for name, leaf in checkpoint.state.items() if name == "carried.0"), 0
        )
        template = self.task.initial_state(rows)
        self.state = unpack_state(template, checkpoint.state, run.where("last", "state"))

    def _stop_if_signaled(self) -> None:
        pauses = self.at.update == self.pause
        if self.over or not (pauses or self.stop.signal or self.unheard):
            return
        self._save()
        if self.unheard:
            raise self.unheard
        by = f"stopped by {self.stop.signal}" if self.stop.signal else "paused"
        raise Interrupted(
            f"{by} after update {self.at.update}; saved in {self.run.path}",
            self._resumption(),
        )

    def _resumption(self) -> tuple[str, ...]:
        """The command that continues the run; empty for a custom task."""
        if not is_named(self.task):
            return ()
        cell = str(self.run.config.get("model", {}).get("cell", ""))
        own = ("--model.cell", cell) if ":" in cell else ()
        return ("train", self.task.name, "--resume", str(self.run.path), *own)

    def _finish(self) -> Result:
        if self.at.validated != self.at.update:
            self._validate()
            self._save()
        if "valid" not in self.task.splits:
            self._save_best()
        if self.at.stale >= LATE and self.config.patience is None:
            log.info(
                "no improvement in the last %d validations: --train.patience 2 stops training "
                "early",
                self.at.stale,
            )
        best = self.run.load("best")
        unpack_module(self.task.network, best.model, self.run.where("best", "model"))
        if self.task.calibrate():
            calibrated = Checkpoint(pack_module(self.task.network), progress=best.progress)
            self.run.save("best", calibrated)
        metrics, predictions = {}, None
        for split in self.task.splits:
            if split != "train":
                log.info("evaluating the best weights on the %s data", split)
                predictions = self.task.predict(split)
                metrics[split] = self.task.metrics(predictions)
        result = Result(
            self.run,
            self.task.metric,
            metrics,
            self._baselines(),
            [] if predictions is None else self.task.tables(predictions),
            [] if predictions is None else self._pictures(predictions),
        )
        self._emit(
            "end",
            run=str(self.run.path),
            metrics=metrics,
            baselines=result.baselines,
            pictures=[str(file) for file in result.pictures],
        )
        return result

    def _baselines(self) -> dict[str, dict[str, Metrics]]:
        if not self.config.baselines:
            return {}
        log.info("training baselines on the same data; --no-baselines skips them")
        return self.task.baselines()

    def _pictures(self, predictions: Any) -> list[Path]:
        """Save the plots of predictions in the run folder."""
        if not pictures.available():
            return []
        log.info("drawing plots of the predictions")
        self.run.check()
        return pictures.save(self.task.plots(predictions), self.run.path / "pictures")

    def _fixed_input(self) -> dict[str, int]:
        """The input length of a network without recurrence, for the start event."""
        steps = [m.steps for m in self.task.network.modules() if isinstance(m, FeedForward)]
        return {"input_steps": max(steps)} if steps else {}

    def _start(self) -> None:
        resumed = self.at.update > 0
        self.begun = time.perf_counter() - self.at.seconds
        if not resumed:
            self.task.save(self.run.path)
            self._save()
        if self.board:
            self.board.open(self.run.path / "tensorboard")
        self._emit(
            "start",
            run=str(self.run.path),
            task=self.task.name,
            metric=self.task.metric.name,
            higher_is_better=self.task.metric.higher_is_better,
            seed=self.config.seed,
            device=str(self.device),
            threads=torch.get_num_threads(),
            parameters=sum(p.numel() for p in self.parameters),
            **self._fixed_input(),
            epochs=self.config.epochs,
            resumed=resumed,
            data=self.task.facts(),
        )
        self.resumed_at = time.perf_counter()

    def _log(self) -> None:
        means = self.at.tally.means(self.task.unit, self.task.counted)
        self._emit("train", **means, lr=self.optimizer.param_groups[0]["lr"])
        self.at.tally = RunningMeans()

    def _looks_after(self, update: int) -> bool:
        return update in (1, self.updates, self.pause) or update % self.config.watch_every == 0

    def _look(self) -> None:
        at = self.at
        clipped = at.clipped / max(1, len(at.norms))
        self._emit("watch", norms=at.norms, clipped=clipped, **self.watch.measure())
        at.norms, at.clipped = [], 0

    def _emit(self, event: str, **values: Any) -> None:
        self._clock()
        at = self.at
        line = {"event": event, "epoch": at.epochs, "update": at.update, "updates": self.updates}
        line |= {**values, "seconds": round(at.seconds, 3)}
        self.run.log(line)
        if self.board:
            self.board(line)
        if self.unheard:
            return
        try:
            self.report(line)
        except OSError as error:  # a lost pipe or terminal must not end the run
            self.unheard = error

    def _clock(self) -> None:
        self.at.seconds = time.perf_counter() - self.begun

    def _planned_updates(self) -> int:
        """The number of updates of the whole run by its budget."""
        config = self.config
        if config.epochs is None and config.schedule != "cosine":
            assert config.max_steps is not None
            return config.max_steps
        windows = sum(sum(1 for _ in self.policy.windows(n)) for n in self.task.lengths())
        of_epochs = (config.epochs or 0) * -(-windows // config.accumulate)
        return min(filter(None, (config.max_steps, of_epochs)))
