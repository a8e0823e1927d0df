"""Every reader by its file: how a sound file is made, and what reads one.

This table is all that the fuzzer knows of elman. A reader that is redesigned keeps its line here.
"""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Reader(NamedTuple):
    """``write`` makes a sound file, and what lies beside it; ``read`` reads it whole.

    ``damage`` is the file that is damaged, if it is another one than what is read; ``shape`` is how
    (`mutations.SHAPES`).
    """

    file: str
    write: Callable[[Path], object]
    read: Callable[[Path, Any], object]
    shape: str = "bytes"
    damage: str = ""


WORDS = ["the", "cat", "sat", "on", "the", "mat", "and", "this", "dog", "lay", "on", "that", "log"]


def exhaust(rows: Iterable[Any]) -> None:
    for _ in rows:
        pass


def bad(action: Any) -> Any:
    from elman.data import BadRows

    return BadRows(action)


def packed(write: Callable[[Path], object]) -> Callable[[Path], object]:
    """The same file, compressed."""

    def compress(path: Path) -> None:
        write(path)
        path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))

    return compress


def text(path: Path, encoding: str = "utf-8") -> None:
    lines = [" ".join([*WORDS[i % 9 :], f"numb\u00e9r {i}"]) for i in range(40)]
    path.write_text("\n".join(lines), encoding=encoding)


def csv(path: Path) -> None:
    rows = [f'"a ""good"", {i}",{i % 2},"=SUM({i})"' for i in range(30)]
    path.write_text("\n".join(["text,label,note", *rows, '"two\nlines",1,\'=x']) + "\n")


def tsv(path: Path) -> None:
    path.write_text("text\tlabel\n" + "".join(f"good {i}\t{i % 2}\n" for i in range(30)))


def json_lines(path: Path) -> None:
    rows = [{"text": f"good {i}", "label": i % 2, "more": {"a": [i, 1.5]}} for i in range(30)]
    path.write_text("\n".join(map(json.dumps, rows)))


def parquet(path: Path, **options: Any) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = {
        "text": [f"good {i % 7}" for i in range(60)],
        "label": [i % 2 for i in range(60)],
        "series": [[i * 0.5, 1.0] for i in range(60)],
        "tokens": [WORDS[i % 5 :] for i in range(60)],
        "day": pa.array(range(60), pa.date32()),
    }
    parquet.write_table(pa.table(rows), path, **options)


def columns(path: Path) -> None:
    path.write_text(
        "\n".join(f"{w}\tX\tB-{i % 3}" if i % 6 else "" for i, w in enumerate(WORDS * 9))
    )


def conllu(path: Path) -> None:
    line = "{}\t{}\t_\tNOUN\tNN\tCase=Nom\t0\troot\t_\t_"
    words = "\n".join(line.format(i, word) for i, word in enumerate(WORDS, 1))
    path.write_text(f"# sent_id = 1\n1-2\tab\t_\t_\t_\t_\t_\t_\t_\t_\n{words}\n\n{words}\n")


def parallel(path: Path) -> None:
    for name in (path.name, "b" + path.name[1:]):
        text(path.with_name(name))


def vectors(path: Path) -> None:
    rows = [f"{word} {i} 0.5 -1e-3 {i}.25" for i, word in enumerate(WORDS)]
    path.write_text("\n".join([f"{len(rows)} 4", *rows]))


def midi(path: Path) -> None:
    import mido

    track = mido.MidiTrack(
        [
            mido.MetaMessage("set_tempo", tempo=500_000),
            mido.MetaMessage("key_signature", key="Eb"),
            mido.MetaMessage("time_signature", numerator=3, denominator=4),
            mido.MetaMessage("lyrics", text="la la"),
            mido.Message("sysex", data=[1, 2, 3]),
        ]
    )
    for i in range(30):
        track.append(mido.Message("note_on", note=50 + i % 20, velocity=64, time=120))
        track.append(mido.Message("note_off", note=50 + i % 20, time=240))
    mido.MidiFile(type=1, ticks_per_beat=480, tracks=[track, track]).save(path)


