"""Motion: images of a ball in, and where it will be next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from elman._errors import ConfigError
from elman.baselines import Neighbors, has_scikit_learn
from elman.data import BadValue, Ragged, Record, Rows, is_video, read_videos
from elman.metrics import Metric
from elman.pictures import Picture
from elman.scan import mask
from elman.tasks._features import Feature
from elman.tasks._motion_config import FILMED, MotionData, MotionNet
from elman.tasks._motion_net import MotionNetwork, Rollout
from elman.tasks._motion_paths import (
    Next,
    Paths,
    Truth,
    by_steps,
    copied,
    measured,
    predicted,
    straight,
)
from elman.tasks._motion_picture import Film, films
from elman.tasks._source import RowSource
from elman.tasks._supervised import Part, Supervised
from elman.tasks._task import Metrics, Table

FILMS = 4
"""Videos in a picture."""


class VideoFrames(Feature):
    """The frames of a video (steps, size, size), as bytes."""

    columns = ("frames",)

    def parse(self, values: Mapping[str, Any]) -> NDArray[np.uint8]:
        frames: NDArray[np.uint8] = values["frames"]
        if len(frames) < 3:
            raise BadValue("", f"at least 3 frames were expected, got {len(frames)}")
        return frames

    def key(self, value: NDArray[np.uint8]) -> bytes:
        return value.tobytes()

    def encode(self, values: Sequence[NDArray[np.uint8]]) -> Ragged:
        return Ragged.of(values, torch.uint8)


class Positions(Feature):
    """The position of each ball in each frame (steps, balls, 2).

    Attributes:
        balls: how many balls there are; the first video says.
        box: the least and the largest coordinates in training (2, 2).
    """

    columns = ("positions",)
    balls = 0
    box: Tensor

    def parse(self, values: Mapping[str, Any]) -> NDArray[np.float32]:
        positions: NDArray[np.float32] = values["positions"]
        balls = positions.shape[1]
        self.balls = self.balls or balls
        if balls != self.balls:
            raise BadValue("", f"positions of {self.balls} things were expected, got {balls}")
        return positions

    def fit(self, values: Sequence[NDArray[np.float32]]) -> None:
        positions = np.concatenate(values)
        self.box = torch.from_numpy(np.stack([positions.min(0), positions.max(0)]))

    def encode(self, values: Sequence[NDArray[np.float32]]) -> Ragged:
        return Ragged.of(values, torch.float32)

    def state_dict(self) -> dict[str, Any]:
        return {"balls": self.balls, "box": self.box.tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.balls, self.box = state["balls"], torch.tensor(state["box"])


class MotionPredictions(NamedTuple):
    """The network's predictions for a split.

    Attributes:
        rows: the videos.
        paths: the next position after each frame, and the roll-outs.
        truth: the true positions.
        pixel_mse: the error of the pixels of the next frames, where the network paints them.
    """

    rows: Rows
    paths: Paths
    truth: Truth
    pixel_mse: float | None


class Motion(Supervised):
    r"""Many to many: from each frame on, where everything is in the next one, and k steps later.

    .. math:: L = \frac1N \sum_{b,t} |\hat p_{b,t+1} - p_{b,t+1}| + |z_{b,t} - p_{b,t}|

    with :math:`z_t` what is seen in frame t, see `MotionNetwork`. In training each batch has its
    frames taken away at a step that is drawn, from where the network goes on by itself. Distances
    are not squared, or the last steps of that, which nothing foresees well, would be all of it.

    ``rmse`` is the root of the mean squared distance, in sides of the box, of the next position
    from the true one, once two frames were seen; ``rollout_rmse`` that of all ``model.ahead``
    positions after ``model.context`` frames. ``inside`` is the share of such roll-outs that never
    leave the box, whose sides are where things were in training, by more than 2 %. ``bounces`` are
    the turns of a path that gravity cannot make, sideways or from down to up, ``true_bounces``
    those of the truth, per roll-out.

    Example:
        >>> task = Motion.prepare(MotionData(rows=30, size=8, batch=8), MotionNet(hidden=4))
        >>> list(task.evaluate("test"))
        ['rmse', 'rollout_rmse', 'inside', 'bounces', 'true_bounces']

    References:
        Sutskever, Hinton & Taylor 2008, "The recurrent temporal restricted Boltzmann machine", for
        balls in a box; Battaglia et al. 2016, "Interaction networks", for roll-outs.
    """

    name: ClassVar[str] = "motion"
    unit: ClassVar[str] = "distance"
    metric = Metric("rmse")
    counted: ClassVar[str] = "frames"
    sort_by = "x"
    data: MotionData
    network: MotionNetwork

    def __init__(self, data: MotionData, model: MotionNet) -> None:
        self.positions = Positions()
        features: Any = {"inputs": {"x": VideoFrames()}, "targets": {"p": self.positions}}
        super().__init__(data, model, **features, read=_read)

    def generator_options(self) -> dict[str, Any]:
        return {name: getattr(self.data, name) for name in FILMED} | {"size": self.data.size}

    def build(self) -> MotionNetwork:
        return MotionNetwork(self.model, self.data.size, self.positions.balls)

    def terms(self, rows: Rows, indices: Tensor) -> int:
        return int(rows.lengths("x")[indices].sum()) - len(indices)

    def run(self, batch: Part, cut: int, ahead: int) -> Rollout:
        """Read at most the first ``cut`` frames, then go on for ``ahead`` steps without frames."""
        columns = batch.columns()
        frames = (columns["x"][:, :cut].float() / 255).transpose(0, 1)
        lengths = columns["x_lengths"].clamp(max=cut)
        detected = self.network.detect(frames)
        following, state = self.network(detected, lengths)
        last = following[lengths - 1, torch.arange(len(lengths), device=following.device)]
        more = self.network.go_on(last, state, ahead - 1)
        return Rollout(detected, following, torch.cat([last[None], more])[:ahead])

    def criterion(self, batch: Part) -> Tensor:
        columns = batch.columns()
        steps, lengths = columns["x"].shape[1], columns["x_lengths"]
        drawn = int(torch.randint(2, steps, ())) if self.network.training else self.model.context
        cut = min(drawn, steps - 1)
        run = self.run(batch, cut, steps - cut)
        true = columns["p"].transpose(0, 1)
        real = mask(lengths, steps, device=true.device).T
        following = torch.cat([run.following[:-1], run.ahead])
        loss: Tensor = (following - true[1:])[real[1:]].norm(dim=-1).sum()
        loss = loss + (run.detected.places - true[:cut])[real[:cut]].norm(dim=-1).sum()
        if self.network.brush is not None:
            loss = loss + self._painting(true[real], columns["x"].transpose(0, 1)[real])
        return loss / self.positions.balls

    def _painting(self, places: Tensor, frames: Tensor) -> Tensor:
        assert self.network.brush is not None
        logits = self.network.brush(places)
        each = F.binary_cross_entropy_with_logits(logits, frames / 255, reduction="none")
        total: Tensor = each.mean((1, 2)).sum()
        return total

    def paths(self, rows: Rows) -> Paths:
        """The next position after each frame, and the roll-out after ``model.context`` frames."""

        def each(batch: Part) -> list[Paths]:
            following = self.run(batch, batch.columns()["x"].shape[1], 1).following
            ahead = self.run(batch, self.model.context, self.model.ahead).ahead
            return list(map(Paths, _by_row(following), _by_row(ahead)))

        paths = self.in_order(rows, each)
        following = pad_sequence([path.following for path in paths], batch_first=True)
        return Paths(following[:, :-1], torch.stack([path.ahead for path in paths]))

    def truth(self, rows: Rows) -> Truth:
        """Where things were, and for how many of the steps a roll-out has seen frames."""
        columns = rows.take(torch.arange(len(rows)))
        return Truth(columns["p"], columns["p_lengths"], self.model.context)

    def predict(self, split: str) -> MotionPredictions:
        rows = self.part(split)
        pixels = None if self.network.brush is None else self._pixels(rows)
        return MotionPredictions(rows, self.paths(rows), self.truth(rows), pixels)

    def metrics(self, predictions: MotionPredictions) -> Metrics:
        metrics = measured(predictions.paths, predictions.truth, self.positions.box)
        if predictions.pixel_mse is not None:
            metrics["pixel_mse"] = predictions.pixel_mse
        return metrics

    def next_frames(self, batch: Part) -> Tensor:
        """The frames after each (steps, batch, size, size), between 0 and 1, as they are painted.

        Raises:
            ConfigError: the network predicts positions only.
        """
        if self.network.brush is None:
            raise ConfigError("this network predicts no frames: train with --model.predict frames")
        following = self.run(batch, batch.columns()["x"].shape[1], 1).following
        frames: Tensor = self.network.brush(following.flatten(0, 1)).sigmoid()
        return frames.view(*following.shape[:2], *frames.shape[1:])

    def _pixels(self, rows: Rows) -> float:
        """The mean squared error of the next frame's pixels, once two frames were seen."""

        def each(batch: Part) -> list[Tensor]:
            columns = batch.columns()
            true = columns["x"].transpose(0, 1) / 255
            real = mask(columns["x_lengths"], len(true), device=true.device).T[2:]
            errors = (self.next_frames(batch)[1:-1] - true[2:]).square().mean((2, 3))
            return [errors[:, row][real[:, row]].cpu() for row in range(errors.shape[1])]

        return float(torch.cat(self.in_order(rows, each)).double().mean())

    def tables(self, predictions: MotionPredictions) -> list[Table]:
        """The error of roll-outs by the number of steps."""
        steps, errors = self.model.ahead, by_steps(predictions.paths.ahead, predictions.truth)
        if not errors:
            return []
        numbers = sorted({1, 2, 5, 10, steps} & set(range(steps + 1)))
        cells: list[list[str | float]] = [[str(n), errors[n - 1]] for n in numbers]
        return [Table("roll-outs", ["steps ahead", "rmse"], cells)]

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """From the true positions: on with the same velocity; the best guess from one of them."""
        models: dict[str, Next] = {"constant_velocity": straight}
        if has_scikit_learn():
            models["one_frame"] = self._one_frame()

        def errors(after: Next, rows: Rows) -> Metrics:
            truth = self.truth(rows)
            return measured(predicted(after, truth, self.model.ahead), truth, self.positions.box)

        metrics: Any = {name: partial(errors, after) for name, after in models.items()}
        if self.model.predict == "frames":
            metrics["last_frame"] = lambda rows: {"pixel_mse": copied(rows.sequences("x").unbind())}
        return self.baseline_metrics(metrics)

    def _one_frame(self) -> Next:
        path = self.truth(self.parts["train"]).path
        real = mask(self.parts["train"].lengths("p"), path.shape[1])[:, 1:]
        flat = path.flatten(2).double()
        model = Neighbors(flat[:, :-1][real].numpy(), flat[:, 1:][real].numpy())
        return lambda last: torch.from_numpy(model(last[1].flatten(1).numpy())).view_as(last[1])

    def plots(self, predictions: MotionPredictions) -> list[Picture]:
        """Some videos, with the true path and the predicted one."""
        count = min(FILMS, len(predictions.rows))
        return [films("path", [self.film(predictions, row) for row in range(count)])]

    def film(self, predictions: MotionPredictions, row: int) -> Film:
        """A video with its true path and the predicted one."""
        rows, paths, truth, _ = predictions
        path = truth.path[row, : truth.lengths[row]]
        return Film(rows["x"][row], path, truth.context, paths.ahead[row])

    def accepts(self, path: Path) -> bool:
        return is_video(path)

    def rows_of(self, path: Path) -> Iterator[Mapping[str, Any]]:
        videos = read_videos(path, self.data.size, self.source.bad, located=False)
        return (values for _, values in videos)

    def answers(self, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The positions in the ``model.ahead`` steps after the last frame of each video."""
        videos = list(rows)
        return [
            {"video": values["video"], "frames": len(values["frames"]), "positions": path.tolist()}
            for values, path in zip(videos, self._after(videos), strict=True)
        ]

    def plots_of(self, rows: Iterable[Mapping[str, Any]]) -> list[Picture]:
        """Each video with the predicted path after its end."""
        videos = list(rows)
        return [
            films(Path(v["video"]).stem, [Film(torch.from_numpy(v["frames"]), None, 0, path)])
            for v, path in zip(videos, self._after(videos), strict=True)
        ]

    def _after(self, videos: Sequence[Mapping[str, Any]]) -> list[Tensor]:
        frames = Ragged.of([video["frames"] for video in videos], torch.uint8)

        def each(batch: Part) -> list[Tensor]:
            return _by_row(self.run(batch, batch.columns()["x"].shape[1], self.model.ahead).ahead)

        return self.in_order(Rows({"x": frames}), each)


def _read(source: RowSource[Any], files: Sequence[Path]) -> Iterator[Record]:
    for file in files:
        yield from read_videos(file, source.data.size, source.bad)


def _by_row(places: Tensor) -> list[Tensor]:
    """Each row's (steps, balls, 2) of (steps, batch, balls, 2), on the CPU."""
    return list(places.transpose(0, 1).cpu())
