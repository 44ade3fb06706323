"""`CloudTasksDriver`: the contract of backends that push, over Google Cloud Tasks."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Event
from typing import Final as Const

from google.cloud.tasks_v2 import CloudTasksClient

from cloudq.core.call_reports import CallReports
from cloudq.core.capabilities import CALL_TIMEOUT
from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Capabilities, Final, Outgoing, QueueStats, SendResult
from cloudq.core.plain_text import check_plain_text
from cloudq.core.push import PushRequest, PushResponse
from cloudq.core.queue_settings import QueueSettings
from cloudq.drivers.cloud_tasks import cancelling, counting, inspecting, limits, making, pausing, pushing
from cloudq.drivers.cloud_tasks.calls import Service
from cloudq.drivers.cloud_tasks.client import EMULATOR, Clients, open_client
from cloudq.drivers.cloud_tasks.dead_letters import CloudTasksDeadLetters
from cloudq.drivers.cloud_tasks.names import Names
from cloudq.drivers.cloud_tasks.sending import Sending, Target
from cloudq.errors import BackendError

TIMEOUT: Const = 3 * CALL_TIMEOUT
HOST: Const = "cloudtasks.googleapis.com"


class CloudTasksDriver:
    """Queues of Google Cloud Tasks, of one project and location. Needs only permission for what is called.

    A queue and its dead-letter queue, which is a paused one, have to exist. The first call makes the client; in a child
    process after `fork` another one is made.

    Args:
        project: The project's id.
        location: The location, a region's name.
        target: The worker's URL, which messages are pushed to.
        service_account: The account whose OIDC token comes with each push, or `None` for no token.
        audience: What the token is for; default: the target.
        prefix: What the queues' names on Cloud Tasks start with.
        max_body: The most bytes in a body that a producer may send.
        timeout: How long a send may take with its retries. Each call takes a third of it at most; to read all dead
            letters, which takes many calls, takes no longer than all of it.
        clock: Where the time comes from.
        allow_insecure: Whether `CLOUD_TASKS_EMULATOR_HOST` may name another machine, as calls to it have no TLS.
        make_client: Makes the client; default: of the service, or of the emulator that `CLOUD_TASKS_EMULATOR_HOST`
            names.

    Attributes:
        target: Where messages are pushed to, and with which token. A worker verifies it.
    """

    def __init__(
        self,
        project: str,
        location: str,
        *,
        target: str,
        service_account: str | None = None,
        audience: str | None = None,
        prefix: str = "",
        max_body: int = limits.DEFAULT_MAX_BODY,
        timeout: timedelta = TIMEOUT,
        clock: Clock = SYSTEM_CLOCK,
        allow_insecure: bool = False,
        make_client: Callable[[], CloudTasksClient] = open_client,
    ) -> None:
        if emulator := os.environ.get(EMULATOR):
            check_plain_text(emulator, setting=EMULATOR, allowed=allow_insecure)
        self.target = Target(url=target, service_account=service_account, audience=audience or target)
        self._clock = clock
        self._max_body = max_body
        self._names = Names(project, location, prefix)
        self._clients = Clients(make_client)
        self._call_timeout = timeout / 3
        self._service = Service(self._clients.get, self._call_timeout)
        self._sending = Sending(self._service, self._names, self.target, clock)
        self._closed = Event()
        _drivers.add(self)

    def __repr__(self) -> str:
        """The project and the location."""
        return f"CloudTasksDriver({self._names.location!r})"

    @property
    def client(self) -> CloudTasksClient:
        """This process's client, for what cloudq doesn't do."""
        return self._clients.get()

    @property
    def system(self) -> str:
        """OpenTelemetry has no name of Cloud Tasks; this one is of its form."""
        return "gcp_cloud_tasks"

    @property
    def server(self) -> str | None:
        """The service's own host, or the emulator's."""
        emulator = os.environ.get(EMULATOR)
        return emulator.rpartition(":")[0] if emulator else HOST

    def report_to(self, reports: CallReports | None) -> None:
        """One for each RPC, by the service's names; what is asked again while a batch isn't over is none."""
        self._service.reports = reports

    def capabilities(self, queue: str) -> Capabilities:
        """Those of every queue.

        Raises:
            UnsupportedError: The name ends in `.fifo`, or can't be that of a queue of Cloud Tasks.
        """
        made = limits.capabilities(queue, max_body=self._max_body, call_timeout=self._call_timeout)
        self._names.queue(queue)
        return made

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        """One `create_task`, or one `batch_create_tasks` and, where that isn't over at once, a wait for its end.

        Each task of a batch has a name, made of its message's id: a batch whose answer is lost isn't stored twice, in
        whatever company its items are sent again.
        """
        if not outgoing:
            return []
        if self._closed.is_set():
            return [SendResult(error=BackendError("this driver is closed"))] * len(outgoing)
        return self._sending.store(outgoing)

    def decode(self, request: PushRequest) -> Delivery:
        """By the `X-CloudTasks-…` headers; the lease is as long as the task's dispatch deadline."""
        return pushing.decoded(request, self._names)

    def encode(self, final: Final) -> PushResponse:
        """200 for `Ack`; 500 for `Release`, which comes again after the queue's back-off."""
        return pushing.encoded(final.step)

    def stats(self, queue: str) -> QueueStats:
        """Counted by listing the tasks, a call for each 1,000 of them."""
        return counting.count(self._service.calls(), self._names, queue, self._clock)

    def purge(self, queue: str) -> None:
        """By `PurgeQueue`, which takes up to a minute and says no number."""
        self._service.calls().purge(self._names.queue(queue), queue)

    def cancel(self, queue: str, receipt: str) -> bool:
        """By `DeleteTask`, up to 15 seconds before its time: what is under way it would delete as well."""
        calls = self._service.calls(most=limits.LONGEST_CANCEL)
        return cancelling.cancel(calls, self._names.queue(queue), queue, receipt, self._clock)

    def pause(self, queue: str) -> bool:
        """By `PauseQueue`: the service takes messages and pushes none."""
        return pausing.pause(self._service.calls(), self._names.queue(queue), queue)

    def resume(self, queue: str) -> bool:
        """By `ResumeQueue`."""
        return pausing.resume(self._service.calls(), self._names.queue(queue), queue)

    def is_paused(self, queue: str) -> bool:
        """As the queue's state says."""
        return pausing.is_paused(self._service.calls(), self._names.queue(queue), queue)

    def dead_letters(self, queue: str) -> CloudTasksDeadLetters:
        """The tasks of the queue's dead-letter queue."""
        return CloudTasksDeadLetters(queue, service=self._service, names=self._names, clock=self._clock)

    def make_queue(self, queue: str) -> bool:
        """Makes a queue and its paused dead-letter queue, for development. `False`: it was there, and is as it was."""
        limits.capabilities(queue)
        return making.make(self._service.calls(), self._names, queue)

    def queue_settings(self, queue: str) -> QueueSettings | None:
        """What `GetQueue` tells."""
        limits.capabilities(queue)
        return inspecting.settings(self._service.calls(), self._names, queue)

    def missing_permissions(self, queue: str, *, works: bool) -> Sequence[str]:
        """By `TestIamPermissions`. Whether it may act as the pushes' service account nobody but the service knows."""
        limits.capabilities(queue)
        return list(inspecting.missing_permissions(self._service.calls(), self._names, queue, works=works))

    def close(self) -> None:
        """Closes the channel; calls under way end with an error."""
        self._closed.set()
        self._clients.close()


_drivers: Const[weakref.WeakSet[CloudTasksDriver]] = weakref.WeakSet()


def _after_fork() -> None:
    for driver in list(_drivers):
        driver._clients.after_fork()


os.register_at_fork(after_in_child=_after_fork)
