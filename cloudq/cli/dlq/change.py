"""What `cloudq dlq edit` changes, from its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec.structs import replace

from cloudq.cli.dlq.chosen import SHOWN
from cloudq.cli.options import duration
from cloudq.cli.parameters import Option
from cloudq.core.message import Message
from cloudq.core.printable import shortened
from cloudq.errors import OptionError, PayloadError
from cloudq.queues.letters.editing import Change

SetOption = Annotated[
    list[str] | None,
    Option("--set", metavar="NAME=JSON", help="An argument of the payload: user_id=42, 'name=\"Bob\"'. Repeatable."),
]
UnsetOption = Annotated[
    list[str] | None, Option("--unset", metavar="NAME", help="Takes an argument out of the payload. Repeatable.")
]
PayloadOption = Annotated[str | None, Option("--payload", metavar="JSON", help="The whole payload anew.")]
TaskOption = Annotated[str | None, Option("--task", metavar="NAME", help="Another task.")]
KeyOption = Annotated[str | None, Option("--idempotency-key", metavar="KEY", help="Another idempotency key.")]
NoKey = Annotated[bool, Option("--no-idempotency-key", help="No idempotency key.")]
ExpiresOption = Annotated[
    str | None, Option("--expires", metavar="10m", help="Not begun any more that long after now: see cloudq send.")
]
NoExpiry = Annotated[bool, Option("--no-expiry", help="It may begin at any time.")]
HeaderOption = Annotated[
    list[str] | None,
    Option("--header", metavar="NAME=TEXT", help="A header; without TEXT it is taken out. Repeatable."),
]


def change_of(
    *,
    set_: Sequence[str] | None,
    unset: Sequence[str] | None,
    payload: str | None,
    task: str | None,
    idempotency_key: str | None,
    no_idempotency_key: bool,
    headers: Sequence[str] | None,
    expires: str | None,
    no_expiry: bool,
    now: datetime,
) -> Change:
    """The change that the options describe.

    Raises:
        OptionError: They describe none, or two that contradict each other.
        PayloadError: What should be JSON isn't.
    """
    if idempotency_key is not None and no_idempotency_key:
        raise OptionError("--idempotency-key and --no-idempotency-key exclude each other", hint="give one of them")
    if expires is not None and no_expiry:
        raise OptionError("--expires and --no-expiry exclude each other", hint="give one of them")
    given = (set_, unset, headers, no_idempotency_key, no_expiry, expires)
    if not any(given) and payload is task is idempotency_key is None:
        raise OptionError(
            "nothing says what to change", hint="--set user_id=42; cloudq dlq redrive sends them unchanged"
        )
    if task == "":
        raise OptionError("--task is empty", hint="--task shop.welcome")
    whole = None if payload is None else _object(payload)
    members = dict(_member(text) for text in set_ or ())
    gone = list(unset or ())
    written = [_header(text) for text in headers or ()]
    expiry = None if expires is None else now + duration("--expires", expires, positive=True)

    def change(message: Message) -> Message:
        changed: dict[str, Any] = {}
        if whole is not None or members or gone:
            changed["payload"] = _changed(message.payload if whole is None else whole, members, gone)
        if written:
            kept: dict[str, str | None] = {**message.headers, **dict(written)}
            changed["headers"] = {name: text for name, text in kept.items() if text is not None}
        if task is not None:
            changed["task"] = task
        if idempotency_key is not None or no_idempotency_key:
            changed["idempotency_key"] = idempotency_key
        if expiry is not None or no_expiry:
            changed["expires_at"] = expiry
        return replace(message, **changed)

    return change


def _changed(payload: Mapping[str, object], members: Mapping[str, object], gone: Sequence[str]) -> dict[str, object]:
    merged = {**payload, **members}
    return {name: value for name, value in merged.items() if name not in gone}


def _member(text: str) -> tuple[str, object]:
    given, equals, value = text.partition("=")
    name = shortened(given, SHOWN)
    if not name or not equals:
        raise OptionError(f"--set {shortened(text, SHOWN)!r} is not NAME=JSON", hint="--set user_id=42")
    try:
        return given, msgspec.json.decode(value)
    except (ValueError, RecursionError) as error:
        raise PayloadError(
            f"--set {name}: the value isn't JSON: {error}",
            hint=f"a text has its quotes: --set '{name}=\"{shortened(value, SHOWN)}\"'",
        ) from error


def _object(text: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (ValueError, RecursionError) as error:
        raise PayloadError(
            f"--payload isn't a JSON object of arguments by name: {error}", hint="--payload '{\"user_id\": 42}'"
        ) from error


def _header(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    if not name:
        raise OptionError(f"--header {shortened(text, SHOWN)!r} is not NAME=TEXT", hint="--header tenant=a")
    return name, value if equals else None
