"""`PushEdge`: from a request to the answer that settles it, in an event loop or in a thread, under any framework."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from cloudq.app import App
from cloudq.core.driver import is_push
from cloudq.core.message import is_dead_letter_queue
from cloudq.core.push import PushRequest, PushResponse
from cloudq.core.refusals import refuse_time_limit
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import PushRefused
from cloudq.flow.means import Edge
from cloudq.push.admission import Admission, PushInHand
from cloudq.push.events import FormatRefused
from cloudq.push.hang_up import HangUp
from cloudq.push.lease_watch import LeaseWatch
from cloudq.push.outsiders import refuse_other_machines, refuse_outsiders
from cloudq.push.refusals import HttpRefusal, RefusalLog
from cloudq.push.runner import PushRunner
from cloudq.push.settings import PushSettings, verifier_for
from cloudq.push.sources import Arrivals
from cloudq.push.turns import Turns
from cloudq.push.vouching import vouched
from cloudq.running.events import Finished, Snapshot, Tally
from cloudq.running.limits import refuse_limits
from cloudq.running.processing import check_store, refuse_strangers
from cloudq.running.runs import runs_of
from cloudq.tasks.hooks import Process

if TYPE_CHECKING:
    from cloudq.core.signing_keys import SigningKeys
    from cloudq.push.oidc import Verifier
    from cloudq.push.sources import Arrival

logger = SafeLogger("cloudq.push")

_LONGEST_NUMBER: Final = 15


class PushEdge:
    """Takes the pushes of one app. One object for all of a process's requests; thread-safe.

    Nothing is opened before the first request, or `open()`.

    Args:
        app: Whose tasks to run.
        settings: How, and from whom pushes are taken.
        max_tasks: Take nothing more after this many tasks.
        on_change: Called when a push was answered.
        on_event: Called for each finished task, in the thread that ran it.
    """

    def __init__(
        self,
        app: App,
        settings: PushSettings | None = None,
        *,
        max_tasks: int | None = None,
        on_change: Callable[[], None] | None = None,
        on_event: Callable[[Finished], None] | None = None,
    ) -> None:
        self.app = app
        self.settings = settings or PushSettings()
        self.verifier: Verifier | None = None
        self._keys: SigningKeys | None = None
        self._refusals = RefusalLog(app.clock)
        self._make_life = partial(
            _Life, app, self.settings, self._refusals, max_tasks=max_tasks, on_change=on_change, on_event=on_event
        )
        # By its own thread it may be taken again: what an on_start or on_stop calls may close the edge.
        self._lock = threading.RLock()
        self._life = self._make_life()  # another one only under the lock
        self._process = Process(app.hooks)

    @property
    def admission(self) -> Admission:
        """Where the places and the slots are, until it is opened again."""
        return self._life.admission

    def open(self) -> None:
        """Does now what the first request would: import the tasks, open the backend, see who may push.

        After `close()` it takes pushes again, and counts from zero.

        Raises:
            ConfigurationError: The app or its URL can't be used, or it isn't known who may push.
            BackendError: The backend can't be opened.
            UnsupportedError: A task may run longer than the backend waits for an answer.
        """
        with self._lock:
            if self._life.closed:
                self._life = self._make_life()
            self._begin(self._life)

    def _open_for(self, life: _Life) -> None:
        """As `open`, for a request, which opens nothing that was closed since it came."""
        with self._lock:
            if not life.closed:
                self._begin(life)

    def _begin(self, life: _Life) -> None:
        if life.arrivals is not None:
            return
        self.app.load()
        refuse_strangers(self.app, self.settings.queues)
        check_store(self.app)
        refuse_limits(self.app, Edge.PUSH)
        self._keys = self.app.runtime.signing.keys
        self.verifier = verifier_for(self.settings, self.app.url, life.clock)
        driver = self.app.driver()
        if is_push(driver):
            self._refuse_time_limits()
        arrivals = Arrivals(self.app, driver, self.settings.event_deadline)
        self._process.start()
        life.watch.start()
        life.arrivals = arrivals

    def _refuse_time_limits(self) -> None:
        for definition in self.app.runtime.handlers.values():
            if definition.time_limit is not None:
                task = f"task {definition.name!r} ({definition.place})"
                for queue in definition.queues:
                    refuse_time_limit(definition.time_limit, self.app.queue(queue).capabilities, task, queue)

    def refusal_of(self, address: str | None) -> PushResponse | None:
        """The answer to a request from another machine, where no tokens are asked for; `None` if it may come.

        Args:
            address: The other end of the connection, as the server says.
        """
        if self.settings.insecure_no_auth:
            try:
                refuse_other_machines(address)
            except HttpRefusal as error:
                return self._refusals.answer_to(error)
        return None

    def _refuse_outsiders(self, headers: Mapping[str, str]) -> None:
        if self.settings.insecure_no_auth:
            refuse_outsiders(headers)

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────

    def handle(
        self, headers: Mapping[str, str], read: Callable[[], bytes], hang_up: HangUp | None = None
    ) -> PushResponse:
        """Answers a request; a plain function's task runs in the calling thread. Never raises an `Exception`.

        Args:
            headers: By name, in lower case.
            read: Reads the body, at most `settings.max_body` of it, and raises `HttpRefusal` otherwise. Called only
                once the sender is known.
            hang_up: Whether the sender has hung up, where that can be known: its task's `lease_lost` is set then.
        """
        try:
            return self._handle(headers, read, hang_up or HangUp())
        except Exception as error:  # noqa: BLE001 - whatever it is, the message isn't settled and comes again
            return self._refusals.answer_to(error)

    async def ahandle(
        self, headers: Mapping[str, str], read: Callable[[], Awaitable[bytes]], hang_up: HangUp | None = None
    ) -> PushResponse:
        """As `handle`; plain functions run in threads, async ones on the running loop."""
        try:
            return await self._ahandle(headers, read, hang_up or HangUp())
        except Exception as error:  # noqa: BLE001 - as above
            return self._refusals.answer_to(error)

    def _handle(self, headers: Mapping[str, str], read: Callable[[], bytes], hang_up: HangUp) -> PushResponse:
        life = self._life
        received_at, received = life.clock.now(), life.clock.elapsed()
        self._refuse_outsiders(headers)
        life.admission.check_open()
        if life.arrivals is None:
            self._open_for(life)
        sender = None if self.verifier is None else self.verifier.verify(headers)
        self._check_length(headers)
        with life.admission.admit():
            request = PushRequest(headers=headers, body=read(), received_at=received_at, received=received)
            push = PushInHand(self._decode(life, request, sender), life.clock, hang_up)
            return life.turns.wait(push) or life.runner.run_here(push)

    async def _ahandle(
        self, headers: Mapping[str, str], read: Callable[[], Awaitable[bytes]], hang_up: HangUp
    ) -> PushResponse:
        life = self._life
        received_at, received = life.clock.now(), life.clock.elapsed()
        self._refuse_outsiders(headers)
        life.admission.check_open()
        if life.arrivals is None:
            await asyncio.to_thread(self._open_for, life)  # opening reads files
        sender = None if self.verifier is None else await self.verifier.averify(headers)
        self._check_length(headers)
        with life.admission.admit():
            request = PushRequest(headers=headers, body=await read(), received_at=received_at, received=received)
            push = PushInHand(self._decode(life, request, sender), life.clock, hang_up)
            return await life.turns.await_(push) or await life.runner.run(push)

    def _check_length(self, headers: Mapping[str, str]) -> None:
        text = headers.get("content-length")
        if text is None:
            return
        if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
            raise HttpRefusal(400, "Content-Length is not a number")
        if int(text) > self.settings.max_body:
            raise too_large(self.settings.max_body)

    def _decode(self, life: _Life, request: PushRequest, sender: str | None) -> Arrival:
        if life.arrivals is None:
            raise RuntimeError("the edge isn't open")
        try:
            arrival = life.arrivals.decode(request)
        except FormatRefused as error:
            raise HttpRefusal(415, error.message) from error
        except PushRefused as error:
            raise HttpRefusal(400, error.message) from error
        queue = arrival.delivery.queue
        if is_dead_letter_queue(queue):
            # Somebody resumed it. Its messages must be neither run nor deleted (semantics 5).
            raise HttpRefusal(503, f"{queue!r} is a dead-letter queue, and is to be paused")
        if self.settings.queues and queue not in self.settings.queues:
            raise HttpRefusal(503, f"queue {queue!r} isn't served here")
        if sender in self.settings.unsigned_accounts:
            arrival = replace(arrival, delivery=vouched(arrival.delivery, self._keys))
        return arrival

    # ── leaving ──────────────────────────────────────────────────────────────────────────────────────────

    def stop(self) -> None:
        """Takes no more pushes. Those that wait are answered with 503; running tasks go on."""
        self.admission.close()

    def close(self) -> None:
        """Ends the threads; then on_stop. The app's backend stays open. Until `open()` pushes are answered with 503."""
        with self._lock:
            self._life.close()
            self._process.stop()

    @property
    def watched(self) -> bool:
        """Whether leases are looked after."""
        life = self._life
        return life.arrivals is None or life.watch.alive

    @property
    def store_is_down(self) -> bool:
        """Whether the store of idempotency keys is taken to be down."""
        return self._life.runner.store_is_down

    def snapshot(self) -> Snapshot:
        """The counts at this moment."""
        return self._life.snapshot()


