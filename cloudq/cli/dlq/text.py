"""A dead letter as people and programs read it."""

from __future__ import annotations

import base64
from datetime import datetime

import msgspec

from cloudq.cli.output import details, write
from cloudq.core.driver import DeadMessage
from cloudq.core.redriving import Edit, edits_of, times_redriven
from cloudq.queues.dead_letters import DeadGroup
from cloudq.queues.letters.groups import fingerprint_of

NO_REASON = "moved here by the backend itself"
NO_ERROR = "no error"
# An undecodable body is shown up to here; --raw gives all of it.
_SHOWN_BYTES = 4096


def show(dead: DeadMessage) -> None:
    """Everything that is known of a dead letter, on stdout."""
    message, failure = dead.message, dead.failure
    details(
        [
            ("key", dead.key),
            ("id", dead.id),
            ("queue", dead.queue),
            ("task", message.task if message else "unknown: the body can't be decoded"),
            ("reason", reason_of(dead)),
            ("error type", failure and failure.error_type),
            ("error", failure and failure.error_message),
            ("attempts", failure and failure.attempts),
            ("deliveries", failure and failure.deliveries),
            ("failed first", failure and moment(failure.first_at)),
            ("failed last", failure and moment(failure.last_at)),
            ("dead since", moment(dead.dead_at)),
            ("worker", failure and failure.worker),
            ("sent", message and moment(message.sent_at)),
            ("expires", message and moment(message.expires_at)),
            ("source", message and message.source),
            ("sent to", message.queue if message and message.queue != dead.queue else None),
            ("idempotency key", message and message.idempotency_key),
            ("ordering key", message and message.ordering_key),
            ("fairness key", message and message.fairness_key),
            ("generation", message and message.generation),
            ("redriven", times_redriven(message, failure) or None),
            ("group", fingerprint_of(dead)),
            *((f"header {name}", value) for name, value in (message.headers if message else {}).items()),
            *(("edited", _edit(edit)) for edit in (edits_of(message) if message else ())),
        ]
    )
    if message is not None and message.reference is not None:
        write("payload, in the claim-check store:")
        write(_indented(f"{message.reference}, SHA-256 {message.reference.sha256}"))
    elif message is not None:
        write("payload:")
        write(_indented(msgspec.json.format(msgspec.json.encode(message.payload), indent=2).decode()))
    else:
        write(f"body ({len(dead.body):,} bytes):")
        cut = " …" if len(dead.body) > _SHOWN_BYTES else ""
        write(_indented(repr(dead.body[:_SHOWN_BYTES])[2:-1] + cut))
    if failure is not None and failure.traceback:
        write("traceback (its end):")
        write(_indented(failure.traceback.rstrip("\n")))


def as_json(dead: DeadMessage) -> dict[str, object]:
    """Everything that is known of a dead letter, for a program; the body byte for byte in base64."""
    message = dead.message
    return {
        "key": dead.key,
        "id": dead.id,
        "queue": dead.queue,
        "task": message.task if message else None,
        "reason": dead.failure.reason if dead.failure else None,
        "dead_at": dead.dead_at,
        "redriven": times_redriven(message, dead.failure),
        "group": fingerprint_of(dead),
        "edits": [] if message is None else edits_of(message),
        "failure": None
        if dead.failure is None
        else {n: getattr(dead.failure, n) for n in dead.failure.__struct_fields__},
        "message": None if message is None else {n: getattr(message, n) for n in message.__struct_fields__},
        "body_base64": base64.b64encode(dead.body).decode(),
    }


def reason_of(dead: DeadMessage) -> str:
    """Why it is here."""
    return dead.failure.reason if dead.failure else NO_REASON


def moment(at: datetime | None) -> str | None:
    """A time in UTC, to the second."""
    return None if at is None else at.isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")


def in_words(group: DeadGroup) -> str:
    """A group in a line: how many of what, where, since when, how often redriven, and what they say."""
    since = "" if group.since is None else f" since {moment(group.since)}"
    redriven = f", redriven {_times(group.redriven)}" if group.redriven else ""
    counted = f"{group.count:,} × {group.error_type or NO_ERROR}"  # noqa: RUF001 - a multiplication sign is meant
    return f"{counted} in {group.task}{since}{redriven}: {group.text or NO_REASON}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def _edit(edit: Edit) -> str:
    return f"{moment(edit.at)} by {edit.by}: {', '.join(edit.what)}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))
