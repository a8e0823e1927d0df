"""The page of runs: whole, harmless, and quiet in a browser."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
import subprocess
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest

from elman._errors import CheckpointError, ConfigError
from elman.baselines import NAMES
from elman.cli import main
from elman.cli._request import ALIASES, parse_request
from elman.cli._train import OPTIONS
from elman.reporting import MEASURES_FILE, Measures, ReportTable, _page, measure, report
from elman.reporting._command import SHORT, command
from elman.reporting._page import el
from elman.training import config_class, train
from elman.training._run import Run

EVIL = "<script>alert(1)<img src=x onerror=alert(2)>"
VOID = {"meta", "link", "br", "img", "source"}
HINT = "Point at the figure, tap it, or focus it and press the arrow keys to read values."
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Seen(HTMLParser):
    """Every element with its attributes, and which were left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tiny runs, one of a hostile name and with hostile words."""
    folder = tmp_path_factory.mktemp("report")
    text = folder / "book.txt"
    text.write_text(
        "the cat <b>sat</b> on the $mat and 5$ &amp; a 猫 \x01\n" * 24, encoding="utf-8"
    )
    for name, cell, layers in ((EVIL, "lstm", 1), ("plain", "elman", 2)):
        tree = {
            "data": {"train": [text], "lanes": 2, "eval_lanes": 1},
            "model": {"hidden": 6, "layers": layers, "cell": cell},
            "train": {"max_steps": 4, "watch": True, "threads": 1},
        }
        path = train(config_class("language").parse(tree), folder / name).run.path
        measure(path, "the cat <b>sat</b> on 5$ 猫 \x01", figures=False)  # the page draws its own
    return folder


@pytest.fixture(scope="module")
def both(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    findings = {str(trained / EVIL): [finding()], str(trained / "plain"): []}
    checked = {str(trained / "plain"): {"gates <b>": "0% saturated", "clipping": "3%"}}
    runs = [trained / EVIL, trained / "plain"]
    return report(runs, tmp_path_factory.mktemp("p"), findings=findings, checked=checked)


def finding() -> dict[str, object]:
    remedy = {
        "what": "clip <i>it</i>",
        "flags": "--train.clip_limit 1",
        "reference": "Pascanu 2013",
    }
    return {"code": "E-X", "problem": "it <u>explodes", "figure": "9 > 1", "remedies": [remedy]}


def test_the_page_is_whole_and_points_nowhere(both: Path) -> None:
    raw = both.read_text(encoding="utf-8")
    seen = Seen(raw)
    assert not seen.open
    assert len(raw) < 3_000_000
    own = ("http-equiv", "http://www.w3.org", "data:application", "data:text", "data:image")
    assert "http" not in re.sub("|".join(own), "", raw)
    for tag, attributes in seen.elements:
        assert tag not in {"iframe", "object", "embed", "b", "u", "i"}
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "srcset", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    ids = [attributes["id"] for _, attributes in seen.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert len(seen.tags("script")) == 1
    targets = {a["href"][1:] for a in seen.tags("use") if a.get("href")}
    assert targets <= set(ids)


def test_only_the_script_of_the_package_may_run(both: Path) -> None:
    raw = both.read_text(encoding="utf-8")
    [policy] = [a["content"] for a in Seen(raw).tags("meta") if "http-equiv" in a]
    [script] = re.findall("<script>(.*?)</script>", raw, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert policy is not None
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_each_figure_has_its_values_to_download(both: Path) -> None:
    seen = Seen(both.read_text(encoding="utf-8"))
    for name in (a["id"] for a in seen.tags("figure")):
        links = {}
        for a in seen.tags("a"):
            if (a.get("download") or "").startswith(f"{name}."):
                kind, _, text = (a["href"] or "").partition(",")
                links[kind] = unquote(text)
        rows = list(csv.DictReader(io.StringIO(links["data:text/csv;charset=utf-8"])))
        assert rows
        assert all(None not in row.values() and None not in row for row in rows)
        data = json.loads(links["data:application/json;charset=utf-8"])
        assert data["name"] == name
        kinds = {panel["kind"]: panel for panel in data["panels"]}
        points = sum(
            len(panel["values"]) * len(panel["values"][0])
            if panel["kind"] == "map"
            else sum(len(line["x"]) for line in panel["lines"])
            for panel in data["panels"]
        )
        assert kinds
        assert len(rows) == points
        svg = ET.fromstring(links["data:image/svg+xml;charset=utf-8"])
        assert svg.tag == "{http://www.w3.org/2000/svg}svg"


def test_samples_of_predictions_stand_beside_their_inputs(trained: Path) -> None:
    measures = Measures.load(trained / "plain")
    assert measures is not None
    samples = {table.title: table for table in measures.tables}["samples"]
    assert samples.columns == ["input", "predictions", "target", "probability of the target"]
    assert len(samples.rows) > 1
    for prompt, _, word, probability in samples.rows:
        assert str(prompt).endswith(" ...")
        assert word
        assert 0 < float(probability or 0) < 1


def test_every_figure_is_there_and_beside_it(both: Path) -> None:
    seen = Seen(both.read_text(encoding="utf-8"))
    names = {a["id"] for a in seen.tags("figure")}
    assert names == {
        "training", "gradient", "gradient-map", "jacobian", "lyapunov",
        "contribution-1", "contribution-2", "gates-1", "gates-2",
    }  # fmt: skip
    for name in names:
        assert (both.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (both.parent / f"{name}.svg").exists()
        data = json.loads((both.parent / f"{name}.json").read_text(encoding="utf-8"))
        assert data["panels"]
    for text in (EVIL, "<b>sat</b>", "猫", "5$", "E-X: it <u>explodes", "No problems found."):
        assert text in seen.text


def test_a_sentence_on_top_says_what_it_is_how_good_and_what_was_checked(both: Path) -> None:
    seen = Seen(both.read_text(encoding="utf-8"))
    assert len([a for a in seen.tags("p") if a.get("class") == "lead"]) == 2
    top = seen.text.partition("parameters")[2].partition("best validation")[0]
    trained = r"trained on book\.txt \(language\) for 4 updates \(1 epoch\) in [\d.]+ s: test perp"
    assert re.search(trained, top)
    assert "than the best baseline (" in top
    assert "The doctor found E-X." in top
    assert "The doctor found no problems (checked: gates <b>, clipping)." in top
    assert "gates <b>: 0% saturated" in seen.text.partition("what was checked")[2]


def test_baselines_stand_beside_the_runs(both: Path) -> None:
    text = Seen(both.read_text(encoding="utf-8")).text
    table = text.partition("Results")[2].partition("Findings")[0]
    assert {"unigram", "bigram"} <= {name for name in NAMES if name in table}
    assert EVIL in table
    assert "best validation" in text


def test_ink_follows_the_page(both: Path) -> None:
    raw = both.read_text(encoding="utf-8")
    svg = raw[raw.index("<svg") : raw.rindex("</svg>")]
    assert "#000000" not in svg
    assert "currentColor" in svg
    assert "prefers-color-scheme: dark" in raw


def test_measures_are_kept_and_read_again(trained: Path) -> None:
    gated, plain = (Measures.load(trained / name) for name in (EVIL, "plain"))
    assert gated is not None
    assert plain is not None
    (layer,) = gated.layers
    assert layer.words[0] == "<eos>"
    assert "".join(layer.words[1:]) == "thecat<b>sat</b>on5$猫\x01"
    assert set(layer.gradient) == {"h", "c"}
    assert layer.gates == ["store", "forget", "output"]
    assert len(layer.maps["forget"]) == len(layer.words)
    lower, upper = plain.layers
    assert lower.words == upper.words == layer.words
    assert lower.jacobian is not None
    assert upper.lyapunov is not None


def test_layers_that_read_other_words_have_ticks_of_their_own(tmp_path: Path) -> None:
    table = tmp_path / "rows.tsv"
    lines = ["source\ttarget", *(f"a {i}\tein b {i}" for i in range(30))]
    table.write_text("\n".join(lines), encoding="utf-8")
    tree = {
        "data": {"train": [table]},
        "model": {"hidden": 4, "embedding": 4, "cell": "elman", "bidirectional": False},
        "train": {"max_steps": 1, "threads": 1},
    }
    run = train(config_class("translate").parse(tree), tmp_path / "run").run.path
    found = measure(run, "a 7")
    words = {layer.name.split(".")[0]: layer.words for layer in found.layers}
    assert words["encoder"] == ["a", "7", "<eos>"]
    assert words["decoder"][0] == "<eos>"
    for layer in found.layers:
        assert {len(steps) for steps in layer.maps.values()} == {len(layer.words)}
    drawn = (run / "flow" / "gates.svg").read_text(encoding="utf-8")
    assert drawn.count("&lt;eos&gt;") == 2
    seen = Seen(report([run]).read_text(encoding="utf-8"))
    dark = [a["srcset"] or "" for a in seen.tags("source")]
    assert len(dark) == len(seen.tags("img")) > 0
    assert all(source.startswith("data:image/png") for source in dark)


def test_pictures_that_do_not_fit_are_said_to_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_page, "LIMIT", 2000)
    pictures = [el("figure", el("div", el("img", src="data:" + 900 * "x"))) for _ in range(3)]
    drawn = el("figure", el("svg"), el("figcaption", "the gradient"))
    body = el("body", drawn, *pictures)
    _page._fit(body)
    assert ["".join(figure.itertext()) for figure in body] == [
        "the gradient",
        "",
        *(["too large for this page: see the run folder"] * 2),
    ]


def test_a_table_of_many_classes_has_the_whole_width(trained: Path) -> None:
    classes = [f"class{n}" for n in range(7)]
    wide = ReportTable(
        title="taken for", columns=["", *classes], rows=[[c, *range(7)] for c in classes]
    )
    narrow = wide.model_copy(update={"columns": ["", "a"], "rows": [["a", 1.0]]})
    run = Run.open(trained / "plain")
    for table, kind in ((wide, "whole"), (narrow, None)):
        measures = Measures(
            task="x", checkpoint="best", rows=1, steps=1, loss_steps=[], layers=[], tables=[table]
        )
        entry = _page.RunEntry("plain", run, [], measures, None, ())
        part = _page._predictions(entry, several=True)
        assert part.get("class") == kind
        assert [th.text or "" for th in part.iter("th")] == table.columns
    css = resources.files("elman.reporting").joinpath("page.css").read_text(encoding="utf-8")
    assert ".whole { grid-column: 1 / -1 }" in css


def test_damaged_measures_are_refused(trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained / "plain", tmp_path / "copy")
    for content, problem in (
        ("{", "damaged"),
        ("{}", "the format must be 4, got None"),
        ('{"format": 3}', "the format must be 4, got 3"),
        ('{"format": 4}', "damaged"),
    ):
        (copy / MEASURES_FILE).write_text(content)
        with pytest.raises(CheckpointError, match=f"flow.json: {problem}: `elman flow` writes it"):
            report([copy])
    with pytest.raises(ConfigError, match="different ones"):
        report([copy, copy])


def test_the_command_trains_the_same_run(trained: Path) -> None:
    config = Run.open(trained / "plain").config
    said = command(config)
    assert said is not None
    asked = parse_request("train", "", shlex.split(said)[2:], OPTIONS)
    assert asked is not None
    assert asked.config.toml() == config
    assert command({"task": "my own"}) is None

    data = {"train": ["rows.csv"], "lowercase": False, "unique": False}
    config = config_class("classify").parse({"data": data, "train": {"watch": True}}).toml()
    said = command(config)
    assert said is not None
    asked = parse_request("train", "", shlex.split(said)[2:], OPTIONS)
    assert asked is not None
    assert asked.config.toml() == config


TYPED = """
    classify
    classify --data parity
    classify --data parity --seed 3 --train.max_steps 150 --watch
    classify rows.jsonl --data.series x --data.max_length 400
    classify a.csv --on-bad-row skip --valid b.csv --valid c.csv --model.no-bidirectional
    language --data kjv --data.lines 3000 --model.cell elman --model.hidden 64 --train.epochs 1
    forecast --data co2
    forecast x.csv --data.series shop --data.known day --data.horizon 6
    translate --data emoji --train.betas 0.8 0.9
    caption --data openmoji
    music --train.patience 4
    tag a.conllu --data.no-unique
