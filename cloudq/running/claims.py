"""`StoreClaims`: idempotency keys claimed in the app's store before their tasks run, kept while they do, and ended.

```
 two deliveries of one key    A claims ─▶ runs ───────────────▶ completes ─▶ settled
                              B     finds it "in progress": waits, uncounted ─▶ claims: done, acknowledged unrun

 a worker that dies           A claims ─▶ runs ─▶ ✗ ┄┄┄┄ its claim lapses
                              B     waits ┄┄┄┄┄┄┄┄┄┄┄┄┄▶ claims (a greater token) ─▶ runs ─▶ completes

 a worker that sleeps         A claims ─▶ sleeps ┄┄┄┄┄┄┄┄ lapses ┄┄┄┄┄┄┄┄ wakes: a renewal, a completion or a release
                              B                           claims ─▶ runs ─▶ …     with A's token changes nothing
```
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Final

from cloudq.core.claiming import AlreadyDone, Begun, Claimer
from cloudq.core.delivery import Delivery
from cloudq.core.failure import Failure, words_of
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Expired, Outcome, Snoozed, Why
from cloudq.core.redriving import former_fingerprints
from cloudq.core.safe_log import SafeLogger
from cloudq.core.store import Claimed, ClaimKey, Completed, InProgress, Store
from cloudq.errors import BackendError, ConfigurationError, OptionError, PayloadError
from cloudq.running.heartbeat import Heartbeat
from cloudq.running.held_claim import HeldClaim, Terms, again
from cloudq.tasks.definition import Definition

if TYPE_CHECKING:
    from cloudq.app import App

logger = SafeLogger("cloudq")

# As long as a worker may be silent before its message is handed to another, where the task doesn't say.
LEASE: Final = timedelta(minutes=2)
# For where the host says when it ends: a claim outlives its process, which may still be in its last call.
MARGIN: Final = timedelta(seconds=30)
# Where the service says nothing of how long it keeps messages: as long as Amazon SQS with its dead letters.
KEEP: Final = timedelta(days=28)
# A claim whose end is weeks away may still be ended any moment.
LONGEST_WAIT: Final = timedelta(minutes=5)
_PROBE: Final = ClaimKey("cloudq", "does the store answer?")


class StoreClaims:
    """What the `Processor` asks about the keys of one app, in one process.

    Args:
        app: Whose tasks and store.
        heartbeat: Renews claims while their handlers run; `None` for edges whose process stands still between calls,
            and for tools on a clock of their own: claims last for what is left by `until`, and a margin.
        lease: In place of what the task says.
    """

    def __init__(self, app: App, *, heartbeat: Heartbeat | None, lease: timedelta | None = None) -> None:
        self._app = app
        self._stores = app.runtime.stores
        self._heartbeat = heartbeat
        self._lease = lease
        self._warned = False

    def concerns(self, handler: Claimer, message: Message) -> bool:
        """Whether the message is to be claimed: it has a key, and there is a store. Asks nobody."""
        del handler  # tools put their own around it; what the declaration says is in the registry
        definition = self._definition(message)
        if definition is None or (message.idempotency_key is None and not definition.declares_key):
            return False
        if self._stores.in_use:
            return True
        if not self._warned and not self._stores.is_native_only:
            self._warned = True
            logger.warning(
                "%s was sent with an idempotency key, and there is no store to claim it in: only the backend's own "
                "de-duplication looks at it, and a redelivery runs again; set CLOUDQ_STORE_URL to a store, "
                'or to "none" if that is meant',
                message.task,
            )
        return False

    def unclaimed(self, handler: Claimer, message: Message) -> bool:
        """Whether the message runs without a claim while the store is down: its declaration says so."""
        del handler
        definition = self._definition(message)
        return definition is not None and definition.key_options.on_store_error == "run"

    def begin(
        self,
        handler: Claimer,
        message: Message,
        delivery: Delivery,
        lease_lost: Event,
        until: timedelta | None = None,
    ) -> Begun | Outcome:
        """Claims the message's key, or says what becomes of it instead."""
        del handler
        definition = self._app.runtime.handlers[message.task]
        try:
            key = definition.idempotency_key_of(message)
        except (PayloadError, OptionError) as error:
            return _dead(f"payload: {words_of(error)}", error)
        try:
            store = self._store()
            terms = self._terms(definition, delivery.queue, until)
            since = self._app.clock.elapsed()
            taken = _take(store, definition, message, key or "", terms)
        except (BackendError, ConfigurationError) as error:
            return Snoozed(delay=LONGEST_WAIT, why=Why.STORE_DOWN, reason=words_of(error))
        if not isinstance(taken, list):
            return taken
        return HeldClaim(
            store,
            self._stores.namespace,
            taken,
            terms,
            since=since,
            lease_lost=lease_lost,
            said=f"{message.task} {message.id}",
        )

    def unrun(self, message: Message, outcome: DeadLettered | Expired) -> None:
        """It has no claim."""

    def reachable(self) -> bool:
        """Whether the store answers, and can be written to. Raises nothing that is the store's."""
        try:
            store = self._store()
            taken = store.claim(_PROBE, owner=_owner(), lease=LEASE, fingerprint=None, keep=LEASE)
            if isinstance(taken, Claimed):
                store.release(_PROBE, taken.token)
        except (BackendError, ConfigurationError) as error:
            logger.debug("the store of idempotency keys isn't reachable: %s", error)
            return False
        return True

    def _terms(self, definition: Definition, queue: str, until: timedelta | None) -> Terms:
        """For how long a claim of the task's holds, and its record is kept."""
        # Where the backend isn't open it isn't opened for that: it is a function's, on SQS, whose time `KEEP` is.
        retention = self._app.queue(queue).capabilities.retention if self._app.is_open else None
        keep = kept_for(retention)
        if definition.key_options.unique_until == "start":
            # Nobody is to take it over. A worker that dies leaves it as it is.
            return Terms(lease=keep, keep=keep, heartbeat=None, clock=self._app.clock, is_final=True)
        lease = self._lease or definition.lease or LEASE
        if self._heartbeat is None and until is not None:
            lease = max(MARGIN, until - self._app.clock.elapsed() + MARGIN)
        return Terms(lease=lease, keep=keep, heartbeat=self._heartbeat, clock=self._app.clock)

    def _definition(self, message: Message) -> Definition | None:
        return self._app.runtime.handlers.get(message.task)

    def _store(self) -> Store:
        store = self._app.runtime.store
        if store is None:
            raise ConfigurationError("the app has no store of idempotency keys any more")
        return store


