"""`Sessions`: several sessions of one queue at once, one message of each in flight.

A session's messages come by a link of their own, and its lock is the session's. So each session that is worked on has a
slot (see `slots`): a thread that waits for the next session with messages, receives them one by one, each after the one
before was settled, and lets go of the session when it is empty.

```
 slot 1   accept "a" ─ a1 ─▶ receive() … settled ─ a2 ─▶ receive() … settled ─ empty: let go ─ accept …
 slot 2   accept "b" ─ b1 ─▶ receive() …
```

Slots wait for sessions only while somebody wants messages: what nobody waits for stays with the service.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Final, NamedTuple

from azure.servicebus import ServiceBusReceiver

from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.drivers.service_bus.faults import is_silence
from cloudq.drivers.service_bus.links import Taken
from cloudq.drivers.service_bus.locks import LockSpan
from cloudq.drivers.service_bus.slots import Slot

MOST: Final = 128
# The most slots that wait for a session at once: each holds a connection.
SEEKERS: Final = 4
# How long the service waits for a session before it says that there is none, at least and at most.
SHORTEST_WAIT: Final = timedelta(milliseconds=300)
LONGEST_WAIT: Final = timedelta(seconds=30)
# A service that has refused nothing by then doesn't refuse: it would have answered the shortest wait.
ACCEPTED_AFTER: Final = 2 * SHORTEST_WAIT
# How long slots go on after the last receive: the next one usually follows at once.
GRACE: Final = timedelta(milliseconds=250)
# How long a message waits in a slot for somebody to take it.
SHELF: Final = timedelta(seconds=2)
# How long sessions are left to other processes after one was given back unstarted, and how soon that is begun. The
# service gives a session to the one that has waited longest, and that would nearly always be this process.
STEP_BACK: Final = timedelta(seconds=1)
WITHDRAWAL: Final = timedelta(milliseconds=500)
# How long the slots may take to end, all of them together.
LEAVING: Final = timedelta(seconds=1)


class Failed(NamedTuple):
    """Why a slot couldn't get a session.

    Attributes:
        error: What went wrong.
        began: When its search began, by the system's clock.
        silent: Whether the service had been asked, and has never answered. Its silence to others says nothing else.
    """

    error: BaseException
    began: timedelta
    silent: bool = False


class Sessions:
    """The sessions of one queue that this process works on.

    Args:
        make: Makes a receiver, not open yet, of the next available session, for which the service waits that long.
        clock: Where the time of locks comes from.
        span: How long the queue's locks last.
        patience: How long one answer may take.
    """

    def __init__(
        self, make: Callable[[timedelta], ServiceBusReceiver], *, clock: Clock, span: LockSpan, patience: timedelta
    ) -> None:
        self._make = make
        self._span = span
        self._patience = patience
        self._accept_wait = SHORTEST_WAIT
        self._none_there = 0
        self._began_at: dict[Slot, timedelta] = {}
        self._asked_at: dict[Slot, timedelta] = {}
        self._clock = clock
        self._changed = threading.Condition()
        self._shelf: deque[tuple[Slot, Taken]] = deque()
        self._slots: set[Slot] = set()
        self._seeking = 0
        self._wanted = 0
        self._wanted_at = timedelta(0)
        self._stepped_back_until = timedelta(0)
        self._interrupted = 0
        self._failed: Failed | None = None
        self.closed = False

    def receive(self, limit: int, wait: timedelta) -> list[tuple[Slot, Taken]]:
        """Up to `limit` messages of as many sessions, as soon as there is one.

        Even without a wait it asks the service, and returns once a message came or the service said that there is none.

        A refusal of what was asked before this call counts only if nothing newer comes, be it that what is asked now
        isn't refused: a queue that was paused then may be open again.

        Raises:
            ServiceBusError: The service can't be reached, or refuses.
        """
        began = SYSTEM_CLOCK.elapsed()
        until = began + wait
        with self._changed:
            interrupted, none_there = self._interrupted, self._none_there
            self._accept_wait = min(max(wait, SHORTEST_WAIT), LONGEST_WAIT)
            if not self._wanted:
                self._failed = None  # all that waited have heard of it; its traceback holds what the slot had open
            self._wanted += limit
            before, stale, accepted = self._failed, None, None
            try:
                while True:
                    if self._shelf:
                        return [self._shelf.popleft() for _ in range(min(limit, len(self._shelf)))]
                    failed = self._failed
                    if failed is not None and failed is not before:
                        if failed.began >= began:
                            raise failed.error
                        if failed is not stale:
                            stale, accepted = failed, None
                    said = self._none_there != none_there
                    known = until if said else max(until, self._known_by(began))
                    if stale is not None and not stale.silent and not said:
                        accepted = accepted or self._accepted_by(began)  # one that asks no more was accepted
                        known = max(known, accepted or known)
                    left = known - SYSTEM_CLOCK.elapsed()
                    if left <= timedelta(0) or self.closed or interrupted != self._interrupted:
                        # A moment to be accepted by, if there is one, has passed by now.
                        if stale is not None and not said and accepted is None and interrupted == self._interrupted:
                            raise stale.error
                        return []
                    self._start_slots()
                    if self._failed is failed:
                        back = self._stepped_back_until - SYSTEM_CLOCK.elapsed()
                        self._changed.wait((min(left, back) if back > timedelta(0) else left).total_seconds())
            finally:
                self._wanted -= limit
                self._wanted_at = SYSTEM_CLOCK.elapsed()
                self._changed.notify_all()

    def interrupt(self) -> None:
        """Makes receives under way return."""
        with self._changed:
            self._interrupted += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the slots; what is in flight stays locked."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
            slots = list(self._slots)
        until = SYSTEM_CLOCK.elapsed() + LEAVING
        for slot in slots:
            slot.join(max(0.0, (until - SYSTEM_CLOCK.elapsed()).total_seconds()))

    def is_wanted(self) -> bool:
        """Whether somebody waits for messages, or did a moment ago."""
        if self.closed or SYSTEM_CLOCK.elapsed() < self._stepped_back_until:
            return False
        return self._wanted > 0 or SYSTEM_CLOCK.elapsed() - self._wanted_at < GRACE

    # ── for slots ────────────────────────────────────────────────────────────────────────────────────────

    def offer(self, slot: Slot, taken: Taken) -> bool:
        """Offers a message; whether somebody took it in time."""
        entry = (slot, taken)
        with self._changed:
            self._shelf.append(entry)
            self._changed.notify_all()
            self._changed.wait_for(lambda: entry not in self._shelf or self.closed, SHELF.total_seconds())
            if entry in self._shelf:
                self._shelf.remove(entry)
                return False
        return True

    def receiver(self, slot: Slot) -> tuple[ServiceBusReceiver, timedelta]:
        """A receiver of the next available session, not open yet, and for how long the service waits for one."""
        with self._changed:
            self._began_at[slot] = SYSTEM_CLOCK.elapsed()
        wait = self._accept_wait
        return self._make(wait), wait

    def note_asked(self, slot: Slot) -> None:
        """Notes that a slot has asked the service for a session."""
        with self._changed:
            self._asked_at[slot] = SYSTEM_CLOCK.elapsed()
            self._changed.notify_all()

    def note_none_there(self) -> None:
        """Notes that, by the service's word, no session has messages."""
        with self._changed:
            self._none_there += 1
            self._changed.notify_all()

    def end_seeking(self, slot: Slot) -> None:
        """Ends a slot's search: it has a session, or seeks no more. Another slot may look for one."""
        with self._changed:
            self._seeking -= 1
            self._asked_at.pop(slot, None)
            self._began_at.pop(slot, None)
            self._changed.notify_all()
            if self.is_wanted():
                self._start_slots()

    def may_seek(self) -> bool:
        """Whether a slot may look for a session; if so, it is counted."""
        with self._changed:
            if not self.is_wanted() or self._seeking >= SEEKERS:
                return False
            self._seeking += 1
            return True

    def fail(self, slot: Slot, error: BaseException) -> None:
        """Has the error raised by those that wait for messages, and did when the slot's search began."""
        with self._changed:
            began, asked = self._began_at[slot], self._asked_at.pop(slot, None)
            failed = Failed(error, began, silent=asked is not None and asked >= began and is_silence(error))
            if self._failed is None or self._failed.began <= failed.began:  # no news is hidden by what is older
                self._failed = failed
            self._changed.notify_all()

    def step_back(self) -> None:
        """Withdraws from waiting for sessions for a moment: another process is to have the next one first."""
        with self._changed:
            self._stepped_back_until = SYSTEM_CLOCK.elapsed() + STEP_BACK
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._seeking or self.closed, WITHDRAWAL.total_seconds())

    def discard_slot(self, slot: Slot) -> None:
        """Forgets a slot, whose thread ends."""
        with self._changed:
            self._slots.discard(slot)
            self._changed.notify_all()

    def _known_by(self, began: timedelta) -> timedelta:
        """The moment from which silence means that no session has messages.

        That is so a while after a slot has asked the service.
        """
        if not self._asked_at:
            # What is begun with this receive has failed by then.
            return max(began, self._stepped_back_until) + self._patience + SHORTEST_WAIT
        return min(self._asked_at.values()) + SHORTEST_WAIT

    def _accepted_by(self, began: timedelta) -> timedelta | None:
        """The moment from which silence means that nothing is refused any more, if the service was asked since."""
        asked = min((at for at in self._asked_at.values() if at >= began), default=None)
        return None if asked is None else asked + ACCEPTED_AFTER

    def _start_slots(self) -> None:
        """Starts slots for what is wanted."""
        if SYSTEM_CLOCK.elapsed() < self._stepped_back_until:
            return
        wanted = min(self._wanted - len(self._shelf), SEEKERS - self._seeking, MOST - len(self._slots))
        for _ in range(wanted):
            slot = Slot(self, clock=self._clock, span=self._span, patience=self._patience)
            try:
                slot.start()  # it looks for what is guarded here only once this is done
            except RuntimeError as error:  # no more threads can be started
                self._failed = Failed(error, SYSTEM_CLOCK.elapsed())
                return
            self._seeking += 1
            self._slots.add(slot)
