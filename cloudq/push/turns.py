"""`Turns`: what a push waits for before it runs: for an earlier run of the same message to end, and for a slot.

```
 decoded ─▶ an earlier run of it here? ─▶ waits, half its lease at most ─▶ it succeeded: acknowledged unrun
               │ no, or it failed                                     └─ takes too long: comes again
               └─▶ slot (or waits) ─▶ sender still waits? ─▶ runs
                                          └─ no: not started
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import closing
from datetime import timedelta
from typing import Final, TypeAlias

from cloudq.core.clock import Clock
from cloudq.core.driver import Ack
from cloudq.core.push import PushResponse
from cloudq.core.safe_log import SafeLogger
from cloudq.push.admission import STOPPING, Admission, PushInHand, overloaded
from cloudq.push.refusals import HttpRefusal
from cloudq.push.sources import RELEASE_UNCOUNTED
from cloudq.running.runs import Runs

logger = SafeLogger("cloudq.push")

# How often a wait checks whether the sender has hung up, the worker stops, or the machine has slept.
LOOK: Final = timedelta(milliseconds=200)
_ZERO: Final = timedelta(0)

Wait: TypeAlias = tuple["Future[bool]", timedelta]
"""What to wait for, and until when by `Clock.elapsed`."""


class Turns:
    """Has pushes wait for their turn, in a thread or on an event loop.

    Args:
        admission: Where the slots are.
        runs: What this process runs.
        clock: Where the time comes from.
        patience: How long one may wait for a slot.
    """

    def __init__(self, admission: Admission, runs: Runs, clock: Clock, patience: timedelta) -> None:
        self._admission = admission
        self._runs = runs
        self._clock = clock
        self._patience = patience

    def wait(self, push: PushInHand) -> PushResponse | None:
        """Waits for the push's turn, in this thread.

        Returns:
            `None`: it has a slot, and is to run. Or the answer to give in place of a run.

        Raises:
            HttpRefusal: No slot was free in time, or none will be.
        """
        with closing(self._steps(push)) as steps:
            came: bool | None = None
            while True:
                try:
                    future, until = steps.send(came)
                except StopIteration as end:
                    return self._answer(end)
                came = self._wait_for(push, future, until)

    async def await_(self, push: PushInHand) -> PushResponse | None:
        """As `wait`, on the running loop."""
        with closing(self._steps(push)) as steps:
            came: bool | None = None
            while True:
                try:
                    future, until = steps.send(came)
                except StopIteration as end:
                    return self._answer(end)
                came = await self._await_for(push, future, until)

    def _steps(self, push: PushInHand) -> Generator[Wait, bool | None, PushResponse | None]:
        """Yields what to wait for, and is sent the result: `None` where the wait was in vain."""
        answer = yield from self._wait_for_earlier_run(push)
        if answer is not None:
            return answer
        may_run = False
        try:
            answer = yield from self._wait_for_slot(push)
            may_run = answer is None
            return answer
        finally:
            if not may_run:
                push.end_run()

    def _wait_for_earlier_run(self, push: PushInHand) -> Generator[Wait, bool | None, PushResponse | None]:
        now = self._clock.elapsed()
        until = now + (push.ends - now) / 2
        while True:
            if self._runs.has_done(push.delivery):
                return push.source.answer(push.delivery.lease, Ack())
            ended: Future[bool] = Future()
            if push.begin_run(self._runs, ended.set_result):
                return None
            logger.info("%s was pushed again while it runs here; it waits for that run", push.delivery.id)
            succeeded = yield ended, until
            if succeeded:
                return push.source.answer(push.delivery.lease, Ack())
            if succeeded is None:
                self._refuse_if_stopping()
                logger.info("%s still runs here; it is to be pushed again later", push.delivery.id)
                self._runs.turn_away(push.delivery)  # the service decides for how long; its end is remembered
                return push.source.answer(push.delivery.lease, RELEASE_UNCOUNTED)

    def _wait_for_slot(self, push: PushInHand) -> Generator[Wait, bool | None, PushResponse | None]:
        got: Future[bool] = Future()
        if not self._admission.take_slot(got.set_result):
            try:
                there = yield got, min(self._clock.elapsed() + self._patience, push.ends)
            except GeneratorExit:
                if not self._admission.withdraw(got.set_result) and got.result():
                    self._admission.give_back()
                raise
            if there is None and self._admission.withdraw(got.set_result):
                if push.is_over(self._clock.elapsed()):
                    return self._send_back(push)
                raise overloaded()
            if not got.result():
                raise HttpRefusal(503, STOPPING, headers={"Retry-After": "1"})
        may_run = False
        try:
            may_run = not push.is_over(self._clock.elapsed())
        finally:
            if not may_run:
                self._admission.give_back()
        return None if may_run else self._send_back(push)

    def _send_back(self, push: PushInHand) -> PushResponse:
        logger.warning("%s wasn't started, as its sender waits no longer; it is pushed again", push.delivery.id)
        return push.source.answer(push.delivery.lease, RELEASE_UNCOUNTED)

    def _refuse_if_stopping(self) -> None:
        if self._admission.closed:
            raise HttpRefusal(503, STOPPING, headers={"Retry-After": "1"})

    def _wait_for(self, push: PushInHand, future: Future[bool], until: timedelta) -> bool | None:
        while True:
            left = until - self._clock.elapsed()
            try:
                return future.result(max(_ZERO, min(left, LOOK)).total_seconds())
            except TimeoutError:
                if self._in_vain(push, until):
                    return None

    async def _await_for(self, push: PushInHand, future: Future[bool], until: timedelta) -> bool | None:
        # Never cancelled, as that would cancel the future, and resolving it would fail.
        waiter = asyncio.wrap_future(future)
        while True:
            left = until - self._clock.elapsed()
            done, _ = await asyncio.wait({waiter}, timeout=max(_ZERO, min(left, LOOK)).total_seconds())
            if done:
                return waiter.result()
            if self._in_vain(push, until):
                return None

    def _in_vain(self, push: PushInHand, until: timedelta) -> bool:
        return self._clock.elapsed() >= until or push.hang_up.look() or self._admission.closed

    @staticmethod
    def _answer(end: StopIteration) -> PushResponse | None:
        answer: PushResponse | None = end.value
        return answer