def kept_for(retention: timedelta | None) -> timedelta:
    """For how long the record of a key is kept whose messages the service keeps for `retention`, if that is known.

    Twice as long: a repeat may come that late, from its dead-letter queue later by as much again.
    """
    return KEEP if retention is None else 2 * retention


def _take(
    store: Store, definition: Definition, message: Message, key: str, terms: Terms
) -> list[tuple[ClaimKey, int]] | Outcome:
    """The records, each with its token, if all of them could be claimed; else what becomes of the message.

    Raises:
        BackendError: The store failed. What was claimed is released, or lapses.
    """
    owner, fingerprint = _owner(), definition.key_options.fingerprint(message.payload)
    taken: list[tuple[ClaimKey, int]] = []
    try:
        for name in (definition.name, *definition.aliases):
            record = ClaimKey(name, key)
            # By the same owner: a claim whose answer was lost is given again.
            claim = again(
                partial(store.claim, record, owner=owner, lease=terms.lease, fingerprint=fingerprint, keep=terms.keep)
            )
            if not isinstance(claim, Claimed):
                _release(store, taken)
                return _instead(claim, fingerprint, message)
            taken.append((record, claim.token))
    except BackendError:
        _release(store, taken)
        raise
    return taken


def _release(store: Store, taken: Sequence[tuple[ClaimKey, int]]) -> None:
    for record, token in taken:
        with suppress(BackendError):
            store.release(record, token)


def _instead(claim: InProgress | Completed, fingerprint: bytes, message: Message) -> Outcome:
    """What becomes of a message whose key is somebody else's, or whose work is done."""
    theirs = claim.fingerprint
    # What an operator edited is the same work as before: an edit replaces the fingerprint.
    if theirs is not None and theirs != fingerprint and theirs.hex() not in former_fingerprints(message):
        return _dead(
            "its idempotency key was used with another payload: "
            f"SHA-256 {theirs.hex()} there, {fingerprint.hex()} in this message"
        )
    if isinstance(claim, Completed):
        return AlreadyDone(result=claim.result)
    return Snoozed(
        delay=min(claim.left, LONGEST_WAIT), why=Why.CLAIMED, reason="another delivery of its key is at work"
    )


def _dead(reason: str, error: Exception | None = None) -> DeadLettered:
    return DeadLettered(reason=reason, failure=Failure.of(reason, error))


def _owner() -> str:
    """`host:pid:` and a part that is this run's alone, so that no claim is taken for another's."""
    return f"{socket.gethostname()}:{os.getpid()}:{os.urandom(12).hex()}"
