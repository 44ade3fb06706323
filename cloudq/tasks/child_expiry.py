"""Expiry of what a task sends: a deadline that is inherited, where the task or its app says so."""

from __future__ import annotations

from msgspec.structs import replace

from cloudq.core.message import Message
from cloudq.tasks.context import inherited_expiry, maybe_current


def with_parents_expiry(message: Message) -> Message:
    """The message, which expires no later than the one whose run sends it, if that is so declared.

    ```
     order     expires 12:00 ──▶ runs 11:58 ──▶ sends charge, and receipt (expires in 10 min)
     charge    expires 12:00
     receipt   expires 12:00, not at 12:08
    ```

    A time that is over by now stays: the child is stored, and the worker that is handed it counts it as expired.
    """
    context = maybe_current()
    latest = None if context is None else inherited_expiry(context)
    if latest is None or (message.expires_at is not None and message.expires_at <= latest):
        return message
    return replace(message, expires_at=latest)
