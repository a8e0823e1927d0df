"""Captions in Flickr8k's layouts: where the files are, and which images are for what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from elman._errors import DataError
from elman.data import BadRows, read_captions

NAMES = ["dog", "cat", "cow", "hen", "owl"]
PARTS = {"train": ["dog", "cat"], "dev": ["cow"], "test": ["hen"]}


def flickr8k(folder: Path, texts: str = ".", images: str = "Flicker8k_Dataset") -> Path:
    """The folder as the two archives of Flickr8k leave it; no image is in it."""
    (folder / images).mkdir(parents=True)
    (folder / texts).mkdir(exist_ok=True)
    for name in NAMES:
        (folder / images / f"{name}.jpg").touch()
    lines = [f"{name}.jpg#{n}\ta {name} , {n} times" for name in NAMES for n in range(2)]
    (folder / texts / "Flickr8k.token.txt").write_text("\n".join(lines))
    (folder / texts / "Flickr8k.lemma.token.txt").write_text("other words")
    (folder / texts / "CrowdFlowerAnnotations.txt").write_text("no captions")
    for part, names in PARTS.items():
        text = "".join(f"{name}.jpg\n" for name in names)
        (folder / texts / f"Flickr_8k.{part}Images.txt").write_text(text)
    return folder


def splits(path: Path, bad: BadRows | None = None) -> dict[str, str | None]:
    records = read_captions(path, bad or BadRows())
    return {r.values["image"].stem: r.values.get("split") for r in records}


@pytest.mark.parametrize("texts", [".", "Flickr8k_text", "Flickr8k_Text"])
def test_lists_divide_the_images(tmp_path: Path, texts: str) -> None:
    folder = flickr8k(tmp_path, texts)
    # An image that no list names is for nothing, as in the original data set.
    assert splits(folder) == {"dog": "train", "cat": "train", "cow": "valid", "hen": "test"}
    images = [record.values["image"] for record in read_captions(folder, BadRows())]
    assert all(image.is_file() for image in images)


def test_without_a_list_for_training_the_rest_is_for_training(tmp_path: Path) -> None:
    folder = flickr8k(tmp_path)
    (folder / "Flickr_8k.trainImages.txt").unlink()
    (folder / "Flickr_8k.devImages.txt").unlink()
    assert splits(folder) == dict.fromkeys(NAMES) | {"hen": "test"}


def test_lists_stand_beside_any_captions_file(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("image,caption\na.jpg,one\nb.jpg,two\n")
    (tmp_path / "testImages.txt").write_text("b.jpg\r\n\r\n")
    assert splits(tmp_path) == {"a": None, "b": "test"}
    assert splits(tmp_path / "captions.txt") == {"a": None, "b": None}  # the file itself is named


def test_a_list_that_is_wrong_is_named_with_its_line(tmp_path: Path) -> None:
    folder = flickr8k(tmp_path)
    tested = folder / "Flickr_8k.testImages.txt"
    tested.write_text("hen.jpg\n\nbat.jpg\n")
    message = (
        f"{tested}, line 3: expected an image with a caption in {folder / 'Flickr8k.token.txt'}"
    )
    with pytest.raises(DataError, match=re.escape(f"{message}, got 'bat.jpg'")):
        splits(folder)
    bad = BadRows("skip")
    assert splits(folder, bad)["hen"] == "test"
    assert len(bad.skipped) == 1

    tested.write_text("hen.jpg\ndog.jpg\n")
    first = folder / "Flickr_8k.trainImages.txt"
    with pytest.raises(DataError) as error:
        splits(folder)
    message = str(error.value)
    assert message.startswith(f"{first}, line 1: expected an image of one list, got dog.jpg, ")
    assert f"which is in {tested}, line 2" in message


def test_several_files_of_captions_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "one.txt").touch()
    (tmp_path / "two.csv").touch()
    with pytest.raises(DataError, match=r"got one\.txt, two\.csv: name the file itself"):
        splits(tmp_path)
    with pytest.raises(DataError, match="got none"):
        splits(flickr8k(tmp_path / "new").joinpath("Flicker8k_Dataset"))
