"""`Claims`: what the `Processor` asks about idempotency keys, and `Begun`: a claim that a run has.

```
 payload ─▶ begin ─┬─▶ Begun ─▶ middleware, handler ─▶ end ─▶ the outcome is settled
                   └─▶ Outcome: done before, somebody is at work, the store is down
```

The completion is recorded before the settlement, so that a crash between the two leaves a message whose work is known
to be done. What isn't settled comes again; what isn't completed would be done again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from cloudq.core.ending import Ending
from cloudq.core.outcome import Acked

if TYPE_CHECKING:
    from cloudq.core.delivery import Delivery
    from cloudq.core.message import Message
    from cloudq.core.outcome import DeadLettered, Expired, Outcome
    from cloudq.core.store import ClaimKey

# A store ends its calls by itself, far sooner. This is for one that doesn't.
CLAIM_LIMIT: Final = timedelta(minutes=1)


class Claimer(Protocol):
    """A declared task, as far as its claims need to know it: `cloudq.core.handler.Handler` is one."""

    @property
    def name(self) -> str:
        """The task's name."""
        ...


class KeyClaim(Protocol):
    """A claim of an idempotency key, for those that need to know it."""

    @property
    def namespace(self) -> str:
        """The store's, which tells apart apps that share one."""
        ...

    @property
    def key(self) -> ClaimKey:
        """What is claimed."""
        ...

    @property
    def token(self) -> int:
        """Greater than that of each earlier claim of the key: `context.fence`."""
        ...

    @property
    def taken_over(self) -> bool:
        """Whether it was found to be another's: what its run did is not what is recorded."""
        ...


class WatchedRun(Protocol):
    """A run that is noted in the store, for its context and its handler. None of it blocks or raises."""

    cancelled: Event
    """Set once it is known that somebody wants it cancelled."""
    stopped: bool
    """Whether its coroutine was cancelled for that."""

    def progress(self, done: float, total: float | None) -> None:
        """Has noted how far it has come."""
        ...

    def on_cancel(self, stop: Callable[[], None] | None) -> None:
        """Has `stop` called, in some thread, once somebody wants it cancelled; `None`: nothing any more."""
        ...


class KeptResult(NamedTuple):
    """A result that is kept with the completion, in place of what the handler returned."""

    text: bytes | None
    """As JSON; `None` if it isn't kept."""
    why_not: str = ""
    ending: Ending = Ending.SUCCEEDED
    """Whether this run did the work, or found it done."""


class AlreadyDone(Acked, frozen=True, kw_only=True):
    """The work of its key is done, by this message or another: it is acknowledged unrun.

    Attributes:
        result: What was kept of it.
    """

    ending: Ending = Ending.DUPLICATE
    result: bytes | None = None


class Begun(Protocol):
    """A run that has begun, with the claim of its key and the note that it has: from `Claims.begin` to its end.

    It is renewed for as long as it is held by somebody: what nobody refers to any more (a run was interrupted in the
    very moment in which it got its claim) must not be renewed, so that it lapses.
    """

    @property
    def claim(self) -> KeyClaim | None:
        """The claim of its key, if it has one."""
        ...

    @property
    def run(self) -> WatchedRun | None:
        """What notes it, if anything does."""
        ...

    def end(self, outcome: Outcome, result: object) -> Outcome:
        """Records what became of the run: completes the claim after an `Acked`, else releases it. May block.

        After it the claim isn't renewed any more. It must not raise for a store that fails: work that is done is
        acknowledged also where that couldn't be recorded, since a retry would surely do it again.

        Args:
            outcome: What becomes of the delivery, as far as its handler and the middleware go.
            result: What the handler returned, or the `KeptResult` that is to be kept of it.

        Returns:
            What becomes of it now that the store was asked: mostly the same.
        """
        ...

    def give_up(self) -> None:
        """The run was interrupted: it isn't renewed any more, and lapses or is released. Must not block or raise."""
        ...


class Claims(Protocol):
    """Claims idempotency keys in a store. All methods must be safe to call from several threads at once."""

    def concerns(self, handler: Claimer, message: Message) -> bool:
        """Whether the message is to be claimed: it has a key, and there is a store. Asks nobody."""
        ...

    def begin(
        self, handler: Claimer, message: Message, delivery: Delivery, lease_lost: Event, until: timedelta | None
    ) -> Begun | Outcome:
        """Claims the message's key, or says what becomes of it instead. May block, for as long as a store's call.

        What keeps it from running now is a `Snoozed`: of `Why.CLAIMED`, with what is left of the other claim as its
        delay, or of `Why.STORE_DOWN`. The Processor sees to it that deliveries don't come back together, nor wait
        forever. A store that fails must not raise.

        Args:
            handler: Its task.
            message: With its payload.
            delivery: Its delivery.
            lease_lost: To be set once the claim is lost.
            until: When the edge itself ends by `Clock.elapsed`, if it does.
        """
        ...

    def unclaimed(self, handler: Claimer, message: Message) -> bool:
        """Whether the message runs without a claim while the store is down: it is so declared. Asks nobody."""
        ...

    def unrun(self, message: Message, outcome: DeadLettered | Expired) -> None:
        """A message is dead-lettered without a run of it. Must not block or raise.

        Args:
            message: It, perhaps without its payload.
            outcome: Why.
        """
        ...

    def reachable(self) -> bool:
        """Whether the store answers: asks it. May block, for as long as a store's call. Must not raise."""
        ...
