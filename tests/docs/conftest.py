"""The site, built once for all tests that look at it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from docs._build.blocks import ROOT

from browser.conftest import browser  # noqa: F401 - a fixture of these tests, too


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the strict build, which several processes of pytest-xdist share."""
    base = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent
    folder, log = base / "site", base / "site.log"
    with (base / "site.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not log.exists():
            build = subprocess.run(
                [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
                cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True,
                text=True, check=False,
            )  # fmt: skip
            log.write_text(f"{build.stderr}\n{build.returncode}\n", encoding="utf-8")
    told = log.read_text(encoding="utf-8")
    assert told.endswith("\n0\n"), told
    return folder
