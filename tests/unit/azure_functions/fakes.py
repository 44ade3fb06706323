"""The Functions host over a Service Bus in memory: what it hands to a function, and what it does at its end.

Its ways are those of Microsoft.Azure.WebJobs.Extensions.ServiceBus (ServiceBusListener.cs, read in 2026-11): it
completes each message of an invocation that returned, and abandons each of one that raised, each by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import azure.functions as func
from azure.functions.meta import Datum
from azure.functions.servicebus import ServiceBusMessageInConverter
from tenacity import stop_after_attempt, wait_fixed

from cloudq import App, Context, RetryPolicy
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Ack, Final, Outgoing, Release, SendResult, SettleResult
from cloudq.drivers.memory import MemoryDriver
from cloudq.drivers.service_bus.properties import FAILURE
from cloudq.errors import BackendError
from cloudq.testing.clock import FakeClock
from cloudq.testing.profiles import service_bus_like

URL = "servicebus://example.servicebus.windows.net?prefix=prod-"
LOCK = timedelta(seconds=60)
SOON = RetryPolicy(wait=wait_fixed(7))
ONCE = RetryPolicy(stop=stop_after_attempt(1))


def fail(n: int = 0) -> None:
    """A task that fails."""
    raise RuntimeError("boom")


def note(seen: list[Context]) -> Callable[[Context], None]:
    """A task that notes the contexts it is run with."""

    def t(context: Context) -> None:
        seen.append(context)

    return t


class Bus(MemoryDriver):
    """Settles by the lock's token, too.

    Attributes:
        fail_copy: Which bodies can't be stored.
        fail_settle: Which steps by a token the service refuses, by the message's token.
        by_token: The steps that were carried out by a token.
    """

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock, capabilities=service_bus_like)
        self.fail_copy: Callable[[Outgoing], bool] = lambda _: False
        self.fail_settle: Callable[[UUID], bool] = lambda _: False
        self.by_token: list[object] = []
        self.locks: dict[UUID, Lease] = {}
        self._tokens: dict[int, UUID] = {}

    def lease_by_token(self, queue: str, token: UUID, *, expires_at: datetime) -> Lease:
        held = self.locks[token]
        lease = Lease(queue=queue, receipt=held.receipt, expires_at=expires_at, ends=held.ends)
        self._tokens[id(lease)] = token
        return lease

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        ready = [item for item in outgoing if not self.fail_copy(item)]
        stored = iter(super().send(ready))
        refused = SendResult(error=BackendError("refused"))
        return [refused if self.fail_copy(item) else next(stored) for item in outgoing]

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        results = []
        for final in finals:
            token = self._tokens.get(id(final.lease))
            if token is not None and self.fail_settle(token):
                results.append(SettleResult(error=BackendError("refused")))
                continue
            if token is not None:
                self.by_token.append(final.step)
            results += super().settle([final])
        return results


class Host:
    """A function app with one trigger, on the queue `orders`.

    Attributes:
        app: An app on `servicebus`, whose tasks a test declares.
        bus: The service.
        clock: The time of both.
        raised: What the last invocation raised.
    """

    def __init__(self, *, auto_complete: bool = True) -> None:
        self.clock = FakeClock()
        self.bus = Bus(self.clock)
        self.app = App(URL, default_queue="orders")
        self.auto_complete = auto_complete
        self.raised: Exception | None = None

    @contextmanager
    def connected(self) -> Iterator[Host]:
        with self.app.using(self.bus, clock=self.clock):
            yield self

    def take(self, limit: int = 100) -> list[Delivery]:
        """Locks messages."""
        return list(self.bus.receive("orders", limit=limit, wait=timedelta(0), lease=LOCK))

    def message(self, delivery: Delivery, **changed: Datum) -> func.ServiceBusMessage:
        """A message as the worker's own decoder makes it, for a cardinality of one."""
        data = Datum(delivery.body.decode(), "string")
        return ServiceBusMessageInConverter.decode(data, trigger_metadata=self._metadata(delivery) | changed)

    def messages(self, deliveries: Sequence[Delivery]) -> list[func.ServiceBusMessage]:
        """The same, for a cardinality of many."""
        each = [self._metadata(delivery) for delivery in deliveries]
        arrays = {
            f"{name}Array": Datum(json.dumps([_plain(one[name]) for one in each]), "json")
            for name in (each[0] if each else {"UserProperties": None})
        }
        bodies = SimpleNamespace(string=[delivery.body.decode() for delivery in deliveries])
        return ServiceBusMessageInConverter.decode(Datum(bodies, "collection_string"), trigger_metadata=arrays)

    def invoke(self, function, deliveries: Sequence[Delivery] | None = None, *, many: bool = True) -> bool:
        """Invokes the function with what is locked, and settles. Whether it returned."""
        taken = self.take() if deliveries is None else deliveries
        given = self.messages(taken) if many else self.message(taken[0])
        self.raised = None
        try:
            function(given)
        except Exception as error:
            self.raised = error
        for delivery in taken:
            if self.raised is not None:
                self.bus.settle([Final(lease=delivery.lease, step=Release())])
            elif self.auto_complete:
                self.bus.settle([Final(lease=delivery.lease, step=Ack())])  # a lock that is gone it only logs
        return self.raised is None

    def waiting(self) -> dict[str, int]:
        """The messages in the queue, whenever they are due: their generations by their ids."""
        return {one.id: one.message.generation if one.message else 0 for one in self.later()}

    def later(self) -> list[Delivery]:
        """The messages in the queue, whenever they are due."""
        self.clock.advance(timedelta(days=400))
        return self.take(100)

    def dead(self) -> dict[str, str]:
        """The dead letters: their reasons by their ids."""
        found = self.bus.dead_letters("orders").peek(limit=100)
        return {one.id: one.failure.reason if one.failure else "" for one in found}

    def _metadata(self, delivery: Delivery) -> dict[str, Datum]:
        token = uuid4()
        self.bus.locks[token] = delivery.lease
        properties = {FAILURE: delivery.failure.encode().decode()} if delivery.failure else {}
        return {
            "ApplicationProperties": Datum(json.dumps(properties), "json"),
            "UserProperties": Datum(json.dumps(properties), "json"),
            "DeliveryCount": Datum(str(delivery.deliveries), "json"),
            "LockToken": Datum(str(token), "string"),
            "LockedUntil": Datum(delivery.lease.expires_at.strftime("%Y-%m-%dT%H:%M:%S.%f0Z"), "string"),
            "MessageId": Datum(delivery.id, "string"),
            "SequenceNumber": Datum("7", "json"),
            "SessionId": Datum("", "string"),
        }


def _plain(datum: Datum) -> object:
    return json.loads(datum.value) if datum.type == "json" else datum.value
