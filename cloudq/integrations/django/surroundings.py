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
from django.db import close_old_connections, connections
from django.utils import timezone, translation

from cloudq.app import App
from cloudq.core.outcome import Outcome
from cloudq.core.run_fields import RUN_FIELDS
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import TimeLimitExceeded
from cloudq.integrations.django.held import give_up_unknown
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
    open_before = _in_transactions()
    _activate(context.headers)
    try:
        return (yield)
    finally:
        translation.deactivate()
        timezone.deactivate()
        _throw_away(but=open_before)
        refresh_connections()


def _in_transactions() -> frozenset[str]:
    """The databases with an `atomic` block of this thread: that of a test that calls an edge itself, say."""
    return frozenset(one.alias for one in connections.all(initialized_only=True) if one.in_atomic_block)


def _throw_away(*, but: frozenset[str]) -> None:
    """Closes and forgets this thread's connections that a task has left within a transaction, or may have.

    Django neither ends such a transaction nor closes its connection, so that all that later tasks of the thread write
    would be part of it, and never committed, though their messages are acknowledged. A time limit may strike while
    `atomic()` begins or ends, and then neither Django nor the connection can say what state they are in.
    """
    if asyncio._get_running_loop() is not None:
        return  # an async task's connections are in another thread, where no time limit strikes
    fields = RUN_FIELDS.get(None)
    was_cut = fields is not None and isinstance(fields.error, TimeLimitExceeded)
    for connection in connections.all(initialized_only=True):
        alias = connection.alias
        if alias in but or not (was_cut or connection.in_atomic_block):
            continue
        if not connection.in_atomic_block:
            give_up_unknown(connection)
        else:
            logger.error("a task left its transaction in database %r open: it is rolled back", alias)
        try:
            connection.close()
        except Exception as error:  # noqa: BLE001 - a driver's own; nobody uses this connection again
            logger.warning("a connection to database %r couldn't be closed: %s", alias, error)
        del connections[alias]  # another one is made when it is asked for


def refresh_connections() -> None:
    """Closes connections that failed or have had their `CONN_MAX_AGE`, on the thread that uses them.

    An async task's ORM calls run on a thread of asgiref's (`sync_to_async`, thread-sensitive), one after the other. So
    what is handed to it now is done before whatever the task calls from now on, and after all that it called until now.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        try:
            close_old_connections()
        except Exception as error:  # noqa: BLE001 - a driver's own. The task is done: it isn't to run again for that
            _log_unclosed(error)
        return
    _thread_of_the_orm().submit(close_old_connections).add_done_callback(_tell)


def _thread_of_the_orm() -> Any:
    """Where `sync_to_async(thread_sensitive=True)` would run a call that was made here."""
    return connections_executor() or SyncToAsync.single_thread_executor


def _tell(done: Future[None]) -> None:
    if (error := done.exception()) is not None:
        _log_unclosed(error)


def _log_unclosed(error: BaseException) -> None:
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
