"""``elman generate``: a trained model makes more of what it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from pydantic import Field, create_model

from elman._errors import ConfigError
from elman.cli._interface import Interface
from elman.cli._output import emit, log, log_unknown
from elman.cli._request import parsed
from elman.cli._settings import Setting, settings_of
from elman.cli._streams import text_of
from elman.tasks import TASKS, sections
from elman.tasks._section import Section

LINE = """Continue a prompt with a trained model, or compose, if it was trained on music.

`elman generate RUN --help` lists what a run can be asked for; without a run, what a language
model can."""
RUN = "the run folder, such as runs/language-1"
HELP = {"--help", "-h"}


class LoadOptions(Section):
    """Which weights of a run, and where they compute."""

    checkpoint: Literal["best", "last"] = Field("best", description="which weights")
    device: str = Field("cpu", description="where to compute: cpu, cuda ...")


JSON = Setting("json", bool, False, "one JSON object a line instead of text")


def generate(*tokens: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Continue a prompt with a trained model, or compose."""
    run = _run(tokens)
    task = _task(run) if run else TASKS[0][0]
    section = sections(task).generate
    if section is None:
        raise ConfigError(f"a run of {task} generates nothing: ask it with `elman predict`")
    schema = _with_load_options(section)
    interface = _interface(schema)
    if HELP & set(tokens):
        interface.print_help()
        return
    if run is None:
        raise ConfigError("which run? give its folder, such as runs/language-1")
    words, values, problems = interface.read(tokens)
    if "prompt" in values:
        values["prompt"] = list(map(text_of, values["prompt"]))
    if len(words) > 1:
        problems.append(f"one run was expected, got {', '.join(words)}")
    as_json = values.pop("json", False)
    _generate(run, parsed(schema, values, problems), as_json=as_json)


def _generate(run: Path, options: Any, *, as_json: bool) -> None:
    import elman

    model = elman.load(run, options.checkpoint, device=options.device)
    log(f"seed {options.seed}")
    for answer in model.generated(options, run):
        log_unknown(answer.get("unknown", []))
        if as_json:
            emit(answer)
        else:
            print(described(answer), flush=True)


def described(answer: Mapping[str, Any]) -> str:
    """A text alone; of anything else, what there is and where."""
    if "text" in answer:
        return str(answer["text"])
    return "\n".join(
        str(entry) if name.startswith("no_") else f"{name} {entry}"
        for name, entry in answer.items()
    )


def _run(tokens: Sequence[str]) -> Path | None:
    """The run among the tokens, whatever its task may be asked for."""
    every = [section for name, _ in TASKS if (section := sections(name).generate)]
    interface = _interface(_with_load_options(*every))
    words = interface.read([token for token in tokens if token not in HELP]).words
    return Path(words[0]) if words else None


def _task(run: Path) -> str:
    from elman.training._run_config import read_config

    return str(read_config(run).get("task", ""))


def _with_load_options(*options: type[Section]) -> type[Section]:
    """All that can be asked for in one section, so that all problems are reported at once."""
    return create_model("GenerateOptions", __base__=(*options, LoadOptions))


def _interface(schema: type[Section]) -> Interface:
    return Interface("elman generate RUN", LINE, [JSON], settings_of(schema()), {}, words=RUN)
