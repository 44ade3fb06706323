"""A topic is sent to like a queue; each of its subscriptions is worked on like one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

import cloudq
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.emulators.service_bus.broker.settings import SubscriptionSettings
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from cloudq.errors import UnsupportedError
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings

pytestmark = pytest.mark.slow
MAIL, AUDIT = "orders/Subscriptions/mail", "orders/Subscriptions/audit"


class Orders:
    """An app that sends to a topic, and what its tasks did."""

    def __init__(self, driver: ServiceBusDriver) -> None:
        self.driver = driver
        self.attempts: list[int] = []
        self.fail = 0
        self.app = cloudq.App()

        @self.app.task("shop.placed", queues=["orders", MAIL])
        def placed(number: int) -> None:
            self.attempts.append(cloudq.current().attempt)
            if len(self.attempts) <= self.fail:
                raise cloudq.Retry("not yet", delay=timedelta(milliseconds=300))
            if number < 0:
                raise cloudq.DeadLetter("a negative number")

        self.placed = placed

    def work(self, queue: str, tasks: int) -> None:
        with self.app.using(self.driver):
            Worker(self.app, WorkerSettings(queues={queue: 1}, max_tasks=tasks)).run()


@pytest.fixture
def orders() -> Iterator[Orders]:
    with ServiceBusEmulator(admin_port=None) as emulator:
        emulator.create_topic("orders")
        for name in ("mail", "audit"):
            emulator.create_subscription("orders", name, SubscriptionSettings(max_delivery_count=100))
        driver = ServiceBusDriver("127.0.0.1", connection_string=emulator.connection_string)
        yield Orders(driver)
        driver.close()


def test_each_subscription_gets_what_is_sent_to_the_topic(orders: Orders) -> None:
    """One send runs the task once for each subscription that is worked on."""
    with orders.app.using(orders.driver):
        orders.placed.send(number=1)
    orders.work(MAIL, 1)
    orders.work(AUDIT, 1)
    assert orders.attempts == [1, 1]


def test_a_retry_stays_in_its_subscription(orders: Orders) -> None:
    """It is held and comes again there; a copy by way of the topic would go to all of them."""
    orders.fail = 2
    with orders.app.using(orders.driver):
        orders.placed.send(number=1)
    orders.work(MAIL, 3)
    assert orders.attempts == [1, 2, 3]
    orders.work(AUDIT, 1)
    assert orders.attempts == [1, 2, 3, 1]


def test_a_subscriptions_dead_letters_are_its_own(orders: Orders) -> None:
    """They are listed and purged; a redrive is refused, since nothing can be sent to a subscription."""
    with orders.app.using(orders.driver):
        orders.placed.send(number=-1)
    orders.work(MAIL, 1)
    with orders.app.using(orders.driver):
        letters = orders.app.queue(MAIL).dead_letters
        (letter,) = letters
        assert letter.failure is not None
        assert "a negative number" in letter.failure.reason
        with pytest.raises(UnsupportedError, match="nothing can be sent"):
            letters.redrive()
        assert [dead.key for dead in letters] == [letter.key]
        assert letters.purge() == 1
        assert list(orders.app.queue(AUDIT).dead_letters) == []


def test_a_subscription_is_not_sent_to(orders: Orders) -> None:
    """Its topic is; what names the subscription as its queue is refused before anything is stored."""
    with orders.app.using(orders.driver), pytest.raises(UnsupportedError, match="nothing can be sent"):
        orders.placed.options(queue=MAIL).send(number=1)