def score() -> str:
    note = (
        "<note>{}<pitch><step>{}</step><alter>-1</alter><octave>{}</octave></pitch>"
        "<duration>{}</duration></note>"
    )
    attributes = (
        "<attributes><divisions>4</divisions><transpose><chromatic>-2</chromatic>"
        "<octave-change>1</octave-change></transpose></attributes>"
    )
    measure = attributes + "".join(
        note.format("<chord/>" if i % 3 == 1 else "", "CDEFGAB"[i % 7], 3 + i % 3, 1 + i % 4)
        for i in range(8)
    )
    measure += "<backup><duration>4</duration></backup><forward><duration>2</duration></forward>"
    part = f"<part>{f'<measure>{measure}</measure>' * 3}</part>"
    return f'<?xml version="1.0"?><score-partwise>{part}{part}</score-partwise>'


def musicxml(path: Path) -> None:
    path.write_text(score())


def mxl(path: Path) -> None:
    container = '<container><rootfiles><rootfile full-path="a.xml"/></rootfiles></container>'
    with zipfile.ZipFile(path, "w") as archive:
        for name, inside in (("META-INF/container.xml", container), ("a.xml", score())):
            archive.writestr(zipfile.ZipInfo(name), inside, zipfile.ZIP_DEFLATED)


def matlab(path: Path, **options: Any) -> None:
    from scipy.io import savemat

    def cells(*rolls: Any) -> Any:
        some = np.empty((1, len(rolls)), object)
        for i, roll in enumerate(rolls):
            some[0, i] = roll
        return some

    roll = (np.random.default_rng(0).random((9, 88)) < 0.1).astype(float)
    sets = {"traindata": cells(roll, roll[:4]), "testdata": cells(roll.astype(np.uint8))}
    savemat(path, sets, **options)
    stamped = bytearray(path.read_bytes())
    stamped[:116] = b"MATLAB 5.0 MAT-file".ljust(116)  # it has the time of day in it
    path.write_bytes(stamped)


def pixels(seed: int = 0, size: tuple[int, int] = (12, 16)) -> Any:
    from PIL import Image

    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    return Image.fromarray(noise)


def image(path: Path, **options: Any) -> None:
    pixels().save(path, **options)


def palette(path: Path) -> None:
    pixels().convert("P").save(path, transparency=3)


def animation(path: Path) -> None:
    frames = [pixels(i) for i in range(5)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40)


def film(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.thread_count = 1
        for i in range(8):
            frame = av.VideoFrame.from_image(pixels(i, (32, 32)))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def film_folder(path: Path) -> None:
    for i in range(4):
        pixels(i).save(path.parent / f"{i}.png")
    (path.parent / "positions.csv").write_text(
        "x,y\n" + "".join(f"{i},{i + 1}\n" for i in range(4))
    )


def captions(path: Path) -> None:
    path.write_text("image,caption\n" + "".join(f'{i % 4}.png,"a dog, {i}"\n' for i in range(12)))


def flickr(path: Path) -> None:
    path.write_text("".join(f"{i % 4}.png#{i}\ta dog {i}\n" for i in range(12)))


def tokens(path: Path) -> None:
    np.save(path, np.arange(100, dtype=np.uint16))


def vocabulary(path: Path) -> None:
    from elman.data import Vocabulary

    Vocabulary.train([" ".join(WORDS)] * 3, "word", eos=True).save(path)


def rows(path: Path) -> None:
    import torch

    from elman.data import Ragged, Rows

    Rows({"x": Ragged.of([[1, 2], [3]], torch.int32), "y": torch.tensor([0, 1])}).save(path)


def series(path: Path) -> None:
    days = [f"2020-{1 + i // 28:02}-{1 + i % 28:02},{i}.5,a,{i % 7}" for i in range(84)]
    path.write_text("\n".join(["time,value,name,day", *days]))


def numbers(path: Path) -> None:
    rows = [
        {"series": [[i, 1.5], [2, i]], "target": i / 2, "label": "ab"[i % 2]} for i in range(20)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))


def number_columns(path: Path) -> None:
    path.write_text("x1,x2,x3,target\n" + "".join(f"{i},0.5,-1e3,{i / 2}\n" for i in range(20)))


def number_texts(path: Path) -> None:
    path.write_text("series,target\n" + "".join(f"{i} 0.5 -1e3,{i / 2}\n" for i in range(20)))


def read_table(path: Path, action: Any) -> None:
    from elman.data import read_table

    exhaust(read_table(path, ["text", "label"], bad(action)))


def read_text(path: Path, action: Any, encoding: str = "utf-8") -> None:
    from elman.data import TextSource

    exhaust(TextSource(path, encoding=encoding))


