from __future__ import annotations

import json

from elman.training._progress import Progress, RunningMeans


def test_progress_survives_json() -> None:
    progress = Progress(epoch=2, batch=1, window=7, update=40, best=0.1 + 0.2, stale=1)
    progress.tally.add(3.3, 5, 0.7, 1.0, 0.01)
    back = Progress.unpacked(json.loads(json.dumps(progress.packed())))
    assert back == progress


def test_what_else_a_checkpoint_says_is_left_alone() -> None:
    packed = {**Progress(update=3).packed(), "metrics_bytes": 9}
    assert Progress.unpacked(packed) == Progress(update=3)


def test_epochs_that_have_begun() -> None:
    assert Progress().epochs == 0
    assert Progress(window=1).epochs == 1
    assert Progress(epoch=1).epochs == 1
    assert Progress(epoch=1, batch=1).epochs == 2


def test_means() -> None:
    tally = RunningMeans()
    tally.add(6.0, 2, 1.0, 0.0, 0.5)
    tally.add(2.0, 2, 3.0, 1.0, 0.5)
    means = {"nats": 2.0, "norm": 2.0, "clipped": 0.5, "tokens_per_second": 4.0}
    assert tally.means("nats", "tokens") == means
    assert RunningMeans().means("mse", "rows")["mse"] == 0
