"""`host.json` of an Azure Functions app, held against the tasks' time limits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from cloudq.cli.doctor.catalogue import FAULTS
from cloudq.cli.doctor.fault import Finding, Unchecked, Where

FILE: Final = "host.json"
_MOST: Final = 1024 * 1024
# What the host has where the file says nothing: a function's timeout on the Consumption plan, on others 30 minutes
# ("Function app timeout duration", Azure Functions, 2026-11); the SDK's own renewal ("ServiceBusProcessor.
# MaxAutoLockRenewalDuration", .NET reference, 2026-11).
_TIMEOUT: Final = timedelta(minutes=5)
_RENEWAL: Final = timedelta(minutes=5)
_SPAN: Final = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})(?:\.\d+)?")
_WITHOUT_END: Final = "-1"


def look_at_host(folder: Path, longest: timedelta | None) -> Iterator[Finding | Unchecked]:
    """Whether the host ends a function, or its message's lock, before a task may end. Nothing where there is no file.

    Args:
        folder: Where the app is.
        longest: The longest time limit of its tasks; `None`: there is none.
    """
    file = folder / FILE
    try:
        text = file.read_bytes() if file.stat().st_size <= _MOST else b""
        told: Mapping[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except FileNotFoundError:
        return
    except (OSError, msgspec.DecodeError) as error:
        yield Unchecked(what=str(file), why=str(error))
        return
    if longest is None:
        return
    bindings = (told.get("extensions") or {}).get("serviceBus") or {}
    for fault, name, said, default in (
        ("functions-timeout", "functionTimeout", told.get("functionTimeout"), _TIMEOUT),
        ("functions-lock", "maxAutoLockRenewalDuration", bindings.get("maxAutoLockRenewalDuration"), _RENEWAL),
    ):
        span = _span(said, default)
        if span is not None and span < longest:
            shown = f"is {said}" if said is not None else f"isn't set, which may be {default}"
            words = f"{name} {shown}, and a task's time limit is {longest}"
            yield Finding(fault=FAULTS[fault], where=Where.FUNCTIONS, what=words, names={"right": _written(longest)})


def _span(said: object, default: timedelta) -> timedelta | None:
    """A time as .NET writes it, `d.hh:mm:ss`; `None`: without end, or nothing that can be read."""
    if said is None:
        return default
    found = _SPAN.fullmatch(str(said))
    if found is None or str(said) == _WITHOUT_END:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _written(longest: timedelta) -> str:
    """The next whole minute, so that the task can still be settled."""
    minutes = int(longest.total_seconds() // 60) + 1
    return f"{minutes // 60:02}:{minutes % 60:02}:00"