def read_utf16(path: Path, action: Any) -> None:
    read_text(path, action, "utf-16")


def read_utf16_table(path: Path, action: Any) -> None:
    from elman.data import read_table

    exhaust(read_table(path, ["text"], bad(action), encoding="utf-16"))


def utf16_table(path: Path) -> None:
    path.write_text("text,label\n" + "".join(f"\u4e2d {i},1\n" for i in range(20)), "utf-16")


def read_tagged(path: Path, action: Any) -> None:
    from elman.data import read_tagged

    exhaust(read_tagged(path, bad(action)))


def read_parallel(path: Path, action: Any) -> None:
    from elman.data import read_parallel

    other = path.with_name("b" + path.name[1:])
    exhaust(read_parallel(path, other, ("a", "b"), bad(action)))


def read_vectors(path: Path, action: Any) -> None:
    from elman.data import read_vectors

    read_vectors(path, WORDS)


def read_music(path: Path, action: Any) -> None:
    from elman.data import piano_roll, read_music

    rows = bad(action)
    for place, values in read_music(path, rows):
        with rows.place(place):
            if "notes" in values:
                piano_roll(values["notes"], 0.5)


def read_image(path: Path, action: Any) -> None:
    from elman.data import read_image

    read_image(path, 8)


def read_videos(path: Path, action: Any) -> None:
    from elman.data import read_videos

    exhaust(read_videos(path, 8, bad(action)))


def read_film_folder(path: Path, action: Any) -> None:
    read_videos(path.parent, action)


def read_captions(path: Path, action: Any) -> None:
    from elman.data import read_captions

    exhaust(read_captions(path, bad(action)))


def read_tokens(path: Path, action: Any) -> None:
    from elman.data import open_tokens

    int(open_tokens(path).sum())


def read_vocabulary(path: Path, action: Any) -> None:
    from elman.data import Vocabulary

    Vocabulary.load(path).encode("the cat sat\n")


def read_rows(path: Path, action: Any) -> None:
    from elman.data import Rows

    Rows.load(path)


def read_with_itself(path: Path, action: Any) -> None:
    from elman.data import read_parallel

    exhaust(read_parallel(path, path, ("a", "b"), bad(action)))


def by_task(name: str, **data: Any) -> Callable[[Path, Any], None]:
    """What a task makes of each row."""

    def read(path: Path, action: Any) -> None:
        from elman import tasks

        task, section, network = (getattr(tasks, name + end) for end in ("", "Data", "Net"))
        task(section(train=[path], on_bad_row=action, **data), network()).source.from_files([path])

    return read


def read_forecast(path: Path, action: Any) -> None:
    from elman.tasks import Forecast, ForecastData, ForecastNet

    options: Any = {"series": "name", "known": ["day"], "horizon": 3, "on_bad_row": action}
    Forecast.prepare(ForecastData(train=[path], **options), ForecastNet())


def idx(path: Path) -> None:
    """Images, and their labels beside them."""
    draw = np.random.default_rng(0)
    for kind, shape, most in (("images-idx3", (30, 4, 5), 256), ("labels-idx1", (30,), 10)):
        header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
        content = draw.integers(0, most, shape).astype(np.uint8).tobytes()
        path.with_name(f"a-{kind}-ubyte").write_bytes(header + content)


def idx_packed(path: Path) -> None:
    """The images compressed, the labels not."""
    idx(path)
    path.write_bytes(gzip.compress(path.with_suffix("").read_bytes(), mtime=0))


def read_idx(path: Path, action: Any) -> None:
    from elman.data import read_table

    exhaust(read_table(path, ["series", "label"], bad(action)))


def latin_png(path: Path) -> None:
    pixels().convert("LA").save(path)


def exif(path: Path) -> None:
    picture = pixels()
    notes = picture.getexif()
    notes[0x0112] = 6
    picture.save(path, exif=notes)


