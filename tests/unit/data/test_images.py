"""Images as bytes, whatever their file is like, and the files that say what is on them."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from elman._errors import DataError
from elman.data import BadRows, BadValue, read_captions, read_image, records


def captions(path: Path, bad: BadRows | None = None, **options: object) -> dict[str, list[str]]:
    found = read_captions(path, bad or BadRows(), **options)  # type: ignore[arg-type]
    return {record.values["image"].name: record.values["captions"] for record in found}


@pytest.fixture
def dog(tmp_path: Path) -> Path:
    """Left red, right blue, and twice as wide as high."""
    pixels = np.zeros((30, 60, 3), np.uint8)
    pixels[:, :30, 0] = pixels[:, 30:, 2] = 255
    Image.fromarray(pixels).save(tmp_path / "dog.png")
    return tmp_path / "dog.png"


def test_an_image_is_squeezed_into_a_square(dog: Path) -> None:
    image = read_image(dog, 6)
    assert image.shape == (3, 6, 6)
    assert image[:, 2, 0].tolist() == [255, 0, 0]
    assert image[:, 2, 5].tolist() == [0, 0, 255]
    assert np.array_equal(read_image(np.asarray(Image.open(dog)), 6), image)


def test_it_is_turned_as_the_camera_says(dog: Path) -> None:
    image = Image.open(dog)
    about = image.getexif()
    about[0x0112] = 6  # to be turned a quarter to the right
    image.save(dog, exif=about)
    turned = read_image(dog, 6)
    assert turned[:, 0, 2].tolist() == [255, 0, 0]
    assert turned[:, 5, 2].tolist() == [0, 0, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "clear.png"
    options = {"transparency": 0} if mode == "P" else {}
    Image.new(mode, (9, 9), 0).save(path, **options)
    assert (read_image(path, 4) == 255).all()


def test_a_large_photograph(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.new("L", (3000, 2000), 100).save(path)
    assert (read_image(path, 4) == 100).all()


def test_what_is_no_image(tmp_path: Path, dog: Path) -> None:
    with pytest.raises(BadValue, match=r"column 'image': .*cat.png: no such file"):
        read_image(tmp_path / "cat.png", 4)
    dog.write_bytes(dog.read_bytes()[:60])
    with pytest.raises(BadValue, match=r"column 'image': .*dog.png: cannot be read: .*truncated"):
        read_image(dog, 4)
    dog.write_text("a dog")
    with pytest.raises(BadValue, match="cannot be read: cannot identify"):
        read_image(dog, 4)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "captions.csv",
            'image,caption\ndog.png,a dog\ncat.png,"a cat, asleep"\ndog.png,one dog\n',
        ),
        (
            "captions.txt",
            'image,caption\ndog.png,a dog\ncat.png,"a cat, asleep"\ndog.png,one dog\n',
        ),
        ("names.tsv", "image\tcaption\ndog.png\ta dog\ncat.png\ta cat, asleep\ndog.png\tone dog\n"),
        ("a.txt", "dog.png#0\ta dog\ncat.png#0\ta cat, asleep\n\ndog.png#1\tone dog\n"),
        (
            "a.jsonl",
            json.dumps({"image": "dog.png", "caption": ["a dog", "one dog"]})
            + "\n"
            + json.dumps({"image": "cat.png", "caption": "a cat, asleep"}),
        ),
    ],
)
def test_every_layout_says_the_same(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    expected = {"dog.png": ["a dog", "one dog"], "cat.png": ["a cat, asleep"]}
    assert captions(tmp_path / name) == expected
    assert captions(tmp_path) == expected


def test_where_the_images_are(tmp_path: Path) -> None:
    file = tmp_path / "captions.csv"
    file.write_text("image,caption\ndog.png,a dog\n")

    def place(images: Path | None = None) -> Path:
        image: Path = next(read_captions(file, BadRows(), images=images)).values["image"]
        return image

    assert place() == tmp_path / "dog.png"
    (tmp_path / "Images").mkdir()
    (tmp_path / "Images" / "dog.png").touch()
    assert place() == tmp_path / "Images" / "dog.png"
    assert place(tmp_path / "mine") == tmp_path / "mine" / "dog.png"


@pytest.mark.parametrize("images", ["Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset"])
@pytest.mark.parametrize("name", ["captions.txt", "Flickr8k.token.txt"])
def test_the_layouts_of_flickr8k_are_found(tmp_path: Path, images: str, name: str) -> None:
    numbered = name == "Flickr8k.token.txt"
    (tmp_path / name).write_text(
        "dog.jpg#0\ta dog\n" if numbered else "image,caption\ndog.jpg,a dog"
    )
    if numbered:  # what else lies in that folder
        (tmp_path / "Flickr_8k.trainImages.txt").write_text("dog.jpg\n")
        (tmp_path / "readme.txt").touch()
    (tmp_path / images).mkdir()
    (tmp_path / images / "dog.jpg").touch()
    [record] = read_captions(tmp_path, BadRows())
    listed = {"split": "train"} if numbered else {}
    assert record.values == {
        "image": tmp_path / images / "dog.jpg", "captions": ["a dog"], **listed,
    }  # fmt: skip


def test_bad_rows_are_named(tmp_path: Path) -> None:
    file, bad = tmp_path / "a.txt", BadRows("skip")
    file.write_text("dog.png#0\ta dog\ncat.png a cat\ncat.png#1\t \ndog.png#1\tone dog\n")
    assert captions(file, bad) == {"dog.png": ["a dog", "one dog"]}
    assert [line.removeprefix(f"{file}, ") for line in bad.skipped] == [
        "line 2: expected NAME#NUMBER, a tab and a text, got 'cat.png a cat\\n'",
        "line 3, column 'caption': expected a text, got ' '",
    ]
    with pytest.raises(DataError, match=r"a.txt, line 2: expected NAME#NUMBER.*--on-bad-row skip"):
        captions(file)


def test_a_folder_with_more_than_one_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected one file of captions .* got none"):
        captions(tmp_path)
    for name in ("a.csv", "b.tsv"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"got a.csv, b.tsv: name the file itself"):
        captions(tmp_path)


def test_emoji_are_drawn_in_color() -> None:
    drawn = [record.values for record in islice(records("openmoji", "caption"), 400)]
    austria = next(row["image"] for row in drawn if row["caption"] == "Austria")
    assert austria[26, 42].tolist() == austria[58, 42].tolist()
    assert austria[26, 42, 0] > 150 > austria[26, 42, 1:].max()  # red, white, red
    assert austria[42, 42].tolist() == [255, 255, 255]
    assert all(row["image"].std() > 5 for row in drawn)
    assert len({row["caption"] for row in drawn}) == 400


def test_a_name_that_no_file_can_have_is_no_crash(tmp_path: Path) -> None:
    file = tmp_path / "captions.csv"
    file.write_text(f"image,caption\n{'a' * 5000}.png,a dog\n")
    [record] = read_captions(file, BadRows())
    with pytest.raises(BadValue, match="no such file"):
        read_image(record.values["image"], 4)


@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
def test_an_open_quote_in_the_header_of_captions(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('"image,caption\n1.png,a dog\n')
    with pytest.raises(DataError, match=rf"{name}, line 1: a quote opens here and is not closed"):
        list(read_captions(tmp_path / name, BadRows()))


def test_a_caption_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"1.png#0\tein M\xe4dchen\n")
    with pytest.raises(DataError, match=r"a\.txt, line 1: byte 0xe4 is not utf-8"):
        list(read_captions(tmp_path / "a.txt", BadRows()))
