"""Dispatches what is due: one loop, no task or thread that waits for each queue or each task.

a change, a moved clock, a timer ──▶ turn ──▶ each queue that changed or is due: attempts begin
                                      ▲                                   │
                                      └── an attempt ends ◀── Sender ◀────┘
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

from cloudq.emulators.cloud_tasks.attempting import Begun, End, Ended, begin, finish
from cloudq.emulators.cloud_tasks.attempts import AttemptLog
from cloudq.emulators.cloud_tasks.clock import Clock, SystemClock
from cloudq.emulators.cloud_tasks.faults import Cut, Faults
from cloudq.emulators.cloud_tasks.outgoing import Oidc, Outgoing, outgoing
from cloudq.emulators.cloud_tasks.queues import TaskQueue
from cloudq.emulators.cloud_tasks.schedule import Schedule
from cloudq.emulators.cloud_tasks.sender import Sender
from cloudq.emulators.cloud_tasks.settings import Settings
from cloudq.emulators.cloud_tasks.signing import OAUTH_TOKEN, Signer
from cloudq.emulators.cloud_tasks.store import Store
from cloudq.emulators.cloud_tasks.stored import StoredTask

# A clock may be set: nobody sleeps longer than this without looking at it.
_LONGEST_SLEEP: Final = 60.0
_DEADLINE: Final = Ended(end=End.DEADLINE, reason="the dispatch deadline passed")


class _UnderWay:
    """An attempt whose request is being sent."""

    __slots__ = ("begun", "late", "queue", "request", "sending", "task")

    def __init__(self, queue: TaskQueue, task: StoredTask, begun: Begun, request: Outgoing) -> None:
        self.queue = queue
        self.task = task
        self.begun = begun
        self.request = request
        self.late = False
        self.sending: asyncio.Task[None] | None = None


class Dispatcher:
    """Carries out attempts. All of it runs on one event loop.

    Args:
        clock: Where the time comes from.
        settings: The emulator's.
        signer: Signs tokens.
        faults: What is to go wrong.
        log: Where attempts are noted.
    """

    def __init__(self, clock: Clock, settings: Settings, signer: Signer, faults: Faults, log: AttemptLog) -> None:
        self.store = Store(settings, clock, self.wake)
        self._clock = clock
        self._signer = signer
        self._faults = faults
        self._log = log
        self._changed: set[TaskQueue] = set()
        self._times: Schedule[TaskQueue] = Schedule()
        self._deadlines: Schedule[_UnderWay] = Schedule()
        self._doubles: set[asyncio.Task[None]] = set()
        self._under_way: set[_UnderWay] = set()
        self._turn_is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._quiet = asyncio.Event()
        self._closed = False

    async def start(self) -> None:
        """Begins, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._sender = Sender()

    async def stop(self) -> None:
        """Cancels what is under way, and closes all connections."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        running = [*(one.sending for one in self._under_way if one.sending is not None), *self._doubles]
        for sending in running:
            sending.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._sender.close()

    def wake(self, queue: TaskQueue) -> None:
        """Something changed in the queue: it is looked at soon."""
        self._changed.add(queue)
        self.look()

    def look(self) -> None:
        """The time may have been moved: everything that is due by now is looked at soon."""
        if not self._turn_is_due and not self._closed:
            self._turn_is_due = True
            self._loop.call_soon(self._turn)

    def run(self, queue: TaskQueue, task: StoredTask) -> None:
        """Dispatches the task now, whatever the queue's state and limits."""
        queue.schedule.discard(task)
        self._begin(queue, task, self._clock.now(), forced=True)
        self.wake(queue)

    async def idle(self) -> None:
        """Returns once nothing is under way and nothing more can begin by itself now.

        On the machine's clock, what a rate limit or a throttle holds back counts as beginning by itself. On any other
        it doesn't: it needs that clock to move.
        """
        while True:
            self._turn()
            if self._is_idle():
                return
            self._quiet.clear()
            await self._quiet.wait()

    def next_at(self) -> datetime | None:
        """When something happens next by itself, or `None`."""
        self._turn()
        times = [when for when in (self._times.next_at(), self._deadlines.next_at()) if when is not None]
        return min(times, default=None)

    def _is_idle(self) -> bool:
        if self._under_way or self._doubles or self._changed:
            return False
        if not isinstance(self._clock, SystemClock):
            return True
        now = self._clock.now()
        return not any(queue.has_due(now) for queue in self.store.queues.values())

    def _turn(self) -> None:
        self._turn_is_due = False
        if self._closed:
            return
        now = self._clock.now()
        while (late := self._deadlines.pop_due(now)) is not None:
            late.late = True
            if late.sending is not None:
                late.sending.cancel()
        while (queue := self._times.pop_due(now)) is not None:
            self._changed.add(queue)
        changed, self._changed = self._changed, set()
        for queue in changed:
            self._pump(queue, now)
        self._set_timer(now)
        self._quiet.set()

    def _pump(self, queue: TaskQueue, now: datetime) -> None:
        if queue.gone:
            self._times.discard(queue)
            return
        self.store.expire(queue, now)
        while (task := queue.next_task(now)) is not None:
            self._begin(queue, task, now)
        when = queue.next_at(now)
        if when is None:
            self._times.discard(queue)
        else:
            self._times.put(queue, when)

    def _set_timer(self, now: datetime) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        times = [when for when in (self._times.next_at(), self._deadlines.next_at()) if when is not None]
        if times:
            seconds = max(0.0, (min(times) - now).total_seconds())
            self._timer = self._loop.call_later(min(seconds, _LONGEST_SLEEP), self._turn)

    def _begin(self, queue: TaskQueue, task: StoredTask, now: datetime, *, forced: bool = False) -> None:
        begun = begin(queue, task, now, forced=forced)
        request = outgoing(task, queue.pb, begun)
        one = _UnderWay(queue, task, begun, request)
        cut, double = self._faults.next_dispatch()
        self._under_way.add(one)
        self._deadlines.put(one, now + task.deadline)
        one.sending = self._loop.create_task(self._attempt(one, cut))
        if double:
            twin = self._loop.create_task(self._repeat(task.name, request, begun))
            self._doubles.add(twin)
            twin.add_done_callback(self._forget)

    async def _attempt(self, one: _UnderWay, cut: Cut | None) -> None:
        try:
            ended = await self._sender.send(one.request, self._token(one.request), one.begun.dispatched, cut)
        except asyncio.CancelledError:
            if not one.late:
                raise
            ended = _DEADLINE
        self._under_way.discard(one)
        self._deadlines.discard(one)
        now = self._clock.now()
        self._log.note(one.task.name, one.request, one.begun, ended, now)
        if finish(one.queue, one.task, one.begun, ended, now):
            self.store.remove(one.queue, one.task)
        else:
            self.wake(one.queue)

    async def _repeat(self, task: str, request: Outgoing, begun: Begun) -> None:
        ended = await self._sender.send(request, self._token(request), begun.dispatched)
        self._log.note(task, request, begun, ended, self._clock.now(), double=True)

    def _forget(self, twin: asyncio.Task[None]) -> None:
        self._doubles.discard(twin)
        self.look()

    def _token(self, request: Outgoing) -> str | None:
        if request.token is None:
            return None
        if isinstance(request.token, Oidc):
            return self._signer.token(request.token.email, request.token.audience, self._clock.now())
        return OAUTH_TOKEN