READERS: dict[str, Reader] = {
    "text": Reader("a.txt", text, read_text, "text"),
    "text-gz": Reader("a.txt.gz", packed(text), read_text, "gzip"),
    "text-utf16": Reader("a.txt", lambda path: text(path, "utf-16"), read_utf16, "text"),
    "csv": Reader("a.csv", csv, read_table, "text"),
    "csv-gz": Reader("a.csv.gz", packed(csv), read_table, "gzip"),
    "csv-utf16": Reader("a.csv", utf16_table, read_utf16_table, "text"),
    "tsv": Reader("a.tsv", tsv, read_table, "text"),
    "json-lines": Reader("a.jsonl", json_lines, read_table, "text"),
    "json-lines-gz": Reader("a.jsonl.gz", packed(json_lines), read_table, "gzip"),
    "parquet": Reader("a.parquet", parquet, read_table),
    "parquet-plain": Reader(
        "a.parquet",
        lambda path: parquet(path, compression="none", use_dictionary=False),
        read_table,
    ),
    "tagged": Reader("a.txt", columns, read_tagged, "text"),
    "conllu": Reader("a.conllu", conllu, read_tagged, "text"),
    "conllu-gz": Reader("a.conllu.gz", packed(conllu), read_tagged, "gzip"),
    "parallel": Reader("a.txt", parallel, read_parallel, "text"),
    "vectors": Reader("a.vec", vectors, read_vectors, "text"),
    "vectors-gz": Reader("a.vec.gz", packed(vectors), read_vectors, "gzip"),
    "midi": Reader("a.mid", midi, read_music),
    "musicxml": Reader("a.musicxml", musicxml, read_music, "text"),
    "mxl": Reader("a.mxl", mxl, read_music, "zip"),
    "mat": Reader("a.mat", matlab, read_music),
    "mat-compressed": Reader(
        "a.mat", lambda path: matlab(path, do_compression=True), read_music, "mat"
    ),
    "png": Reader("a.png", image, read_image, "png"),
    "png-palette": Reader("a.png", palette, read_image, "png"),
    "png-gray": Reader("a.png", latin_png, read_image, "png"),
    "jpeg": Reader("a.jpg", exif, read_image),
    "bmp": Reader("a.bmp", image, read_image),
    "tiff": Reader("a.tif", lambda path: image(path, compression="tiff_lzw"), read_image),
    "webp": Reader("a.webp", image, read_image),
    "gif": Reader("a.gif", palette, read_image),
    "gif-video": Reader("a.gif", animation, read_videos),
    "webp-video": Reader("a.webp", animation, read_videos),
    "mp4": Reader("a.mp4", film, read_videos),
    "avi": Reader("a.avi", film, read_videos),
    "mkv": Reader("a.mkv", film, read_videos),
    "frames": Reader("0.png", film_folder, read_film_folder, "png"),
    "positions": Reader("0.png", film_folder, read_film_folder, "text", "positions.csv"),
    "captions": Reader("captions.csv", captions, read_captions, "text"),
    "captions-flickr": Reader("captions.txt", flickr, read_captions, "text"),
    "tokens": Reader("a.npy", tokens, read_tokens),
    "vocabulary": Reader("tokenizer.json", vocabulary, read_vocabulary, "text"),
    "rows": Reader("a.safetensors", rows, read_rows),
    "classify": Reader("a.csv", csv, by_task("Classify", text="text", label="label"), "text"),
    "classify-gz": Reader(
        "a.csv.gz", packed(csv), by_task("Classify", text="text", label="label"), "gzip"
    ),
    "parallel-with-itself": Reader("a.txt", text, read_with_itself, "text"),
    "classify-series": Reader(
        "a.jsonl", numbers, by_task("Classify", series="series", label="label"), "text"
    ),
    "regress": Reader("a.jsonl", numbers, by_task("Regress", series="series"), "text"),
    "regress-columns": Reader("a.csv", number_columns, by_task("Regress", series="x*"), "text"),
    "regress-texts": Reader("a.csv", number_texts, by_task("Regress", series="series"), "text"),
    "idx": Reader("a-images-idx3-ubyte", idx, read_idx),
    "idx-gz": Reader("a-images-idx3-ubyte.gz", idx_packed, read_idx, "gzip"),
    "idx-labels": Reader("a-images-idx3-ubyte", idx, read_idx, "bytes", "a-labels-idx1-ubyte"),
    "idx-classify": Reader(
        "a-images-idx3-ubyte", idx, by_task("Classify", series="series", permute=1)
    ),
    "forecast": Reader("a.csv", series, read_forecast, "text"),
    "tag": Reader("a.conllu", conllu, by_task("Tag"), "text"),
    "translate": Reader("a.csv", csv, by_task("Translate", source="text", target="note"), "text"),
}
