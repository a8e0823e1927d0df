"""The page in a browser: values under the pointer and by keys, and nothing of a run folder runs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from elman.pictures import COLORS, DARK_COLORS
from elman.reporting import Curve, LayerMeasures, Measures, ReportTable, report
from elman.training._run import Run
from elman.training._run_config import FORMAT

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

RUN = "<script>document.title='ran'</script>"
ATTACKS = (
    RUN,
    f"</script>{RUN}",
    '"><img src=x onerror="document.title=\'ran\'">',
    "' onmouseover='document.title=\"ran\"' x='",
    "%22%3E%3Cscript%3Edocument.title='ran'%3C/script%3E",
    "javascript:document.title='ran'",
)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run folder in which all text is an attack."""
    folder = tmp_path_factory.mktemp("hostile") / "run"
    words = [*ATTACKS, "cat", "sat"]
    three = (1.5, 1.0, 2.0)
    curve = Curve(fall=[1.0, 0.1, 0.01, 1e-3], half_life=three, horizon=three)
    layer = LayerMeasures(
        name=ATTACKS[0],
        cell=ATTACKS[1],
        gradient={ATTACKS[2]: curve},
        words=words,
        maps={ATTACKS[3]: [[0.1 * step, 0.5] for step in range(len(words))]},
        gates=[ATTACKS[3]],
        units=[7, 9],
        left_out={attack: attack for attack in ATTACKS},
    )
    table = ReportTable(title=ATTACKS[1], columns=list(ATTACKS), rows=[list(ATTACKS)])
    config = {
        "format": FORMAT,
        "task": "my own",
        "model": {"cell": RUN, "hidden": RUN},
        "data": {"name": RUN},
    }
    run = Run.create(folder, config, force=False)
    run.log({"event": "start", "metric": RUN, "higher_is_better": True, "update": 0, "epoch": 0})
    for update in (10, 20, 30):
        run.log({"event": "train", "nats": 1 / update, RUN: 2.0, "update": update, "epoch": 0})
    end = {"metrics": {"test": {RUN: 0.5}}, "baselines": {RUN: {"test": {RUN: 0.4}}}}
    run.log({"event": "end", "update": 30, "epoch": 1, **end})
    Measures(
        task=RUN, checkpoint="best", rows=1, steps=4, loss_steps=[3], layers=[layer],
        tables=[table], text=RUN,
    ).save(folder)  # fmt: skip
    return report([folder], findings={str(folder): [{"code": RUN, "problem": RUN}]})


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ]  # fmt: skip
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, page_file: Path) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.said.append(request.url))
    page.goto(page_file.as_uri())
    yield page
    context.close()


def use(page: Any) -> None:
    """Point at each figure, and go through its values by keys."""
    for plot in page.locator(".plot:visible").all():
        plot.hover()
        plot.focus()
        for key in ("ArrowRight", "ArrowDown", "ArrowRight", "Escape", "ArrowUp", "ArrowLeft"):
            page.keyboard.press(key)


def test_nothing_of_a_run_folder_runs(page: Any) -> None:
    use(page)
    assert page.title() == "run"
    assert page.said == [page.url]  # no error, and no request but the page itself
    assert page.locator("script").count() == 1


def test_escaping_alone_is_enough(browser: Any, page_file: Path, tmp_path: Path) -> None:
    raw = page_file.read_text(encoding="utf-8")
    bare = tmp_path / "bare.html"
    bare.write_text(re.sub(r"<meta http-equiv[^>]*>", "", raw), encoding="utf-8")
    page = browser.new_page()
    page.goto(bare.as_uri())
    use(page)
    assert page.title() == "run"
    assert page.locator("img").count() == 0


