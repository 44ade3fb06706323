"""Claims over a real store, for tests of what asks for them; with a switch that takes the store down."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from threading import Event

from cloudq.core.claiming import Claimer
from cloudq.core.delivery import Delivery
from cloudq.core.message import Message
from cloudq.core.outcome import ACKED, Acked, DeadLettered, Expired, Outcome, Snoozed, Why
from cloudq.core.store import Claimed, ClaimKey, Completed, Store
from cloudq.errors import StoreUnavailable

LEASE = timedelta(minutes=2)
KEEP = timedelta(days=28)


class StoreBegun:
    """A claim of `StoreClaims`."""

    namespace = ""
    run = None
    taken_over = False

    @property
    def claim(self) -> StoreBegun:
        return self

    def __init__(self, claims: StoreClaims, key: ClaimKey, token: int) -> None:
        self._claims = claims
        self.key = key
        self.token = token
        self.given_up = 0

    def end(self, outcome: Outcome, result: object) -> Outcome:
        self._claims.call("end")
        store = self._claims.store
        if isinstance(outcome, Acked):
            store.complete(self.key, self.token, result=str(result).encode(), keep=KEEP)
        else:
            store.release(self.key, self.token)
        return outcome

    def give_up(self) -> None:
        self.given_up += 1


class StoreClaims:
    """Claims keys in a store, without renewing them.

    Args:
        store: The store.

    Attributes:
        broken: Raised by each call, if it is an error; called before each, if it can be.
        calls: What was asked of the store, in order.
        begun: The claims that were given.
        buried: What was dead-lettered without a run: its id, and why.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.broken: BaseException | Callable[[], None] | None = None
        self.runs_unclaimed = False
        self.calls: list[str] = []
        self.begun: list[StoreBegun] = []
        self.buried: list[tuple[str, str]] = []
        self._owners = itertools.count()

    def call(self, what: str) -> None:
        self.calls.append(what)
        if isinstance(self.broken, BaseException):
            raise self.broken
        if self.broken is not None:
            self.broken()

    def concerns(self, handler: Claimer, message: Message) -> bool:
        return message.idempotency_key is not None

    def unclaimed(self, handler: Claimer, message: Message) -> bool:
        return self.runs_unclaimed

    def begin(
        self,
        handler: Claimer,
        message: Message,
        delivery: Delivery,
        lease_lost: Event,
        until: timedelta | None,
    ) -> StoreBegun | Outcome:
        assert message.idempotency_key is not None
        key = ClaimKey(handler.name, message.idempotency_key)
        try:
            self.call("begin")
        except StoreUnavailable as error:
            return Snoozed(delay=timedelta(0), why=Why.STORE_DOWN, reason=str(error))
        owner = f"owner {next(self._owners)}"
        claim = self.store.claim(key, owner=owner, lease=LEASE, fingerprint=None, keep=KEEP)
        if isinstance(claim, Claimed):
            self.begun.append(StoreBegun(self, key, claim.token))
            return self.begun[-1]
        if isinstance(claim, Completed):
            return ACKED
        return Snoozed(delay=claim.left, why=Why.CLAIMED, reason="another delivery of its key is at work")

    def unrun(self, message: Message, outcome: DeadLettered | Expired) -> None:
        self.buried.append((message.id, outcome.reason))

    def reachable(self) -> bool:
        try:
            self.call("reachable")
        except StoreUnavailable:
            return False
        return True
