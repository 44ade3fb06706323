"""`CloudTasksHarness`: how the conformance kit gets at Cloud Tasks, as the emulator has it, in fake time."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, Self

import grpc
from google.api_core import exceptions as api
from google.cloud.tasks_v2 import CloudTasksClient, HttpRequest, Queue, RetryConfig, Task
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.protobuf.duration_pb2 import Duration

from cloudq.core.delivery import Delivery
from cloudq.core.driver import PullDriver, PushDriver
from cloudq.core.message import dead_letter_queue
from cloudq.drivers.cloud_tasks import CloudTasksDriver, pushing
from cloudq.emulators.cloud_tasks import CloudTasksEmulator, Settings
from cloudq.testing.clock import START, FakeClock
from cloudq.testing.conformance import PushHarness, Spoil

PROJECT: Final = "my-project"
PLACE: Final = "europe-west1"
LOCATION: Final = f"projects/{PROJECT}/locations/{PLACE}"
BACK_OFF: Final = timedelta(seconds=1)


class Clocks:
    """The emulator's clock: that of the test that runs. It never goes back."""

    def __init__(self) -> None:
        self._clock = FakeClock(START)
        self._listeners: list[Callable[[], None]] = []

    def now(self) -> datetime:
        return self._clock.now()

    def next(self) -> FakeClock:
        """A clock for the next test."""
        self._clock = FakeClock(self._clock.now() + timedelta(days=2))
        return self._clock

    def moved(self) -> None:
        """Tells the emulator that the time has passed."""
        for listener in self._listeners:
            listener()

    def subscribe(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[], None]) -> None:
        self._listeners.remove(listener)


class Emulated:
    """An emulator for the tests of a module, one after the other."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.clocks = Clocks()
        self.emulator = CloudTasksEmulator(clock=self.clocks, settings=settings)

    def __enter__(self) -> Self:
        self.emulator.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.emulator.stop()


class Recorded(grpc.UnaryUnaryClientInterceptor):
    """Notes the methods that are called."""

    def __init__(self, methods: list[str]) -> None:
        self._methods = methods

    def intercept_unary_unary(self, continuation, details, request):  # type: ignore[no-untyped-def]
        self._methods.append(details.method.rpartition("/")[2])
        return continuation(details, request)


class Spoilable:
    """Puts what `spoil` makes of them in place of a channel's answers, before gRPC reads them.

    Attributes:
        spoil: What becomes of the answers now; `None`: nothing.
    """

    def __init__(self) -> None:
        self.spoil: Spoil | None = None

    def watch(self, channel: Any) -> None:
        """All methods of the channel that are asked for from now on."""
        method = channel.unary_unary

        def watched(name: str, serialize: Any, deserialize: Any, *others: Any, **options: Any) -> Any:
            def read(answer: bytes) -> Any:
                return deserialize(answer if self.spoil is None else self.spoil.of(answer))

            return method(name, serialize, read, *others, **options)

        channel.unary_unary = watched


def client_of(address: str, methods: list[str] | None = None, spoilable: Spoilable | None = None) -> CloudTasksClient:
    """A client of the emulator, which notes what it calls in `methods`."""
    channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
    if methods is not None:
        channel = grpc.intercept_channel(channel, Recorded(methods))
    if spoilable is not None:
        spoilable.watch(channel)
    return CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))


class CloudTasksHarness(PushHarness):
    """Two queues with their dead-letter queues, for one test.

    All are paused: a paused queue pushes what it is asked to (`RunTask`), so that a test sees each push.

    Attributes:
        methods: What the drivers have called.
    """

    back_off = BACK_OFF
    remembers_until_done = True
    always_sent = (pushing.QUEUE, pushing.TASK, pushing.RETRY_COUNT)

    def __init__(self, emulated: Emulated, *, make: Callable[..., PushDriver] = CloudTasksDriver) -> None:
        super().__init__(clock=emulated.clocks.next(), queue=f"kit-{uuid.uuid4().hex[:12]}")
        self.missing_queue = f"missing-{self.queue}"
        self.methods: list[str] = []
        self._clocks = emulated.clocks
        self._address = emulated.emulator.address
        self._make = make
        self._answers = Spoilable()
        self._client = client_of(self._address)
        self._queues = [self.queue, self.other_queue]
        self._queues += [dead_letter_queue(queue) for queue in self._queues]
        once = Duration(seconds=int(BACK_OFF.total_seconds()))
        retries = RetryConfig(max_attempts=-1, min_backoff=once, max_backoff=once)
        for queue in self._queues:
            self._client.create_queue(parent=LOCATION, queue=Queue(name=self._path(queue), retry_config=retries))
            self._client.pause_queue(name=self._path(queue))

    def open_push(self) -> PushDriver:
        return self._make(
            PROJECT,
            PLACE,
            target=self.url,
            clock=self.clock,
            make_client=lambda: client_of(self._address, self.methods, self._answers),
        )

    def second_push_client(self) -> PushDriver:
        return self.open_push()

    def time_passed(self) -> None:
        self._clocks.moved()

    def push(self, queue: str, limit: int) -> int:
        now = self.clock.now()
        found = [task for task in self._client.list_tasks(parent=self._path(queue)) if not _is_in_flight(task)]
        due = sorted((task for task in found if task.schedule_time <= now), key=lambda task: task.schedule_time)
        for task in due[:limit]:
            self._client.run_task(name=task.name)
        return len(due[:limit])

    def answered(self, delivery: Delivery) -> None:
        name = f"{self._path(delivery.queue)}/tasks/{delivery.lease.receipt}"
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up:
            try:
                task = self._client.get_task(name=name)
            except api.NotFound:
                return
            # A receive in another thread may have had it pushed again since the last look.
            if task.dispatch_count > delivery.deliveries or not _is_in_flight(task):
                return
            time.sleep(0.001)  # the emulator reads the answer in a thread of its own
        raise TimeoutError(f"the answer to {name} was not taken in")

    def put_raw(self, driver: PullDriver, queue: str, body: bytes) -> None:
        task = Task(http_request=HttpRequest(url=self.url, body=body))
        self._client.create_task(parent=self._path(queue), task=task)

    @contextmanager
    def spoil(self, driver: PullDriver, spoil: Spoil) -> Iterator[None]:
        self._answers.spoil = spoil
        try:
            yield
        finally:
            self._answers.spoil = None

    def close(self) -> None:
        super().close()
        for queue in self._queues:
            self._client.delete_queue(name=self._path(queue))
        self._client.transport.close()

    def _path(self, queue: str) -> str:
        return f"{LOCATION}/queues/{queue}"


def _is_in_flight(task: Task) -> bool:
    # A failed attempt moves the task's time on, behind that of its dispatch.
    dispatched = task.last_attempt.dispatch_time
    return bool(task.dispatch_count and dispatched and dispatched >= task.schedule_time)
