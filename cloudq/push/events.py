"""From a CloudEvent over HTTP, or a push of Google Pub/Sub, to the body that `cloudq.core.wire` reads. Pure.

Facts: CloudEvents HTTP binding 1.0.2, 2022-02; Pub/Sub, "Receive messages with push subscriptions", 2026-11.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import unquote

import msgspec
from msgspec.structs import replace

from cloudq.core.push import PushRequest
from cloudq.core.signatures import ATTRIBUTE
from cloudq.core.wire import MEDIA_TYPE, decode
from cloudq.errors import PushRefused, UndecodableError

BATCH: Final = "application/cloudevents-batch+json"
# Names the task of a Pub/Sub message whose data are the task's arguments.
TASK_ATTRIBUTE: Final = "cloudq-task"
# Eventarc's name for a Pub/Sub message; the event's data are what Pub/Sub itself pushes.
PUBLISHED: Final = "google.cloud.pubsub.topic.v1.messagePublished"

# An unwrapped push's headers, which the subscription's setting "write metadata" adds (Pub/Sub, "Payload unwrapping").
_MESSAGE_ID: Final = "x-goog-pubsub-message-id"
_SUBSCRIPTION: Final = "x-goog-pubsub-subscription-name"
_PUBLISH_TIME: Final = "x-goog-pubsub-publish-time"

ATTRIBUTE_PREFIX: Final = "ce-"
# What every structured event's type of content begins with.
_STRUCTURED: Final = "application/cloudevents"
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
# cloudq's own book-keeping: from others, who write no wireversion, it is something else that is named so.
_BOOKS: Final = frozenset({"attemptbase", "generation"})
# What others may set, too: where the value isn't of that kind, it is something else that is named so.
_OPTIONS: Final = frozenset(
    {"expirytime", "fairnesskey", "headers", "idempotencykey", "notbefore", "orderingkey", "queue", "timelimit"}
)
_FOREIGN: Final = "foreign"


class FormatRefused(PushRefused):
    """Events in a format that isn't taken: several at once, which can't be answered one by one, or not in JSON."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event, as it came.

    Attributes:
        body: A CloudEvent in JSON, or what came in its place where it is none.
        id: What its sender calls it.
        deliveries: How often it was sent, as far as its sender says.
        copy: What is the same each time that it is sent, where its sender says.
    """

    body: bytes
    id: str
    deliveries: int = 1
    copy: str | None = None


class PubSubMessage(msgspec.Struct, frozen=True):
    """What is in Pub/Sub's wrapper. Both spellings of a name are sent; one of them is read."""

    data: str = ""
    attributes: dict[str, str] = {}
    message_id: str = msgspec.field(default="", name="messageId")
    publish_time: str = msgspec.field(default="", name="publishTime")


class PubSubPush(msgspec.Struct, frozen=True):
    """Pub/Sub's wrapper."""

    message: PubSubMessage
    subscription: str
    delivery_attempt: int = msgspec.field(default=0, name="deliveryAttempt")


def event_of(request: PushRequest, tasks: Collection[str]) -> Event:
    """The event that a request carries.

    Args:
        request: The request.
        tasks: The names of the tasks that there are.

    Raises:
        PushRefused: It carries none.
        FormatRefused: It carries several, or one that isn't in JSON.
    """
    event = _event_of(request, tasks)
    return replace(event, body=own_attributes(event.body))


def _event_of(request: PushRequest, tasks: Collection[str]) -> Event:
    headers, body = request.headers, request.body
    media_type = _media_type(headers.get("content-type", ""))
    if media_type == BATCH:
        raise FormatRefused("several events at once can't be answered one by one", hint="send them one by one")
    # The type of the content decides (HTTP binding, 3): a structured event may have the headers of a binary one, too.
    if media_type == MEDIA_TYPE:
        return _structured(body, tasks)
    if media_type.startswith(_STRUCTURED):
        raise FormatRefused(f"events are read in JSON, and this one is {media_type[:60]}", hint=f"send {MEDIA_TYPE}")
    if f"{ATTRIBUTE_PREFIX}specversion" in headers:
        attributes = {
            name.removeprefix(ATTRIBUTE_PREFIX): _attribute(name, text)
            for name, text in headers.items()
            if name.startswith(ATTRIBUTE_PREFIX)
        }
        wrapped = _wrapped(body) if attributes.get("type") == PUBLISHED and PUBLISHED not in tasks else None
        if wrapped is not None:
            return _published(wrapped, body)
        return _binary(attributes, headers.get("content-type", ""), body)
    wrapped = _wrapped(body)
    if wrapped is not None:
        return _published(wrapped, body)
    return _unwrapped(headers, body, tasks)


def _structured(body: bytes, tasks: Collection[str]) -> Event:
    """An event in JSON, with its data in it."""
    known = _identified(body)
    if known.type == PUBLISHED and PUBLISHED not in tasks:
        wrapped = _wrapped(bytes(known.data))
        if wrapped is not None:
            return _published(wrapped, body)
    return Event(body=body, id=known.id)


