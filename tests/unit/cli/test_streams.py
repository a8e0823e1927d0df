"""Standard streams that are closed, full or gone, and words that the locale cannot read."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from elman._errors import ConfigError
from elman.cli._output import as_json, log
from elman.cli._streams import logging_to_stderr, text_of

COMMAND = f"{sys.executable} -m elman.cli"


def shell(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of a line; paths of this test's elman are inherited."""
    return subprocess.run(
        ["/bin/sh", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )


@pytest.mark.parametrize("arguments", ["data list", "train language --json", "--help"])
def test_a_closed_standard_output_is_said_at_once(arguments: str) -> None:
    done = shell(f"{COMMAND} {arguments} >&-")
    assert done.returncode == 2
    assert done.stderr.startswith("elman: standard output is closed, so results cannot be written")


def test_both_closed_leave_the_exit_code() -> None:
    assert shell(f"{COMMAND} data list >&- 2>&-").returncode == 2


def test_what_is_logged_never_goes_to_the_results() -> None:
    done = shell(f"{COMMAND} train nothing 2>&-")
    assert (done.returncode, done.stdout) == (2, "")


def test_a_full_standard_output() -> None:
    done = shell(f"{COMMAND} data list --json >/dev/full")
    assert done.returncode == 1
    message = "elman: cannot write to standard output: the disk is full; make room, or"
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_a_full_standard_error_is_no_reason_to_stop() -> None:
    code = "from elman.cli._output import log; log('x'); print('done')"
    assert shell(f'{sys.executable} -c "{code}" 2>/dev/full').stdout == "done\n"


def test_a_locale_without_letters_prints_them_all_the_same() -> None:
    code = (
        "import sys; from elman.cli._streams import require_streams, text_of; "
        "require_streams(); print(text_of(sys.argv[1]))"
    )
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert shell(f'{sys.executable} -X utf8=0 -c "{code}" é', **plain).stdout == "é\n"


def test_a_word_whose_bytes_the_locale_could_not_read() -> None:
    assert text_of("café") == "café"
    assert text_of("caf\udcc3\udca9") == "café"
    with pytest.raises(ConfigError, match="is not valid UTF-8"):
        text_of("caf\udce9")


def test_json_names_bytes_that_are_no_text() -> None:
    assert as_json({"file": "é"}) == '{"file": "é"}'
    assert as_json({"file": "caf\udce9"}) == '{"file": "caf\\udce9"}'


def test_what_the_library_logs_is_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("elman.training")
    for quiet in (False, True):
        with logging_to_stderr(quiet=quiet):
            logger.info("slow")
            logger.warning("wrong")
    logger.info("nobody hears it")
    log("own")
    assert capsys.readouterr() == ("", "slow\nwrong\nwrong\nown\n")
