"""Tasks: what is learned from what. One task a file; ``TASKS`` is the list of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from elman._errors import ConfigError, nearest

if TYPE_CHECKING:
    from elman.tasks._caption import Caption
    from elman.tasks._caption_config import CaptionData, CaptionNet
    from elman.tasks._classify import Classify
    from elman.tasks._classify_config import ClassifyData, ClassifyNet
    from elman.tasks._features import Feature, Labels, Number
    from elman.tasks._forecast import Forecast
    from elman.tasks._forecast_config import ForecastData, ForecastNet
    from elman.tasks._language import LanguageModel
    from elman.tasks._language_config import LanguageData, LanguageNet
    from elman.tasks._layers import cell_options
    from elman.tasks._motion import Motion
    from elman.tasks._motion_config import MotionData, MotionNet
    from elman.tasks._motion_picture import side_by_side
    from elman.tasks._music import Music
    from elman.tasks._music_config import MusicAsked, MusicData, MusicNet
    from elman.tasks._regress import Regress
    from elman.tasks._regress_config import RegressData, RegressNet
    from elman.tasks._section import Section, Sections
    from elman.tasks._sequences import Series, Text
    from elman.tasks._supervised import Part, Supervised
    from elman.tasks._table_config import TableData
    from elman.tasks._tag import Tag
    from elman.tasks._tag_config import TagData, TagNet
    from elman.tasks._task import (
        Batch,
        Excerpt,
        Metrics,
        Predictions,
        Reading,
        Table,
        Task,
        evaluating,
    )
    from elman.tasks._translate import Translate
    from elman.tasks._translate_config import TranslateData, TranslateNet

TASKS: tuple[tuple[str, str], ...] = (
    ("language", "elman.tasks._language:LanguageModel"),
    ("caption", "elman.tasks._caption:Caption"),
    ("classify", "elman.tasks._classify:Classify"),
    ("forecast", "elman.tasks._forecast:Forecast"),
    ("motion", "elman.tasks._motion:Motion"),
    ("regress", "elman.tasks._regress:Regress"),
    ("music", "elman.tasks._music:Music"),
    ("tag", "elman.tasks._tag:Tag"),
    ("translate", "elman.tasks._translate:Translate"),
)
"""Names, and where to find the task; its configuration, beside it, never imports torch."""

__all__ = [
    "TASKS",
    "Batch",
    "Caption",
    "CaptionData",
    "CaptionNet",
    "Classify",
    "ClassifyData",
    "ClassifyNet",
    "Excerpt",
    "Feature",
    "Forecast",
    "ForecastData",
    "ForecastNet",
    "Labels",
    "LanguageData",
    "LanguageModel",
    "LanguageNet",
    "Metrics",
    "Motion",
    "MotionData",
    "MotionNet",
    "Music",
    "MusicAsked",
    "MusicData",
    "MusicNet",
    "Number",
    "Part",
    "Predictions",
    "Reading",
    "Regress",
    "RegressData",
    "RegressNet",
    "Section",
    "Sections",
    "Series",
    "Supervised",
    "Table",
    "TableData",
    "Tag",
    "TagData",
    "TagNet",
    "Task",
    "Text",
    "Translate",
    "TranslateData",
    "TranslateNet",
    "by_name",
    "cell_options",
    "evaluating",
    "is_named",
    "sections",
    "side_by_side",
]

_WHERE = {
    "Batch": "_task",
    "Caption": "_caption",
    "CaptionData": "_caption_config",
    "CaptionNet": "_caption_config",
    "Classify": "_classify",
    "ClassifyData": "_classify_config",
    "ClassifyNet": "_classify_config",
    "Excerpt": "_task",
    "Feature": "_features",
    "Forecast": "_forecast",
    "ForecastData": "_forecast_config",
    "ForecastNet": "_forecast_config",
    "Labels": "_features",
    "LanguageData": "_language_config",
    "LanguageModel": "_language",
    "LanguageNet": "_language_config",
    "Metrics": "_task",
    "Motion": "_motion",
    "MotionData": "_motion_config",
    "MotionNet": "_motion_config",
    "Music": "_music",
    "MusicAsked": "_music_config",
    "MusicData": "_music_config",
    "MusicNet": "_music_config",
    "Number": "_features",
    "Part": "_supervised",
    "Predictions": "_task",
    "Reading": "_task",
    "Regress": "_regress",
    "RegressData": "_regress_config",
    "RegressNet": "_regress_config",
    "Section": "_section",
    "Sections": "_section",
    "Series": "_sequences",
    "Supervised": "_supervised",
    "Table": "_task",
    "TableData": "_table_config",
    "Tag": "_tag",
    "TagData": "_tag_config",
    "TagNet": "_tag_config",
    "Task": "_task",
    "Text": "_sequences",
    "Translate": "_translate",
    "TranslateData": "_translate_config",
    "TranslateNet": "_translate_config",
    "cell_options": "_layers",
    "evaluating": "_task",
    "side_by_side": "_motion_picture",
}


def by_name(name: str) -> type[LanguageModel | Supervised]:
    """The task class of this name.

    Raises:
        ConfigError: there is none; the message names the nearest.

    >>> by_name("language").__name__
    'LanguageModel'
    """
    module, _, attribute = _home(name).partition(":")
    kind: type[Supervised] = getattr(import_module(module), attribute)
    return kind


def is_named(task: Task) -> bool:
    """Whether a configuration can name the task, since it is one of `TASKS`."""
    return task.name in dict(TASKS) and type(task) is by_name(task.name)


def sections(name: str) -> Sections:
    """The classes of a task's configuration sections; torch is not imported.

    >>> sections("language").model.__name__
    'LanguageNet'
    """
    module = _home(name).partition(":")[0] + "_config"
    classes: Sections = import_module(module).SECTIONS
    return classes


def _home(name: str) -> str:
    known = dict(TASKS)
    if name not in known:
        raise ConfigError(f"unknown task {name!r}: {nearest(name, known)}")
    return known[name]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
