"""What Django does around a request, done around a task: database connections, language, time zone.

At the edges alone: in eager mode and under `cloudq.testing` a task runs on its caller's connection and in its language.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final
from zoneinfo import ZoneInfo

from asgiref.sync import SyncToAsync
from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone, translation

from cloudq.app import App
from cloudq.core.outcome import Outcome
from cloudq.core.safe_log import SafeLogger
from cloudq.integrations.django.settings import in_force
from cloudq.tasks.context import Context
from cloudq.tasks.own_loop import connections_executor

logger = SafeLogger("cloudq.django")

LANGUAGE: Final = "django-language"
TIME_ZONE: Final = "django-timezone"
_LONGEST: Final = 64


def prepare(app: App) -> None:
    """Has the app's tasks run in Django's surroundings, and its messages carry the sender's, if that is asked for."""
    if around not in app.runtime.edge_middleware:
        app.runtime.edge_middleware = (around, *app.runtime.edge_middleware)
    app.runtime.carried_headers = _carried if in_force().carry_language else None


def around(context: Context) -> Generator[None, Outcome, Outcome]:
    """One run: on connections that aren't too old, in the language and time zone of the settings, or the sender's."""
    refresh_connections()
    _activate(context.headers)
    try:
        return (yield)
    finally:
        translation.deactivate()
        timezone.deactivate()
        refresh_connections()


def refresh_connections() -> None:
    """Closes connections that failed or have had their `CONN_MAX_AGE`, on the thread that uses them.

    An async task's ORM calls run on a thread of asgiref's (`sync_to_async`, thread-sensitive), one after the other. So
    what is handed to it now is done before whatever the task calls from now on, and after all that it called until now.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        close_old_connections()
        return
    _thread_of_the_orm().submit(close_old_connections).add_done_callback(_tell)


def _thread_of_the_orm() -> Any:
    """Where `sync_to_async(thread_sensitive=True)` would run a call that was made here."""
    return connections_executor() or SyncToAsync.single_thread_executor


def _tell(done: Future[None]) -> None:
    if (error := done.exception()) is not None:
        logger.warning("old connections couldn't be closed: %s", error)


def _carried() -> Mapping[str, str]:
    """The language and the time zone that are active here."""
    # Of other kinds of time zones the name says nothing elsewhere.
    zone = getattr(timezone.get_current_timezone(), "key", None)
    found = {LANGUAGE: translation.get_language(), TIME_ZONE: zone}
    return {name: value for name, value in found.items() if value}


def _activate(headers: Mapping[str, str]) -> None:
    """Those of the sender if they are carried and known here; else the settings'. Headers are a stranger's text."""
    translation.deactivate()
    timezone.deactivate()
    if not in_force().carry_language:
        return
    language, zone = headers.get(LANGUAGE, ""), headers.get(TIME_ZONE, "")
    if language != settings.LANGUAGE_CODE and 0 < len(language) <= _LONGEST:
        with suppress(LookupError):
            translation.activate(translation.get_supported_language_variant(language))
    if zone and len(zone) <= _LONGEST:
        with suppress(ValueError, LookupError, OSError):
            timezone.activate(ZoneInfo(zone))
