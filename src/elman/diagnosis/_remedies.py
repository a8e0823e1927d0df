"""Remedies, as changes of a configuration, the most promising one first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from elman._errors import ConfigError
from elman.cells import PointwiseCell, by_name
from elman.cells.references import is_cell
from elman.diagnosis._evidence import Evidence
from elman.diagnosis._finding import Remedy
from elman.training import Config

PASCANU = "Pascanu, Mikolov & Bengio 2013, On the difficulty of training recurrent neural networks"
SAXE = "Saxe, McClelland & Ganguli 2014, Exact solutions to the nonlinear dynamics of learning"
LE = "Le, Jaitly & Hinton 2015, A simple way to initialize recurrent networks of ReLUs"
TALLEC = "Tallec & Ollivier 2018, Can recurrent neural networks warp time?"
GERS = "Gers, Schmidhuber & Cummins 2000, Learning to forget; Jozefowicz et al. 2015"
HOCHREITER = "Hochreiter & Schmidhuber 1997, Long short-term memory"
CHO = "Cho et al. 2014, Learning phrase representations using RNN encoder-decoder"
AICHER = "Aicher, Foti & Fox 2019, Adaptively truncating backpropagation through time"
SMITH = "Smith 2017, Cyclical learning rates; Bengio 2012, Practical recommendations"
LECUN = "LeCun, Bottou, Orr & Mueller 1998, Efficient backprop"
SRIVASTAVA = "Srivastava et al. 2014, Dropout: a simple way to prevent neural networks overfitting"
LOSHCHILOV = "Loshchilov & Hutter 2019, Decoupled weight decay regularization"
PRECHELT = "Prechelt 1998, Early stopping: but when?"
GLOROT = "Glorot & Bengio 2010, Understanding the difficulty of training deep feedforward networks"

SLOW, QUICK = 0.025, 0.2
"""Relative sizes of a first update: one that is too small, and one that is worth a try."""


def fitting(config: Config, *remedies: Remedy | None) -> tuple[Remedy, ...]:
    """The remedies that are valid for the configuration and change it."""
    return tuple(r for r in remedies if r is not None and _fits(config, r.changes))


def changed(config: Config, changes: Mapping[str, Any]) -> Config:
    """The configuration with these changes.

    Raises:
        ConfigError: the changes are not valid for it.
    """
    values = config.toml()
    for key, value in changes.items():
        section, _, name = key.partition(".")
        inner = {k: v for k, v in values[section].items() if k != name}
        values[section] = inner if value is None else {**inner, name: value}
    return type(config).parse(values)


def _fits(config: Config, changes: Mapping[str, Any]) -> bool:
    try:
        return not changes or (
            changed(config, changes) != config
            and ("model.init" not in changes or _has_a_scheme(config))
        )
    except ConfigError:
        return False


def _has_a_scheme(config: Config) -> bool:
    """Whether :mod:`elman.init` can fill the cell: it fills gate by gate."""
    name = getattr(config.model, "cell", None)
    return name is None or not is_cell(name) or issubclass(by_name(name), PointwiseCell)


def initialization(config: Config, scheme: str, what: str, reference: str) -> Remedy:
    """Another initialization of the cells; it removes a fixed range of weights."""
    unset = {"model.init_range": None} if getattr(config.model, "init_range", None) else {}
    return Remedy(what, {"model.init": scheme, **unset}, reference)


def orthogonal(config: Config) -> Remedy:
    return initialization(config, "orthogonal", "initialize recurrent weights orthogonally", SAXE)


def memory(run: Evidence) -> list[Remedy]:
    """Cells and initializations that carry the state and its gradient over long spans."""
    config, name = run.config, getattr(run.config.model, "cell", None)
    if name is None:
        return [Remedy("use a gated cell or orthogonal initialization (in your code)", {}, CHO)]
    if is_cell(name) and by_name(name).memory_gate is not None:
        span = (
            f"chrono initialization: biases for memory over 1 to 100 steps (rows have {run.steps})"
        )
        return [
            initialization(config, "chrono", span, TALLEC),
            initialization(
                config, "forget_bias", "a positive forget bias: the forget gate starts open", GERS
            ),
            orthogonal(config),
        ]
    of_cell = ("activation", "options")
    dropped = {f"model.{k}": None for k in of_cell if getattr(config.model, k, None)}
    gated = "a gated cell"
    relu = initialization(config, "identity", "ReLU with identity initialization (IRNN)", LE)
    return [
        Remedy(gated, {"model.cell": "gru", **dropped}, CHO),
        relu._replace(changes={**relu.changes, "model.activation": "relu"}),
        orthogonal(config),
        Remedy(gated, {"model.cell": "lstm", **dropped}, HOCHREITER),
    ]


def regular(run: Evidence) -> list[Remedy]:
    """Regularization against overfitting."""
    config = run.config
    decay = {"train.optimizer": "adamw", "train.weight_decay": 0.1}
    hidden = getattr(config.model, "hidden", None)
    return [
        *([Remedy("dropout", {"model.dropout": 0.5}, SRIVASTAVA)] if _drops_less(config) else []),
        Remedy("weight decay", decay, LOSHCHILOV),
        *([Remedy("a smaller network", {"model.hidden": hidden // 2}, "")] if hidden else []),
        Remedy("early stopping", {"train.patience": 2}, PRECHELT),
    ]


def _drops_less(config: Config) -> bool:
    return float(getattr(config.model, "dropout", 1.0)) < 0.5


def faster(run: Evidence) -> Remedy | None:
    """A higher learning rate, if the first update hardly changes the weights."""
    if not 0 < run.ratio < SLOW:
        return None
    rate = _rounded(run.config.train.lr * min(10.0, QUICK / run.ratio))
    what = (
        f"a higher learning rate: the first update changes a matrix by {run.ratio:.1g} of its norm"
    )
    return Remedy(what, {"train.lr": rate}, SMITH)


def longer(run: Evidence) -> Remedy:
    """A training budget four times as large."""
    train = run.config.train
    key = "max_steps" if train.max_steps is not None else "epochs"
    return Remedy("train longer", {f"train.{key}": 4 * (getattr(train, key) or 1)}, "")


def slower(config: Config, factor: float, reference: str = SMITH) -> Remedy:
    rate = _rounded(config.train.lr / factor)
    return Remedy("a lower learning rate", {"train.lr": rate}, reference)


def clipping(run: Evidence) -> Remedy | None:
    """A clipping threshold above nine in ten gradient norms of this run."""
    if not run.norms:
        return None
    limit = _rounded(_quantile(run.norms, 0.9))
    what = f"a higher threshold: the 90th percentile of {len(run.norms)} measured gradient norms"
    return Remedy(what, {"train.clip": "norm", "train.clip_limit": limit}, PASCANU)


def tighter(run: Evidence) -> Remedy | None:
    """A clipping threshold at the median gradient norm of this run."""
    if not run.norms:
        return None
    limit = _rounded(_quantile(run.norms, 0.5))
    what = f"clip at the median of {len(run.norms)} measured gradient norms"
    return Remedy(what, {"train.clip": "norm", "train.clip_limit": limit}, PASCANU)


def _quantile(values: tuple[float, ...], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _rounded(value: float) -> float:
    """A value rounded to two significant digits.

    >>> _rounded(0.012345)
    0.012
    """
    return float(f"{value:.2g}") if math.isfinite(value) and value > 0 else 1.0