def _unwrapped(headers: Mapping[str, str], body: bytes, tasks: Collection[str]) -> Event:
    """A Pub/Sub message whose subscription leaves the wrapper out: its data are the body, its attributes headers."""
    name, subscription = headers.get(_MESSAGE_ID, ""), headers.get(_SUBSCRIPTION, "")
    copy = f"{subscription} {name}" if name else None
    if headers.get(TASK_ATTRIBUTE):
        if not name:
            raise PushRefused(
                f"it has {TASK_ATTRIBUTE} and no {_MESSAGE_ID}", hint="set --push-no-wrapper-write-metadata"
            )
        made = _for_task(headers[TASK_ATTRIBUTE], name, subscription, headers.get(_PUBLISH_TIME, ""), body)
        return Event(body=made, id=name, copy=copy)
    known = _identified(body)
    if not (known.specversion and known.type):
        raise PushRefused("it is neither a push of this backend, nor a CloudEvent, nor a Pub/Sub message")
    event = _structured(body, tasks)
    return event if copy is None else replace(event, copy=copy)


def own_attributes(body: bytes) -> bytes:
    """The event, with the attributes of others that are named as ours under names of their own.

    What has a `wireversion` was written by cloudq, or for it, and stays as it is.
    """
    if b"\\u" not in body and not any(f'"{name}"'.encode() in body for name in (*_BOOKS, *_OPTIONS)):
        return body
    try:
        event = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(event, dict) or "wireversion" in event or ATTRIBUTE in event:
        return body
    foreign = [name for name in event if name in _BOOKS or (name in _OPTIONS and not _is_ours(name, event[name]))]
    if not foreign or _names_twice(body):
        return body  # an event that names something twice isn't made into one that doesn't
    return msgspec.json.encode({f"{_FOREIGN}{name}" if name in foreign else name: event[name] for name in event})


def _names_twice(body: bytes) -> bool:
    """Whether an object in it has a name twice, of which a decoder would keep one."""
    twice = False

    def look(pairs: list[tuple[str, object]]) -> None:
        nonlocal twice
        twice = twice or len({name for name, _ in pairs}) < len(pairs)

    try:
        json.loads(body, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return True
    return twice


def _is_ours(name: str, value: object) -> bool:
    """Whether the attribute can be read as the one that cloudq knows."""
    least = {"specversion": "1.0", "id": "1", "source": "/", "type": "t"}
    try:
        decode(msgspec.json.encode({**least, name: value}), "default")
    except UndecodableError:
        return False
    return True


def _attribute(name: str, text: str) -> str:
    """A header's value as it was before it was written (HTTP binding, 3.1.3.2): first the quotes, then the escapes."""
    if "\n" in text:
        raise PushRefused(f"the header {name[:60]} is there twice", hint="an attribute has one value")
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = _QUOTED_PAIR.sub(r"\1", text[1:-1])
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise PushRefused(f"the header {name[:60]} has escapes that aren't UTF-8") from None


def _binary(attributes: Mapping[str, str], content_type: str, data: bytes) -> Event:
    """An event whose attributes lie beside its data."""
    event: dict[str, object] = dict(attributes)
    if content_type:
        event["datacontenttype"] = content_type
    if data:
        event.update(_data(data))
    return Event(body=msgspec.json.encode(event), id=attributes.get("id", ""))


def _published(push: PubSubPush, whole: bytes) -> Event:
    """A Pub/Sub message, each of which belongs to one subscription."""
    name = push.message.message_id
    copy = f"{push.subscription} {name}" if name else None
    return replace(_event_in(push, whole), deliveries=max(1, push.delivery_attempt), copy=copy)


def _event_in(push: PubSubPush, whole: bytes) -> Event:
    """A CloudEvent in a message's data, or beside them, or arguments for the task that it names."""
    message = push.message
    attributes = message.attributes
    lower = {name.lower(): text for name, text in attributes.items()}
    try:
        data = base64.b64decode(message.data, validate=True)
    except ValueError:
        return Event(body=whole, id=message.message_id)
    if f"{ATTRIBUTE_PREFIX}specversion" in lower:
        named = {
            name.removeprefix(ATTRIBUTE_PREFIX): text
            for name, text in lower.items()
            if name.startswith(ATTRIBUTE_PREFIX)
        }
        if _media_type(lower.get("content-type", "")) == MEDIA_TYPE:
            return Event(body=data, id=_identified(data).id)
        return _binary(named, lower.get("content-type", ""), data)
    if TASK_ATTRIBUTE in lower:
        event = _for_task(lower[TASK_ATTRIBUTE], message.message_id, push.subscription, message.publish_time, data)
        return Event(body=event, id=message.message_id)
    # Whatever it is, it is kept as it was published: where it is no CloudEvent the dead letter says so.
    return Event(body=data, id=_identified(data).id or message.message_id)


def _for_task(task: str, id_: str, subscription: str, time: str, data: bytes) -> bytes:
    """A Pub/Sub message that names a task, as an event with its data as arguments."""
    event = {
        "specversion": "1.0",
        "id": id_,
        "source": f"//pubsub.googleapis.com/{subscription}",
        "type": task,
        **({"time": time} if time else {}),
        **(_data(data) if data else {}),
    }
    return msgspec.json.encode(event)


def _data(data: bytes) -> dict[str, object]:
    try:
        # Read once, so that what isn't JSON doesn't spoil the event around it.
        msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return {"data_base64": base64.b64encode(data).decode()}
    return {"data": msgspec.Raw(data)}


def _wrapped(body: bytes) -> PubSubPush | None:
    try:
        return msgspec.json.decode(body, type=PubSubPush)
    except (ValueError, RecursionError):
        return None


def _identified(body: bytes) -> _Identified:
    """What an event says of itself; nothing where it is none."""
    try:
        return msgspec.json.decode(body, type=_Identified)
    except (ValueError, RecursionError):
        return _Identified()


class _Identified(msgspec.Struct, frozen=True):
    id: str = ""
    specversion: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw()


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
