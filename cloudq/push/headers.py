"""`by_name`: a request's headers, where one may be there several times."""

from __future__ import annotations

from collections.abc import Iterable

from cloudq.push.events import ATTRIBUTE_PREFIX


def by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A request's headers by name, in lower case. If one is there twice, both values are kept: none hides another.

    They are one list with commas, as WSGI servers make it and RFC 9110 has it. An attribute of an event, whose value
    may hold commas of its own, has a line for each.
    """
    headers: dict[str, str] = {}
    for given, value in pairs:
        name = given.lower()
        if name in headers:
            # No header holds a line's end.
            headers[name] += ("\n" if name.startswith(ATTRIBUTE_PREFIX) else ", ") + value
        else:
            headers[name] = value
    return headers
