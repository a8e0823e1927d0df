"""What stands under a command was printed by that command, and the gallery by its runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from docs._build import outputs
from docs._build.blocks import PAGES, ROOT, blocks_of, commands

SHOWN = [page for page in PAGES if outputs.file_of(page).exists() and page.parent != ROOT]


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.stem)
def test_outputs_belong_to_the_commands_as_written(page: Path) -> None:
    blocks = {block.code: block for block in blocks_of(page.read_text(encoding="utf-8"))}
    kept = outputs.kept(page)
    again = f"python -m docs._build.outputs {page.stem}"
    assert not [code for code in kept if code not in blocks], f"no longer on the page: {again}"
    missing = [
        code
        for code, block in blocks.items()
        if block.language == "bash" and block.run and not block.needs and code not in kept
    ]
    assert not missing, f"without output: {again}"
    for code, printed in kept.items():
        if blocks[code].language == "bash":
            assert [one["command"] for one in printed] == commands(blocks[code])


def test_no_output_names_a_place_of_the_machine() -> None:
    for file in (*outputs.KEPT.glob("*.json"), *(outputs.KEPT.parent / "gallery").glob("*.json")):
        text = file.read_text(encoding="utf-8")
        places = (str(ROOT), str(Path.home()), "/tmp/", "site-packages")
        assert not [place for place in places if place in text], file


def test_a_block_is_followed_by_what_it_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "KEPT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("```bash\necho '<a>'\necho b\n```\n\n```python\nprint(2)\n```\n\nThe end.\n")
    outputs.keep(page, long=False)
    shown = outputs.pasted(page.read_text(encoding="utf-8"), page)
    assert "$ echo &#x27;&lt;a&gt;&#x27;</span>\n&lt;a&gt;\n" in shown
    assert shown.index("print(2)") < shown.index("<pre>2</pre>") < shown.index("The end.")
    page.write_text(page.read_text(encoding="utf-8").replace("echo b", "echo c"))
    assert "$ echo" not in outputs.pasted(page.read_text(encoding="utf-8"), page)


def test_a_command_that_fails_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "KEPT", tmp_path / "kept")
    page = tmp_path / "page.md"
    page.write_text("```bash\nfalse\n```\n")
    with pytest.raises(RuntimeError, match="false"):
        outputs.keep(page, long=False)
    assert not (tmp_path / "kept").exists()


def test_the_gallery_names_the_commands_that_made_it() -> None:
    gallery = pytest.importorskip("docs._build.gallery")
    files = list(gallery.KEPT.glob("*.json"))
    assert len(files) >= 4
    for file in files:
        kept = json.loads(file.read_text(encoding="utf-8"))
        assert kept["command"] == (gallery.RUNS | gallery.MEASURED)[file.stem]
