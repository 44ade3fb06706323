"""What the tests of the driver do with it, in a line each."""

from __future__ import annotations

from datetime import timedelta

from cloudq.core.driver import Final, Outgoing

LEASE = timedelta(seconds=60)
SECOND = timedelta(seconds=1)
ZERO = timedelta(0)


class Straight:
    """The route of a single client."""

    def __init__(self, client):
        self.client = client

    def own(self):
        return self.client

    def client_for(self, queue):
        return self.client


def item(number=0, *, queue="q", body=b"{}", **options):
    return Outgoing(id=f"id-{number}", queue=queue, body=body, **options)


def receive(driver, queue="q", limit=10, lease=LEASE):
    return list(driver.receive(queue, limit=limit, wait=ZERO, lease=lease))


def settle(driver, *pairs):
    results = driver.settle([Final(lease=delivery.lease, step=step) for delivery, step in pairs])
    return [result.error for result in results]


def parameters(sqs, operation):
    return [given for called, given in sqs.calls if called == operation]


def held(driver, count=1, queue="q"):
    for number in range(count):
        key = f"k{number}" if queue.endswith(".fifo") else None
        driver.send([item(number, queue=queue, ordering_key=key)])
    deliveries = []
    while len(deliveries) < count:
        deliveries += receive(driver, queue)
    return deliveries
