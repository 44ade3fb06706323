"""What declarations and sends say of a message's expiry: from when on it isn't begun any more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

import msgspec

from cloudq.core.moments import plain_datetime
from cloudq.core.spans import shown
from cloudq.errors import OptionError, TaskDefinitionError

OnExpired: TypeAlias = Literal["ack", "dead_letter"]

_ON_EXPIRED: Final = ("ack", "dead_letter")
_EXAMPLE: Final = "expires=timedelta(minutes=10), or a datetime with a UTC offset"
_ZERO: Final = timedelta(0)


class ExpiryOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Of a declaration, checked.

    Attributes:
        expires: How long after its time a message isn't begun any more, unless the send says otherwise.
        on_expired: What becomes of one that wasn't begun in time.
        propagate: Whether what the task sends expires with the message that it runs for; `None`: as its app says.
    """

    expires: timedelta | None = None
    on_expired: OnExpired = "ack"
    propagate: bool | None = None


NO_EXPIRY: Final = ExpiryOptions()


def expiry_options(options: Mapping[str, Any], task: str) -> ExpiryOptions:
    """Those of a declaration.

    Raises:
        TaskDefinitionError: One of them means nothing.
    """
    expires, propagate = options.get("expires"), options.get("propagate_expiry")
    if expires is not None and (not isinstance(expires, timedelta) or expires <= _ZERO):
        raise TaskDefinitionError(
            f"expires of task {task!r} is a positive timedelta, not {expires!r}", hint="expires=timedelta(minutes=10)"
        )
    on_expired = options.get("on_expired", "ack")
    if on_expired not in _ON_EXPIRED:
        raise TaskDefinitionError(
            f"on_expired of task {task!r} is {' or '.join(map(repr, _ON_EXPIRED))}, not {on_expired!r}",
            hint='on_expired="dead_letter"',
        )
    if propagate is not None and not isinstance(propagate, bool):
        raise TaskDefinitionError(
            f"propagate_expiry of task {task!r} is True or False, not {propagate!r}", hint="propagate_expiry=True"
        )
    if expires is None and on_expired == "ack" and propagate is None:
        return NO_EXPIRY
    return ExpiryOptions(expires=expires, on_expired=on_expired, propagate=propagate)


def check_expires(options: Mapping[str, Any]) -> None:
    """Refuses a send option of this kind that doesn't mean anything.

    Raises:
        OptionError: Saying why.
    """
    expires = options.get("expires")
    if expires is None:
        return
    if isinstance(expires, timedelta):
        if expires <= _ZERO:
            raise OptionError(f"expires is {shown(expires)}: nothing could begin before that", hint=_EXAMPLE)
    elif not isinstance(expires, datetime) or expires.utcoffset() is None:
        raise OptionError(f"expires is a timedelta or a datetime with a UTC offset, not {expires!r}", hint=_EXAMPLE)


def expiry(expires: timedelta | datetime | None, now: datetime, due: datetime | None) -> datetime | None:
    """The moment from which on a message that is sent now isn't begun any more; `None`: there is none.

    Args:
        expires: What its send says, or its declaration; checked. A length of time counts from when it may run.
        now: When it is sent.
        due: Before when it mustn't run, if there is such a time.

    Raises:
        OptionError: It is over already, or would be before the message may run.
    """
    if expires is None:
        return None
    earliest = now if due is None else max(now, due)
    try:
        at = earliest + expires if isinstance(expires, timedelta) else plain_datetime(expires).astimezone(UTC)
    except OverflowError as error:
        raise OptionError(
            f"expires is {expires}, beyond the year 9999, or before the year 1", hint="an earlier moment"
        ) from error
    if at <= earliest:
        why = "is over already" if earliest == now else f"is before it may run, {earliest.isoformat()}"
        raise OptionError(f"expires is {at.isoformat()}, which {why}", hint=_EXAMPLE)
    return at
