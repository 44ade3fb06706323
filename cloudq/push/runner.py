"""`PushRunner`: runs the task of a push that has its slot, settles it, and gives the answer."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from cloudq.app import App
from cloudq.core.driver import Ack, Release
from cloudq.core.outcome import Acked, DeadLettered, Outcome
from cloudq.core.policy import DELIVERIES_WITHOUT_LIMIT
from cloudq.core.push import PushResponse
from cloudq.core.safe_log import SafeLogger
from cloudq.core.threads import Threads
from cloudq.push.admission import Admission, PushInHand
from cloudq.push.refusals import ERROR, RefusalLog
from cloudq.push.sources import RELEASE_UNCOUNTED
from cloudq.running.awaited_runs import AwaitedRuns
from cloudq.running.end_log import log_verdict
from cloudq.running.events import Tally
from cloudq.running.processing import processor_of
from cloudq.running.runs import runs_of
from cloudq.running.time_limits import ThreadTimeLimits

logger = SafeLogger("cloudq.push")


class PushRunner:
    """Runs tasks: plain functions in threads, async ones on the caller's loop, or on one of its own.

    Args:
        app: Whose tasks.
        admission: Where runs are counted, and given up.
        tally: Told of each end.
        refusals: Makes an answer of an error.
        threads: The most threads.
    """

    def __init__(self, app: App, admission: Admission, tally: Tally, refusals: RefusalLog, *, threads: int) -> None:
        self._app = app
        self._admission = admission
        self._tally = tally
        self._refusals = refusals
        self._clock = app.clock
        self._threads = Threads("cloudq-task", threads, clock=self._clock)
        self._time_limits = ThreadTimeLimits(self._clock)
        # A backend that pushes counts refused pushes (no free slot, for example) as deliveries (semantics 8).
        self._processor = processor_of(app, self._time_limits, least_deliveries=DELIVERIES_WITHOUT_LIMIT, limited=True)
        self._runs = runs_of(app)
        # Its loop is for async tasks under a server that has none.
        self._awaited = AwaitedRuns(self._processor, self._runs)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def store_is_down(self) -> bool:
        """Whether the store of idempotency keys is taken to be down."""
        watch = self._processor.store_watch
        return watch is not None and watch.is_down

    def run_here(self, run: PushInHand) -> PushResponse:
        """Runs a task in this thread, or, if it is async, on a loop of its own."""
        answers: list[PushResponse] = []
        self._begin(run)
        self._run(run, answers.append)
        return answers[0]

    async def run(self, run: PushInHand) -> PushResponse:
        """Runs a task in a thread, or, if it is async, on the running loop."""
        self._begin(run)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[PushResponse] = loop.create_future()

        def resolve(response: PushResponse) -> None:
            if not answer.done():
                answer.set_result(response)

        def from_thread(response: PushResponse) -> None:
            _call(loop, resolve, response)

        if self._awaited.is_async(run.delivery):
            task = loop.create_task(self._arun(run, resolve))
            # The loop itself keeps only a weak reference. The task goes on if the one who waits for it is cancelled.
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            run.abandon = partial(_call, loop, self._abandon, run, resolve, task)
        else:
            run.abandon = partial(_call, loop, self._abandon, run, resolve, None)
            try:
                self._run_in_thread(partial(contextvars.copy_context().run, self._run, run, from_thread))
            except BaseException:
                self._end(run)  # or its slot would be taken, and itself in hand, forever
                raise
        try:
            return await answer
        except asyncio.CancelledError:
            run.hang_up.report()  # the server has given the request up, and won't send the answer
            raise

    def close(self) -> None:
        """Ends the threads, and the loop."""
        self._threads.close()
        self._time_limits.close()
        self._awaited.stop()

    def _begin(self, run: PushInHand) -> None:
        self._admission.begin(run)
        self._tally.begin(run.delivery)

    def _end(self, run: PushInHand) -> None:
        if not run.counted:
            self._tally.give_up(run.delivery)
        self._admission.end(run)

    def _run(self, run: PushInHand, answer: Callable[[PushResponse], None]) -> None:
        """Runs a task in this thread, settles it, and gives the answer. Never raises an `Exception`."""
        response = ERROR
        try:
            self._awaited.run(run)
            if run.outcome is None:
                raise RuntimeError("a task ended without an outcome")
            response = self._settle(run, run.outcome, run.seconds)
        except Exception as error:  # noqa: BLE001 - whatever it is, the message isn't settled and comes again
            response = self._refusals.answer_to(error)
        finally:
            self._end(run)
            answer(response)

    async def _arun(self, run: PushInHand, answer: Callable[[PushResponse], None]) -> None:
        response = ERROR
        try:
            began = time.monotonic()
            try:
                verdict = self._runs.verdict(run.delivery)
                if verdict is not None:
                    log_verdict(run.delivery, verdict)
                outcome = verdict or await self._processor.aprocess(run.delivery, lease_lost=run.lost, until=run.until)
            except asyncio.CancelledError as error:
                if run.lost.is_set() and not self._admission.finish(run):
                    raise
                # By itself or by another task: a failure like any other.
                if (task := asyncio.current_task()) is not None:
                    task.uncancel()
                outcome = self._processor.failed(run.delivery, error)
            except BaseException as error:  # noqa: BLE001 - it would end the loop, which others share
                outcome = self._processor.failed(run.delivery, error)
            run.end(outcome, time.monotonic() - began)
            response = await self._asettle(run, outcome, run.seconds)
        except Exception as error:  # noqa: BLE001 - whatever it is, the message isn't settled and comes again
            response = self._refusals.answer_to(error)
        finally:
            self._end(run)
            answer(response)

    async def _asettle(self, run: PushInHand, outcome: Outcome, seconds: float) -> PushResponse:
        if isinstance(outcome, Acked):
            return self._settle(run, outcome, seconds)  # nothing is stored, so nothing is waited for
        loop = asyncio.get_running_loop()
        done: asyncio.Future[PushResponse] = loop.create_future()

        def resolve(response: PushResponse) -> None:
            if not done.done():  # it is cancelled if the push is given up meanwhile
                done.set_result(response)

        def settle() -> None:
            response = ERROR
            try:
                response = self._settle(run, outcome, seconds)
            except Exception as error:  # noqa: BLE001 - whatever it is, the message isn't settled and comes again
                response = self._refusals.answer_to(error)
            finally:
                _call(loop, resolve, response)

        self._run_in_thread(settle)
        return await done

    def _run_in_thread(self, job: Callable[[], None]) -> None:
        """Has a thread of the pool run it.

        Raises:
            RuntimeError: There is no thread, and none can be started; it won't be run.
        """
        if not self._threads.submit(job) and self._threads.withdraw(job):
            raise RuntimeError("can't start new thread")

    def _settle(self, run: PushInHand, outcome: Outcome, seconds: float) -> PushResponse:
        """Carries an outcome out, up to the answer."""
        delivery, source = run.delivery, run.source
        if not self._admission.finish(run):
            logger.warning("%s ended after it was given up; it runs again", delivery.id)
            return source.answer(delivery.lease, RELEASE_UNCOUNTED)
        run.counted = True
        self._tally.count(delivery, outcome, seconds)
        now = self._clock.now()
        if isinstance(outcome, Acked):
            run.succeeded = True
            # Also if it comes late: finished work should not run again.
            return source.answer(delivery.lease, Ack())
        if run.is_over(self._clock.elapsed()):
            # It is being pushed again by now, so a copy would be a second one (semantics 10).
            logger.error(
                "%s failed after its lease was over; it is pushed again, and this run isn't counted", delivery.id
            )
            return source.answer(delivery.lease, Release())
        queue = self._app.queue(delivery.queue)
        step = source.settle(queue, delivery, outcome, now)
        if isinstance(outcome, DeadLettered) and isinstance(step, Release):
            self._runs.note_dead(delivery, outcome, max(timedelta(0), run.ends - self._clock.elapsed()))
        return source.answer(delivery.lease, step)

    def _abandon(
        self, run: PushInHand, answer: Callable[[PushResponse], None], task: asyncio.Task[None] | None
    ) -> None:
        """Answers for a task that was given up; one on the loop is ended, one in a thread is left behind."""
        answer(run.source.answer(run.delivery.lease, RELEASE_UNCOUNTED))
        if task is not None:
            task.cancel()


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
    """Calls it on the loop, from any thread. Nothing waits on a loop that is closed."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        logger.debug("the event loop is closed")
