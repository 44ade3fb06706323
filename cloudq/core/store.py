"""The store contract: what keeps the records of idempotency keys. These docstrings ARE the contract.

A record says that a key's work is under way, and whose, or that it is done. It is claimed before the task runs and
completed after. Each sentence here is a behaviour of `cloudq.testing.stores`; `claim_life` is the table behind it.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, Protocol, TypeAlias

import msgspec

from cloudq.core.notes import Notes

LONGEST_NAMESPACE: Final = 128
"""The most characters of a namespace."""


class ClaimKey(msgspec.Struct, frozen=True):
    """Names the work: the same work has the same key.

    Attributes:
        task: The task's name.
        key: The idempotency key.
    """

    task: str
    key: str

    def digest(self, namespace: str) -> bytes:
        """32 bytes that no other namespace, task and key have: for stores whose own keys are short."""
        made = hashlib.sha256()
        for part in (namespace, self.task, self.key):
            encoded = part.encode("utf-8", "surrogatepass")
            made.update(len(encoded).to_bytes(8) + encoded)
        return made.digest()


class Claimed(msgspec.Struct, frozen=True):
    """The caller has it, and may start.

    Attributes:
        token: Of this claim. Greater than that of each earlier claim of the key.
    """

    token: int


class InProgress(msgspec.Struct, frozen=True):
    """Somebody else has it.

    Attributes:
        left: For how long at most, unless it is renewed.
        fingerprint: Of its payload.
    """

    left: timedelta
    fingerprint: bytes | None


class Completed(msgspec.Struct, frozen=True):
    """The work is done.

    Attributes:
        at: When, by the store's clock.
        result: What was kept of it.
        fingerprint: Of its payload.
    """

    at: datetime
    result: bytes | None
    fingerprint: bytes | None


Claim: TypeAlias = Claimed | InProgress | Completed


class RecordState(Enum):
    """What an operator learns of a record."""

    IN_PROGRESS = "in progress"
    LAPSED = "lapsed"
    """Its owner died, or lost its store: the next delivery takes it over."""
    RELEASED = "released"
    COMPLETED = "completed"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a store holds under a key, for people. Its times are the store's, and for show.

    Attributes:
        state: Where the work is.
        token: Of the latest claim.
        owner: Who claimed it; empty once it is released.
        until: When the claim ends; `None` where none holds or held.
        at: When it was completed; `None` before.
        keep_until: When the record may go.
        fingerprint: Of the payload; `None` once it is released.
        result: What was kept of the result.
    """

    state: RecordState
    token: int
    owner: str
    until: datetime | None
    at: datetime | None
    keep_until: datetime
    fingerprint: bytes | None
    result: bytes | None


class Forgotten(Enum):
    """What `Store.forget` did."""

    REMOVED = "removed"
    NOTHING_THERE = "nothing there"
    STILL_RUNNING = "still running"
    """Its claim holds: nothing was changed."""


class Store(Protocol):
    """Keeps records under keys, for all workers of an app.

    All methods must be safe to call from several threads and processes at once, and end within the store's time limit.
    A store that can't be reached, or whose answer is lost, raises `StoreUnavailable`: each call may then have been
    carried out, and can be made again with the same arguments. What it refuses for good is a `StoreRefused`.

    It must keep the namespaces apart that it is opened with, and must take its time from its server where that has one.
    """

    @property
    def notes(self) -> Notes:
        """What it keeps beside the claims: runs, their results, and marks of what waits."""
        ...

    def claim(
        self, key: ClaimKey, *, owner: str, lease: timedelta, fingerprint: bytes | None, keep: timedelta
    ) -> Claim:
        """Takes the key for `owner`, unless somebody has it or its work is done: in one step, with nothing between.

        A claim that is over, or was released, is taken over. The same owner's own claim must be given again, with its
        token, and renewed: the answer to its first call may have been lost.

        Args:
            key: What to claim.
            owner: A name that no other claim has.
            lease: For how long, from now.
            fingerprint: Of the payload, to be told to others who find the claim.
            keep: For how long the record is kept from now, at least, should nothing more come.
        """
        ...

    def renew(self, key: ClaimKey, token: int, lease: timedelta) -> bool:
        """Has the claim last for `lease` from now. `False`: it is no longer this token's."""
        ...

    def complete(self, key: ClaimKey, token: int, *, result: bytes | None, keep: timedelta) -> bool:
        """Records that the work is done, for `keep` from now. `False`: the claim is no longer this token's.

        A second completion by the same token changes nothing and is `True`.
        """
        ...

    def release(self, key: ClaimKey, token: int) -> bool:
        """Gives the claim back, so that the next delivery can start at once. `False`: it is no longer this token's.

        The record must keep nothing but its token.
        """
        ...

    def show(self, key: ClaimKey) -> Record | None:
        """What is there, or `None`."""
        ...

    def forget(self, key: ClaimKey, *, force: bool = False) -> Forgotten:
        """Removes the record, so that the work can be done again. That of a claim that holds only with `force`."""
        ...

    def sweep(self, limit: int) -> int:
        """Removes up to `limit` records, then notes, that were kept for long enough; says how many went.

        0 where the server does it.
        """
        ...

    def close(self) -> None:
        """Frees what it holds."""
        ...
