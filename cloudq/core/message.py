"""`Message`: what a producer sends and a worker receives, independent of any backend."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec.structs import replace

from cloudq.core.reference import Reference

FIFO_SUFFIX: Final = ".fifo"
DEAD_LETTER_SUFFIX: Final = "-dlq"
LINEAGE: Final = "cloudqlineage"
"""The attribute with the native id of the redriven, edited or imported copy that a message descends from."""
# What counts in a message is a CloudEvents Integer, a signed one of 32 bits.
LARGEST_COUNT: Final = 2**31 - 1

_NOTHING: Final[Mapping[str, object]] = {}
_NO_HEADERS: Final[Mapping[str, str]] = {}


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted request to run a task. `cloudq.core.wire` gives its bytes.

    Attributes:
        id: Unique for each `send`; every copy (retry, hop, redrive) keeps it.
        task: The task's name.
        payload: The task's keyword arguments by name, as JSON values; empty where a `reference` stands in their place.
        queue: The queue it was sent to.
        source: The CloudEvents source: who made it.
        sent_at: When it was sent, or `None` if its producer didn't say.
        not_before: It must not run earlier than this.
        expires_at: It isn't begun any more from this moment on; what has begun goes on. Every copy keeps it.
        idempotency_key: Two messages of one task with the same key are the same work.
        ordering_key: Messages of one key run one after the other, in the order in which they were sent.
        fairness_key: Whose message it is, where a backend shares its capacity fairly between keys.
        attempt_base: Attempts made by earlier copies of this message.
        generation: 0 as sent, one more for every copy: names a copy, so that native de-duplication can't swallow it.
        time_limit: How long one run may take, in whole seconds, as its sender declared it; for backends that have to be
            told with the message. The worker goes by its own declaration.
        headers: The user's own, name to value.
        extensions: CloudEvents attributes that cloudq doesn't know; they survive every copy.
        reference: Which blob holds the payload, if it didn't travel in the message; every copy keeps it.
        sealed: Of a signed message, the attributes that its signature is about as they were written, and the signature:
            every copy writes these and not the fields above, so that the signature still fits. `None` if it has none.
    """

    id: str
    task: str
    queue: str
    payload: Mapping[str, object] = _NOTHING
    source: str = "cloudq"
    sent_at: datetime | None = None
    not_before: datetime | None = None
    expires_at: datetime | None = None
    idempotency_key: str | None = None
    ordering_key: str | None = None
    fairness_key: str | None = None
    attempt_base: int = 0
    generation: int = 0
    time_limit: timedelta | None = None
    headers: Mapping[str, str] = _NO_HEADERS
    extensions: Mapping[str, object] = _NOTHING
    reference: Reference | None = None
    sealed: Mapping[str, msgspec.Raw] | None = None

    def __repr__(self) -> str:
        """Without payload, headers and keys: they may hold what no log should."""
        return f"Message(id={self.id!r}, task={self.task!r}, queue={self.queue!r}, generation={self.generation})"

    def native_id(self) -> str | None:
        """The name under which a backend may de-duplicate this message, or `None` if it needs none.

        At generation 0 that is the idempotency key; a copy is named by the message and its generation, so that a
        key's window never swallows a copy and a crash can't make a second copy of one generation (semantics 1).
        The task's name is part of both (semantics 2). Generations count on from every redrive and import anew, so two
        of one message come by the same numbers: what descends from one has its lineage in its name.
        """
        if self.generation:
            lineage = self.extensions.get(LINEAGE) if self.extensions else None
            return native_copy_id(
                self.source, self.task, self.id, self.generation, lineage if isinstance(lineage, str) else ""
            )
        if self.idempotency_key is None:
            return None
        return _hashed("key", self.task, self.idempotency_key)

    def retry_copy(self, *, attempt_base: int, not_before: datetime | None) -> Message:
        """The copy that makes the next attempt, or that waits on for its time."""
        return replace(
            self,
            attempt_base=min(attempt_base, LARGEST_COUNT),
            not_before=not_before,
            generation=next_generation(self.generation),
        )

    def redrive_copy(self, *, generation: int) -> Message:
        """The copy that a redrive sends: all attempts again, at once, under a new generation (semantics 7)."""
        newest = next_generation(max(generation, self.generation))
        return replace(self, attempt_base=0, not_before=None, generation=newest)


def next_generation(generation: int) -> int:
    """The generation of the next copy. What claims to be at the end of the numbers begins anew, under another name."""
    return generation + 1 if generation < LARGEST_COUNT else 1


def native_copy_id(source: str, task: str, id_: str, generation: int, lineage: str = "") -> str:
    """The name of a copy for native de-duplication: at most one is stored for a generation of a lineage.

    The source is part of it: to CloudEvents an id is unique within its source only, so without it a copy of one
    producer's message would swallow that of another's.
    """
    # Without a lineage the name is the one that workers give that know of none: theirs and ours are one copy.
    return _hashed("copy", source, task, id_, str(generation), *([lineage] if lineage else ()))


def is_ordered(queue: str) -> bool:
    """Whether a queue's name declares ordering, which it does on every backend alike."""
    return queue.endswith(FIFO_SUFFIX)


def dead_letter_queue(queue: str) -> str:
    """The name of a queue's dead-letter queue: `q-dlq`, or `q-dlq.fifo` for `q.fifo`."""
    if is_ordered(queue):
        return queue.removesuffix(FIFO_SUFFIX) + DEAD_LETTER_SUFFIX + FIFO_SUFFIX
    return queue + DEAD_LETTER_SUFFIX


def is_dead_letter_queue(queue: str) -> bool:
    """Whether a name is one that `dead_letter_queue` gives."""
    return queue.removesuffix(FIFO_SUFFIX).endswith(DEAD_LETTER_SUFFIX)


def _hashed(*parts: str) -> str:
    # Each part is preceded by its length, so that ("a", "bc") and ("ab", "c") differ.
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(encoded))
        digest.update(encoded)
    return digest.hexdigest()