class _Life:
    """What takes pushes from an `open()` to its `close()`: threads that have ended don't start again.

    Args:
        app: Whose tasks to run.
        settings: How pushes are taken.
        refusals: Makes an answer of an error.
        max_tasks: Take nothing more after this many tasks.
        on_change: Called when a push was answered.
        on_event: Called for each finished task.

    Attributes:
        arrivals: Decodes pushes; `None` until it is open.
        closed: Whether it has ended.
    """

    def __init__(
        self,
        app: App,
        settings: PushSettings,
        refusals: RefusalLog,
        *,
        max_tasks: int | None,
        on_change: Callable[[], None] | None,
        on_event: Callable[[Finished], None] | None,
    ) -> None:
        self.clock = app.clock
        observer = app.runtime.observer
        self.admission = Admission(
            settings.concurrency,
            settings.waiting,
            self.clock,
            max_tasks=max_tasks,
            on_change=on_change,
            observer=observer,
        )
        self._tally = Tally(on_event, observer=observer, clock=self.clock)
        self.watch = LeaseWatch(self.admission, self.clock)
        self.turns = Turns(self.admission, runs_of(app), self.clock, settings.patience)
        self.runner = PushRunner(app, self.admission, self._tally, refusals, threads=settings.concurrency)
        self.arrivals: Arrivals | None = None
        self.closed = False

    def close(self) -> None:
        """Ends the threads. Calling it again changes nothing."""
        self.closed = True
        self.admission.close()
        self.watch.stop()
        self.runner.close()

    def snapshot(self) -> Snapshot:
        """The counts at this moment."""
        return Snapshot(
            **self._tally.counts() | {"lease_lost": self.admission.lease_lost},
            started=self.admission.started,
            waiting=self.admission.waiting,
            running=self.admission.running,
            settling=self.admission.settling,
        )


def too_large(most: int) -> HttpRefusal:
    """The refusal of a body that is too large."""
    return HttpRefusal(413, f"the body has more than {most:,} bytes", headers={"Connection": "close"})


def too_slow() -> HttpRefusal:
    """The refusal of a body that doesn't arrive in time."""
    return HttpRefusal(408, "the body takes too long", headers={"Connection": "close"})
