"""Who may ask the lab, and what is served: without a worker."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from elman.lab import LESSONS
from elman.lab._asks import Place
from elman.lab._server import app

PORT, TOKEN = 8777, "the-token"
HOST = f"127.0.0.1:{PORT}"
COOKIE = f"elman-lab-{PORT}"


def get(path: str, place: Place | None = None, **headers: str) -> httpx.Response:
    """The answer to a request that has the token, unless the headers say otherwise."""

    async def ask() -> httpx.Response:
        lab: Any = app(place or Place(), PORT, TOKEN)
        transport = httpx.ASGITransport(lab)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            sent = {"cookie": f"{COOKIE}={TOKEN}", **headers}
            return await client.get(path, headers=sent)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"host": "evil.example"}, "the host must be"),
        ({"host": f"evil.example:{PORT}"}, "the host must be"),
        ({"host": f"127.0.0.1:{PORT + 1}"}, "the host must be"),
        ({"host": ""}, "the host must be"),
        ({"origin": "http://evil.example"}, "another origin"),
        ({"origin": f"http://127.0.0.1:{PORT + 1}"}, "another origin"),
        ({"origin": "null"}, "another origin"),
        ({"cookie": ""}, "token is missing or wrong"),
        ({"cookie": f"{COOKIE}=other"}, "token is missing or wrong"),
        ({"cookie": f"elman-lab-{PORT + 1}={TOKEN}"}, "token is missing or wrong"),
        ({"cookie": '"=;{}[]'}, "token is missing or wrong"),
    ],
)
def test_a_request_from_elsewhere_is_refused(headers: dict[str, str], said: str) -> None:
    answer = get("/lessons", **headers)
    assert answer.status_code == 403
    assert said in answer.text
    assert "open the address that `elman lab` printed" in answer.text


@pytest.mark.parametrize("token", ["", "wrong", "%C3%A9%FF", TOKEN + "x", TOKEN[:-1]])
def test_a_wrong_token_is_refused(token: str) -> None:
    assert get(f"/?token={token}", cookie="").status_code == 403


def test_the_address_gives_a_cookie_that_only_this_site_gets() -> None:
    answer = get(f"/?token={TOKEN}", cookie="")
    assert answer.status_code == 200
    assert answer.headers["set-cookie"] == f"{COOKIE}={TOKEN}; Path=/; HttpOnly; SameSite=Strict"
    assert "set-cookie" not in get("/").headers


def test_the_page_may_load_nothing_from_elsewhere_and_stand_in_no_frame() -> None:
    headers = get("/").headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"


def test_both_names_of_this_machine_are_served() -> None:
    assert get("/", host=f"localhost:{PORT}", origin=f"http://localhost:{PORT}").is_success


@pytest.mark.parametrize(
    "path",
    [
        "/../_server.py",
        "/..%2f_server.py",
        "/%2e%2e/_server.py",
        "/lessons/../../_server.py",
        "/lessons/..%2f..%2f/_server.py",
        "/lessons/none/stage.js",
        "//etc/passwd",
        "/page/..%2f..%2f..%2fpyproject.toml",
        "/vendor",
        "/%00.js",
    ],
)
def test_no_file_outside_of_the_page_is_served(path: str) -> None:
    assert get(path).status_code == 404


@pytest.mark.parametrize(("slug", "_"), LESSONS)
def test_the_modules_of_a_lesson_are_not_served_but_its_stage_is(slug: str, _: str) -> None:
    assert get(f"/lessons/{slug}/__init__.py").status_code == 404
    stage = get(f"/lessons/{slug}/stage.js")
    assert stage.headers["content-type"].startswith("text/javascript")


def test_lessons_come_with_their_texts_and_bounds() -> None:
    lessons = get("/lessons").json()
    assert [lesson["slug"] for lesson in lessons] == [slug for slug, _ in LESSONS]
    for lesson in lessons:
        assert lesson["text"]["predict"]["choices"]
        assert all(ask["settings"]["additionalProperties"] is False for ask in lesson["asks"])


def test_without_code_there_is_no_ask_for_it() -> None:
    facts = get("/lab").json()
    assert facts["code"]
    assert "own_cell.probe" in facts["asks"]
    assert "lstm" in facts["cells"]
    without = get("/lab", Place(code=False)).json()
    assert not without["code"]
    assert not [name for name in without["asks"] if name.startswith("own_cell")]


def test_runs_are_listed_and_a_broken_one_is_named(tmp_path: Path) -> None:
    good, broken = tmp_path / "a-1", tmp_path / "b-1"
    good.mkdir()
    broken.mkdir()
    (good / "config.toml").write_text('format = 3\ntask = "tag"\n[model]\ncell = "gru"\n')
    (good / "metrics.jsonl").write_text('{"event": "start"}\nnot JSON\n')
    (broken / "config.toml").write_text("format = 99")
    runs = {run["name"]: run for run in get("/runs", Place(tmp_path)).json()}
    assert runs["a-1"]["cell"] == "gru"
    assert "not finished" in runs["a-1"]["summary"]
    assert "format must be 3" in runs["b-1"]["summary"]
