"""The `OPTIONS` of a back end in `TASKS`: what they are, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from cloudq.errors import CloudqError, nearest
from cloudq.integrations.django.contract import InvalidTaskBackend
from cloudq.queues.names import check_queue
from cloudq.tasks.options import TaskOptions

KEEP_RESULTS: Final = timedelta(days=1)
"""How long results are kept where a store is named and `results` isn't."""
EVERY_TASK: Final = "*"
"""In place of a task's name: what all of them have that don't say otherwise."""
_LEAST_PRIORITY: Final = -100
_KNOWN: Final = ("url", "store", "results", "tasks", "modules", "priorities")
# What a task has of its own. Its queue and its priority are Django's to say, and its keys would be made of parameters
# that Django's tasks don't name.
_OF_A_TASK: Final = ("lease", "retry", "time_limit", "rate", "at_once", "breaker", "expires", "on_expired", "track")


class Level(msgspec.Struct, frozen=True):
    """Messages of a priority of at least `least`, and below that of the level before, have queues of that suffix."""

    suffix: str
    least: int

    def queue(self, name: str) -> str:
        """The queue of that level behind one of Django's queue names. `.fifo` stays at the end, where it has to be."""
        bare = name.removesuffix(".fifo")
        return f"{bare}{self.suffix}{name[len(bare) :]}"


class BackendOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Of one back end, checked.

    Attributes:
        url: Where messages are kept; `None`: the app is cloudq's default one, and says it.
        store: The URL of the store of results; `None`: the app's own.
        results: How long results are kept; `None`: not at all.
        tasks: What tasks have of their own, by name.
        modules: Modules beside those of the installed apps that may have tasks, with what is below them.
        levels: The queues of priorities, the most urgent first; none: priorities aren't supported.
    """

    url: str | None
    store: str | None
    results: timedelta | None
    tasks: Mapping[str, TaskOptions]
    modules: tuple[str, ...]
    levels: tuple[Level, ...]

    def of_task(self, name: str) -> TaskOptions:
        """What a task has of its own, over what all have."""
        return {**self.tasks.get(EVERY_TASK, {}), **self.tasks.get(name, {})}

    def queue(self, name: str, priority: int) -> str:
        """The queue behind one of Django's queue names, for messages of that priority."""
        level = next((level for level in self.levels if priority >= level.least), None)
        return name if level is None else level.queue(name)

    def weights(self, names: Sequence[str]) -> dict[str, int]:
        """The queues behind Django's queue names, each level taken from twice as often as the next."""
        if not self.levels:
            return dict.fromkeys(names, 1)
        most = len(self.levels) - 1
        return {level.queue(name): 1 << most - place for place, level in enumerate(self.levels) for name in names}


def backend_options(alias: str, options: Mapping[str, Any]) -> BackendOptions:
    """Those of the back end of that alias.

    Raises:
        InvalidTaskBackend: One of them means nothing. Django's own error, which is an `ImproperlyConfigured`.
    """
    for name in options:
        if name not in _KNOWN:
            raise _wrong(alias, f"has no option {name!r}: {nearest(str(name), _KNOWN)}")
    for name in ("url", "store"):
        if (url := options.get(name)) is not None and not (isinstance(url, str) and url):
            raise _wrong(alias, f"option {name!r} is a URL, as a text")  # not shown: it may hold a password
    if options.get("store") is not None and options.get("url") is None:
        raise _wrong(alias, "option 'store' goes with 'url': the default app has its own store")
    return BackendOptions(
        url=options.get("url"),
        store=options.get("store"),
        results=_results(alias, options),
        tasks=_tasks(alias, options.get("tasks", {})),
        modules=_modules(alias, options.get("modules", ())),
        levels=_levels(alias, options.get("priorities", {})),
    )


def _results(alias: str, options: Mapping[str, Any]) -> timedelta | None:
    given = options.get("results", options.get("store") is not None)
    if isinstance(given, bool):
        return KEEP_RESULTS if given else None
    if not isinstance(given, timedelta) or given <= timedelta(0):
        raise _wrong(alias, f"option 'results' is a positive timedelta, True or False, not {given!r}")
    return given


def _tasks(alias: str, given: object) -> Mapping[str, TaskOptions]:
    if not isinstance(given, Mapping) or not all(isinstance(one, Mapping) for one in given.values()):
        raise _wrong(alias, "option 'tasks' has options by the names of tasks: {'shop.tasks.mail': {'lease': ...}}")
    for name, options in given.items():
        for option in options:
            if option not in _OF_A_TASK:
                raise _wrong(alias, f"task {name!r} has no option {option!r} here: {nearest(str(option), _OF_A_TASK)}")
    return given


def _modules(alias: str, given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(map(_is_module, given)):
        raise _wrong(alias, f"option 'modules' is a list of modules, not {given!r}")
    return tuple(given)


def _is_module(name: object) -> bool:
    return isinstance(name, str) and all(part.isidentifier() for part in name.split("."))


def _levels(alias: str, given: object) -> tuple[Level, ...]:
    example = "{'-high': 10, '': 0, '-low': -100}"
    if not isinstance(given, Mapping) or not all(type(least) is int for least in given.values()):
        raise _wrong(alias, f"option 'priorities' has the least priority by the suffix of a queue: {example}")
    levels = tuple(Level(suffix, least) for suffix, least in given.items())
    bounds = [level.least for level in levels]
    if bounds != sorted(set(bounds), reverse=True) or (bounds and bounds[-1] != _LEAST_PRIORITY):
        raise _wrong(alias, f"option 'priorities' goes from the most urgent down to {_LEAST_PRIORITY}: {example}")
    for level in levels:
        checked_queue(alias, level.queue("default"))
    return levels


def checked_queue(alias: str, name: str) -> str:
    """One of Django's queue names, if a queue can have it.

    Raises:
        InvalidTaskBackend: It can't.
    """
    try:
        return check_queue(name)
    except CloudqError as error:
        raise _wrong(alias, f"can't have the queue {name!r}: {error}") from error


def _wrong(alias: str, what: str) -> Exception:
    error: Exception = InvalidTaskBackend(f"TASKS[{alias!r}] {what}")
    return error
