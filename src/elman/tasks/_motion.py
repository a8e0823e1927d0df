"""Motion: images of a ball in, and where it will be next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from elman.data import BadValue, Ragged, Record, Rows, read_videos
from elman.data._video import is_video
from elman.pictures import Picture
from elman.scan import mask
from elman.tasks._base import Metrics, Table
from elman.tasks._motion_config import FILMED, MotionData, MotionNet
from elman.tasks._motion_net import MotionNetwork, Run
from elman.tasks._motion_paths import (
    Next,
    Paths,
    Truth,
    by_steps,
    copied,
    foretold,
    measured,
    straight,
)
from elman.tasks._motion_picture import Shown, films
from elman.tasks._supervised import Part
from elman.tasks._table import TableTask

SHOWN = 4
"""Videos in a picture."""


class Video(NamedTuple):
    """Frames (steps, size, size), and where things are in each (steps, balls, 2)."""

    frames: NDArray[np.uint8]
    positions: NDArray[np.float32]


class Motion(TableTask):
    r"""Many to many: from each frame on, where everything is in the next one, and k steps later.

    .. math:: L = \frac1N \sum_{b,t} |\hat p_{b,t+1} - p_{b,t+1}| + |z_{b,t} - p_{b,t}|

    with :math:`z_t` what is seen in frame t, see `MotionNetwork`. In training each batch has its
    frames taken away at a step that is drawn, from where the network goes on by itself. Distances
    are not squared, or the last steps of that, which nothing foresees well, would be all of it.

    ``rmse`` is the root of the mean squared distance, in sides of the box, of the next position
    from the true one, once two frames were seen; ``rollout_rmse`` that of all ``model.ahead``
    positions after ``model.seen`` frames. ``inside`` is the share of such roll-outs that never
    leave the box, whose sides are where things were in training, by more than 2 %. ``bounces`` are
    the turns of a path that gravity cannot make, sideways or from down to up, ``true_bounces``
    those of the truth, per roll-out.

    Example:
        >>> task = Motion.prepare(MotionData(rows=30, size=8, batch=8), MotionNet(hidden=4))
        >>> task.network = task.build()
        >>> list(task.evaluate("test"))
        ['rmse', 'rollout_rmse', 'inside', 'bounces', 'true_bounces']

    References:
        Sutskever, Hinton & Taylor 2008, "The recurrent temporal restricted Boltzmann machine", for
        balls in a box; Battaglia et al. 2016, "Interaction networks", for roll-outs.
    """

    name: ClassVar[str] = "motion"
    suits: ClassVar[str] = "motion"
    unit: ClassVar[str] = "distance"
    counted: ClassVar[str] = "frames"
    sort_by = "x"
    data: MotionData
    network: MotionNetwork

    def __init__(self, data: MotionData, model: MotionNet) -> None:
        super().__init__(data, model)
        self.model: MotionNet = model
        self.balls = 0

    def wanted(self) -> list[str]:
        return ["frames", "positions"]

    def making(self) -> dict[str, Any]:
        return {name: getattr(self.data, name) for name in FILMED} | {"size": self.data.size}

    def read(self, path: Path) -> Iterator[Record]:
        return read_videos(path, self.data.size, self.bad)

    def parse(self, values: Mapping[str, Any]) -> Video:
        video = Video(values["frames"], values["positions"])
        if len(video.frames) < 3:
            raise BadValue("", f"at least 3 frames were expected, got {len(video.frames)}")
        balls = video.positions.shape[1]
        self.balls = self.balls or balls
        if balls != self.balls:
            raise BadValue("", f"positions of {self.balls} things were expected, got {balls}")
        return video

    def key(self, example: Video) -> bytes:
        return example.frames.tobytes()

    def learn(self, examples: Sequence[Video]) -> None:
        places = np.concatenate([example.positions for example in examples])
        self.box = torch.from_numpy(np.stack([places.min(0), places.max(0)]))

    def encode(self, examples: Sequence[Video]) -> Rows:
        frames, positions = zip(*examples, strict=True)
        return Rows({"x": Ragged.of(frames, torch.uint8), "p": Ragged.of(positions, torch.float32)})

    def learned(self) -> dict[str, Any]:
        return {"balls": self.balls, "box": self.box.tolist()}

    def recall(self, learned: Mapping[str, Any]) -> None:
        self.balls, self.box = learned["balls"], torch.tensor(learned["box"])

    def build(self) -> MotionNetwork:
        return MotionNetwork(self.model, self.data.size, self.balls)

    def terms(self, rows: Rows, indices: Tensor) -> int:
        return int(rows.lengths("x")[indices].sum()) - len(indices)

    def run(self, batch: Part, cut: int, ahead: int) -> Run:
        """See the first ``cut`` frames, or what there is of them, and go on for so many steps."""
        columns = batch.columns()
        frames = (columns["x"][:, :cut].float() / 255).transpose(0, 1)
        lengths = columns["x_lengths"].clamp(max=cut)
        seen = self.network.look(frames)
        said, state = self.network(seen, lengths)
        last = said[lengths - 1, torch.arange(len(lengths), device=said.device)]
        more = self.network.go_on(last, state, ahead - 1)
        return Run(seen, said, torch.cat([last[None], more])[:ahead])

    def criterion(self, batch: Part) -> Tensor:
        columns = batch.columns()
        steps, lengths = columns["x"].shape[1], columns["x_lengths"]
        drawn = int(torch.randint(2, steps, ())) if self.network.training else self.model.seen
        cut = min(drawn, steps - 1)
        run = self.run(batch, cut, steps - cut)
        true = columns["p"].transpose(0, 1)
        real = mask(lengths, steps, device=true.device).T
        said = torch.cat([run.said[:-1], run.ahead])
        loss: Tensor = (said - true[1:])[real[1:]].norm(dim=-1).sum()
        loss = loss + (run.seen.places - true[:cut])[real[:cut]].norm(dim=-1).sum()
        if self.network.brush is not None:
            loss = loss + self._painting(true[real], columns["x"].transpose(0, 1)[real])
        return loss / self.balls

    def _painting(self, places: Tensor, frames: Tensor) -> Tensor:
        assert self.network.brush is not None
        logits = self.network.brush(places)
        each = F.binary_cross_entropy_with_logits(logits, frames / 255, reduction="none")
        total: Tensor = each.mean((1, 2)).sum()
        return total

    def paths(self, rows: Rows) -> Paths:
        """What is said of rows after each of their frames, and rolled out after ``model.seen``."""

        def each(batch: Part) -> list[Paths]:
            said = self.run(batch, batch.columns()["x"].shape[1], 1).said
            ahead = self.run(batch, self.model.seen, self.model.ahead).ahead
            return list(map(Paths, _by_row(said), _by_row(ahead)))

        found = self.in_order(rows, each)
        said = pad_sequence([paths.said for paths in found], batch_first=True)
        return Paths(said[:, :-1], torch.stack([paths.ahead for paths in found]))

    def truth(self, rows: Rows) -> Truth:
        """Where things were, and for how many of the steps a roll-out has seen frames."""
        columns = rows.take(torch.arange(len(rows)))
        return Truth(columns["p"], columns["p_lengths"], self.model.seen)

    def evaluate(self, split: str) -> Metrics:
        rows = self.part(split)
        metrics = measured(self.paths(rows), self.truth(rows), self.box)
        if self.network.brush is not None:
            metrics["pixel_mse"] = self._pixels(rows)
        return metrics

    def score(self, metrics: Metrics) -> float:
        return metrics["rmse"]

    def next_frames(self, batch: Part) -> Tensor:
        """The frames after each (steps, batch, size, size), between 0 and 1, as they are painted.

        Raises:
            ConfigError: the network says positions alone.
        """
        if self.network.brush is None:
            raise ConfigError("no frames are told here: train with --model.predict frames")
        said = self.run(batch, batch.columns()["x"].shape[1], 1).said
        frames: Tensor = self.network.brush(said.flatten(0, 1)).sigmoid()
        return frames.view(*said.shape[:2], *frames.shape[1:])

    def _pixels(self, rows: Rows) -> float:
        """The mean squared error of the next frame's pixels, once two frames were seen."""

        def each(batch: Part) -> list[Tensor]:
            columns = batch.columns()
            true = columns["x"].transpose(0, 1) / 255
            real = mask(columns["x_lengths"], len(true), device=true.device).T[2:]
            errors = (self.next_frames(batch)[1:-1] - true[2:]).square().mean((2, 3))
            return [errors[:, row][real[:, row]].cpu() for row in range(errors.shape[1])]

        return float(torch.cat(self.in_order(rows, each)).double().mean())

    def tables(self, split: str) -> list[Table]:
        """How far off a roll-out is after so many steps."""
        rows, steps = self.part(split), self.model.ahead
        found = by_steps(self.paths(rows).ahead, self.truth(rows))
        shown = sorted({1, 2, 5, 10, steps} & set(range(steps + 1)))
        columns = ["steps ahead", "rmse"]
        return (
            [Table("roll-outs", columns, [[str(n), found[n - 1]] for n in shown])] if found else []
        )

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """From the true positions: on with the same velocity; the best guess from one of them."""
        models: dict[str, Next] = {"constant_velocity": straight}
        if has_scikit_learn():
            models["one_frame"] = self._one_frame()
        found: dict[str, dict[str, Metrics]] = {name: {} for name in models}
        for split, rows in self.parts.items():
            if split == "train":
                continue
            truth = self.truth(rows)
            for name, after in models.items():
                paths = foretold(after, truth, self.model.ahead)
                found[name][split] = measured(paths, truth, self.box)
            if self.model.predict == "frames":
                found.setdefault("last_frame", {})[split] = {"pixel_mse": copied(_frames(rows))}
        return found

    def _one_frame(self) -> Next:
        path = self.truth(self.parts["train"]).path
        real = mask(self.parts["train"].lengths("p"), path.shape[1])[:, 1:]
        flat = path.flatten(2).double()
        model = Neighbors(flat[:, :-1][real].numpy(), flat[:, 1:][real].numpy())
        return lambda last: torch.from_numpy(model(last[1].flatten(1).numpy())).view_as(last[1])

    def pictures(self, split: str) -> list[Picture]:
        """Some videos, with the path that things took and the one that was expected."""
        rows = self.part(split)
        return [films("path", self.shown(rows.select(range(min(SHOWN, len(rows))))))]

    def shown(self, rows: Rows) -> list[Shown]:
        """What a picture shows of rows: frames, true and expected path."""
        truth, ahead = self.truth(rows), self.paths(rows).ahead
        return [
            Shown(frames, truth.path[i, : truth.lengths[i]], truth.seen, ahead[i])
            for i, frames in enumerate(_frames(rows))
        ]

    def reads(self, path: Path) -> bool:
        return is_video(path)

    def rows_of(self, path: Path) -> Iterator[Mapping[str, Any]]:
        return (v for _, v in read_videos(path, self.data.size, self.bad, located=False))

    def answers(self, given: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Where things will be in the ``model.ahead`` steps after each video's last frame."""
        videos = list(given)
        return [
            {"video": values["video"], "frames": len(values["frames"]), "positions": path.tolist()}
            for values, path in zip(videos, self._after(videos), strict=True)
        ]

    def portraits(self, given: Iterable[Mapping[str, Any]]) -> list[Picture]:
        """Each video with the path that is expected after its end."""
        videos = list(given)
        return [
            films(Path(v["video"]).stem, [Shown(torch.from_numpy(v["frames"]), None, 0, path)])
            for v, path in zip(videos, self._after(videos), strict=True)
        ]

    def _after(self, videos: Sequence[Mapping[str, Any]]) -> list[Tensor]:
        frames = Ragged.of([video["frames"] for video in videos], torch.uint8)

        def each(batch: Part) -> list[Tensor]:
            return _by_row(self.run(batch, batch.columns()["x"].shape[1], self.model.ahead).ahead)

        return self.in_order(Rows({"x": frames}), each)


def _by_row(places: Tensor) -> list[Tensor]:
    """Each row's (steps, balls, 2) of (steps, batch, balls, 2), on the CPU."""
    return list(places.transpose(0, 1).cpu())


def _frames(rows: Rows) -> list[Tensor]:
    return [rows["x"][row] for row in range(len(rows))]
