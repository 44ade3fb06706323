"""What can be set about an emulator. The defaults are the service's own strictness."""

from __future__ import annotations

from datetime import timedelta

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How strict the emulator is, and for how long it remembers.

    Attributes:
        relaxed: Takes what makes tests fast and the service would refuse or round: dispatch deadlines from 1 ms,
            backoffs of fractions of a second, more than 500 dispatches per second, throttling that starts at 10 ms.
        max_task_size: The largest task in bytes, as it is stored: name, URL, headers and all. The docstring of
            `CreateTask` says 100 KB, but the service takes 1,048,569 (measured in 2026 by the authors of
            aertje/cloud-tasks-emulator).
        task_tombstone: For how long a task's name stays taken after it was run or deleted: "up to 24 hours".
        queue_tombstone: For how long a deleted queue's name can't be used: "up to 3 days".
        issuer: The `iss` of OIDC tokens.
        pending_polls: How often `GetOperation` answers that a batch isn't done, before it says that it is. 0: the batch
            calls themselves answer that it's done.
        kept_attempts: How many of the latest attempts `attempts()` knows.
    """

    relaxed: bool = False
    max_task_size: int = 1_048_569
    task_tombstone: timedelta = timedelta(hours=24)
    queue_tombstone: timedelta = timedelta(days=3)
    issuer: str = "https://accounts.google.com"
    pending_polls: int = 0
    kept_attempts: int = 100_000
