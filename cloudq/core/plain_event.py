"""`PlainEvent`: an event as cloudq itself writes it, written and read in one step.

Nearly all that a worker receives was written here. Such a body is decoded by its types, and written again: if that
gives the same bytes, it holds these attributes and nothing else, each once and in this form, no key of an object is
lost, and there is nothing left to look at. Whatever else comes is read attribute by attribute (`wire`), to the same
message.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from cloudq.core.event_headers import read_headers
from cloudq.core.message import LARGEST_COUNT, Message
from cloudq.core.moments import Moments

if TYPE_CHECKING:
    from datetime import datetime
else:
    datetime = Moments.datetime  # not a class that freezegun has put in its place while this module is imported

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_COUNT)]


class PlainEvent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The attributes in the order in which they are written; those at their default are left out.

    It has data, and neither extensions nor a signature; of an event that is otherwise, it is what all have in common.
    """

    specversion: Literal["1.0"]
    id: _Text
    source: _Text
    type: _Text
    datacontenttype: Literal["application/json"]
    wireversion: Literal[1]
    queue: _Text
    time: datetime | None = None
    notbefore: datetime | None = None
    expirytime: datetime | None = None
    idempotencykey: _Text | None = None
    orderingkey: _Text | None = None
    fairnesskey: _Text | None = None
    attemptbase: _Count = 0
    generation: _Count = 0
    timelimit: _Count = 0
    traceparent: str | None = None
    tracestate: str | None = None
    headers: str | None = None
    data: Mapping[str, Any] | None

    def message(self) -> Message:
        """The message that it stands for."""
        has_headers = self.headers is not None or self.traceparent is not None or self.tracestate is not None
        return Message(
            id=self.id,
            task=self.type,
            queue=self.queue,
            source=self.source,
            payload=self.data or {},
            sent_at=self.time,
            not_before=self.notbefore,
            expires_at=self.expirytime,
            idempotency_key=self.idempotencykey,
            ordering_key=self.orderingkey,
            fairness_key=self.fairnesskey,
            attempt_base=self.attemptbase,
            generation=self.generation,
            time_limit=timedelta(seconds=self.timelimit) if self.timelimit else None,
            headers=read_headers(self.headers, self.traceparent, self.tracestate) if has_headers else {},
        )


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(PlainEvent)


def plain_event(body: bytes) -> PlainEvent | None:
    """The event in a body that is, byte for byte, what is written of it; else `None`."""
    try:
        event = _DECODER.decode(body)
    except (ValueError, RecursionError):
        return None
    if event.data is None or _ENCODER.encode(event) != body:
        return None
    # An offset is written as it was read, and a message's times are in UTC.
    return event if _is_utc(event.time) and _is_utc(event.notbefore) and _is_utc(event.expirytime) else None


def _is_utc(moment: datetime | None) -> bool:
    return moment is None or moment.tzinfo is UTC
