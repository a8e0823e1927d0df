"""The lab: lessons, a sandbox and a view of runs, in a page on this machine.

One worker process computes with elman's own cells and measures; the page draws what it answers. The
names are loaded when they are first used: neither torch nor the packages of the extra ``lab`` are
imported for the list of lessons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman._lazy import lazy

if TYPE_CHECKING:
    from elman.lab._export import export as export
    from elman.lab._lesson import (
        LESSONS as LESSONS,
        Ask as Ask,
        Lesson as Lesson,
        LessonText as LessonText,
        Question as Question,
        lesson as lesson,
        read_text as read_text,
    )
    from elman.lab._live import Live as Live
    from elman.lab._server import serve as serve

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "_export": "export",
        "_lesson": "LESSONS Ask Lesson LessonText Question lesson read_text",
        "_live": "Live",
        "_server": "serve",
    },
)