def test_the_policy_alone_is_enough(browser: Any, page_file: Path, tmp_path: Path) -> None:
    raw = page_file.read_text(encoding="utf-8")
    for attack in (RUN, ATTACKS[2][2:]):
        spoiled = tmp_path / "spoiled.html"
        spoiled.write_text(raw.replace("</body>", f"{attack}</body>"), encoding="utf-8")
        page = browser.new_page()
        page.goto(spoiled.as_uri())
        assert page.title() == "run"
        spoiled.write_text(re.sub(r"<meta http-equiv[^>]*>", "", spoiled.read_text("utf-8")))
        page.goto(spoiled.as_uri())
        page.wait_for_function("document.title === 'ran'")  # the attack is one


def test_a_pointer_reads_values(page: Any) -> None:
    plot = page.locator("#training .plot")
    reading = page.locator("#training .reading")
    box = plot.locator("svg").bounding_box()
    plot.hover(position={"x": box["width"] * 0.92, "y": box["height"] * 0.15})
    text = reading.inner_text()
    assert text.startswith("update 30")
    assert "training 0.03333" in text
    assert page.locator("#training .mark circle").count() == 1
    page.mouse.move(1, 1)
    assert "arrow keys" in reading.inner_text()
    assert page.locator("#training .mark").count() == 0


def test_keys_read_values(page: Any) -> None:
    reading = page.locator("#gates .reading")
    page.locator("#gates .plot").focus()
    page.keyboard.press("ArrowRight")
    assert reading.inner_text().startswith(f"{ATTACKS[3]} 0unit 7step {ATTACKS[0]}")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    assert reading.inner_text().startswith(f"{ATTACKS[3]} 0.5unit 9step {ATTACKS[2]}")
    page.keyboard.press("Escape")
    assert "arrow keys" in reading.inner_text()
    # Time runs to the loss, so that the key to the right has fewer steps before it.
    page.locator("#gradient .plot").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#gradient .reading").inner_text().startswith("steps before the loss 1")
    page.keyboard.press("ArrowRight")
    assert page.locator("#gradient .reading").inner_text().startswith("steps before the loss 0")


def test_a_download_is_the_file_beside_the_page(page: Any, page_file: Path) -> None:
    for kind in ("csv", "json", "svg"):
        with page.expect_download() as started:
            page.locator(f"#gates a.{kind}").click()
        assert started.value.suggested_filename == f"gates.{kind}"
        content = Path(started.value.path()).read_bytes()
        assert content == (page_file.parent / f"gates.{kind}").read_bytes()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_lines_and_text_are_seen(browser: Any, page_file: Path, scheme: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    script = "a => [...document.querySelectorAll(a)].map(e => getComputedStyle(e)[%r])"
    text = page.evaluate(script % "color", "p, td, th, h1, h2, h3, a, summary, figcaption")
    assert min(contrast(color, ground) for color in text) >= 4.5
    names = [f"--line-{number}" for number in range(6)]
    lines = page.evaluate(
        "n => n.map(v => getComputedStyle(document.documentElement).getPropertyValue(v))", names
    )
    least = 4.5 if scheme == "dark" else 3
    assert min(contrast(color, ground) for color in lines) >= least
    drawn = page.evaluate(script % "stroke", "#gradient svg path[style*='--line-0']")
    assert {contrast(color, ground) for color in drawn} == {contrast(lines[0], ground)}
    context.close()


def test_the_dark_colors_of_pictures_are_those_of_the_page() -> None:
    from importlib import resources

    css = resources.files("elman.reporting").joinpath("page.css").read_text(encoding="utf-8")
    _, light, dark = css.split("--line-0: ")
    assert dark.startswith("#56b4e9")
    for number, color in enumerate(DARK_COLORS[1:-1], 1):
        assert f"--line-{number}: {color.lower()}" in dark
        assert contrast(color, "#202328") >= 4.5
    assert f"--line-1: {COLORS[1].lower()}" in light


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""
    low, high = sorted(map(_luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: str) -> float:
    color = color.strip()
    if color.startswith("#"):
        parts = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
    else:
        parts = [int(float(part)) for part in re.findall(r"[\d.]+", color)[:3]]
    shares = [part / 255 for part in parts]
    linear = [s / 12.92 if s <= 0.03928 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
