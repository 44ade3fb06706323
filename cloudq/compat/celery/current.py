"""The current app of this process, and the tasks that were declared without one."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any


class _Current:
    """What is current in this process. The app's own module says how one is made."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.make: Callable[[], Any] | None = None
        self.app: Any = None
        self.shared: list[Any] = []


_current = _Current()


def made_by(make: Callable[[], Any]) -> None:
    """How an app without settings is made, for a program that makes none."""
    _current.make = make


def make_current(app: Any) -> None:
    """Makes it the app of tasks that are declared without one; `None`: there is none."""
    _current.app = app


def current() -> Any:
    """The app that was made last, or one without settings, as Celery has it."""
    with _current.lock:
        if _current.app is None and _current.make is not None:
            _current.app = _current.make()
        return _current.app


def share(task: Any) -> None:
    """Keeps a task for the app that is current when it is first used; one that has declared its tasks takes it now."""
    with _current.lock:
        _current.shared.append(task)
        app = _current.app
    if app is not None:
        app.take_late()


def take_shared(app: Any) -> list[Any]:
    """Gives an app its shared tasks: those that were first used with it, and, if it is current, the unused ones.

    While no app is current, the unused ones are those of whichever asks first.
    """
    with _current.lock:
        owners = (app, None) if _current.app is None or _current.app is app else (app,)
        taken = [task for task in _current.shared if task._app in owners]
        _current.shared = [task for task in _current.shared if task._app not in owners]
        for task in taken:
            task._app = app
        return taken
