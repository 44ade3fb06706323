"""The SDK alone, by its public methods: no tasks, no leases, no retries, one thread. The floor of the comparison."""

from __future__ import annotations

import json

from azure.servicebus import ServiceBusClient, ServiceBusMessage

from tests.benchmarks.service_bus_place import CONNECTION, PAYLOAD, QUEUE, Timer, main

timer = Timer()
BATCH = 100


def send(count: int) -> None:
    """Batches of a hundred."""
    body = json.dumps(PAYLOAD)
    with (
        ServiceBusClient.from_connection_string(CONNECTION) as client,
        client.get_queue_sender(QUEUE) as sender,
    ):
        sender.send_messages(ServiceBusMessage(body))
        timer.start()
        for start in range(1, count, BATCH):
            sender.send_messages([ServiceBusMessage(body) for _ in range(min(BATCH, count - start))])
        timer.report(count - 1)


def single(count: int) -> None:
    """One a call."""
    body = json.dumps(PAYLOAD)
    with (
        ServiceBusClient.from_connection_string(CONNECTION) as client,
        client.get_queue_sender(QUEUE) as sender,
    ):
        sender.send_messages(ServiceBusMessage(body))
        timer.start()
        for _ in range(count - 1):
            sender.send_messages(ServiceBusMessage(body))
        timer.report(count - 1)


def work(count: int) -> None:
    """A hundred a receive, each completed by a call of its own: there is no other way."""
    with (
        ServiceBusClient.from_connection_string(CONNECTION) as client,
        client.get_queue_receiver(QUEUE, max_wait_time=10) as receiver,
    ):
        done = 0
        while done < count:
            for message in receiver.receive_messages(BATCH, max_wait_time=10):
                timer.start()
                json.loads(str(message))
                receiver.complete_message(message)
                done += 1
        timer.report(count)


if __name__ == "__main__":
    main({"send": send, "single": single, "work": work})
