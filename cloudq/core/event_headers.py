"""A message's headers in its event: those of tracing are attributes of CloudEvents, the rest is one text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from cloudq.core.doubled_keys import doubled_key
from cloudq.core.printable import shortened
from cloudq.errors import PayloadError, UndecodableError

TRACEPARENT: Final = "traceparent"
TRACE_HEADERS: Final = (TRACEPARENT, "tracestate")
"""CloudEvents' distributed tracing extension."""

_DECODER: Final = msgspec.json.Decoder(dict[str, str])
_ENCODER: Final = msgspec.json.Encoder()
_SHOWN: Final = 60


def written_headers(headers: Mapping[str, str]) -> tuple[str | None, str | None, str | None]:
    """The two of tracing, and a JSON object of the others, as a text, since an attribute can't be a map.

    Raises:
        PayloadError: One can't be encoded.
    """
    own = {name: value for name, value in headers.items() if name not in TRACE_HEADERS}
    traceparent, tracestate = (headers.get(name) for name in TRACE_HEADERS)
    try:
        return traceparent, tracestate, _ENCODER.encode(own).decode() if own else None
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"the message can't travel as JSON: {error}") from error


def read_headers(encoded: object, *traces: object) -> dict[str, str]:
    """The headers that these attributes hold. What is no text among those of tracing is none of ours.

    Args:
        encoded: The text of the others, or `None`.
        traces: Those of tracing, in the order of `TRACE_HEADERS`.

    Raises:
        UndecodableError: The text isn't one that holds an object of texts, each once.
    """
    headers: dict[str, str] = {}
    if encoded is not None:
        text = encoded.encode() if isinstance(encoded, str) else b""
        try:
            headers = _DECODER.decode(text)
        except (ValueError, RecursionError) as error:
            raise UndecodableError("headers isn't a text that holds a JSON object of texts") from error
        if (doubled := doubled_key(text, headers)) is not None:
            raise UndecodableError(f"headers has the key {shortened(repr(doubled), _SHOWN)} twice")
    for name, value in zip(TRACE_HEADERS, traces, strict=True):
        if isinstance(value, str) and value:
            headers[name] = value
    return headers
