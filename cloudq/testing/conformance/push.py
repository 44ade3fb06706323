"""`PushHarness`: a backend that pushes, presented as one that is polled, so that the kit's behaviours run on it too.

Pushes are real HTTP requests. One stays open as long as its delivery is held; settling it answers it, and a worker that
dies, or whose lease is over, hangs up.
"""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Event, Lock, Thread
from typing import Final as Const

from msgspec.structs import replace

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import (
    Canceller,
    Capabilities,
    DeadLetterQueue,
    ExtendResult,
    Final,
    NativeDeadLetter,
    Outgoing,
    PullDriver,
    PushDriver,
    QueueStats,
    SendResult,
    SettleResult,
)
from cloudq.core.push import PushRequest, PushResponse
from cloudq.errors import LeaseLost, UnsupportedError
from cloudq.testing.clock import FakeClock
from cloudq.testing.conformance.harness import Harness

# A push that doesn't arrive within this many real seconds never will.
STUCK: Const = 60.0


class PushHarness(Harness):
    """One backend that pushes, for one test. It must push only when `push` is called, so that a test sees each push.

    Attributes:
        url: Where the backend has to push to; there from the start.
        always_sent: The headers, in lower case, without which a request is no push of this backend.
    """

    always_sent: Sequence[str] = ()

    def __init__(self, *, clock: FakeClock, queue: str | None = None) -> None:
        super().__init__(clock=clock, queue=queue)
        self.fake_clock = clock
        self.receiver = Receiver()
        self.url = self.receiver.url
        self.pushes = _Pushes(self)

    @abstractmethod
    def open_push(self) -> PushDriver:
        """A driver on the empty backend, whose messages are pushed to `url`, with `self.clock`."""

    @abstractmethod
    def second_push_client(self) -> PushDriver:
        """Another driver on the same backend, as another process would have."""

    @abstractmethod
    def push(self, queue: str, limit: int) -> int:
        """Makes the backend push up to `limit` messages that are due and not being pushed. Returns how many."""

    @abstractmethod
    def answered(self, delivery: Delivery) -> None:
        """Returns once the backend knows how a push ended: by an answer, or by a connection that broke."""

    def open(self) -> PullDriver:
        """The driver, as one that is polled."""
        return Polled(self.open_push(), self)

    def second_client(self) -> PullDriver:
        """As `open`, for another driver."""
        return Polled(self.second_push_client(), self)

    def advance(self, delta: timedelta) -> None:
        """Lets time pass. A client that holds a push for longer than its lease is taken for dead at the lease's end."""
        until = self.clock.elapsed() + delta
        for moment in self.pushes.ends_before(until):
            self._advance_to(moment)
        self._advance_to(until)

    def time_passed(self) -> None:
        """Tells the backend that the clock was moved, where it has to be told."""

    def _advance_to(self, moment: timedelta) -> None:
        self.fake_clock.advance(max(timedelta(0), moment - self.clock.elapsed()))
        self.time_passed()
        self.pushes.hang_up()

    def close(self) -> None:
        """Hangs up, and ends the receiver."""
        self.receiver.close()


class Push:
    """One push that has arrived: its request, and how it is answered."""

    def __init__(self, headers: dict[str, str], body: bytes) -> None:
        self.headers = headers
        self.body = body
        self.response: PushResponse | None = None
        self.ended = Event()

    def answer(self, response: PushResponse | None) -> None:
        """Answers, or (`None`) hangs up."""
        self.response = response
        self.ended.set()


class Receiver:
    """A server on the loopback interface that keeps each request open until it is answered."""

    def __init__(self) -> None:
        self.arrived: deque[Push] = deque()
        self.changed = Condition()
        self._open: set[Push] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                push = Push({name.lower(): value for name, value in self.headers.items()}, self.rfile.read(length))
                receiver.take(push)
                push.ended.wait()
                receiver.forget(push)
                self.close_connection = True
                with suppress(OSError):  # the sender has given up
                    if push.response is None:
                        self.connection.shutdown(socket.SHUT_RDWR)
                    else:
                        self.send_response(push.response.status)
                        for name, value in push.response.headers.items():
                            self.send_header(name, value)
                        self.send_header("Content-Length", str(len(push.response.body)))
                        self.end_headers()
                        self.wfile.write(push.response.body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def take(self, push: Push) -> None:
        """A request has come."""
        with self.changed:
            self.arrived.append(push)
            self._open.add(push)
            self.changed.notify_all()

    def forget(self, push: Push) -> None:
        """A request is over."""
        with self.changed:
            self._open.discard(push)

    def next(self, count: int) -> list[Push]:
        """The next `count` pushes, which must be on their way."""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.arrived) >= count, STUCK):
                raise TimeoutError(f"{len(self.arrived)} of {count} pushes arrived within {STUCK:g} s")
            return [self.arrived.popleft() for _ in range(count)]

    def close(self) -> None:
        """Hangs up on all requests, and ends the server."""
        with self.changed:
            left = list(self._open)
        for push in left:
            push.answer(None)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Held:
    """The receipt of a delivery that came by a push."""

    def __init__(self, push: Push, delivery: Delivery, ends: timedelta) -> None:
        self.push = push
        self.delivery = delivery
        self.ends = ends


