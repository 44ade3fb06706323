"""Celery's two time limits: those of a declaration, of a call, and what a run is held to.

Cloudq's own time limit is the later one that a task declares. The earlier one is a stage of it within the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple, Protocol

from cloudq.compat.celery.retrying import seconds
from cloudq.errors import CloudqError, ConfigurationError, OptionError, TaskDefinitionError
from cloudq.running.limit_stages import insist, sooner

SOFT: Final = "celery-soft-time-limit"
HARD: Final = "celery-time-limit"
_NAMES: Final = ("soft_time_limit", "time_limit")


class Limits(NamedTuple):
    """The two, each `None` if there is none.

    Attributes:
        soft: `SoftTimeLimitExceeded` is raised in the task, once.
        hard: The run is ended.
    """

    soft: timedelta | None
    hard: timedelta | None

    @property
    def last(self) -> timedelta | None:
        """The one that a task of cloudq's declares."""
        return self.soft if self.hard is None else self.hard

    @property
    def warning(self) -> timedelta | None:
        """The one that comes before the end, if there is one."""
        return self.soft if self.soft is not None and self.hard is not None and self.soft < self.hard else None


class _Limited(Protocol):
    """A task, as far as its limits go."""

    name: str
    time_limit: float | None
    soft_time_limit: float | None


def declared(task: _Limited, conf: Mapping[str, Any]) -> Limits:
    """Those of a task: each its own, or else the setting. 0 is none, as with Celery, and so the setting's.

    A soft one of the settings is left out if the task's hard one comes before it.

    Raises:
        TaskDefinitionError: The hard one is shorter than the soft one of the task, or one is negative.
        ConfigurationError: So are the settings.
    """
    settings = Limits(*(_span(name, conf[name]) or None for name in ("task_soft_time_limit", "task_time_limit")))
    check_order("settings: task_", settings, ConfigurationError)
    own = Limits(*(_span(name, getattr(task, name)) or None for name in _NAMES))
    hard = settings.hard if own.hard is None else own.hard
    soft = settings.soft if own.soft is None else own.soft
    if own.soft is None and soft is not None and hard is not None and hard < soft:
        soft = None
    limits = Limits(soft, hard)
    check_order(f"task {task.name!r}: ", limits, TaskDefinitionError)
    return limits


def check_order(where: str, limits: Limits, error: type[CloudqError]) -> None:
    """Refuses an end before the warning, and what would be over before it begins.

    Raises:
        CloudqError: The `error`.
    """
    soft, hard = limits
    for name, limit in zip(_NAMES, limits, strict=True):
        if limit is not None and limit < timedelta(0):
            raise error(f"{where}{name} is {limit.total_seconds():g} s, and not above 0", hint=f"{name}=60, or None")
    if soft is not None and hard is not None and hard < soft:
        raise error(
            f"{where}time_limit is {hard.total_seconds():g} s, and shorter than soft_time_limit, "
            f"{soft.total_seconds():g} s: SoftTimeLimitExceeded would never be raised",
            hint="a time_limit that is longer than soft_time_limit, or one of them",
        )


def _span(name: str, value: Any) -> timedelta | None:
    return None if value is None else seconds(name, value)


def headers_of(where: str, given: Mapping[str, Any], task: Limits | None) -> dict[str, str]:
    """What a message carries of the limits that its call gives.

    Args:
        where: Whose they are, for messages.
        given: The options of the call.
        task: The declaration's, which a call can't prolong; `None` if it isn't known here.

    Raises:
        OptionError: They can't be honoured.
    """
    if not any(name in given for name in _NAMES):
        return {}
    limits = Limits(*(_span(name, given.get(name)) for name in _NAMES))
    check_order(f"{where}: ", limits, OptionError)
    most = None if task is None else task.last
    for name, limit in zip(_NAMES, limits, strict=True):
        if limit is None:
            continue
        if limit <= timedelta(0):
            raise OptionError(f"{where}: {name} is a number of seconds above 0", hint=f"{name}=60")
        if most is None or limit > most:
            has = "has none" if most is None else f"has {most.total_seconds():g} s"
            raise OptionError(
                f"{where}: Celery's option {name!r} can't be honoured: a call shortens a limit of the declaration, "
                f"which {has}",
                hint=f"@app.task(time_limit={limit.total_seconds():g}), or longer, or the setting task_time_limit",
            )
    texts = ((SOFT, limits.soft), (HARD, limits.hard))
    return {name: repr(limit.total_seconds()) for name, limit in texts if limit is not None}


def of_run(task: Limits, headers: Mapping[str, str]) -> Limits:
    """Those of a run: the call's in the place of the declaration's, if they are shorter than its last one."""
    soft, hard = _read(headers.get(SOFT), task.last), _read(headers.get(HARD), task.last)
    return Limits(task.soft if soft is None else soft, task.hard if hard is None else hard)


def _read(text: str | None, most: timedelta | None) -> timedelta | None:
    """A producer can write the header, so it is held to what is written here."""
    try:
        limit = timedelta(seconds=float(text or ""))
    except (ValueError, OverflowError):
        return None
    return limit if most is not None and timedelta(0) < limit <= most else None


def begin(limits: Limits) -> None:
    """Holds the run that this is called in to its end."""
    if limits.hard is not None:
        insist(limits.hard)
    elif limits.soft is not None:
        sooner(limits.soft)  # the only one, so it is the run's own
