"""The handler as a function calls it, with messages of azure-functions' own decoder."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from azure.functions.meta import Datum
from tenacity import stop_after_attempt, wait_fixed

from cloudq import App, RetryPolicy
from cloudq.azure_functions import handler
from cloudq.core.driver import Outgoing
from cloudq.core.failure import Failure
from cloudq.errors import ConfigurationError, OptionError, PushRefused, TimeLimitExceeded
from tests.unit.azure_functions.fakes import LOCK, ONCE, SOON, URL, Host, fail
from tests.unit.moving import moved

# ── what becomes of a message ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("many", [False, True])
def test_what_is_done_is_left_to_the_host(host: Host, many: bool) -> None:
    """The function returns, the host completes, and nothing else is settled or sent."""
    ran = []

    @host.app.task("t")
    def t(n: int) -> None:
        ran.append(n)

    host.app.send("t", {"n": 1})
    assert host.invoke(handler(host.app, queue="orders"), many=many)
    assert ([1], {}, []) == (ran, host.waiting(), host.bus.by_token)


@pytest.mark.parametrize("many", [False, True])
def test_a_retry_is_a_scheduled_copy(host: Host, many: bool) -> None:
    """The next attempt is stored for later, with its failure beside it; then the host completes the original."""
    host.app.task("t", retry=SOON)(fail)
    sent = host.app.send("t")
    assert host.invoke(handler(host.app, queue="orders"), many=many)
    copy = host.bus.sent[-1]
    assert (timedelta(seconds=7), "orders") == (copy.delay, copy.queue)
    assert "boom" in copy.failure.reason
    assert [] == host.take()
    assert {sent.id: 1} == host.waiting()


@pytest.mark.parametrize("many", [False, True])
def test_a_dead_letter_is_the_services_own(host: Host, many: bool) -> None:
    """It is dead-lettered by its lock, with the reason; what the host tries then changes nothing."""
    host.app.task("t", retry=ONCE)(fail)
    sent = host.app.send("t")
    assert host.invoke(handler(host.app, queue="orders"), many=many)
    assert {sent.id: "gave up after 1 attempt: RuntimeError: boom"} == host.dead()
    assert {} == host.waiting()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("no JSON", "undecodable: "),
        ('{"specversion": "1.0", "id": "1", "source": "/x", "type": "other", "data": {}}', "unknown task 'other'"),
        ('{"specversion": "1.0", "id": "1", "source": "/x", "type": "t", "data": {"m": 1}}', "payload: "),
    ],
)
def test_poison_is_dead_lettered(host: Host, body: str, reason: str) -> None:
    """What can't be run ends in the dead-letter queue with the reason, and its body is the service's own."""
    host.app.unknown_task_patience = timedelta(0)
    host.app.task("t")(lambda n: None)
    host.bus.send([Outgoing(id="1", queue="orders", body=body.encode())])
    assert host.invoke(handler(host.app, queue="orders"))
    (dead,) = host.bus.dead_letters("orders").peek(limit=9)
    assert dead.body == body.encode()
    assert dead.failure.reason.startswith(reason)


def test_an_unknown_task_goes_back_by_a_copy(host: Host) -> None:
    """In its first attempt still, in a while, for whoever knows it; the one that came is completed."""
    host.app.task("t")(lambda n: None)
    sent = host.app.send("other", {}, queue="orders")
    assert host.invoke(handler(host.app, queue="orders"))
    assert [] == host.take()
    assert ({sent.id: 1}, {}) == (host.waiting(), host.dead())


# ── locks and counts ─────────────────────────────────────────────────────────────────────────────────────


def test_the_latest_failure_is_read_from_beside_the_body(host: Host) -> None:
    """A message's first failure is still known after its second."""
    host.app.task("t", retry=RetryPolicy(stop=stop_after_attempt(2), wait=wait_fixed(1)))(fail)
    host.app.send("t")
    function = handler(host.app, queue="orders")
    began = host.clock.now()
    assert host.invoke(function)
    host.clock.advance(timedelta(seconds=5))
    assert host.invoke(function, many=False)
    (dead,) = host.bus.dead_letters("orders").peek(limit=9)
    assert (2, began) == (dead.failure.attempts, dead.failure.first_at)


def test_older_hosts_call_the_properties_otherwise(host: Host) -> None:
    """Where there are no application properties the failure is in the user's."""
    seen = []

    @host.app.task("t", retry=RetryPolicy(stop=stop_after_attempt(1)))
    def t() -> None:
        seen.append(1)
        raise RuntimeError("boom")

    host.app.send("t")
    (taken,) = host.take()
    message = host.message(taken)
    began = host.clock.now()
    host.clock.advance(LOCK / 2)
    properties = {"cloudq-failure": Failure(reason="before", first_at=began).encode().decode()}
    message._ServiceBusMessage__application_properties = None
    message._ServiceBusMessage__user_properties = properties
    handler(host.app, queue="orders")(message)
    (dead,) = host.bus.dead_letters("orders").peek(limit=9)
    assert began == dead.failure.first_at


# ── tasks of every kind ──────────────────────────────────────────────────────────────────────────────────


def test_a_time_limit_holds(host: Host) -> None:
    """A task that runs too long has failed: nothing of the host's would stop it alone."""
    errors, begun = [], threading.Event()

    @host.app.task("t", time_limit=timedelta(seconds=5), retry=SOON)
    def t() -> None:
        try:
            begun.set()
            while True:
                threading.Event().wait(0.001)
        except TimeLimitExceeded as error:
            errors.append(error)
            raise

    sent = host.app.send("t")
    with moved(host.clock, timedelta(seconds=6), begun):
        assert host.invoke(handler(host.app, queue="orders"), many=False)
    assert {sent.id: 1} == host.waiting()
    assert 1 == len(errors)


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("queue", "error"),
    [
        ("orders.fifo", ConfigurationError),
        ("orders-dlq", OptionError),
        ("orders/Subscriptions/mail", ConfigurationError),
        ("", OptionError),
    ],
)
def test_queues_that_a_trigger_cannot_serve_are_refused(queue: str, error: type[Exception]) -> None:
    """At the declaration, before a message is there."""
    with pytest.raises(error):
        handler(App(URL), queue=queue)


@pytest.mark.parametrize("concurrency", [0, 101, True, 1.5])
def test_concurrency_has_bounds(concurrency) -> None:
    """Out of them it is refused at the declaration."""
    with pytest.raises(ConfigurationError, match="from 1 to 100"):
        handler(App(URL), queue="orders", concurrency=concurrency)


def test_a_message_of_a_session_is_refused(host: Host) -> None:
    """Its queue's name doesn't say that it has sessions; nothing of the batch is run."""
    ran = []
    host.app.task("t")(lambda: ran.append(1))
    host.app.send("t")
    (taken,) = host.take()
    with pytest.raises(PushRefused, match="session"):
        handler(host.app, queue="orders")(host.message(taken, SessionId=Datum("s", "string")))
    assert [] == ran


@pytest.mark.parametrize("message", [None, object(), {"body": 1}, [object()], b"{}"])
def test_what_is_no_message_is_refused(host: Host, message) -> None:
    """Another trigger's value, or a body alone."""
    with pytest.raises(PushRefused, match="not a message as the Service Bus trigger"):
        handler(host.app, queue="orders")(message)
