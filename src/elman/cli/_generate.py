"""``elman generate``: a trained model goes on with a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from elman._errors import ConfigError
from elman.cli._output import Flag, emit, log, warn_unknown


def generate(
    run: Path,
    /,
    *,
    prompt: Annotated[list[str] | None, Parameter(negative=())] = None,
    length: int = 100,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
    checkpoint: Literal["best", "last"] = "best",
    device: str = "cpu",
    json: Flag = False,
) -> None:
    """Continue a prompt with a trained model.

    Parameters
    ----------
    run
        The run folder, such as runs/language-1.
    prompt
        The text to continue; give it again for more texts. Without it, a new line begins.
    length
        How many tokens to add.
    temperature
        Below 1 favours likely words, above 1 rare ones; 0 always takes the likeliest.
    top_k
        Choose among so many likeliest tokens only.
    seed
        The same seed gives the same text.
    checkpoint
        Which weights.
    device
        Where to compute: cpu, cuda ...
    json
        One JSON object a prompt instead of text.
    """
    import elman
    from elman.tasks import LanguageModel

    model = elman.load(run, which=checkpoint, device=device)
    if not isinstance(model, LanguageModel):
        raise ConfigError(f"a run of {model.name} generates nothing: ask it with `elman predict`")
    log(f"seed {seed}")
    for given in prompt or [""]:
        unknown = warn_unknown(model, given)
        text = model.generate(given, length, temperature=temperature, top_k=top_k, seed=seed)
        if json:
            emit({"prompt": given, "text": text, "seed": seed, "unknown": unknown})
        else:
            print(text, flush=True)
