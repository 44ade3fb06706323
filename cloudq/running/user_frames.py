"""`short_traceback`: of the traceback of a failed attempt what a person looks for first, the user's own code."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Final

MOST_FRAMES: Final = 5
LONGEST: Final = 8_000

_OURS: Final = str(Path(__file__).parents[1]) + "/"
# Folders of installed packages, the second one Debian's. They may lie in that of the standard library.
_INSTALLED: Final = ("/site-packages/", "/dist-packages/")


def short_traceback(error: BaseException) -> str:
    """The traceback, causes and groups included, with the last five frames of the user's own code, and the very last.

    The user's own is what lies outside of the standard library and of installed packages; and, where the app is
    installed itself, its own package: that of the task's function, the first frame that isn't cloudq's.
    """
    shown = traceback.TracebackException.from_exception(error)
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    home = next((_package(frame) for frame in frames if not _is_ours(frame) and not _is_standard(frame)), None)
    _shorten(shown, error, home)
    text = "".join(shown.format()).rstrip("\n")
    return text if len(text) <= LONGEST else "…" + text[-(LONGEST - 1) :]


def _shorten(shown: traceback.TracebackException, error: BaseException, home: str | None) -> None:
    """Takes the other frames out of `shown`, which is made of `error`, and out of all that it refers to."""
    for one, its_error in _all(shown, error):
        frames = [frame for frame, _ in traceback.walk_tb(its_error.__traceback__)]
        if len(frames) != len(one.stack):
            continue  # somebody else has taken some out
        kept = [place for place, frame in enumerate(frames) if _is_the_users(frame, home)][-MOST_FRAMES:]
        last = len(frames) - 1
        if kept and kept[-1] != last:
            kept.append(last)
        if kept:
            one.stack = traceback.StackSummary.from_list([one.stack[place] for place in kept])


def _all(
    shown: traceback.TracebackException, error: BaseException
) -> Iterator[tuple[traceback.TracebackException, BaseException]]:
    """Each exception in both of its forms: it, what it was raised from or during, and what it groups."""
    left: list[tuple[traceback.TracebackException | None, BaseException | None]] = [(shown, error)]
    while left:
        one, its_error = left.pop()
        if one is None or its_error is None:
            continue  # a circle, which the first form leaves out
        yield one, its_error
        left += [(one.__cause__, its_error.__cause__), (one.__context__, its_error.__context__)]
        if one.exceptions is not None and isinstance(its_error, BaseExceptionGroup):
            left += zip(one.exceptions, its_error.exceptions, strict=False)


def _is_the_users(frame: FrameType, home: str | None) -> bool:
    if _is_ours(frame) or _is_standard(frame):
        return False
    return _package(frame) == home or not _is_installed(frame)


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OURS)


@cache
def _standard() -> tuple[str, ...]:
    # At the first use: it reads how the interpreter was built, and most processes end without an error.
    import sysconfig

    folders = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    return (*(f"{folder}/" for folder in folders), "<frozen ")


def _is_standard(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_standard()) and not _is_installed(frame)


def _is_installed(frame: FrameType) -> bool:
    return any(folder in frame.f_code.co_filename for folder in _INSTALLED)


def _package(frame: FrameType) -> str:
    """The top-level package of the frame's module."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
