"""What tasks ask of their queues, and the entries of the modules' maps."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tenacity import stop_after_attempt

from cloudq import App, RetryPolicy
from cloudq.cli.queue_needs import Cloud, Needs, entry, needs_of, request_timeout, unfit


def needs(queue: str = "emails", **changes: object) -> Needs:
    values = {"lease": timedelta(minutes=2), "deliveries": 20, "limits": {"shop.welcome": timedelta(seconds=57)}}
    return Needs(queue=queue, **(values | changes))  # type: ignore[arg-type]


def test_of_tasks():
    """A queue's needs are those of the most demanding of its tasks, each of which may name several queues."""
    app = App()

    @app.task("a", queue="emails", lease=timedelta(minutes=5), time_limit=timedelta(minutes=1))
    def a() -> None: ...

    @app.task("b", queue="emails", retry=RetryPolicy(stop=stop_after_attempt(30)))
    def b() -> None: ...

    @app.task("c", queue="orders.fifo", ordering_key="{order}", lease=timedelta(seconds=30))
    def c(order: str) -> None: ...

    @app.task("d", queues=["later", "emails"], lease=timedelta(minutes=9))
    def d() -> None: ...

    emails, later, orders = needs_of(app.runtime.handlers[name] for name in app.tasks)
    assert ("later", timedelta(minutes=9), 20) == (later.queue, later.lease, later.deliveries)
    assert ("emails", timedelta(minutes=9), 45, ["b", "d"], None, ()) == (
        emails.queue,
        emails.lease,
        emails.deliveries,
        emails.unlimited,
        emails.longest,
        emails.keyed,
    )
    assert ("orders.fifo", timedelta(seconds=30), 20, ("c",)) == (
        orders.queue,
        orders.lease,
        orders.deliveries,
        orders.keyed,
    )


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {"visibility_timeout_seconds": 120, "max_receive_count": 21}),
        ({"lease": timedelta(seconds=0.5)}, {"visibility_timeout_seconds": 1, "max_receive_count": 21}),
        ({"deliveries": 4}, {"visibility_timeout_seconds": 120, "max_receive_count": 21}),
        ({"queue": "orders.fifo"}, {"visibility_timeout_seconds": 120, "max_receive_count": 100}),
        ({"queue": "orders.fifo", "deliveries": 150}, {"visibility_timeout_seconds": 120, "max_receive_count": 151}),
    ],
)
def test_on_sqs(asked, expected):
    """A lease is the visibility, rounded up; the service's limit comes after the policy's, on FIFO after 100."""
    assert expected == entry(Cloud.AWS, needs(**asked))


def test_by_lambda():
    """A function has the longest time limit and three seconds; a lease is six times that."""
    assert {
        "visibility_timeout_seconds": 360,
        "max_receive_count": 21,
        "lambda": {"function_name": "shop", "function_timeout_seconds": 60},
    } == entry(Cloud.AWS, needs(), function="shop")


@pytest.mark.parametrize(
    ("lease", "lock"), [(timedelta(seconds=1), 5), (timedelta(minutes=2), 120), (timedelta(hours=1), 300)]
)
def test_on_service_bus(lease, lock):
    """A lock is the lease, from 5 seconds to 5 minutes; the service's limit comes after the policy's."""
    assert {"lock_seconds": lock, "max_delivery_count": 100} == entry(Cloud.AZURE, needs(lease=lease))
    assert {"lock_seconds": lock, "max_delivery_count": 121} == entry(Cloud.AZURE, needs(lease=lease, deliveries=120))


def test_on_cloud_tasks():
    """The declarations say nothing that a queue has: the concurrency is given, a request's time is told."""
    assert {} == entry(Cloud.GOOGLE, needs())
    assert {"max_concurrent_dispatches": 20} == entry(Cloud.GOOGLE, needs(), concurrency=20)
    assert request_timeout([needs(), needs(limits={"a": timedelta(minutes=20)})]) == 20 * 60 + 30
    assert request_timeout([needs(limits={"a": None})]) == 600


@pytest.mark.parametrize(
    ("cloud", "asked", "function", "words"),
    [
        (Cloud.AWS, {"queue": "a/b"}, None, "'a/b' can't be the name"),
        (Cloud.AWS, {"queue": "q" * 77}, None, "can't be the name"),
        (Cloud.AWS, {"keyed": ("shop.ship",)}, None, "'shop.ship' has an ordering_key"),
        (Cloud.AWS, {"deliveries": 1000}, None, "1000 deliveries"),
        (Cloud.AWS, {"lease": timedelta(hours=13)}, None, "12 hours"),
        (Cloud.AWS, {"limits": {"shop.slow": timedelta(hours=13)}}, None, "SQS leases a message for 12:00:00 in all"),
        (Cloud.AWS, {"limits": {"shop.slow": None}}, "shop", "'shop.slow' has no time_limit"),
        (Cloud.AWS, {"limits": {"shop.slow": timedelta(minutes=30)}}, "shop", "more than a function has"),
        (Cloud.GOOGLE, {"queue": "orders.fifo"}, None, "keeps an order"),
        (Cloud.GOOGLE, {"queue": "my_emails"}, None, "can't be the name"),
        (Cloud.GOOGLE, {"limits": {"shop.slow": timedelta(minutes=30)}}, None, "Cloud Tasks waits for 0:29:30 at most"),
        (Cloud.AZURE, {"queue": "emails-"}, None, "can't be the name"),
        (Cloud.AZURE, {"deliveries": 2000}, None, "2000 deliveries"),
    ],
)
def test_unfit(cloud, asked, function, words):
    """What a service can't have is said in words."""
    assert any(words in said for said in unfit(cloud, needs(**asked), function=function))


@pytest.mark.parametrize("cloud", Cloud)
def test_fit(cloud):
    """An ordinary queue fits everywhere."""
    assert [] == list(unfit(cloud, needs()))
    assert [] == list(unfit(cloud, needs("orders.fifo", keyed=("a",)))) or cloud is Cloud.GOOGLE
