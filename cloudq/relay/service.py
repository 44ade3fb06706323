"""`Relay`: the parts put together, from the first take to the last settlement.

```
 outbox ◀── take, settle ── pumps ── send_all ──▶ queues
                            ▲
   listener ─ NOTIFY ─▶ doorbell ◀─ every 200 ms
```
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from cloudq.app import App
from cloudq.core.safe_log import SafeLogger
from cloudq.core.threads import Threads
from cloudq.relay.doorbell import Doorbell
from cloudq.relay.publishing import Publisher
from cloudq.relay.pump import Pump
from cloudq.relay.resting import LONGEST, Resting
from cloudq.relay.seals import Seals
from cloudq.relay.settings import RelaySettings
from cloudq.relay.source import Reader
from cloudq.relay.tally import Counts, Tally
from cloudq.running.main_loop import MainLoop

if TYPE_CHECKING:
    from cloudq.relay.listening import Listener
    from cloudq.running.pages import HealthServer

logger = SafeLogger("cloudq.relay")

UNREACHABLE: Final = 3
# How often an outbox that can't be reached is tried where nobody waits for it to come back.
ONCE_TRIES: Final = 5
# What is published at the moment of a second signal is settled, if that is quick.
AT_ONCE: Final = timedelta(seconds=3)
# For as long a relay that hears of new messages looks as often as another one: twice the longest wait for a try.
AFTER_A_FAILURE: Final = 2 * LONGEST
SUMMARY: Final = timedelta(minutes=1)


class Relay:
    """Publishes what is in an outbox, to the backend of an app, until it is stopped.

    Several may work on one outbox, in any number of processes: each message is one relay's at a time, and those of one
    ordering key are published in their order. Each is published at least once.

    Signals: at the first SIGTERM or SIGINT nothing more is taken, the call under way is awaited for `grace`, and the
    rest is given back. A second one leaves now: what isn't settled by then is published again.

    Args:
        app: Whose backend, claim-check store and signing keys to use. It needs no tasks.
        open_reader: Opens the outbox, once for each batch at a time; called with how long a batch may take.
        settings: How.

    Raises:
        ConfigurationError: It can't work like this: the health pages' address is taken, say.
    """

    def __init__(
        self, app: App, open_reader: Callable[[timedelta], Reader], settings: RelaySettings | None = None
    ) -> None:
        self.app = app
        self.settings = settings = settings or RelaySettings()
        self._open_reader = open_reader
        self._clock = app.clock
        self._loop = MainLoop(self._clock)
        self._tally = Tally()
        self._resting = Resting(self._clock)
        self._stop, self._news, self._more, self._over = (Doorbell(self._clock) for _ in range(4))
        self._until_empty = settings.once
        publisher = Publisher(app.queue, self._resting, Seals(lambda: app.runtime.signing))
        self._pumps = [
            Pump(
                open_reader,
                publisher,
                settings=settings,
                resting=self._resting.queues,
                tally=self._tally,
                more=self._more.ring,
                stop=self._stop,
                clock=self._clock,
            )
            for _ in range(settings.concurrency)
        ]
        self._threads = Threads("cloudq-relay", settings.concurrency, clock=self._clock)
        self._lock = threading.Lock()
        self._ended = 0  # guarded by the lock
        self._unreachable = False
        self._failed = 0, timedelta(0)  # how many had failed when it was looked at, and when that number was new
        self._began = self._clock.elapsed()
        self._summed_up = Counts(), self._began
        self._listener: Listener | None = None
        if settings.listen_url is not None:
            from cloudq.relay.listening import Listener

            self._listener = Listener(settings.listen_url, self._news.ring, clock=self._clock)
        self._health: HealthServer | None = None
        if settings.health is not None:
            self._health = self._health_server(settings.health)

    def check(self) -> None:
        """Opens the backend and the outbox, and looks with `listen_url` whether this relay hears of new messages.

        Raises:
            ConfigurationError: A URL can't be used; or what is notified isn't heard, or nothing notifies.
            SchemaMismatch: The outbox has no tables, or those of another version.
            StoreUnavailable: A server can't be reached. `run` waits until it can be.
            BackendError: The backend can't be opened.
        """
        self.app.driver()
        self._open_reader(self.settings.lease).close()
        if self._listener is not None:
            self._listener.check()

    def run(self) -> int:
        """Works until it is stopped, or, with `once`, nothing is due. Catches SIGTERM and SIGINT if in the main thread.

        Returns:
            The exit code: 0 done, or `max_time` is over; 1 failed, or with `once` not all could be published, for
            example in the `max_time`; 3 with `once`, the outbox can't be reached.
        """
        return self._loop.run(start=self.start, look=self._look, shut_down=self._shut_down, close=self._close)

    def stop(self, *, now: bool = False) -> None:
        """As the first signal does, or (`now`) the second. Returns at once; `run` returns when it is done."""
        self._loop.stop(now=now)

    def start(self) -> None:
        """Starts its threads, for a program that has a main loop of its own; `end` ends them."""
        if self._health is not None:
            self._health.start()
            logger.info("health pages on http://%s/healthz and /readyz", self._health.place)
        if self._listener is not None:
            self._listener.start()
        for number, pump in enumerate(self._pumps):
            self._threads.submit(partial(self._work, pump, helps=number > 0))

    def end(self, patience: timedelta) -> None:
        """Publishes what is due, at most for `patience`, and ends as after a signal."""
        self._until_empty = True
        self._wake()
        self._await_pumps(patience)
        self._ask_to_stop()
        self._await_pumps(AT_ONCE)
        self._close()

    def _await_pumps(self, patience: timedelta) -> None:
        until = self._clock.elapsed() + patience
        while True:
            heard = self._over.rings
            left = until - self._clock.elapsed()
            if self._ended == len(self._pumps) or left <= timedelta(0):
                return
            self._over.wait(heard, left)

    def counts(self) -> Counts:
        """The counts at this moment."""
        return self._tally.counts()

    @property
    def health_address(self) -> tuple[str, int] | None:
        """Where the health pages are served; the port is the real one."""
        return self._health.address if self._health else None

    # ── phases ───────────────────────────────────────────────────────────────────────────────────────────

    def _look(self) -> int | None:
        self._threads.catch_up()
        if self._ended < len(self._pumps):
            longest = self.settings.max_time
            if longest is None or self._clock.elapsed() - self._began < longest:
                return None
            # With `once`, pumps that are still at work haven't found the outbox empty.
            return (self._code_at_end() or 1) if self.settings.once else 0
        return self._code_at_end() if self.settings.once else 1

    def _code_at_end(self) -> int:
        if self._unreachable:
            return UNREACHABLE
        counts = self._tally.counts()
        return 1 if counts.failed or counts.parked or self._resting.reasons() else 0

    def _shut_down(self) -> None:
        in_hand = self._tally.counts().in_hand
        if in_hand:
            logger.info("stopping: %d messages are in hand", in_hand)
        self._ask_to_stop()
        if not self._loop.wait_while(lambda: self._ended < len(self._pumps), self.settings.grace):
            self._stop.ring()
            if not self._loop.wait_while(lambda: self._ended < len(self._pumps), AT_ONCE):
                left = self._tally.counts().in_hand
                logger.warning("%d messages are left, of which some may be published again", left)

    def _ask_to_stop(self) -> None:
        self._stop.ring()
        self._wake()

    def _wake(self) -> None:
        self._news.ring()
        self._more.ring()

    def _close(self) -> None:
        self._ask_to_stop()
        self._threads.close()
        if self._listener is not None:
            self._listener.stop()
        if self._health is not None:
            self._health.stop()
        self._sum_up("in all", Counts())

    # ── in the pumps' threads ────────────────────────────────────────────────────────────────────────────

    def _work(self, pump: Pump, *, helps: bool) -> None:
        """A pump's thread. The first one looks for new messages; those that help work where there are many."""
        bell = self._more if helps else self._news
        try:
            if helps and not self._until_empty:
                # On SQLite, which has one reader at a time, its look would keep the first one from reading for a lease.
                bell.wait(0, None)
            while not self._stop.rings:
                heard = bell.rings
                taken = pump.round()
                if taken is None:
                    if self._until_empty and pump.failures >= ONCE_TRIES:
                        self._unreachable = True
                        return
                    pump.pause()
                    continue
                if not taken:
                    if self._until_empty:
                        return
                    bell.wait(heard, None if helps else self._poll())
                if not helps:
                    self._sum_up_now_and_then()
        finally:
            pump.close()
            with self._lock:
                self._ended += 1
            self._over.ring()
            self._loop.look_again()

    def _poll(self) -> timedelta:
        """How soon to look again. Nobody tells of a message whose next try is due, or of a queue that rested enough."""
        failed, now = self._tally.counts().failed, self._clock.elapsed()
        if failed != self._failed[0]:
            self._failed = failed, now
        told = self._listener is not None and self._listener.hears
        waits = bool(failed and now - self._failed[1] < AFTER_A_FAILURE)
        return self.settings.listening_poll if told and not waits else self.settings.poll

    def _sum_up_now_and_then(self) -> None:
        before, at = self._summed_up
        now = self._clock.elapsed()
        if now - at >= SUMMARY:
            self._sum_up("in the last minute", before)
            self._summed_up = self._tally.counts(), now

    def _sum_up(self, when: str, before: Counts) -> None:
        since = self._tally.counts().since(before)
        if since != Counts(in_hand=since.in_hand):
            logger.info("outbox, %s: %s", when, since)

    def _health_server(self, address: tuple[str, int]) -> HealthServer:
        from cloudq.relay.pages import RelayPages
        from cloudq.running.pages import HealthServer

        pages = RelayPages(
            self._pumps,
            alive=lambda: len(self._pumps) - self._ended if self._threads.alive else 0,
            reasons=self._resting.reasons,
            stopping=lambda: bool(self._stop.rings),
            counts=self._tally.counts,
            lease=self.settings.lease,
            clock=self._clock,
        )
        return HealthServer(address, pages)
