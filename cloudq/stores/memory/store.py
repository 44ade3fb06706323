"""`MemoryStore`: the store contract over a dictionary, and the table of `claim_life` word for word."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Lock
from typing import NamedTuple

from cloudq.core.claim_life import TABLE, Call, Does, Seen, next_token
from cloudq.core.clock import SYSTEM_CLOCK, Clock, later, to_micros
from cloudq.core.store import (
    Claim,
    Claimed,
    ClaimKey,
    Completed,
    Forgotten,
    InProgress,
    Record,
    RecordState,
)
from cloudq.stores.memory.notes import MemoryNotes


class _Kept(NamedTuple):
    """A record. Its spans are `Clock.elapsed`'s, so that setting the clock ends no claim."""

    token: int
    owner: str
    until: timedelta | None
    completed: datetime | None
    kept_until: timedelta
    fingerprint: bytes | None
    result: bytes | None


class MemoryStore:
    """Keeps records for as long as the process lives. Thread-safe.

    Args:
        clock: Where the time comes from.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._lock = Lock()
        self._records: dict[ClaimKey, _Kept] = {}
        self.notes = MemoryNotes(clock)

    def claim(
        self, key: ClaimKey, *, owner: str, lease: timedelta, fingerprint: bytes | None, keep: timedelta
    ) -> Claim:
        """Takes the key, unless somebody has it or its work is done."""
        with self._lock:
            now = self._clock.elapsed()
            kept = self._records.get(key)
            does = TABLE[Call.CLAIM][self._seen(kept, now, owner=owner)]
            if kept is not None and does is Does.REFUSES:
                return self._instead(kept, now)
            if does is Does.EXTENDS and kept:
                self._extend(key, kept, now + lease)
                return Claimed(kept.token)
            token = next_token(kept.token if kept else 0, to_micros(self._clock.now()))
            self._records[key] = _Kept(token, owner, now + lease, None, now + lease + keep, fingerprint, None)
            return Claimed(token)

    def renew(self, key: ClaimKey, token: int, lease: timedelta) -> bool:
        """Has the claim last for `lease` from now."""
        with self._lock:
            now = self._clock.elapsed()
            kept = self._records.get(key)
            if kept is None or TABLE[Call.RENEW][self._seen(kept, now, token=token)] is not Does.EXTENDS:
                return False
            self._extend(key, kept, now + lease)
            return True

    def complete(self, key: ClaimKey, token: int, *, result: bytes | None, keep: timedelta) -> bool:
        """Records that the work is done."""
        with self._lock:
            now = self._clock.elapsed()
            kept = self._records.get(key)
            does = TABLE[Call.COMPLETE][self._seen(kept, now, token=token)]
            if does is Does.COMPLETES and kept is not None:
                self._records[key] = kept._replace(
                    until=None, completed=self._clock.now(), kept_until=now + keep, result=result
                )
            return does is not Does.REFUSES

    def release(self, key: ClaimKey, token: int) -> bool:
        """Gives the claim back."""
        with self._lock:
            now = self._clock.elapsed()
            kept = self._records.get(key)
            does = TABLE[Call.RELEASE][self._seen(kept, now, token=token)]
            if does is Does.RELEASES and kept is not None:
                self._records[key] = _Kept(kept.token, "", None, None, kept.kept_until, None, None)
            return does is not Does.REFUSES

    def show(self, key: ClaimKey) -> Record | None:
        """What is there, or `None`."""
        with self._lock:
            elapsed, now = self._clock.elapsed(), self._clock.now()
            kept = self._records.get(key)
            seen = self._seen(kept, elapsed)
            if kept is None or seen is Seen.NOTHING:
                return None
            return Record(
                state=_STATES[seen],
                token=kept.token,
                owner=kept.owner,
                until=None if kept.until is None else later(now, kept.until - elapsed),
                at=kept.completed,
                keep_until=later(now, kept.kept_until - elapsed),
                fingerprint=kept.fingerprint,
                result=kept.result,
            )

    def forget(self, key: ClaimKey, *, force: bool = False) -> Forgotten:
        """Removes the record; that of a claim that holds only with `force`."""
        with self._lock:
            call = Call.FORGET_LIVE if force else Call.FORGET
            does = TABLE[call][self._seen(self._records.get(key), self._clock.elapsed())]
            if does is Does.REMOVES:
                del self._records[key]
            return _FORGOTTEN[does]

    def sweep(self, limit: int) -> int:
        """Removes up to `limit` records, then notes, that were kept for long enough."""
        with self._lock:
            now = self._clock.elapsed()
            over = [key for key, kept in self._records.items() if now >= kept.kept_until][:limit]
            for key in over:
                del self._records[key]
        return len(over) + self.notes.sweep(limit - len(over))

    def close(self) -> None:
        """Nothing to free."""

    def _extend(self, key: ClaimKey, kept: _Kept, ends: timedelta) -> None:
        self._records[key] = kept._replace(until=ends, kept_until=max(kept.kept_until, ends))

    def _seen(self, kept: _Kept | None, now: timedelta, *, owner: str | None = None, token: int | None = None) -> Seen:
        if kept is None or now >= kept.kept_until:
            return Seen.NOTHING
        own = kept.token == token or (kept.owner != "" and kept.owner == owner)
        if kept.completed is not None:
            return Seen.OWN_COMPLETED if own else Seen.COMPLETED
        if kept.until is None:
            return Seen.OWN_RELEASED if own else Seen.RELEASED
        if own:
            return Seen.OWN
        return Seen.HELD if now < kept.until else Seen.LAPSED

    def _instead(self, kept: _Kept, now: timedelta) -> Claim:
        if kept.until is None and kept.completed is not None:
            return Completed(kept.completed, kept.result, kept.fingerprint)
        return InProgress((kept.until or now) - now, kept.fingerprint)


_STATES = {
    Seen.RELEASED: RecordState.RELEASED,
    Seen.LAPSED: RecordState.LAPSED,
    Seen.HELD: RecordState.IN_PROGRESS,
    Seen.COMPLETED: RecordState.COMPLETED,
}
_FORGOTTEN = {
    Does.REMOVES: Forgotten.REMOVED,
    Does.AGREES: Forgotten.NOTHING_THERE,
    Does.REFUSES: Forgotten.STILL_RUNNING,
}