class _Pushes:
    """The pushes that are held, of all clients of a backend."""

    def __init__(self, harness: PushHarness) -> None:
        self.changed = Condition()
        self.changes = 0
        self._harness = harness
        self._held: set[_Held] = set()
        # One look at what is due at a time: at its end the backend knows what is being pushed.
        self._looking = Lock()
        self._lock = Lock()

    def receive(self, driver: PushDriver, queue: str, limit: int, lease: timedelta) -> list[Delivery]:
        """Has up to `limit` messages pushed."""
        with self._looking:
            now, elapsed = self._harness.clock.now(), self._harness.clock.elapsed()
            pushes = self._harness.receiver.next(self._harness.push(queue, limit))
        deliveries = []
        for push in pushes:
            request = PushRequest(headers=push.headers, body=push.body, received_at=now, received=elapsed)
            delivery = driver.decode(request)
            ends = min(elapsed + lease, delivery.lease.ends)
            held = _Held(push, delivery, ends)
            with self._lock:
                self._held.add(held)
            narrowed = replace(delivery.lease, receipt=held, expires_at=now + (ends - elapsed), ends=ends)
            deliveries.append(replace(delivery, lease=narrowed))
        return deliveries

    def settle(self, driver: PushDriver, final: Final) -> Exception | None:
        """Answers the push that a lease is of."""
        held = final.lease.receipt
        if isinstance(final.step, NativeDeadLetter) and not driver.capabilities(final.lease.queue).native_dead_letter:
            return UnsupportedError("this backend has no dead letters of its own")
        if not isinstance(held, _Held) or self._harness.clock.elapsed() >= held.ends or not self._take(held):
            return LeaseLost(f"the push of queue {final.lease.queue!r} was answered, or given up")
        self._end(held, driver.encode(replace(final, lease=held.delivery.lease)))
        return None

    def ends_before(self, moment: timedelta) -> Iterator[timedelta]:
        """When the leases held end, up to that moment, in order."""
        with self._lock:
            ends = sorted({held.ends for held in self._held if held.ends <= moment})
        yield from ends

    def hang_up(self) -> None:
        """On those whose lease is over."""
        now = self._harness.clock.elapsed()
        with self._lock:
            over = [held for held in self._held if held.ends <= now]
        for held in over:
            if self._take(held):
                self._end(held, None)

    def notify(self) -> None:
        """Something may be due that wasn't."""
        with self.changed:
            self.changes += 1
            self.changed.notify_all()

    def _take(self, held: _Held) -> bool:
        with self._lock:
            if held not in self._held:
                return False
            self._held.remove(held)
            return True

    def _end(self, held: _Held, response: PushResponse | None) -> None:
        held.push.answer(response)
        self._harness.answered(held.delivery)
        self.notify()


class Polled:
    """A `PullDriver` whose receives are pushes and whose settlements are the answers to them."""

    def __init__(self, driver: PushDriver, harness: PushHarness) -> None:
        self.pushing = driver
        self._harness = harness
        self._pushes = harness.pushes
        self._closed = False
        self._interrupts = 0

    def capabilities(self, queue: str) -> Capabilities:
        """The driver's."""
        return self.pushing.capabilities(queue)

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        """The driver's."""
        results = self.pushing.send(outgoing)
        self._pushes.notify()
        return results

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        """Has messages pushed as soon as one is due."""
        clock = self._harness.clock
        until = clock.elapsed() + wait
        interrupts = self._interrupts
        while True:
            with self._pushes.changed:
                if self._closed:
                    return []
                changes = self._pushes.changes
            deliveries = self._pushes.receive(self.pushing, queue, limit, lease)
            if deliveries:
                return deliveries
            with self._pushes.changed:
                left = until - clock.elapsed()
                if self._closed or interrupts != self._interrupts or left <= timedelta(0):
                    return []
                if changes == self._pushes.changes:
                    clock.wait(self._pushes.changed, left)

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        """Answers each push."""
        return [SettleResult(error=self._pushes.settle(self.pushing, final)) for final in finals]

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        """Refused: a backend that pushes waits as long as it said when it stored the message."""
        del by
        return [ExtendResult(error=UnsupportedError("the answer to a push can't be put off"))] * len(leases)

    def stats(self, queue: str) -> QueueStats:
        """The driver's."""
        return self.pushing.stats(queue)

    def purge(self, queue: str) -> int | None:
        """The driver's."""
        return self.pushing.purge(queue)

    def cancel(self, queue: str, receipt: str) -> bool:
        """The driver's, if it can."""
        if not isinstance(self.pushing, Canceller):
            raise UnsupportedError("this driver doesn't cancel")
        return self.pushing.cancel(queue, receipt)

    def dead_letters(self, queue: str) -> DeadLetterQueue:
        """The driver's."""
        return self.pushing.dead_letters(queue)

    def interrupt(self) -> None:
        """Ends the receives under way."""
        self._interrupts += 1
        self._pushes.notify()

    def close(self) -> None:
        """Closes the driver; what is held stays so until its lease ends."""
        with self._pushes.changed:
            self._closed = True
        self._pushes.notify()
        self.pushing.close()
