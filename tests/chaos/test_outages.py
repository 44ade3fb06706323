"""Throttling, expired credentials, no DNS, cut connections: tried again or reported, never lost."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.credentials import CredentialResolver, RefreshableCredentials

from cloudq import App
from cloudq.core.driver import Ack, Final
from cloudq.drivers.sqs import SQSDriver
from cloudq.errors import BackendUnavailable, Throttled
from tests.chaos.http_proxy import Forward, HttpProxy, Request, Response, error
from tests.integration.processes import wait_until
from tests.integration.sqs.conftest import Place
from tests.unit.worker.fakes import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=30)


class FirstCalls:
    """The policy that fails the first calls of one operation, and passes on all others.

    Args:
        action: The operation.
        count: How many of its calls fail.
        answer: What they are answered; `None` cuts the connection.
        carried_out: Whether the call is carried out all the same.
    """

    def __init__(self, action: str, count: int, *, answer: Response | None = None, carried_out: bool = False) -> None:
        self.action = action
        self.left = count
        self.calls = 0
        self._answer = answer
        self._carried_out = carried_out

    async def __call__(self, request: Request, forward: Forward) -> Response | None:
        if request.action != self.action:
            return await forward(request)
        self.calls += 1
        if not self.left:
            return await forward(request)
        self.left -= 1
        if self._carried_out:
            await forward(request)
        return self._answer


THROTTLED = error(400, "ThrottlingException", "Rate exceeded")
# As SQS itself puts it, over the limit of a FIFO queue, say.
REQUEST_THROTTLED = error(403, "RequestThrottled", "Request is throttled.")


@pytest.mark.parametrize("answer", [THROTTLED, REQUEST_THROTTLED, error(503, "ServiceUnavailable")])
def test_a_throttled_send_is_tried_again(
    proxy: HttpProxy, place: Place, queue: str, driver: SQSDriver, answer: Response
) -> None:
    """Two refusals cost a moment; the message is there once."""
    policy = proxy.policy = FirstCalls("SendMessageBatch", 2, answer=answer)
    app = App()
    with app.using(driver):
        app.send("noop")
    assert 3 == policy.calls
    assert (1, 0) == place.counts(queue)


def test_a_send_that_is_throttled_for_long_is_reported(
    proxy: HttpProxy, place: Place, queue: str, driver: SQSDriver
) -> None:
    """After five tries whoever called knows it, and nothing is there."""
    policy = proxy.policy = FirstCalls("SendMessageBatch", 99, answer=THROTTLED)
    app = App()
    with app.using(driver), pytest.raises(Throttled, match="Rate exceeded"):
        app.send("noop")
    assert 5 == policy.calls
    assert (0, 0) == place.counts(queue)


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_send_whose_connection_is_cut_is_tried_again(
    proxy: HttpProxy, place: Place, queue: str, driver: SQSDriver, carried_out: bool
) -> None:
    """Stored once, or, if only the answer was lost, twice: at least once, never not at all."""
    proxy.policy = FirstCalls("SendMessageBatch", 1, carried_out=carried_out)
    app = App()
    with app.using(driver):
        app.send("noop")
    assert (1 + carried_out, 0) == place.counts(queue)


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_send_to_a_fifo_queue_whose_connection_is_cut_is_stored_once(
    proxy: HttpProxy, place: Place, driver: SQSDriver, carried_out: bool
) -> None:
    """SQS knows the second try by its id."""
    driver.make_queue("orders.fifo")
    proxy.policy = FirstCalls("SendMessageBatch", 1, carried_out=carried_out)
    app = App()
    with app.using(driver):
        app.send("noop", queue="orders.fifo", ordering_key="a")
    assert (1, 0) == place.counts("orders.fifo")


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("answer", [None, THROTTLED])
def test_a_deletion_that_fails_may_be_tried_again(
    proxy: HttpProxy, place: Place, queue: str, driver: SQSDriver, *, answer: Response | None, carried_out: bool
) -> None:
    """The driver reports it as transient and keeps the receipt; the second try deletes, or finds nothing to do."""
    app = App()
    with app.using(driver):
        app.send("noop")
    (delivery,) = driver.receive(queue, limit=1, wait=SECOND, lease=LEASE)
    proxy.policy = FirstCalls("DeleteMessageBatch", 1, answer=answer, carried_out=carried_out)
    final = Final(lease=delivery.lease, step=Ack())
    (first,) = driver.settle([final])
    assert isinstance(first.error, Throttled if answer else BackendUnavailable)
    assert None is driver.settle([final])[0].error
    assert (0, 0) == place.counts(queue)


def test_a_lease_whose_renewal_fails_is_kept(proxy: HttpProxy, place: Place, queue: str, driver: SQSDriver) -> None:
    """A renewal that is throttled and one that is cut are made again in time: the task runs once."""
    policy = proxy.policy = FirstCalls("ChangeMessageVisibilityBatch", 1, answer=THROTTLED)
    app = App()
    ran: list[int] = []
    over = threading.Event()

    @app.task("long")
    def long() -> None:
        ran.append(1)
        over.wait(60)

    with app.using(driver):
        long.send()
        with running(app, lease=timedelta(seconds=9), wait=timedelta(0)) as worker:
            wait_until(lambda: policy.calls >= 2, within=60, what="the renewal is tried again")
            policy.left, policy._answer = 1, None
            wait_until(lambda: policy.calls >= 4, within=60, what="another one is cut, and tried again")
            over.set()
            wait_until(lambda: place.counts(queue) == (0, 0), within=60, what="it is settled")
            assert 0 == worker.worker.snapshot().lease_lost
    assert [1] == ran


class Credentials:
    """What the SDK's chain gets from the machine's role: new ones, each time the old ones end."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.issued = 0

    def issue(self) -> dict[str, Any]:
        self.issued += 1
        return {
            "access_key": f"KEY{self.issued}",
            "secret_key": "secret",
            "token": "token",
            "expiry_time": (self.now + timedelta(hours=1)).isoformat(),
        }

    def refreshable(self) -> RefreshableCredentials:
        return RefreshableCredentials.create_from_metadata(
            self.issue(), refresh_using=self.issue, method="a-role", advisory_timeout=60, mandatory_timeout=30
        )


