"""From a CloudEvent over HTTP, or a push of Google Pub/Sub, to the body that `cloudq.core.wire` reads. Pure.

Facts: CloudEvents HTTP binding 1.0.2, 2022-02; Pub/Sub, "Receive messages with push subscriptions", 2026-11.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import unquote

import msgspec
from msgspec.structs import replace

from cloudq.core.push import PushRequest
from cloudq.core.wire import MEDIA_TYPE
from cloudq.errors import PushRefused

BATCH: Final = "application/cloudevents-batch+json"
# Names the task of a Pub/Sub message whose data are the task's arguments.
TASK_ATTRIBUTE: Final = "cloudq-task"
# Eventarc's name for a Pub/Sub message; the event's data are what Pub/Sub itself pushes.
PUBLISHED: Final = "google.cloud.pubsub.topic.v1.messagePublished"

_CE: Final = "ce-"


class BatchRefused(PushRefused):
    """Several events at once: they can't be answered one by one."""


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
        BatchRefused: It carries several.
    """
    headers, body = request.headers, request.body
    media_type = _media_type(headers.get("content-type", ""))
    if media_type == BATCH:
        raise BatchRefused("several events at once can't be answered one by one", hint="send them one by one")
    if f"{_CE}specversion" in headers:
        attributes = {name.removeprefix(_CE): unquote(text) for name, text in headers.items() if name.startswith(_CE)}
        wrapped = _wrapped(body) if attributes.get("type") == PUBLISHED and PUBLISHED not in tasks else None
        if wrapped is not None:
            return _published(wrapped, body)
        return _binary(attributes, headers.get("content-type", ""), body)
    if media_type == MEDIA_TYPE:
        return Event(body=body, id=_id_in(body))
    wrapped = _wrapped(body)
    if wrapped is None:
        raise PushRefused("it is neither a push of this backend, nor a CloudEvent, nor a Pub/Sub message")
    return _published(wrapped, body)


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
    if f"{_CE}specversion" in lower:
        named = {name.removeprefix(_CE): text for name, text in lower.items() if name.startswith(_CE)}
        return _binary(named, lower.get("content-type", ""), data)
    if TASK_ATTRIBUTE in lower:
        event = {
            "specversion": "1.0",
            "id": message.message_id,
            "source": f"//pubsub.googleapis.com/{push.subscription}",
            "type": lower[TASK_ATTRIBUTE],
            **({"time": message.publish_time} if message.publish_time else {}),
            **(_data(data) if data else {}),
        }
        return Event(body=msgspec.json.encode(event), id=message.message_id)
    # Whatever it is, it is kept as it was published: where it is no CloudEvent the dead letter says so.
    return Event(body=data, id=_id_in(data) or message.message_id)


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


def _id_in(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Identified).id
    except (ValueError, RecursionError):
        return ""


class _Identified(msgspec.Struct, frozen=True):
    id: str = ""


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
