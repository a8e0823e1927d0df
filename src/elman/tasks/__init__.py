"""Tasks: what is learned from what. One task a file; ``TASKS`` is the list of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from elman._errors import ConfigError, nearest
from elman._lazy import lazy

if TYPE_CHECKING:
    from elman.tasks._caption import Caption as Caption
    from elman.tasks._caption_config import CaptionData as CaptionData, CaptionNet as CaptionNet
    from elman.tasks._classify import Classify as Classify
    from elman.tasks._classify_config import (
        ClassifyData as ClassifyData,
        ClassifyNet as ClassifyNet,
    )
    from elman.tasks._features import Feature as Feature, Labels as Labels, Number as Number
    from elman.tasks._forecast import Forecast as Forecast
    from elman.tasks._forecast_config import (
        ForecastData as ForecastData,
        ForecastNet as ForecastNet,
    )
    from elman.tasks._language import LanguageModel as LanguageModel
    from elman.tasks._language_config import (
        LanguageData as LanguageData,
        LanguageNet as LanguageNet,
    )
    from elman.tasks._layers import cell_options as cell_options
    from elman.tasks._motion import Motion as Motion
    from elman.tasks._motion_config import MotionData as MotionData, MotionNet as MotionNet
    from elman.tasks._motion_picture import side_by_side as side_by_side
    from elman.tasks._music import Music as Music
    from elman.tasks._music_config import (
        MusicAsked as MusicAsked,
        MusicData as MusicData,
        MusicNet as MusicNet,
    )
    from elman.tasks._regress import Regress as Regress
    from elman.tasks._regress_config import RegressData as RegressData, RegressNet as RegressNet
    from elman.tasks._section import Section as Section, Sections as Sections
    from elman.tasks._sequences import Series as Series, Text as Text
    from elman.tasks._supervised import Part as Part, Supervised as Supervised
    from elman.tasks._table_config import TableData as TableData
    from elman.tasks._tag import Tag as Tag
    from elman.tasks._tag_config import TagData as TagData, TagNet as TagNet
    from elman.tasks._task import (
        Batch as Batch,
        Excerpt as Excerpt,
        Metrics as Metrics,
        Predictions as Predictions,
        Reading as Reading,
        Table as Table,
        Task as Task,
        evaluating as evaluating,
    )
    from elman.tasks._translate import Translate as Translate
    from elman.tasks._translate_config import (
        TranslateData as TranslateData,
        TranslateNet as TranslateNet,
    )

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

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "_caption": "Caption",
        "_caption_config": "CaptionData CaptionNet",
        "_classify": "Classify",
        "_classify_config": "ClassifyData ClassifyNet",
        "_features": "Feature Labels Number",
        "_forecast": "Forecast",
        "_forecast_config": "ForecastData ForecastNet",
        "_language": "LanguageModel",
        "_language_config": "LanguageData LanguageNet",
        "_layers": "cell_options",
        "_motion": "Motion",
        "_motion_config": "MotionData MotionNet",
        "_motion_picture": "side_by_side",
        "_music": "Music",
        "_music_config": "MusicAsked MusicData MusicNet",
        "_regress": "Regress",
        "_regress_config": "RegressData RegressNet",
        "_section": "Section Sections",
        "_sequences": "Series Text",
        "_supervised": "Part Supervised",
        "_table_config": "TableData",
        "_tag": "Tag",
        "_tag_config": "TagData TagNet",
        "_task": "Batch Excerpt Metrics Predictions Reading Table Task evaluating",
        "_translate": "Translate",
        "_translate_config": "TranslateData TranslateNet",
    },
    own=["TASKS", "by_name", "is_named", "sections"],
)


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
