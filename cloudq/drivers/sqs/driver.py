"""`SQSDriver`: the driver contract over Amazon SQS."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from datetime import timedelta
from threading import Event
from typing import Final as Const
from urllib.parse import urlsplit

from msgspec.structs import replace

from cloudq.aws_wire.wires import WireName, wire_named
from cloudq.core.call_reports import CallReports
from cloudq.core.capabilities import CALL_TIMEOUT
from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Capabilities, ExtendResult, Final, Outgoing, QueueStats, SendResult, SettleResult
from cloudq.core.message import dead_letter_queue, is_ordered
from cloudq.core.moving import MoveProgress
from cloudq.core.queue_settings import QueueSettings
from cloudq.core.spans import shown
from cloudq.drivers.sqs import inspecting, limits, making, moving, receiving, scheduling, sending
from cloudq.drivers.sqs.answers import value_of
from cloudq.drivers.sqs.calls import Calls
from cloudq.drivers.sqs.client import SqsClient, open_client
from cloudq.drivers.sqs.dead_letters import SQSDeadLetters
from cloudq.drivers.sqs.routes import Make, RegionRoutes, Routes
from cloudq.drivers.sqs.scheduling import LONGEST, SchedulerClient, Schedules
from cloudq.drivers.sqs.settling import Settling
from cloudq.drivers.sqs.urls import QueueUrls
from cloudq.errors import BackendError, BackendUnavailable, QueueNotFound, UnsupportedError

# How long a look at dead letters waits for more. A poll that waits asks all of SQS's servers, another one some.
LOOK_WAIT: Const = timedelta(seconds=1)

# How long a send, say, may take as a whole; each of its calls a third of it.
TIMEOUT: Const = 3 * CALL_TIMEOUT

_READY: Const = "ApproximateNumberOfMessages"
_DELAYED: Const = "ApproximateNumberOfMessagesDelayed"
_IN_FLIGHT: Const = "ApproximateNumberOfMessagesNotVisible"


class SQSDriver:
    """Queues of Amazon SQS: of one account and region, and others by their URLs. Needs only the rights for its calls.

    A queue that is named by its URL is called at that URL's host, signed for its region, unless another endpoint than
    AWS's is set: then all goes there. A URL of a host that isn't one of SQS is refused.

    A queue is a standard one, or, where its name ends in `.fifo`, a FIFO one; it and its dead-letter queue have to
    exist. In a child process after `fork` a new client is made.

    Args:
        region: The region, or `None` for the SDK's own settings.
        prefix: What the queues' names on SQS start with.
        account: The account that owns the queues; then no call is made to learn their URLs.
        endpoint_url: Another endpoint than AWS's, or `None` for the SDK's own settings (`AWS_ENDPOINT_URL`).
        clock: Where the time comes from.
        look_wait: How long a look at dead letters waits for more, once it found nothing.
        scheduler_role: The ARN of a role by which EventBridge Scheduler sends what is delayed for longer than SQS
            delays; `None` to let such messages hop.
        timeout: How long a send may take with its retries. Each call takes a third of it at most, a receive as much
            beyond its wait.
        allow_insecure: Whether an endpoint without TLS may be on another machine.
        wire: Who makes the calls that repeat (sends, receives, deletions, visibility). "auto": the driver itself, at a
            small part of the SDK's cost, as long as nothing foreign is on the SDK's way: no tracer, recorder or
            stand-in, and no handler of yours on `client`. Else, and with "boto3" always, the SDK.
        client: A botocore client to use instead of one of its own, for all queues and calls.
        scheduler: A botocore client of EventBridge Scheduler to use instead of one of its own, for all queues.

    Raises:
        ConfigurationError: No client can be made, as no region is set, say; or the endpoint is another machine, without
            TLS. No call is made.
        BackendUnavailable: The SDK's chain didn't find credentials in time.
    """

    def __init__(
        self,
        region: str | None = None,
        *,
        prefix: str = "",
        account: str | None = None,
        endpoint_url: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
        look_wait: timedelta = LOOK_WAIT,
        scheduler_role: str | None = None,
        timeout: timedelta = TIMEOUT,
        allow_insecure: bool = False,
        wire: WireName = "auto",
        client: SqsClient | None = None,
        scheduler: SchedulerClient | None = None,
    ) -> None:
        self._region = region
        self._clock = clock
        self._look_wait = look_wait
        each = timeout / 3

        def make(service: str, given: SqsClient | None) -> Make:
            if given is not None:
                return lambda *_: given
            return lambda region, url: open_client(region, url, service, timeout=each, allow_insecure=allow_insecure)

        lean = wire_named(wire) == "auto" and client is None
        self._routes = Routes(make("sqs", client), region, endpoint_url, lean=lean)
        self._calls = Calls(self._routes, each)
        self._urls = QueueUrls(self._calls, prefix=prefix, account=account)
        self._schedulers: RegionRoutes | None = None
        self._schedules: Schedules | None = None
        self._all_calls = [self._calls]
        if scheduler_role is not None:
            self._schedulers = RegionRoutes(make("scheduler", scheduler), self._routes, region, endpoint_url)
            calls = Calls(self._schedulers, each)
            self._schedules = Schedules(calls, self._urls, role=scheduler_role, clock=clock)
            self._all_calls.append(calls)
        self._settling = Settling(self._calls, clock)
        self._standard = replace(limits.STANDARD, call_timeout=each)
        if self._schedules is not None:
            self._standard = replace(self._standard, max_delay=LONGEST)
        self._fifo = replace(limits.FIFO, call_timeout=each)
        self._checked: set[str] = set()  # names that SQS takes
        self._closed = Event()
        self._arrivals: dict[str, int] = {}
        _drivers.add(self)

    def __repr__(self) -> str:
        """The region."""
        return f"SQSDriver({self._region!r})"

    @property
    def client(self) -> SqsClient:
        """This process's botocore client of its region and endpoint, for what cloudq doesn't do."""
        return self._routes.own()

    @property
    def system(self) -> str:
        """OpenTelemetry's name of SQS."""
        return "aws_sqs"

    @property
    def server(self) -> str | None:
        """The host of its endpoint."""
        return urlsplit(getattr(getattr(self.client, "meta", None), "endpoint_url", "") or "").hostname

    def report_to(self, reports: CallReports | None) -> None:
        """Those of the scheduler, too, by AWS's names."""
        for calls in self._all_calls:
            calls.reports = reports
        self._routes.pass_opentelemetry(reports is not None and reports.quiet is not None)

    def capabilities(self, queue: str) -> Capabilities:
        """Those of a standard queue, or, where the name ends in `.fifo`, of a FIFO queue.

        With a scheduler's role a standard queue delays for up to a year.

        Raises:
            UnsupportedError: SQS can't have a queue of that name, or it is the URL of another host.
        """
        if queue not in self._checked:
            self._routes.host_for(queue)
            self._urls.check(queue)
            self._checked.add(queue)
        return self._standard if not is_ordered(queue) else self._fifo

    def locate(self, queue: str, account: str) -> str:
        """The URL, where an event of the service says whose it is: no call finds it or its dead-letter queue."""
        self._urls.learn(dead_letter_queue(queue), account)
        return self._urls.learn(queue, account)

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        """One call, or more if attributes and base64 make the batch too large for one. A schedule is a call each."""
        if not outgoing:
            return []
        try:
            self._refuse_if_closed()
            with self._calls.all_within():
                url = self._urls.of(outgoing[0].queue)
                if self._schedules is None or is_ordered(outgoing[0].queue):
                    return sending.store(self._calls, url, outgoing)
                return scheduling.store(self._schedules, self._calls, url, outgoing)
        except (BackendError, UnsupportedError) as error:
            return [SendResult(error=error)] * len(outgoing)

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        """One poll, of at most 20 s in whole seconds and for at most 10 messages, from a FIFO queue for one.

        A FIFO queue answers with several messages of a group at once. Only the first may be worked on, and to give
        the others back would count a delivery of each, again and again.
        """
        if lease <= timedelta(0) or lease > limits.MAX_LEASE:
            raise UnsupportedError(f"a lease of {shown(lease)}: SQS grants up to {shown(limits.MAX_LEASE)}")
        if self._closed.is_set() or limit < 1:
            return []
        url = self._urls.of(queue)
        granted = receiving.grant(self._clock, lease)
        messages = receiving.receive(
            self._calls, url, queue, limit=1 if is_ordered(queue) else limit, wait=wait, lease=lease
        )
        if self._closed.is_set() and messages:
            self._settling.give_back(url, queue, [message["ReceiptHandle"] for message in messages])
            return []
        return [receiving.delivery(message, granted.lease(message, url, queue)) for message in messages]

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        """Deletes and visibility changes by receipt handle, each ten a call."""
        with self._calls.all_within():
            return self._settling.settle(finals)

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        """Grants no more than is left of the 12 hours that SQS counts from the receive."""
        with self._calls.all_within():
            return self._settling.extend(leases, by)

    def stats(self, queue: str) -> QueueStats:
        """SQS's own approximate numbers, two calls. It doesn't say how old the oldest message is.

        A retry that waits under its lease counts as in flight.
        """
        with self._calls.all_within():
            counts = self._counts(queue)
            try:
                dead = sum(self._counts(dead_letter_queue(queue)).values())
            except QueueNotFound:
                dead = None  # nothing can be dead-lettered, which the first dead letter says loudly
        return QueueStats(ready=counts[_READY], delayed=counts[_DELAYED], in_flight=counts[_IN_FLIGHT], dead=dead)

    def purge(self, queue: str) -> None:
        """By `PurgeQueue`, which takes up to a minute, allows itself once a minute, and says no number."""
        with self._calls.all_within():
            url = self._urls.of(queue)
            self._calls.make("purge_queue", queue, QueueUrl=url)
        self._settling.note_purge(url)

    def dead_letters(self, queue: str) -> SQSDeadLetters:
        """The messages of the queue's dead-letter queue."""
        return SQSDeadLetters(
            queue,
            calls=self._calls,
            urls=self._urls,
            settling=self._settling,
            clock=self._clock,
            wait=self._look_wait,
            arrivals=self._arrivals,
        )

    def make_queue(self, queue: str) -> bool:
        """Makes a queue and its dead-letter queue, for development. `False`: it was there, and is as it was."""
        return making.make(self._calls, self._urls, queue)

    def queue_settings(self, queue: str) -> QueueSettings | None:
        """All attributes of the queue, by a call; and one for its URL, where no account is given."""
        with self._calls.all_within():
            return inspecting.settings(self._calls, self._urls, queue, self._clock)

    def missing_permissions(self, queue: str, *, works: bool) -> Sequence[str]:
        """By requests that are invalid, so that the service refuses them; who may not make them it tells so."""
        with self._calls.all_within():
            return list(inspecting.missing_permissions(self._calls, self._urls, queue, works=works))

    def start_move(self, queue: str) -> str:
        """Starts a message move task with the queue as its destination: four calls."""
        with self._calls.all_within():
            return moving.start(self._calls, self._urls, queue)

    def move_progress(self, queue: str, move: str) -> MoveProgress:
        """What the service lists of the task. Approximate numbers; two calls."""
        with self._calls.all_within():
            return moving.progress(self._calls, self._urls, queue, move)

    def cancel_move(self, queue: str, move: str) -> None:
        """Cancels the task."""
        moving.cancel(self._calls, queue, move)

    def interrupt(self) -> None:
        """Nothing: a long poll returns at its end.

        To cut its connection wouldn't be safe: what SQS had already put into the answer would stay hidden until the
        end of a lease that nobody holds (semantics 14).
        """

    def close(self) -> None:
        """Closes idle connections. A receive under way returns at its end, and gives back what it brought."""
        self._closed.set()
        self._routes.close()
        if self._schedulers is not None:
            self._schedulers.close()

    def _counts(self, queue: str) -> dict[str, int]:
        names = [_READY, _DELAYED, _IN_FLIGHT]
        url = self._urls.of(queue)
        answer = self._calls.make("get_queue_attributes", queue, QueueUrl=url, AttributeNames=names)
        attributes = value_of(answer, "Attributes", queue)
        said = {name: value_of(attributes, name, queue) for name in names}
        try:
            return {name: int(value) for name, value in said.items()}
        except ValueError as error:
            raise BackendUnavailable(f"queue {queue!r}: Amazon SQS counts {said}") from error

    def _refuse_if_closed(self) -> None:
        if self._closed.is_set():
            raise BackendError("this driver is closed")


_drivers: Const[weakref.WeakSet[SQSDriver]] = weakref.WeakSet()


def _after_fork() -> None:
    for driver in list(_drivers):
        driver._routes.after_fork()
        if driver._schedulers is not None:
            driver._schedulers.after_fork()


os.register_at_fork(after_in_child=_after_fork)