"""


@pytest.mark.parametrize("typed", [line.strip() for line in TYPED.strip().splitlines()])
def test_the_command_is_what_was_typed(typed: str) -> None:
    words = shlex.split(typed)
    asked = parse_request("train", "", words, OPTIONS)
    assert asked is not None
    assert command(asked.config.toml()) == shlex.join(["elman", "train", *words])


def test_the_short_forms_are_those_of_the_command_line() -> None:
    assert {short.replace("-", "_"): key for key, short in SHORT.items()}.items() <= ALIASES.items()


@pytest.mark.slow
def test_from_the_command_line(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained / "plain"
    assert main(["report", str(run), "--text", "the cat"]) == 0
    out, err = capsys.readouterr()
    assert Path(out.split()[1]).name == "report.html"
    for stage in ("measuring gradients", "predicting", "writing the report"):
        assert re.search(rf"^{stage} \.\.\. \d+\.\d s$", err, re.MULTILINE), stage
    assert (run / "report" / "gates.svg").exists()
    assert not (run / "flow" / "gates.png").exists()  # nothing is drawn twice
    text = Seen((run / "report" / "report.html").read_text(encoding="utf-8")).text
    assert "what was checked" in text
    assert "(checked: baselines, " in text
    found = Measures.load(run)
    assert found is not None
    assert found.layers[0].words == ["<eos>", "the", "cat"]
    assert main(["flow", str(run), "--text", "the cat"]) == 0
    assert re.search(
        r"^measuring gradients \.\.\. \d+\.\d s$", capsys.readouterr().err, re.MULTILINE
    )
    assert (run / "flow" / "gates.png").exists()
    assert main(["flow", str(run / "none")]) == 3
    assert "not a run folder" in capsys.readouterr().err


def in_browser(file: Path, profile: Path) -> tuple[str, list[str]]:
    """The page as a browser has it, and what it complains of."""
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--dump-dom",
    ]
    run = subprocess.run(
        [str(CHROMIUM), *options, f"--user-data-dir={profile}", file.as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return run.stdout, [line for line in run.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_has_nothing_to_say(both: Path, tmp_path: Path) -> None:
    dom, said = in_browser(both, tmp_path / "profile")
    assert said == []
    assert dom.count("<figure") == 9
    assert dom.count(HINT) == 1 + 9  # in the script, and below each figure
    spoiled = tmp_path / "spoiled.html"
    outside = '<img src="https://example.org/x.png"></body>'
    spoiled.write_text(both.read_text(encoding="utf-8").replace("</body>", outside))
    assert "Content Security Policy" in in_browser(spoiled, tmp_path / "profile")[1][0]
