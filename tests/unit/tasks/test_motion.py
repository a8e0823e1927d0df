"""Motion: where a ball goes next, from its frames alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import elman
from elman import ConfigError, DataError
from elman.cli import main
from elman.data import records
from elman.data._ball import ball
from elman.pictures import save
from elman.tasks import Motion, MotionData, MotionNet, side_by_side
from elman.tasks._motion_paths import Truth, bounces, measured, predicted, straight
from elman.training import config_class, train

SMALL: dict[str, Any] = {"rows": 40, "steps": 12, "size": 12, "batch": 8}
NET: dict[str, Any] = {"hidden": 6, "channels": 3, "context": 4, "ahead": 6}


def prepared(data: dict[str, Any] | None = None, **model: Any) -> Motion:
    task = Motion.prepare(
        MotionData.parse({**SMALL, **(data or {})}), MotionNet.parse({**NET, **model})
    )
    torch.manual_seed(0)
    task.network = task.build()
    return task


def saved_gif(path: Path, steps: int, seed: int) -> Path:
    (film,) = ball(1, steps, seed, noise=0.0, size=32, speed=0.08)
    first, *rest = map(Image.fromarray, film["frames"])
    first.save(path, save_all=True, append_images=rest, duration=40)
    return path


@pytest.mark.parametrize(
    ("data", "model"),
    [
        ({}, {}),
        ({"balls": 2, "occlusion": True}, {"encoder": "linear", "cell": "lstm", "layers": 2}),
        ({}, {"cell": "feedforward"}),
        ({}, {"cell": "elman", "predict": "frames"}),
    ],
)
def test_every_kind_of_network_is_measured(data: dict[str, Any], model: dict[str, Any]) -> None:
    task = prepared(data, **model)
    task.network.train()
    batch = task.batches("train")[0]
    task.criterion(batch).backward()
    assert all(p.grad is not None for p in task.network.parameters())
    metrics = task.evaluate("test")
    assert ("pixel_mse" in metrics) == ("predict" in model)
    baselines = task.baselines()
    assert ("last_frame" in baselines) == ("predict" in model)
    assert metrics["true_bounces"] == baselines["one_frame"]["test"]["true_bounces"]
    assert baselines["constant_velocity"]["test"]["rmse"] < baselines["one_frame"]["test"]["rmse"]


def test_a_step_at_a_time_gives_what_the_whole_gives_and_the_future_changes_nothing() -> None:
    task = prepared()
    task.network.eval()
    rows, batch = task.part("valid"), task.batches("valid")[0]
    whole = task.run(batch, 12, 1).following
    for cut in (2, 7):
        run = task.run(batch, cut, 3)
        torch.testing.assert_close(run.following, whole[:cut])
        torch.testing.assert_close(run.ahead[0], whole[cut - 1])
    assert len(task.paths(rows).following) == len(rows)


def test_padding_changes_nothing(tmp_path: Path) -> None:
    for number in range(12):
        saved_gif(tmp_path / f"{number}.gif", 8 + number % 3, number)
    task = prepared({"train": [tmp_path], "rows": None, "steps": None})
    together = task.paths(task.part("train"))
    lengths = task.truth(task.part("train")).lengths
    task.batch_rows = 1
    alone = task.paths(task.part("train"))
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(
            alone.following[row, : length - 1], together.following[row, : length - 1]
        )
        torch.testing.assert_close(alone.ahead[row], together.ahead[row])
    assert set(task.evaluate("valid")) >= {"rmse"}


@pytest.mark.parametrize("predict", ["positions", "frames"])
def test_films_that_are_shorter_than_what_is_to_be_seen(tmp_path: Path, predict: str) -> None:
    for number in range(12):
        saved_gif(tmp_path / f"{number}.gif", 3 + number % 3, number)
    task = prepared({"train": [tmp_path], "rows": None, "steps": None}, context=10, predict=predict)
    task.network.train()
    task.criterion(task.batches("train")[0]).backward()
    metrics, baselines = task.evaluate("test"), task.baselines()
    assert not {"rollout_rmse", "inside"} & set(metrics)  # no film goes on for so long
    assert "rmse" in metrics
    assert set(baselines["constant_velocity"]["test"]) == {"rmse"}
    assert task.tables(task.predict("test")) == []
    drawn = [*task.plots(task.predict("test")), side_by_side({"one": task})]
    assert [file.suffix for file in save(drawn, tmp_path / "drawn")] == [".png", ".svg"] * 2


def test_metrics_of_what_is_known() -> None:
    path = torch.zeros(2, 8, 1, 2)
    path[0, :, 0, 0] = torch.arange(8) / 10
    truth = Truth(path, torch.tensor([8, 5]), context=3)
    box = torch.tensor([[[0.0, 0.0]], [[0.6, 0.0]]])
    right = measured(predicted(straight, truth, 5), truth, box)
    assert right["rmse"] == pytest.approx(0, abs=1e-6)
    assert right["rollout_rmse"] == pytest.approx(0, abs=1e-6)
    assert right["inside"] == 0  # it is at 0.7 in the end
    still = measured(predicted(lambda last: last[1], truth, 5), truth, box)
    assert still["rmse"] == pytest.approx((6 * 0.01 / 9) ** 0.5)  # 6 steps move by 0.1, 3 do not
    assert still["rollout_rmse"] == pytest.approx((0.01 * (1 + 4 + 9 + 16 + 25) / 5) ** 0.5)
    assert still["inside"] == 1
    short = measured(predicted(straight, truth, 6), truth, box)
    assert set(short) == {"rmse"}  # no row has six frames to come


def test_bounces_are_those_of_the_simulator() -> None:
    path = torch.tensor([[0.5, 0.5], [0.6, 0.3], [0.7, 0.1], [0.8, 0.2], [0.7, 0.25], [0.6, 0.2]])
    assert bounces(path[None, :, None]).tolist() == [2]  # the floor, then the side; not the apex


def test_only_what_is_made_can_be_chosen(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only generated videos have the options balls, noise"):
        MotionData.parse({"train": [tmp_path], "balls": 2, "noise": 0.1})
    task = prepared()
    batch = task.batches("valid")[0]
    with pytest.raises(ConfigError, match="this network predicts no frames"):
        task.next_frames(batch)


def test_videos_with_other_numbers_of_things(tmp_path: Path) -> None:
    for name, columns in {"a": "x,y", "b": "x1,y1,x2,y2"}.items():
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("L", (9, 9)).save(tmp_path / name / f"{number}.png")
        row = ",".join("1" for _ in columns.split(","))
        (tmp_path / name / "positions.csv").write_text(f"{columns}\n{row}\n{row}\n{row}\n")
    with pytest.raises(DataError, match=r"b: positions of 1 things were expected, got 2"):
        prepared({"train": [tmp_path], "rows": None, "steps": None})


def test_short_videos(tmp_path: Path) -> None:
    saved_gif(tmp_path / "a.gif", 2, 0)
    with pytest.raises(DataError, match=r"a.gif: at least 3 frames were expected, got 2"):
        prepared({"train": [tmp_path], "rows": None, "steps": None})


@pytest.mark.slow
def test_a_network_that_remembers_knows_the_direction(tmp_path: Path) -> None:
    settings = {
        "data": {**SMALL, "rows": 300, "noise": 0.0, "gravity": 0.0, "speed": 0.06},
        "model": {**NET, "hidden": 48, "channels": 4},
        "train": {"epochs": 14, "lr": 0.01},
    }
    result = train(config_class("motion").parse(settings), tmp_path / "run")
    rmse, guess = result.metrics["test"]["rmse"], result.baselines["one_frame"]["test"]["rmse"]
    assert rmse < 0.95 * guess  # which no network that sees one frame can do
    task = elman.load(result.run.path)
    assert task.evaluate("test") == result.metrics["test"]
    assert {file.name for file in result.pictures} == {"path.png", "path.svg"}
    one, other = prepared({"noise": 0.0}), prepared({"noise": 0.0}, cell="feedforward")
    files = save([side_by_side({"GRU": one, "one frame": other}, row=1)], tmp_path)
    text = files[1].read_text(encoding="utf-8")
    assert "GRU: " in text
    assert "one frame: " in text
    assert "frame 1" in text
    assert "true path" in text


def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = [f"--data.{k}={v}" for k, v in SMALL.items()] + [
        f"--model.{k}={v}" for k, v in NET.items()
    ]
    assert main(["train", "motion", *small, "--train.max_steps", "3", "--json"]) == 0
    end = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(end["baselines"]) == {"constant_velocity", "one_frame"}
    saved_gif(tmp_path / "mine.gif", 9, 3)
    command = ["predict", end["run"], "--input", "mine.gif"]
    assert main([*command, "--json", "--pictures", "drawn"]) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert (answer["video"], answer["frames"]) == ("mine.gif", 9)
    assert np.array(answer["positions"]).shape == (6, 1, 2)
    assert sorted(f.name for f in Path("drawn").iterdir()) == ["mine.png", "mine.svg"]
    assert "picture drawn/mine.png" in err
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("mine.gif\n  frames: 9\n  positions: [[0.")
    Path("videos").mkdir()
    saved_gif(Path("videos/a.gif"), 11, 4)
    Path("videos/b.gif").write_bytes(b"broken")
    assert main(["evaluate", end["run"], "videos"]) == 3
    assert "videos/b.gif: cannot be read as a video" in capsys.readouterr().err
    assert main(["evaluate", end["run"], "videos", "--on-bad-row", "skip", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["data"]["rows"] == {"test": 1}
    assert found["data"]["bad_rows"] == 1
    assert main(["predict", end["run"], "--text", "up"]) == 2


def test_baselines_alone(capsys: pytest.CaptureFixture[str]) -> None:
    small = [f"--data.{key}={value}" for key, value in SMALL.items()]
    frames = ["--model.predict", "frames"]
    assert main(["baseline", "motion", *small, *frames, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["baselines"]
    assert set(found) == {"constant_velocity", "one_frame", "last_frame"}
    assert 0 < found["last_frame"]["test"]["pixel_mse"] < 0.1


def test_a_video_in_which_nothing_can_be_found_is_answered_still(tmp_path: Path) -> None:
    frames = [Image.new("L", (12, 12))] * 4
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    task = prepared()
    (row,) = task.rows_of(tmp_path / "a.gif")
    assert len(task.answers([row])[0]["positions"]) == 6


def test_weights_of_the_same_seed_are_the_same(tmp_path: Path) -> None:
    settings = {"data": SMALL, "model": NET, "train": {"max_steps": 6}}
    weights = []
    for name in "ab":
        train(config_class("motion").parse(settings), tmp_path / name)
        weights.append(load_file(tmp_path / name / "checkpoints/last/model.safetensors"))
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key])


def test_the_catalog_makes_what_is_chosen() -> None:
    film = next(records("ball", "motion", rows=2, steps=5, balls=3, size=9)).values
    assert film["frames"].shape == (5, 9, 9)
    assert film["positions"].shape == (5, 3, 2)
