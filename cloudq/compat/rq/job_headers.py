"""What RQ gives to one job, and how it travels: as headers of the message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from cloudq.compat.rq.retrying import HEADER, Retry
from cloudq.errors import OptionError

RETRY: Final = HEADER
META: Final = "rq-meta"
DESCRIPTION: Final = "description"


def headers_of(asked: Mapping[str, Any]) -> dict[str, str]:
    """The headers for a job's `retry`, `description` and `meta`; `None` asks for nothing.

    Raises:
        OptionError: One isn't what it should be.
    """
    found = {}
    retry, meta = asked.get("retry"), asked.get("meta")
    if retry is not None:
        if not isinstance(retry, Retry):
            raise OptionError(f"retry of a job is a Retry of cloudq.compat.rq, not {retry!r}", hint="Retry(max=3)")
        found[RETRY] = retry.header()
    if asked.get("description") is not None:
        found[DESCRIPTION] = str(asked["description"])
    if meta:
        found[META] = _written(meta)
    return found


def meta_of(headers: Mapping[str, str]) -> dict[str, Any]:
    """What was given as `meta`; nothing where a stranger wrote what this never writes."""
    try:
        return msgspec.json.decode(headers.get(META, "{}"), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return {}


def _written(meta: object) -> str:
    try:
        if isinstance(meta, Mapping) and all(isinstance(name, str) for name in meta):
            text = msgspec.json.encode(dict(meta)).decode()
            if msgspec.json.decode(text) == meta:  # a date, say, would arrive as a text
                return text
    except (TypeError, ValueError, RecursionError):
        pass
    raise OptionError("meta of a job is a JSON object: texts, numbers, lists and the like by name", hint='{"step": 1}')
