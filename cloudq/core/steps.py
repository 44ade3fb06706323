"""What goes out to a backend and what it answers: bodies to store, and the last step of each delivery."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import msgspec

from cloudq.core.delivery import Lease
from cloudq.core.failure import Failure


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """One body to be stored in a queue.

    Attributes:
        id: The message's id.
        queue: The queue to store it in.
        body: The bytes to store, unchanged.
        delay: Hidden for this long; never more than `Capabilities.max_delay`.
        native_id: The name to de-duplicate it by, or `None` for no de-duplication.
        ordering_key: On an ordered queue, the key whose order it joins; never given elsewhere.
        fairness_key: The key to share capacity by; never given where `Capabilities.fairness` is false.
        failure: To be kept beside the body, where the backend has room beside it.
        time_limit: How long a run of it may take, where a backend that pushes has to know how long to wait; never more
            than `Capabilities.max_lease` where leases can't be extended. `None` where nobody said.
        cancellable: Whether its sender is to be able to cancel it, where the backend can. No copy is.
        foreign: Of a copy, what other programs had set beside the original: `Delivery.foreign`, to be stored with it.
    """

    id: str
    queue: str
    body: bytes
    delay: timedelta = timedelta(0)
    native_id: str | None = None
    ordering_key: str | None = None
    fairness_key: str | None = None
    failure: Failure | None = None
    time_limit: timedelta | None = None
    cancellable: bool = False
    foreign: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        """Without the body, which may hold what no log should."""
        return f"Outgoing(id={self.id!r}, queue={self.queue!r}, bytes={len(self.body)})"


class SendResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one `Outgoing`.

    Attributes:
        error: Why it was not stored, or `None` if it was (or had been before).
        duplicate: Whether its native id was known, so that nothing new was stored; `None` if the backend doesn't say.
        original_id: For a duplicate, the id of the message that was stored first, where the backend says.
        receipt: What cancels it (see `Canceller`), or `None` where it can't be cancelled or wasn't to be.
    """

    error: Exception | None = None
    duplicate: bool | None = None
    original_id: str | None = None
    receipt: str | None = None


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """Delete the message."""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """Give the lease back: the message is handed over again, to anyone.

    Attributes:
        delay: After this long; never more than `Capabilities.native_retry_delay`, or than `max_release` where a copy
            would have been too large. Where the lease has a `hard_end` that
            hides no message for longer, the driver cuts it so that the release is still taken when it arrives.
        counted: Whether the delivery used up an attempt (see `Capabilities.attempt_exact`).
        failure: To be kept beside the message, where the backend has room beside it.
    """

    delay: timedelta = timedelta(0)
    counted: bool = True
    failure: Failure | None = None


class NativeDeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Move the message to the backend's own dead-letter queue, body unchanged, with these details beside it."""

    failure: Failure


FinalStep: TypeAlias = Ack | Release | NativeDeadLetter


class Final(msgspec.Struct, frozen=True, kw_only=True):
    """The last step of a delivery: what is to become of the message that `lease` is for."""

    lease: Lease
    step: FinalStep


class SettleResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one `Final`: `error` is `None` (confirmed), a `LeaseLost`, or a `BackendError`."""

    error: Exception | None = None


class ExtendResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one extension.

    Attributes:
        expires_at: When the lease ends now by the wall clock, as granted (which may be less than was asked for), or
            `None` on error: for show.
        ends: The same by `Clock.elapsed`, counted from before the call, or `None` on error.
        error: `None`, a `LeaseLost`, or a `BackendError`.
    """

    expires_at: datetime | None = None
    ends: timedelta | None = None
    error: Exception | None = None
