"""`CloudTasksEmulator`: the emulator as a program or a test has it, in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import grpc
import grpc.aio
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from cloudq.emulators.cloud_tasks.access import Policies
from cloudq.emulators.cloud_tasks.attempts import Attempt, AttemptLog
from cloudq.emulators.cloud_tasks.certificates import CERTIFICATES, KEY_SET, CertificateServer
from cloudq.emulators.cloud_tasks.clock import SYSTEM_CLOCK, AdvancingClock, Clock, MovedClock
from cloudq.emulators.cloud_tasks.dispatcher import Dispatcher
from cloudq.emulators.cloud_tasks.faults import Faults
from cloudq.emulators.cloud_tasks.messages import QueuePb
from cloudq.emulators.cloud_tasks.names import location_of
from cloudq.emulators.cloud_tasks.operations import Operations
from cloudq.emulators.cloud_tasks.ports import check_free, place, taken
from cloudq.emulators.cloud_tasks.service import Service
from cloudq.emulators.cloud_tasks.settings import Settings
from cloudq.emulators.cloud_tasks.signing import Signer
from cloudq.emulators.loops import SteadyLoop

# What clients look for. The same name as other emulators of Cloud Tasks have it under.
VARIABLE: Final = "CLOUD_TASKS_EMULATOR_HOST"
PATIENCE: Final = timedelta(seconds=30)
# A batch of 100 tasks may be larger than gRPC's 4 MiB.
_MOST_BYTES: Final = 128 * 1024 * 1024
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MOST_BYTES),
    ("grpc.max_send_message_length", _MOST_BYTES),
    ("grpc.so_reuseport", 0),  # else a second emulator would share the first one's port, and get some of its calls
)
_UNLIMITED: Final = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
T = TypeVar("T")


class CloudTasksEmulator:
    """An emulator of Google Cloud Tasks. It listens from `start` to `stop`, or within a `with`.

    Example:
        >>> with CloudTasksEmulator(queues=["projects/p/locations/l/queues/emails"]) as emulator:
        ...     client = emulator.client()
        ...     client.get_queue(name="projects/p/locations/l/queues/emails").state.name
        'RUNNING'

    Args:
        settings: How strict it is.
        clock: Where it gets its time from. With one that is moved by hand, nothing waits: what a move makes due is
            dispatched, and `wait_idle` returns once it's done.
        host: The address to listen at.
        port: The port for gRPC; 0 for any.
        certs_port: The port for certificates; 0 for any.
        queues: Names of queues to create, with the service's default settings.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        clock: Clock = SYSTEM_CLOCK,
        host: str = "127.0.0.1",
        port: int = 0,
        certs_port: int = 0,
        queues: Iterable[str] = (),
    ) -> None:
        self.settings = settings or Settings()
        self.clock = clock
        self.faults = Faults()
        self._host = host
        self._port = port
        self._certs_port = certs_port
        self._queues = tuple(queues)
        self._log = AttemptLog(self.settings.kept_attempts)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._channels: list[Any] = []
        self.address = ""
        self.certs_address = ""

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> Self:
        """Begins to listen.

        Raises:
            PortTaken: Somebody else listens at one of the ports.
            Problem: One of `queues` isn't a queue's name.
        """
        self._log.clear()
        started: Future[None] = Future()
        self._thread = Thread(target=self._run, args=(started,), name="cloud-tasks-emulator", daemon=True)
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self._thread.join()
            self._thread = None
            raise
        if isinstance(self.clock, MovedClock):
            self.clock.subscribe(self._look)
        return self

    def stop(self) -> None:
        """Stops listening. What is under way is cut off. A second call does nothing."""
        if self._thread is None or self._loop is None:
            return
        if isinstance(self.clock, MovedClock):
            self.clock.unsubscribe(self._look)
        for channel in self._channels:
            channel.close()
        self._channels.clear()
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._thread = self._loop = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ── where it is ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def certificates_url(self) -> str:
        """Where the certificates of OIDC tokens are: PEM by key id, as at Google's `/oauth2/v1/certs`."""
        return f"{self.certs_address}{CERTIFICATES}"

    @property
    def key_set_url(self) -> str:
        """The same as a JSON Web Key Set, as at Google's `/oauth2/v3/certs`."""
        return f"{self.certs_address}{KEY_SET}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variable that clients read, with its value."""
        return {VARIABLE: self.address}

    def client(self) -> tasks_v2.CloudTasksClient:
        """A client of this emulator. It is closed by `stop`."""
        channel = grpc.insecure_channel(self.address, options=_UNLIMITED)
        self._channels.append(channel)
        return tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))

    # ── what tests ask for ───────────────────────────────────────────────────────────────────────────────

    def create_queue(self, queue: str | tasks_v2.Queue) -> None:
        """Creates a queue: of that full name with the service's default settings, or with those given.

        Raises:
            Problem: The service would refuse it.
        """
        pb = QueuePb(name=queue) if isinstance(queue, str) else tasks_v2.Queue.pb(queue)
        self._call(lambda: self._dispatcher.store.create_queue(location_of(pb.name), pb))

    def attempts(self, name: str | None = None) -> list[Attempt]:
        """The attempts that have ended, in that order: all, or those of the queue or the task of that full name."""
        return self._log.find(name)

    def clear_attempts(self) -> None:
        """Forgets the attempts so far."""
        self._log.clear()

    def wait_idle(self, timeout: timedelta = PATIENCE) -> None:
        """Blocks until no attempt is under way and nothing that is due now can be dispatched.

        Tasks and retries that are due later don't count. On the machine's own clock, those that wait for the rate limit
        or a throttle do; on another they need the clock to move.

        Raises:
            TimeoutError: That took longer, in real time.
        """
        try:
            self._await(self._dispatcher.idle(), timeout)
        except TimeoutError:
            raise TimeoutError(f"the emulator wasn't idle within {timeout.total_seconds():g} s") from None

    def advance(self, by: timedelta) -> None:
        """Moves the emulator's clock on, between two waits for idle: what was due before has ended before it.

        Raises:
            TypeError: The clock isn't one that is moved by hand.
            TimeoutError: See `wait_idle`.
        """
        if not isinstance(self.clock, AdvancingClock):
            raise TypeError("the emulator's clock can't be moved: give it a ManualClock")
        self.wait_idle()
        self.clock.advance(by)
        self.wait_idle()

    def next_at(self) -> datetime | None:
        """When, by the emulator's clock, the next thing happens by itself: an attempt, a deadline, the end of 31 days.

        `None`: nothing does.
        """
        return self._call(self._dispatcher.next_at)

    # ── the thread ───────────────────────────────────────────────────────────────────────────────────────

    def _run(self, started: Future[None]) -> None:
        try:
            with asyncio.Runner(loop_factory=SteadyLoop) as runner:
                runner.run(self._serve(started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)  # raised in the thread that started this one

    async def _serve(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        signer = Signer(self.settings.issuer)
        self._dispatcher = Dispatcher(self.clock, self.settings, signer, self.faults, self._log)
        certificates = CertificateServer(signer, self._host, self._certs_port, self.settings.issuer)
        server = grpc.aio.server(options=_OPTIONS)
        await self._dispatcher.start()
        try:
            await certificates.start()
            self.certs_address = certificates.address
            await self._listen(server)
            for name in self._queues:
                self._dispatcher.store.create_queue(location_of(name), QueuePb(name=name))
            started.set_result(None)
            await self._ending.wait()
        finally:
            await server.stop(None)
            await self._dispatcher.stop()
            await certificates.stop()

    async def _listen(self, server: Any) -> None:
        store = self._dispatcher.store
        operations = Operations(store, self.clock.now, self.settings.pending_polls)
        service = Service(self._dispatcher, operations, Policies(store), self.faults)
        server.add_generic_rpc_handlers(service.handlers())
        check_free(self._host, self._port)
        try:
            port = server.add_insecure_port(place(self._host, self._port))
        except RuntimeError as error:
            raise taken(self._host, self._port, error) from error
        await server.start()
        self.address = place(self._host, port)

    def _look(self) -> None:
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it has just been closed
                loop.call_soon_threadsafe(self._dispatcher.look)

    def _call(self, function: Callable[[], T]) -> T:
        async def called() -> T:
            return function()

        return self._await(called(), PATIENCE)

    def _await(self, work: Coroutine[Any, Any, T], timeout: timedelta) -> T:
        if self._loop is None:
            work.close()
            raise RuntimeError("the emulator isn't running: start it, or use it within a `with`")
        running = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return running.result(timeout.total_seconds())
        except TimeoutError:
            running.cancel()
            raise
