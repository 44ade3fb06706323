"""The wire format: a message is a CloudEvents 1.0 event in JSON. See `docs/reference/wire-format.md`.

Facts of the format are from the CloudEvents specification 1.0.2, JSON event format, 2022-02.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from cloudq.core import signatures
from cloudq.core.doubled_keys import doubled_key
from cloudq.core.event_headers import TRACE_HEADERS, read_headers, written_headers
from cloudq.core.foreign_bodies import in_place_of_an_event, refuse_marked
from cloudq.core.message import LARGEST_COUNT, Message
from cloudq.core.moments import Moments, plain_datetime
from cloudq.core.nesting import has_nan_or_infinity, too_deep
from cloudq.core.plain_event import PlainEvent, plain_event
from cloudq.core.reference import Reference, is_key, is_sha256
from cloudq.errors import PayloadError, UndecodableError

# The newest version that is read. A message carries the lowest one whose readers understand it; absent means 1.
WIRE_VERSION: Final = 2
# A reader of version 1 would run a task without its arguments where they are referred to.
_WITH_REFERENCE: Final = 2
MEDIA_TYPE: Final = "application/cloudevents+json"
# Parsing is bounded before it starts; no backend stores more than this in a message.
MAX_BODY_BYTES: Final = 100 * 1024 * 1024
# Objects and arrays within each other. Far below Python's limit of recursion, which depends on who calls: what was
# decoded can always be encoded again for its copy.
MAX_DEPTH: Final = 100

# What has neither parts nor a value that JSON doesn't have, but for what the encoder refuses.
_FLAT: Final = frozenset({str, int, bool, type(None)})

_ENCODER, _DECODER = msgspec.json.Encoder(), msgspec.json.Decoder()


def encode(message: Message) -> bytes:
    """The message's bytes.

    What `decode` made can always be encoded.

    Raises:
        PayloadError: It holds something that JSON doesn't have (an object, half of a surrogate pair, NaN), a time
            without UTC offset, or more than `MAX_DEPTH` objects within each other.
    """
    event = PlainEvent(
        specversion="1.0",
        id=message.id,
        source=message.source,
        type=message.task,
        datacontenttype="application/json",
        wireversion=1,
        queue=message.queue,
        time=None if message.sent_at is None else _utc(message.sent_at, "sent_at"),
        idempotencykey=message.idempotency_key or None,
        orderingkey=message.ordering_key or None,
        fairnesskey=message.fairness_key or None,
        timelimit=_seconds(message.time_limit) if message.time_limit else 0,
        data=message.payload,
    )
    # Not above: beyond 15 of them CPython puts keyword arguments into a dict first (3.11 to 3.13, STACK_USE_GUIDELINE
    # in its compile.c), and the call takes four times as long.
    if message.not_before is not None:
        event.notbefore = _utc(message.not_before, "not_before")
    if message.expires_at is not None:
        event.expirytime = _utc(message.expires_at, "expires_at")
    if message.generation or message.attempt_base:
        event.generation, event.attemptbase = message.generation, message.attempt_base
    if message.headers:
        event.traceparent, event.tracestate, event.headers = written_headers(message.headers)
    if message.extensions or message.sealed is not None or message.reference is not None:
        return _written(_with_more(event, message))
    return _written(event, message.payload)


def _with_more(event: PlainEvent, message: Message) -> dict[str, object]:
    """The attributes of an event that has extensions, a signature, or a reference in place of its data."""
    event.data = None
    attributes: dict[str, object] = {**message.extensions, **_DECODER.decode(_json(event))}
    del attributes["data"]
    if message.reference is not None:
        attributes["wireversion"] = _WITH_REFERENCE
    if message.sealed is not None:
        unsealed = {name: value for name, value in attributes.items() if name not in signatures.KEPT}
        return {**unsealed, **message.sealed}
    if message.reference is None:
        attributes["data"] = message.payload
    else:
        attributes["dataref"] = message.reference.key  # CloudEvents' own extension for a claim check
        attributes["datasha256"] = message.reference.sha256
        attributes["datasize"] = message.reference.size
    return attributes


def encode_payload(payload: Mapping[str, object]) -> bytes:
    """A payload's bytes, as its blob holds them.

    Raises:
        PayloadError: It holds something that JSON doesn't have.
    """
    return _json(payload)


def decode_payload(blob: bytes) -> Mapping[str, object]:
    """The payload in a blob's bytes.

    Raises:
        UndecodableError: They are no JSON object.
    """
    payload = _read(blob, "the blob of its payload doesn't hold JSON", MAX_DEPTH - 1)
    if not isinstance(payload, dict):
        raise UndecodableError(f"the blob of its payload holds a JSON {type(payload).__name__}, not an object")
    return payload


def decode(body: bytes, queue: str) -> Message:
    """The message in a body that came from `queue`.

    Raises:
        UndecodableError: Saying what is wrong with it, in words that fit a dead letter's reason.
    """
    plain = plain_event(body) if len(body) <= MAX_BODY_BYTES else None
    if plain is not None and not too_deep(body, {"data": plain.data}, MAX_DEPTH):
        return plain.message()
    event = _parse(body)
    sealed = None if event.pop(signatures.ATTRIBUTE, None) is None else signatures.kept(body)
    version = event.pop("specversion", None)
    if version != "1.0":
        raise UndecodableError(f"specversion is {_shown(version)}, not '1.0': this is no CloudEvents 1.0 event")
    wire_version = _integer(event, "wireversion", default=1)
    if wire_version > WIRE_VERSION:
        raise UndecodableError(
            f"wireversion {wire_version} is newer than {WIRE_VERSION}, the newest this worker understands",
            hint="upgrade the workers, then redrive",
        )
    id_ = _text(event, "id", required=True)
    task = _text(event, "type", required=True)
    source = _text(event, "source", required=True)
    encoded = event.get("data_base64") is not None  # null in it stands for no arguments, not for a reference
    payload = _payload(event)
    reference = None if payload is not None or encoded else _reference(event, wire_version)
    sent_to = _text(event, "queue")
    optional = {field: read(event, attribute) for attribute, field, read in _OPTIONAL if attribute in event}
    return Message(
        id=id_,
        task=task,
        queue=sent_to or queue,
        source=source,
        payload={} if payload is None else payload,
        headers=read_headers(event.pop("headers", None), *(event.pop(name, None) for name in TRACE_HEADERS)),
        extensions=event,  # what is left over: not ours, kept
        reference=reference,
        sealed=sealed,
        **optional,  # type: ignore[arg-type]  # each reader gives what its field takes
    )


def _written(event: PlainEvent | dict[str, object], data: Mapping[str, object] | None = None) -> bytes:
    """The bytes of an event: of a plain one, with the data in it."""
    body = _json(event)
    if data is not None and _FLAT.issuperset(map(type, data.values())):
        return body  # the usual case, without a search in the body
    values = event if isinstance(event, dict) else {"data": data}
    if too_deep(body, values, MAX_DEPTH):
        raise PayloadError(f"the message has more than {MAX_DEPTH} objects and arrays within each other")
    # JSON has no NaN and no infinity; msgspec writes them as null, which would change the payload silently.
    if b"null" in body and has_nan_or_infinity(values):
        raise PayloadError("the message holds a number that JSON doesn't have (NaN or infinity)")
    return body


def _json(value: object) -> bytes:
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"the message can't travel as JSON: {error}") from error


def _seconds(span: timedelta) -> int:
    # An attribute is an Integer at most; a run is never given less time than was declared.
    return min(LARGEST_COUNT, max(1, math.ceil(span.total_seconds())))


def _utc(moment: datetime, name: str) -> datetime:
    if moment.tzinfo is UTC and type(moment) is Moments.datetime:
        return moment  # as cloudq's own are
    if moment.tzinfo is None:
        raise PayloadError(f"{name} is {moment.isoformat()}: it has no UTC offset", field=name)
    try:
        return plain_datetime(moment).astimezone(UTC)
    except OverflowError as error:
        raise PayloadError(f"{name} is {moment.isoformat()}, outside of the years 1 to 9999", field=name) from error


def _parse(body: bytes) -> dict[str, object]:
    if len(body) > MAX_BODY_BYTES:
        raise UndecodableError(f"the body has {len(body):,} bytes, more than any backend stores")
    refuse_marked(body)
    if isinstance(event := _read(body, "the body isn't JSON"), dict):
        return event
    raise UndecodableError(in_place_of_an_event(event))


def _read(text: bytes, otherwise: str, depth: int = MAX_DEPTH) -> object:
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise UndecodableError(f"{otherwise}: {error}") from error
    if too_deep(text, value, depth):
        raise UndecodableError(f"{otherwise}: more than {depth} objects and arrays are within each other")
    if (doubled := doubled_key(text, value)) is not None:
        raise UndecodableError(f"{otherwise}: an object has the key {_shown(doubled)} twice")
    return value


def _payload(event: dict[str, object]) -> Mapping[str, object] | None:
    """The data; `None` where there is none."""
    content_type = _text(event, "datacontenttype")
    if content_type and content_type != "application/json" and not _is_json(content_type):
        raise UndecodableError(f"datacontenttype is {_shown(content_type)}; a task's data is JSON")
    data = event.pop("data", None)
    encoded = event.pop("data_base64", None)
    if encoded is not None:
        if data is not None:
            raise UndecodableError("both data and data_base64 are present")
        data = _from_base64(encoded)
    if data is not None and not isinstance(data, dict):
        raise UndecodableError(f"data is a JSON {type(data).__name__}, not an object of arguments by name")
    return data


def _reference(event: dict[str, object], wire_version: int) -> Reference | None:
    """What stands in place of the data, if anything does."""
    if event.get("dataref") is None:
        return None
    if wire_version < _WITH_REFERENCE:
        raise UndecodableError(f"dataref stands in place of data, which takes a wireversion of {_WITH_REFERENCE}")
    key = _text(event, "dataref", required=True)
    sha256 = _text(event, "datasha256", required=True)
    size = _integer(event, "datasize")
    if not is_key(key):
        raise UndecodableError(f"dataref is {_shown(key)}, not the relative name of a blob")
    if not is_sha256(sha256):
        raise UndecodableError(f"datasha256 is {_shown(sha256)}, not 64 digits of lower-case hexadecimal")
    if not 0 < size <= MAX_BODY_BYTES:
        raise UndecodableError(f"datasize is {size:,}, not a number of bytes from 1 to {MAX_BODY_BYTES:,}")
    return Reference(key=key, sha256=sha256, size=size)


def _from_base64(encoded: object) -> object:
    if not isinstance(encoded, str):
        raise UndecodableError("data_base64 isn't a string")
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise UndecodableError(f"data_base64 isn't base64: {error}") from error
    return _read(decoded, "data_base64 doesn't hold JSON", MAX_DEPTH - 1)  # it becomes `data`, one level further down


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type.endswith(("/json", "+json"))


def _text(event: dict[str, object], name: str, *, required: bool = False) -> str:
    value = event.pop(name, None)
    if isinstance(value, str) and (value or not required):
        return value
    if value is None and not required:
        return ""
    raise UndecodableError(f"{name} is {_shown(value)}, not a text" + (" (required)" if required else ""))


def _text_or_none(event: dict[str, object], name: str) -> str | None:
    return _text(event, name) or None


def _span(event: dict[str, object], name: str) -> timedelta | None:
    return timedelta(seconds=_integer(event, name)) or None


def _integer(event: dict[str, object], name: str, *, default: int = 0) -> int:
    value = event.pop(name, None)
    if value is None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)  # some SDKs write every extension attribute as a text
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # to JSON 1.0 is the same number as 1, and some languages know no other
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_COUNT:
        raise UndecodableError(f"{name} is {_shown(value)}, not a whole number from 0 to {LARGEST_COUNT}")
    return value


def _time(event: dict[str, object], name: str) -> datetime | None:
    value = event.pop(name, None)
    if value is None:
        return None
    try:
        moment = msgspec.convert(value, Moments.datetime)
    except msgspec.ValidationError as error:
        raise UndecodableError(f"{name} is {_shown(value)}, not an RFC 3339 time") from error
    if moment.tzinfo is None:
        raise UndecodableError(f"{name} is {_shown(value)}: it has no UTC offset")
    try:
        return moment if moment.tzinfo is UTC else plain_datetime(moment).astimezone(UTC)
    except OverflowError as error:
        raise UndecodableError(f"{name} is {_shown(value)}, outside of the years 1 to 9999") from error


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class _Optional(NamedTuple):
    """An attribute that may be left out: its field, and how it is read."""

    attribute: str
    field: str
    read: Callable[[dict[str, object], str], object]


_OPTIONAL: Final = (
    _Optional("time", "sent_at", _time),
    _Optional("notbefore", "not_before", _time),
    _Optional("expirytime", "expires_at", _time),  # CloudEvents' own extension of that name, cloudevents/spec, 2026
    _Optional("idempotencykey", "idempotency_key", _text_or_none),
    _Optional("orderingkey", "ordering_key", _text_or_none),
    _Optional("fairnesskey", "fairness_key", _text_or_none),
    _Optional("attemptbase", "attempt_base", _integer),
    _Optional("generation", "generation", _integer),
    _Optional("timelimit", "time_limit", _span),
)
