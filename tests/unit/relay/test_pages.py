"""The health pages of a relay."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.app import App
from cloudq.relay.doorbell import Doorbell
from cloudq.relay.pages import PATIENCE, RelayPages
from cloudq.relay.publishing import Publisher
from cloudq.relay.pump import Pump
from cloudq.relay.resting import Resting
from cloudq.relay.settings import RelaySettings
from cloudq.relay.tally import Counts, Tally
from cloudq.testing.clock import FakeClock
from tests.unit.relay.fakes import UNSIGNED_ALL, FakeOutbox, down


class Bench:
    """Pages, and all that they look at."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.outbox = FakeOutbox(self.clock)
        self.resting = Resting(self.clock)
        self.alive, self.stopping = 1, False
        settings = RelaySettings()
        self.pump = Pump(
            self.outbox.open,
            Publisher(App("memory://").queue, self.resting, UNSIGNED_ALL),
            settings=settings,
            resting=self.resting.queues,
            tally=Tally(),
            more=lambda: None,
            stop=Doorbell(self.clock),
            clock=self.clock,
        )
        self.pages = RelayPages(
            [self.pump],
            alive=lambda: self.alive,
            reasons=self.resting.reasons,
            stopping=lambda: self.stopping,
            counts=lambda: Counts(published=7),
            lease=settings.lease,
            clock=self.clock,
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_well(bench: Bench) -> None:
    """A relay that works is alive and ready, and says its counts."""
    for page in (bench.pages.healthz(), bench.pages.readyz()):
        assert (True, [], {"(outbox)": "relaying"}) == (page.ok, list(page.problems), page.queues)
        assert Counts(published=7) == page.counts


def test_the_outbox_is_away(bench: Bench) -> None:
    """Alive, and not ready; the error's text is for the log alone."""
    bench.outbox.broken = down("secret host")
    bench.pump.round()

    assert bench.pages.healthz().ok
    ready = bench.pages.readyz()
    assert (False, ["the outbox: StoreUnavailable, see the log"]) == (ready.ok, list(ready.problems))
    assert {"(outbox)": "down"} == ready.queues


def test_a_queue_is_down(bench: Bench) -> None:
    """Alive, and not ready."""
    bench.resting.begin("emails", "secret host")

    assert bench.pages.healthz().ok
    ready = bench.pages.readyz()
    assert (False, ["queue emails: nothing can be published, see the log"]) == (ready.ok, list(ready.problems))
    assert "down" == ready.queues["emails"]


def test_stopping(bench: Bench) -> None:
    """Alive until the end, and not ready."""
    bench.stopping, bench.alive = True, 0

    assert bench.pages.healthz().ok
    assert ["stopping"] == list(bench.pages.readyz().problems)


def test_a_thread_has_ended(bench: Bench) -> None:
    """Only a restart helps."""
    bench.alive = 0

    assert not bench.pages.healthz().ok


def test_a_batch_hangs(bench: Bench) -> None:
    """Only a restart helps where a round lasts longer than its batch may be this relay's, and a while."""
    bench.pump.busy_since = bench.clock.elapsed()
    bench.clock.advance(RelaySettings().lease + PATIENCE)
    assert bench.pages.healthz().ok
    bench.clock.advance(timedelta(seconds=1))

    assert not bench.pages.healthz().ok
