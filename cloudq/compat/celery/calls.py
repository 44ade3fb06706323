"""From the options of `apply_async` to those of a send."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from cloudq.compat.celery.call_options import CALL_OPTIONS, RETRY_OPTIONS
from cloudq.compat.celery.limits import Limits, headers_of
from cloudq.compat.celery.request import RETRIES, Request, lineage
from cloudq.compat.celery.retrying import moment, seconds
from cloudq.compat.celery.settings import Settings
from cloudq.compat.celery.verdicts import check
from cloudq.core.message import FIFO_SUFFIX
from cloudq.errors import OptionError
from cloudq.tasks.options import SendOptions

if TYPE_CHECKING:
    from datetime import tzinfo


def zone_of(settings: Settings) -> tzinfo:
    """The time zone of moments that have none."""
    name = settings["timezone"]
    return UTC if name in {None, "UTC"} else name if not isinstance(name, str) else ZoneInfo(name)


def check_call(where: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What is given of the options, without those that are `None`.

    Raises:
        OptionError: One can't be honoured.
    """
    check(CALL_OPTIONS, options, OptionError, where)
    given = {name: value for name, value in options.items() if value is not None}
    if given.get("countdown") and "eta" in given:
        raise OptionError(f"{where}: countdown and eta exclude each other", hint="give one of them")
    return given


def check_retry(where: str, options: Mapping[str, Any], request: Request) -> None:
    """Refuses what `self.retry` can't do: the message stays as it was sent.

    Raises:
        OptionError: One can't be honoured.
    """
    check(RETRY_OPTIONS, {n: v for n, v in options.items() if n in RETRY_OPTIONS}, OptionError, where)
    others = [name for name in options if name not in RETRY_OPTIONS]
    group = options.get("MessageGroupId")
    if group is not None and not request.called_directly and not request.is_eager:
        others += [] if group == (request.properties or {}).get("MessageGroupId") else ["MessageGroupId"]
    if others:
        raise OptionError(
            f"{where}: Celery's option {others[0]!r} can't be honoured", hint="the message stays as it was sent"
        )


def send_options(
    where: str,
    options: Mapping[str, Any],
    settings: Settings,
    now: datetime,
    *,
    queue: str = "",
    limits: Limits | None = None,
) -> SendOptions:
    """The options of a send.

    Args:
        where: Whose they are, for messages.
        options: Those of `apply_async`.
        settings: The app's.
        now: When it is sent.
        queue: Where it goes if the options don't say.
        limits: Those of the task, if it is known.

    Raises:
        OptionError: One can't be honoured, or means nothing.
    """
    given = check_call(where, options)
    made: SendOptions = {}
    if given.get("countdown"):
        made["delay"] = max(seconds("countdown", given["countdown"]), timedelta(0))
    elif "eta" in given:
        made["at"] = moment(given["eta"], zone_of(settings))
    if "expires" in given:
        made["expires"] = _expiry(given["expires"], settings, now)
    if "queue" in given:
        if not isinstance(given["queue"], str):
            raise OptionError(f"{where}: queue is a name, not {type(given['queue']).__name__}", hint="queue='mail'")
        made["queue"] = given["queue"]
    if "priority" in given:
        made["priority"] = str(given["priority"])
    if "MessageGroupId" in given:  # SQS's, which kombu's transport takes (kombu 5.7)
        ordered = made.get("queue", queue).endswith(FIFO_SUFFIX)
        made["ordering_key" if ordered else "fairness_key"] = given["MessageGroupId"]
    own = {name: value for name, value in dict(given.get("headers", {})).items() if value is not None}
    headers = {**own, **lineage(), **headers_of(where, given, limits)}
    if given.get("retries"):
        headers[RETRIES] = str(int(given["retries"]))
    if headers:
        made["headers"] = headers
    return made


def _expiry(expires: Any, settings: Settings, now: datetime) -> datetime:
    """Celery counts seconds from the send, also where a message is due later."""
    if isinstance(expires, (datetime, str)):
        return moment(expires, zone_of(settings))
    return now + seconds("expires", expires)
