"""Music: which keys of the piano sound next, and pieces made of such answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from elman import metrics as measure
from elman import pictures
from elman._errors import DataError
from elman.baselines import LastFrame, Marginal
from elman.bptt import State
from elman.data import BadRows, BadValue, Ragged, Record, Rows, synthesize, write_midi
from elman.data.music import (
    KEYS,
    STEPS,
    Roll,
    is_music,
    key_name,
    notes_of,
    piano_roll,
    read_music,
)
from elman.metrics import Metric
from elman.scan import mask
from elman.tasks._features import Feature
from elman.tasks._music_config import MusicAsked, MusicData, MusicNet
from elman.tasks._music_net import MusicNetwork
from elman.tasks._music_pictures import composed, expected
from elman.tasks._music_rows import Pieces, frames_of, rolls
from elman.tasks._source import RowSource
from elman.tasks._supervised import Part, Supervised
from elman.tasks._task import Metrics


class PianoRoll(Feature):
    """A piece as frames (frames, 88), each key sounding or not."""

    columns = ("notes",)

    def __init__(self, step: str) -> None:
        self.step = STEPS[step]

    def parse(self, values: Mapping[str, Any]) -> Roll:
        roll: Roll | None = values.get("roll")
        if roll is None:
            roll = piano_roll(values["notes"], self.step)
        if len(roll) < 2:
            raise BadValue("", f"a piece of at least 2 frames was expected, got {len(roll)}")
        return roll

    def key(self, value: Roll) -> tuple[int, bytes]:
        """Equal for pieces that are the same in another key."""
        lowest = int(value.any(0).argmax())
        return len(value), np.roll(value, -lowest, 1).tobytes()

    def encode(self, values: Sequence[Roll]) -> Ragged:
        return frames_of(values)


class FramePredictions(NamedTuple):
    """The network's predictions for pieces; each list has one entry a piece.

    Attributes:
        rows: the pieces.
        nll: -ln p of each frame (T,).
        frames: the likeliest frames (T, 88), booleans.
        probabilities: P(key) in each frame (T, 88).
    """

    rows: Rows
    nll: list[Tensor]
    frames: list[Tensor]
    probabilities: list[Tensor]


class Music(Supervised):
    r"""The next frame of a piece, over and over: polyphonic music as rolls of 88 keys.

    .. math:: L = -\frac1N \sum_{b,t} \ln p(v_{b,t} \mid v_{b,<t}), \qquad v_{b,t} \in \{0, 1\}^{88}

    The metric "nll" is this sum over the keys of a frame, and the mean over all frames but a
    piece's first, as the papers below have it; "accuracy" is TP / (TP + FP + FN) over the same
    frames, of the likeliest keys. Make one with `prepare`, train it with
    `elman.training.fit`, load it with `elman.load`.

    Example:
        >>> import tempfile
        >>> from elman.data.music import Note
        >>> folder = Path(tempfile.mkdtemp())
        >>> for i in range(10):
        ...     write_midi(folder / f"{i}.mid", [Note(t, t + 1, 60 + i * t % 7) for t in range(5)])
        >>> task = Music.prepare(MusicData(train=[folder]), MusicNet(hidden=4))
        >>> sorted(task.evaluate("test")), task.compose(3).shape
        (['accuracy', 'nll'], (3, 88))

    References:
        Boulanger-Lewandowski, Bengio & Vincent 2012, "Modeling temporal dependencies in
        high-dimensional sequences".
        Bai, Kolter & Koltun 2018, "An empirical evaluation of generic convolutional and recurrent
        networks for sequence modeling".
    """

    name: ClassVar[str] = "music"
    unit: ClassVar[str] = "nll"
    metric = Metric("nll")
    counted: ClassVar[str] = "frames"
    sort_by = "frames"
    data: MusicData
    network: MusicNetwork

    def __init__(self, data: MusicData, model: MusicNet) -> None:
        self.roll = PianoRoll(data.step)
        features: Any = {"inputs": {"frames": self.roll}, "targets": {}}
        super().__init__(data, model, **features, read=_read, splits=True)

    def facts(self) -> dict[str, Any]:
        frames = {s: int((rows.lengths("frames") - 1).sum()) for s, rows in self.parts.items()}
        return super().facts() | {"frames": frames}

    def build(self) -> MusicNetwork:
        return MusicNetwork(self.model)

    def terms(self, rows: Rows, indices: Tensor) -> int:
        return int((rows.lengths("frames")[indices] - 1).sum())

    def batch_of(self, rows: Rows, indices: Tensor) -> Pieces:
        return Pieces(rows, indices, self.terms(rows, indices), self.device)

    def lengths(self) -> list[int]:
        return [batch.steps for batch in self.batches("train")]

    def initial_state(self, rows: int) -> State:
        return self.network.initial_state(rows)

    def loss(
        self, batch: Part, start: int, stop: int, state: State, with_loss: bool = True
    ) -> tuple[Tensor, State]:
        assert isinstance(batch, Pieces)
        frames, after, lengths = batch.window(start, stop)
        hidden, state = self.network(frames, state, lengths)
        if not with_loss:
            return hidden, state
        real = mask(lengths, len(frames)).T
        return self._nll(hidden[real], after[real])[1].sum(), state

    def criterion(self, batch: Part) -> Tensor:
        return self.loss(batch, 0, batch.steps, None)[0]

    def _nll(self, hidden: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """P(key | those below it, or not) for frames (N, 88), and -ln p(frame) (N,)."""
        network = self.network
        scores = network.output(F.dropout(hidden, network.dropout, network.training), frames)
        nll = F.binary_cross_entropy_with_logits(scores, frames, reduction="none").sum(-1)
        return scores.sigmoid(), nll

    def frames(self, rows: Rows) -> FramePredictions:
        """The predictions for any pieces, in their order."""

        def run(batch: Part) -> list[tuple[Tensor, Tensor, Tensor]]:
            assert isinstance(batch, Pieces)
            frames, after, lengths = batch.window(0, batch.steps)
            hidden, _ = self.network(frames, None, lengths)
            pieces = []
            for row, steps in enumerate(lengths.tolist()):
                states, real = hidden[:steps, row], after[:steps, row]
                p, nll = self._nll(states, real)
                likeliest = self.network.output.draw(states, torch.zeros_like(real))
                pieces.append((nll.double().cpu(), likeliest.bool().cpu(), p.cpu()))
            return pieces

        nll, frames, probabilities = map(list, zip(*self.in_order(rows, run), strict=True))
        return FramePredictions(rows, nll, frames, probabilities)

    def predict(self, split: str) -> FramePredictions:
        return self.frames(self.part(split))

    def metrics(self, predictions: FramePredictions) -> Metrics:
        nll = torch.cat([each[1:] for each in predictions.nll])
        return self._measured(nll, [each[1:] for each in predictions.frames], predictions.rows)

    def _measured(self, nll: Tensor, frames: Sequence[Tensor], rows: Rows) -> Metrics:
        """Of frames from each piece's second on."""
        true = torch.cat([roll[1:] for roll in rolls(rows)])
        accuracy = measure.frame_accuracy(torch.cat(list(frames)), true)
        return {"nll": float(nll.mean()), "accuracy": accuracy}

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """How often each key sounds, and how often where it did, or did not, a frame before."""
        train = [roll.numpy() for roll in rolls(self.parts["train"])]
        models: dict[str, Marginal | LastFrame] = {
            "marginal": Marginal(train),
            "last_frame": LastFrame(train),
        }
        return self.baseline_metrics(
            {name: partial(self._measured_of, model) for name, model in models.items()}
        )

    def _measured_of(self, model: Marginal | LastFrame, rows: Rows) -> Metrics:
        pieces = rolls(rows)
        p = [torch.from_numpy(model.probabilities(piece[:-1].numpy())) for piece in pieces]
        true = torch.cat([piece[1:] for piece in pieces]).double()
        nll = F.binary_cross_entropy(torch.cat(p), true, reduction="none").sum(-1)
        return self._measured(nll, [q > 0.5 for q in p], rows)

    def plots(self, predictions: FramePredictions) -> list[pictures.Picture]:
        """A piece, over the probability of each key in each of its frames."""
        roll, p = rolls(predictions.rows)[0].numpy(), predictions.probabilities[0].numpy()
        return [expected(roll, p, STEPS[self.data.step])]

    @torch.no_grad()
    def compose(
        self, length: int, prime: Roll | None = None, *, temperature: float = 1.0, seed: int = 0
    ) -> Roll:
        """A new piece (frames, 88): the prime, and ``length`` frames more, one after the other.

        Args:
            length: frames to add.
            prime: frames to go on from.
            temperature: below 1 favors likely notes, 0 leaves nothing to chance.
            seed: the same seed gives the same music.
        """
        self.network.eval()
        begun = np.zeros((0, KEYS), np.uint8) if prime is None else prime
        generator = torch.Generator(self.device).manual_seed(seed)
        frames = [torch.zeros(1, KEYS), *torch.tensor(begun).float().unsqueeze(1)]
        hidden, state = self.network(torch.stack(frames).to(self.device))
        for _ in range(length):
            chance = torch.rand(1, KEYS, generator=generator, device=self.device)
            noise = temperature * chance.logit(eps=1e-7)
            frame = self.network.output.draw(hidden[-1], noise)
            frames.append(frame.cpu())
            hidden, state = self.network(frame.unsqueeze(0), state)
        roll: Roll = torch.cat(frames[1:]).to(torch.uint8).numpy()
        return roll

    def generated(self, options: MusicAsked, folder: Path) -> Iterator[dict[str, Any]]:
        """A piece as a MIDI file, a picture, and sound where a synthesizer is installed."""
        prime = (
            None if options.prime is None else self._prime(options.prime)[: options.prime_frames]
        )
        roll = self.compose(
            options.length, prime, temperature=options.temperature, seed=options.seed
        )
        step = STEPS[self.data.step]
        midi = options.output or folder / "generated" / f"seed-{options.seed}.mid"
        write_midi(midi, notes_of(roll, step), options.tempo)
        answer = {"midi": str(midi), "frames": len(roll), "seed": options.seed}
        if pictures.available():
            picture = composed(midi.stem, roll, 0 if prime is None else len(prime), step)
            answer["picture"] = str(pictures.save([picture], midi.parent)[0])
        else:
            answer["no_picture"] = pictures.MISSING
        wave = midi.with_suffix(".wav")
        missing = synthesize(midi, wave)
        yield answer | ({"no_wav": missing} if missing else {"wav": str(wave)})

    def _prime(self, path: Path) -> Roll:
        if path.suffix.lower() == ".mat":
            raise DataError(f"{path}: a set of pieces: give one piece, MIDI or MusicXML")
        bad = BadRows()
        place, values = next(read_music(path, bad))
        with bad.place(place):
            return self.roll.parse(values)

    def accepts(self, path: Path) -> bool:
        return is_music(path) or path.is_dir()

    def rows_of(self, path: Path) -> Iterator[Mapping[str, Any]]:
        for place, values in self.source.records([path]):
            with self.source.bad.place(place):
                if values.get("split") in (None, "test"):
                    yield {"piece": values["piece"], "roll": self.roll.parse(values)}

    def answers(self, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """How likely the frames of a piece are, and the keys that are expected after its end."""
        pieces = list(rows)
        predictions = self.frames(self.input_rows(pieces))
        answers = []
        for values, nll in zip(pieces, predictions.nll, strict=True):
            following = self.compose(1, values["roll"], temperature=0)[-1]
            answer = {"piece": values["piece"], "frames": len(nll), "nll": float(nll[1:].mean())}
            answers.append(answer | {"next": [key_name(key) for key in following.nonzero()[0]]})
        return answers


def _read(source: RowSource[Any], files: Sequence[Path]) -> Iterator[Record]:
    for file in files:
        yield from read_music(file, source.bad)