@pytest.fixture
def credentials(place: Place, monkeypatch: pytest.MonkeyPatch) -> Credentials:
    """Of the driver that is opened next, whose client signs by them."""
    credentials = Credentials()
    monkeypatch.setattr("botocore.credentials._local_now", lambda: credentials.now)
    refreshable = credentials.refreshable()
    refreshable._time_fetcher = lambda: credentials.now
    monkeypatch.setattr(CredentialResolver, "load_credentials", lambda _: refreshable)
    return credentials


class Accepting:
    """The policy of a service that knows one access key by now, and takes all others for expired."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.refused = 0

    async def __call__(self, request: Request, forward: Forward) -> Response | None:
        if f"Credential={self.key}/".encode() in request.header(b"authorization"):
            return await forward(request)
        self.refused += 1
        return error(403, "ExpiredToken", "The security token included in the request is expired")


def test_credentials_that_end_are_replaced(
    proxy: HttpProxy, place: Place, queue: str, credentials: Credentials, driver: SQSDriver
) -> None:
    """The SDK's chain gets new ones when their time is over, and nobody notices."""
    policy = proxy.policy = Accepting("KEY1")
    app = App()
    with app.using(driver):
        app.send("noop")
        policy.key = "KEY2"
        credentials.now += timedelta(hours=1)
        app.send("noop")
    assert (0, 2) == (policy.refused, credentials.issued)
    assert (2, 0) == place.counts(queue)


def test_a_worker_outlasts_credentials_that_the_service_refuses(
    proxy: HttpProxy, place: Place, queue: str, credentials: Credentials, driver: SQSDriver
) -> None:
    """Refused before the chain knows it, it keeps trying; a producer is told why; with new ones all runs."""
    policy = proxy.policy = Accepting("KEY1")
    app = App()
    ran = threading.Event()
    app.task("noop")(lambda: ran.set())  # noqa: PLW0108 - a task is a function, no method
    with app.using(driver), running(app, wait=timedelta(0)) as worker:
        policy.key = "KEY2"
        wait_until(lambda: policy.refused > 0, within=60, what="polls are refused")
        with pytest.raises(BackendUnavailable, match="ExpiredToken") as raised:
            app.send("noop")
        assert "expired" in (raised.value.hint or "")
        credentials.now += timedelta(hours=1)
        app.send("noop")
        assert ran.wait(40)
        wait_until(lambda: place.counts(queue) == (0, 0), within=60, what="it is settled")
        assert worker.code is None


def test_a_worker_outlasts_a_dns_failure(
    proxy: HttpProxy, place: Place, queue: str, driver: SQSDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the endpoint's name can't be resolved sends are reported and polls tried again; then all runs."""
    host = proxy.url.removeprefix("http://").partition(":")[0]
    resolve = socket.getaddrinfo
    failing = threading.Event()
    failed: list[str] = []

    def lookup(name: Any, *arguments: Any, **options: Any) -> Any:
        if failing.is_set() and name == host and arguments[0] == int(proxy.url.rpartition(":")[2]):
            if options.get("flags") != socket.AI_NUMERICHOST:  # first it is tried as an address, which asks nobody
                failed.append(name)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(name, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    app = App()
    ran = threading.Event()
    app.task("noop")(lambda: ran.set())  # noqa: PLW0108 - a task is a function, no method
    with app.using(driver):
        driver.client.close()  # or connections that are open need no name
        failing.set()
        with pytest.raises(BackendUnavailable, match="can't be reached"):
            app.send("noop")
        assert 5 == len(failed)
        with running(app, wait=timedelta(0)) as worker:
            wait_until(lambda: len(failed) > 5, within=60, what="a poll has failed")
            failing.clear()
            app.send("noop")
            assert ran.wait(40)
            assert worker.code is None


def test_what_a_lost_answer_handed_over_comes_back(
    proxy: HttpProxy, place: Place, queue: str, driver: SQSDriver
) -> None:
    """A receive whose answer is cut off hides its messages for one lease, and no longer."""
    app = App()
    with app.using(driver):
        app.send("noop")
    proxy.policy = FirstCalls("ReceiveMessage", 1, carried_out=True)
    with pytest.raises(BackendUnavailable):
        driver.receive(queue, limit=1, wait=SECOND, lease=SECOND)
    (delivery,) = driver.receive(queue, limit=1, wait=timedelta(seconds=20), lease=LEASE)
    assert 2 == delivery.deliveries
