"""``elman generate``: sample text or music from a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from pydantic import Field, create_model

from elman._errors import ConfigError
from elman.cli._cells import SETTINGS, own_cells
from elman.cli._interface import Interface
from elman.cli._output import emit, log, log_unknown
from elman.cli._request import parsed
from elman.cli._settings import Setting, settings_of
from elman.cli._streams import text_of
from elman.tasks import TASKS, Section, sections

LINE = """Generate text from a prompt, or music, with a trained model.

`elman generate RUN --help` lists the options of that run; without a run, those
of a language model."""
RUN = "the run folder, such as runs/language-1"
HELP = {"--help", "-h"}


class LoadOptions(Section):
    """The checkpoint to load, and the device."""

    checkpoint: Literal["best", "last"] = Field("best", description="checkpoint to load")
    device: str = Field("cpu", description="device to compute on: cpu, cuda ...")


JSON = Setting("json", bool, False, "print one JSON object per line instead of text")


def generate(*tokens: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Generate text or music with a trained model."""
    run = _run(tokens)
    task = _task(run) if run else TASKS[0][0]
    section = sections(task).generate
    if section is None:
        raise ConfigError(f"{task} has no generator: use `elman predict`")
    schema = _with_load_options(section)
    interface = _interface(schema)
    if HELP & set(tokens):
        interface.print_help()
        return
    if run is None:
        raise ConfigError("expected a run folder, such as runs/language-1, got none")
    words, values, problems = interface.read(tokens)
    if "prompt" in values:
        values["prompt"] = list(map(text_of, values["prompt"]))
    if len(words) > 1:
        problems.append(f"expected one run folder, got {', '.join(words)}")
    own = {setting.key: values.pop(setting.key, setting.default) for setting in (JSON, *SETTINGS)}
    _generate(run, parsed(schema, values, problems), own)


def _generate(run: Path, options: Any, own: Mapping[str, Any]) -> None:
    import elman

    with own_cells([run], own["model.cell"], trust=own["trust"]):
        model = elman.load(run, options.checkpoint, device=options.device)
    log(f"seed {options.seed}")
    for answer in model.generated(options, run):
        log_unknown(answer.get("unknown", []))
        if own["json"]:
            emit(answer)
        else:
            print(described(answer), flush=True)


def described(answer: Mapping[str, Any]) -> str:
    """An answer as lines: a text alone, or each of its fields."""
    if "text" in answer:
        return str(answer["text"])
    return "\n".join(
        str(entry) if name.startswith("no_") else f"{name} {entry}"
        for name, entry in answer.items()
    )


def _run(tokens: Sequence[str]) -> Path | None:
    """The run folder among the tokens, whichever options its task has."""
    every = [section for name, _ in TASKS if (section := sections(name).generate)]
    interface = _interface(_with_load_options(*every))
    words = interface.read([token for token in tokens if token not in HELP]).words
    return Path(words[0]) if words else None


def _task(run: Path) -> str:
    from elman.training import read_config

    return str(read_config(run).get("task", ""))


def _with_load_options(*options: type[Section]) -> type[Section]:
    """All options in one section, so that all problems are reported at once."""
    return create_model("GenerateOptions", __base__=(*options, LoadOptions))


def _interface(schema: type[Section]) -> Interface:
    options = settings_of(schema())
    short = {"cell": "model.cell"}
    return Interface(
        "elman generate RUN", LINE, [JSON, SETTINGS[1]], [*options, SETTINGS[0]], short, words=RUN
    )
