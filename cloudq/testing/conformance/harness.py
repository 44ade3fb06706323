"""`Harness`: how the conformance kit reaches one backend. The only thing that a driver's author writes."""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from datetime import timedelta
from threading import Event

from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.driver import Outgoing, PullDriver
from cloudq.testing.clock import FakeClock
from cloudq.testing.conformance.spoil import Spoil

ZERO = timedelta(0)
# What hasn't happened after this many real seconds never will.
STUCK = 60.0


class Stall:
    """Settlements that hang in flight, and then fail as on a connection that is cut."""

    def __init__(self) -> None:
        self._reached = Event()
        self._cut = Event()

    def hang(self) -> bool:
        """For the harness: where a settlement would go out to the backend, it waits here until it is cut off.

        Returns:
            Whether it was cut off: then it must fail, without having reached the backend. Later ones go through.
        """
        if self._cut.is_set():
            return False
        self._reached.set()
        if not self._cut.wait(STUCK):
            raise TimeoutError("a settlement hangs, and was never cut off")
        return True

    def await_flight(self) -> None:
        """Waits until a settlement hangs.

        Raises:
            TimeoutError: None came.
        """
        if not self._reached.wait(STUCK):
            raise TimeoutError("no settlement went out")

    def cut(self) -> None:
        """Lets those that hang fail."""
        self._cut.set()


class Harness(ABC):
    """One backend, empty, for one test.

    Time is either a `FakeClock`'s, for a driver that takes its time from the clock it is given, or real. In real time
    the kit waits a few `unit`s where it must, and never longer than `patience`: a behaviour that would need more (the
    end of a de-duplication window of ten minutes) is then shown as far as that goes.

    Attributes:
        clock: The clock that `open` gives to the driver.
        queue: The queue that most behaviours are shown on: empty at first. Its name says whether it is ordered.
        other_queue: A second one with the same capabilities.
        missing_queue: The name of a queue that doesn't exist and isn't made by the first send; `None` where the
            first send makes any.
        unit: The kit's unit of time: leases and delays are a few of it.
        patience: The longest that the kit may let pass in one test.
        poll: How long a receive may take to bring what is there.
        quiet: How long a receive waits to show that nothing is there.
        back_off: How long the backend itself keeps a released message away, as one that pushes does.
        close_ends_leases: Whether what a client held comes again as soon as it is closed.
        counts_given_back: Whether a release that gives the attempt back counts as a delivery.
        sets_the_clock: Whether the kit may set its `FakeClock`, and have the machine sleep: where the driver counts
            leases by `clock.elapsed()`, and no service of its own by what `clock.now()` says.
        shares_at_once: Whether fairness keys, where the queue shares by them, have their effect at once; a service may
            need many messages in flight before one key counts as having too much.
        pause_cuts_off: Whether what is in hand when its queue is paused may not be settled until it is resumed.
        remembers_until_done: Whether the window of a native id begins when its message is done, not when it is sent.
    """

    queue = "conformance"
    other_queue = "conformance-other"
    missing_queue: str | None = None
    back_off = ZERO
    close_ends_leases = False
    counts_given_back = True
    remembers_until_done = False
    shares_at_once = True
    pause_cuts_off = False
    sets_the_clock = False

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK, queue: str | None = None) -> None:
        self.clock = clock
        if queue is not None:
            self.queue = queue
            self.other_queue = f"other-{queue}"
        fake = isinstance(clock, FakeClock)
        self.unit = timedelta(minutes=1) if fake else timedelta(seconds=1)
        self.patience = timedelta(days=10_000) if fake else timedelta(seconds=10)
        self.poll = ZERO if fake else timedelta(seconds=5)
        self.quiet = ZERO if fake else timedelta(milliseconds=200)

    @abstractmethod
    def open(self) -> PullDriver:
        """A driver on the empty backend, with `self.clock`. Called once a test; the kit closes it."""

    def second_client(self) -> PullDriver | None:
        """Another driver on the same backend, as another process would have; `None` if there can't be one."""
        return None

    def advance(self, delta: timedelta) -> None:
        """Lets time pass."""
        if isinstance(self.clock, FakeClock):
            self.clock.advance(delta)
        else:
            time.sleep(delta.total_seconds())

    def put_raw(self, driver: PullDriver, queue: str, body: bytes) -> None:
        """Puts bytes into a queue that no cloudq wrote; best by the backend's own client."""
        key = uuid.uuid4().hex if driver.capabilities(queue).ordering else None
        (result,) = driver.send([Outgoing(id=uuid.uuid4().hex, queue=queue, body=body, ordering_key=key)])
        if result.error is not None:
            raise result.error

    def refused_item(self, driver: PullDriver) -> Outgoing:
        """A body for `self.queue` that the backend refuses, though the call that carries it is allowed.

        Too large by a byte, or, where that would break the bound of the call, delayed for too long.
        """
        capabilities = driver.capabilities(self.queue)
        key = uuid.uuid4().hex if capabilities.ordering else None
        item = Outgoing(id=uuid.uuid4().hex, queue=self.queue, body=b"{}", ordering_key=key)
        if capabilities.max_batch_bytes is None:
            too_large = b" " * (capabilities.max_body + 16 * 1024 + 1)
            return Outgoing(id=item.id, queue=item.queue, body=too_large, ordering_key=key)
        if capabilities.max_delay is not None:
            too_late = capabilities.max_delay + timedelta(seconds=1)
            return Outgoing(id=item.id, queue=item.queue, body=item.body, ordering_key=key, delay=too_late)
        raise NotImplementedError("say which item this backend refuses: override Harness.refused_item")

    def stall(self, driver: PullDriver, stall: Stall) -> bool:  # noqa: ARG002 - for those that can
        """Has `driver` call `stall.hang()` where a settlement goes out to the backend, and fail if that says so.

        What it fails with is what the driver's SDK raises when a connection is cut.

        Returns:
            Whether it does. `False`, the default: the driver's settlements are never in flight (they are one step under
            a lock, say), or the harness can't hold them up.
        """
        return False

    def spoil(self, driver: PullDriver, spoil: Spoil) -> AbstractContextManager[object] | None:  # noqa: ARG002 - as above
        """Has the backend's answers to `driver` come as `spoil.of` makes them, from within a `with`.

        The calls are carried out; only what the backend says of them is spoilt, and all of it. Best by a proxy on the
        network: so the SDK is shown too, and some of them take for a success what isn't there.

        Returns:
            What to enter. `None`, the default: the driver learns by no network what was done.
        """
        return None

    def close(self) -> None:  # noqa: B027 - most harnesses have nothing to remove
        """Removes what the harness made. Called once, after the drivers were closed."""
