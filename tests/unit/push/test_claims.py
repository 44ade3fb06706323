"""Keys behind pushes: the service drops a request at its deadline, and pushes again while the handler still runs."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from cloudq import App, Context
from cloudq.core.store import Claim, Claimed, ClaimKey, RecordState
from cloudq.drivers.cloud_tasks.limits import DEFAULT_DEADLINE
from cloudq.errors import TimeLimitExceeded
from cloudq.running.claims import LEASE
from cloudq.stores.memory import MemoryStore
from cloudq.testing import FakeClock
from tests.unit.push.fakes import URL, Gate, PushedDriver, edge_of, push

KEY = ClaimKey("charge", "order-42")


class Shared(MemoryStore):
    """The store of two instances, whose renewals can be waited for."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self._changed = threading.Condition()
        self._renewals = 0
        self.claimed = 0

    def claim(self, *args: object, **kwargs: object) -> Claim:
        claim = super().claim(*args, **kwargs)  # type: ignore[arg-type]
        self.claimed += isinstance(claim, Claimed)
        return claim

    def renew(self, *args: object, **kwargs: object) -> bool:
        held = super().renew(*args, **kwargs)  # type: ignore[arg-type]
        with self._changed:
            self._renewals += 1
            self._changed.notify_all()
        return held

    def until_renewed(self, times: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._renewals >= times, 60), self._renewals


class Charges:
    """The task's runs, in all instances."""

    def __init__(self, *, heeds: bool) -> None:
        self.gate = Gate()
        self.contexts: list[Context] = []
        self.at_once = self.most_at_once = self.done = 0
        self._heeds = heeds

    def instance(self) -> App:
        """One of those behind the service's pushes."""
        app = App(URL)

        @app.task("charge", idempotency_key="order-{order}")
        def charge(context: Context, order: int) -> None:
            self.contexts.append(context)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                self.gate(order)
            except TimeLimitExceeded:
                if self._heeds:
                    raise
            finally:
                self.at_once -= 1
            self.done += 1

        return app


@pytest.mark.parametrize("heeds", [True, False], ids=["is stopped at last", "ends well"])
def test_a_handler_that_outlives_its_push_has_no_successor_beside_it(heeds):
    """However often the service pushes meanwhile, and wherever to; once it has ended, the work is done once."""
    clock, charges = FakeClock(), Charges(heeds=heeds)
    driver, store = PushedDriver(clock=clock), Shared(clock)
    first, second = charges.instance(), charges.instance()
    headers, body = push("charge", {"order": 42}, idempotency_key="order-42")
    again, _ = push("charge", {"order": 42}, idempotency_key="order-42", retries=1)
    answers = []
    with (
        first.using(driver, clock=clock, store=store),
        second.using(driver, clock=clock, store=store),
        edge_of(first) as here,
        edge_of(second) as there,
    ):
        thread = threading.Thread(target=lambda: answers.append(here.handle(headers, lambda: body)))
        thread.start()
        charges.gate.wait_started()
        beats = 0
        while clock.elapsed() < DEFAULT_DEADLINE + 2 * LEASE:
            clock.until_waiting(3)  # the threads that renew claims, look at leases, and end what runs too long
            clock.advance(LEASE / 3)
            beats += 1
            store.until_renewed(beats)
        assert charges.contexts[0].lease_lost.wait(60), "its push is over: it can see that"
        assert 200 == there.handle(again, lambda: body).status
        [copy] = [message for message in driver.stored("default") if message.generation == 1]
        assert copy.not_before is not None
        assert copy.attempt_base == 0, "waiting uses no attempt"
        assert RecordState.IN_PROGRESS is store.show(KEY).state
        charges.gate.goes_on.set()
        thread.join(60)
        assert (500 if heeds else 200) == answers[0].status
        clock.advance(max(timedelta(0), copy.not_before - clock.now()))
        headers, body = push(
            "charge", {"order": 42}, idempotency_key="order-42", generation=1, not_before=copy.not_before
        )
        assert 200 == there.handle(headers, lambda: body).status
    assert (1, 1) == (charges.done, charges.most_at_once)
    assert (2 if heeds else 1) == len(charges.contexts) == store.claimed
    assert RecordState.COMPLETED is store.show(KEY).state
