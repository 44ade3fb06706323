"""From the bytes that kombu stores to one call of a task, by Celery's message protocol 2.

Facts of the format: "Message Protocol", Celery's documentation 5.7, and `celery/app/amqp.py`, 5.7 (November 2026).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

import msgspec

from cloudq.compat.celery.bridge.bodies import MOST_BYTES, loaded, unpacked
from cloudq.compat.celery.bridge.stays import Stays, Why
from cloudq.core.message import LARGEST_COUNT
from cloudq.core.printable import NAME_CHARS, shortened

_LONGEST_ID: Final = 512
_TAG: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")  # a UUID, as kombu makes them
# What Celery itself sets; whatever else is text there is the caller's own (`apply_async(headers=...)`).
_CELERYS_OWN: Final = frozenset(
    {
        *("lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit", "root_id"),
        *("parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting"),
        *("stamped_headers", "stamps", "redelivered", "compression"),
    }
)
_IN_THE_BODY: Final = {
    "callbacks": (Why.LINK, "a task is to be called with its result (link)"),
    "errbacks": (Why.LINK_ERROR, "a task is to be called if it fails (link_error)"),
    "chain": (Why.CHAIN, "others come after it (chain)"),
    "chord": (Why.CHORD, "a task waits for it and for others (chord)"),
}


class CeleryCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a task, as its sender wrote it.

    Attributes:
        id: Celery's id of it, which its retries keep.
        task: The task's name.
        args: The positional arguments.
        kwargs: Those by name.
        tag: What names this one publication of it: kombu's own delivery tag, else a digest of its body.
        eta: Not before then.
        expires: Not begun any more from then on.
        retries: How many attempts were made before.
        group: Its `MessageGroupId`, which kombu gives SQS and keeps beside the body.
        headers: The caller's own texts beside it.
    """

    id: str
    task: str
    args: Sequence[object]
    kwargs: Mapping[str, object]
    tag: str
    eta: datetime | None = None
    expires: datetime | None = None
    retries: int = 0
    group: str | None = None
    headers: Mapping[str, str] = {}

    def __repr__(self) -> str:
        """Without arguments and headers, which may hold what no log should."""
        return f"CeleryCall(id={self.id!r}, task={self.task!r})"


class _Properties(msgspec.Struct):
    body_encoding: str | None = None
    delivery_tag: Any = None
    group: Any = msgspec.field(name="MessageGroupId", default=None)


class _Envelope(msgspec.Struct):
    """What kombu stores of a message on backends that know no messages of their own."""

    body: str
    properties: _Properties
    headers: dict[str, Any]
    content_type: str | None = msgspec.field(name="content-type", default=None)
    content_encoding: str | None = msgspec.field(name="content-encoding", default=None)


class Named(msgspec.Struct, frozen=True):
    """What a message says it is, as far as it can be told: for a list of those that stay."""

    id: str | None = None
    task: str | None = None


class Readable(msgspec.Struct, frozen=True):
    """A message whose outside is Celery's.

    Attributes:
        named: What it says it is.
        envelope: The rest.
    """

    named: Named
    envelope: _Envelope

    def call(self, timezone: tzinfo = UTC) -> CeleryCall:
        """The call in it.

        Args:
            timezone: Celery's setting of that name, by which a time without an offset counts.

        Raises:
            Stays: It isn't JSON by protocol 2, or is more than a call.
        """
        headers, properties = self.envelope.headers, self.envelope.properties
        task, id_ = self.named.task, self.named.id
        if task is None and "task" not in headers:
            raise Stays(Why.PROTOCOL, "its headers name no task, as by protocol 1 of before Celery 4")
        if not task or not task.isprintable() or not id_ or not id_.isprintable() or len(id_) > _LONGEST_ID:
            raise Stays(Why.UNREADABLE, f"its headers have no task and id that are printable texts of {_LONGEST_ID}")
        body = unpacked(self.envelope.body, properties.body_encoding, headers.get("compression"))
        args, kwargs, embedded = _parts(
            loaded(body, self.envelope.content_type, self.envelope.content_encoding),
        )
        for name, (why, said) in _IN_THE_BODY.items():
            if embedded.get(name):
                raise Stays(why, said)
        if headers.get("group") is not None:
            raise Stays(Why.GROUP, "it is one of a group, whose results belong together")
        tag = properties.delivery_tag
        return CeleryCall(
            id=id_,
            task=task,
            args=args,
            kwargs=kwargs,
            tag=tag if isinstance(tag, str) and _TAG.fullmatch(tag) else hashlib.sha256(body).hexdigest()[:32],
            eta=_moment("eta", headers.get("eta"), timezone),
            expires=_moment("expires", headers.get("expires"), timezone),
            retries=_count(headers.get("retries")),
            group=properties.group if isinstance(properties.group, str) and properties.group else None,
            headers={n: v for n, v in headers.items() if n not in _CELERYS_OWN and isinstance(v, str)},
        )


def readable(raw: bytes) -> Readable:
    """A message from what kombu stored, its outside read.

    Raises:
        Stays: It isn't kombu's, or has too many bytes to be looked at.
    """
    if len(raw) > MOST_BYTES:
        raise Stays(Why.TOO_LARGE, f"it has {len(raw):,} bytes; {MOST_BYTES:,} are looked at")
    if not raw.lstrip().startswith(b"{"):  # on SQS kombu stores the base64 of it
        try:
            raw = base64.b64decode(raw, validate=True)
        except ValueError as error:
            raise Stays(Why.UNREADABLE, "it is neither JSON nor base64") from error
    try:
        envelope = msgspec.json.decode(raw, type=_Envelope)
    except (ValueError, RecursionError) as error:
        raise Stays(Why.UNREADABLE, f"it isn't what kombu stores: {shortened(str(error), NAME_CHARS)}") from error
    task, id_ = envelope.headers.get("task"), envelope.headers.get("id")
    return Readable(Named(id_ if isinstance(id_, str) else None, task if isinstance(task, str) else None), envelope)


def _parts(body: object) -> tuple[list[object], dict[str, object], dict[str, object]]:
    if isinstance(body, (list, tuple)) and len(body) == 3:
        args, kwargs, embedded = body
        if isinstance(args, list) and isinstance(kwargs, dict) and isinstance(embedded, dict):
            return args, kwargs, embedded
    raise Stays(Why.UNREADABLE, "its body isn't [args, kwargs, embed], as by protocol 2")


def _moment(name: str, value: object, timezone: tzinfo) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone)
        return aware.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Stays(Why.UNREADABLE, f"its {name} is {shortened(repr(value), NAME_CHARS)}, no time") from error


def _count(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_COUNT:
        raise Stays(Why.UNREADABLE, f"its retries are {shortened(repr(value), NAME_CHARS)}, no count")
    return value
