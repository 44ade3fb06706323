"""The harness of Amazon SQS, over whichever server stands in for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final
from unittest import mock

from botocore.exceptions import ReadTimeoutError

from cloudq.aws_wire.wires import WireName
from cloudq.core.driver import PullDriver
from cloudq.core.message import dead_letter_queue, is_ordered
from cloudq.drivers.sqs import SQSDriver
from cloudq.drivers.sqs.bodies import storable
from cloudq.drivers.sqs.lean import LeanClient
from cloudq.testing.conformance import Harness, Spoil, Stall
from tests.chaos.http_proxy import Forward, HttpProxy, Raw, Request, Response, pass_on

REGION: Final = "us-east-1"


class SQSHarness(Harness):
    """Two queues with their dead-letter queues, for one test.

    Args:
        proxy: What is before the server.
        client: One botocore client for all drivers: a client's making is no part of the contract, and slow.
        suffix: What the queues' names end in.
        wire: Who makes the calls that repeat.
    """

    # The service shares by what is in flight: a key is noisy from about thirty of its own on (user guide, 2026-11).
    shares_at_once = False

    def __init__(self, proxy: HttpProxy, client: Any, suffix: str = "", wire: WireName = "auto") -> None:
        super().__init__(queue=f"kit-{uuid.uuid4().hex[:12]}{suffix}")
        self.proxy = proxy
        self.client = client
        self.wire: WireName = wire
        self.stalled: list[Any] = []
        self.missing_queue = f"missing-{self.queue}"
        kind = {"FifoQueue": "true"} if suffix else {}
        names = [self.queue, self.other_queue]
        names += [dead_letter_queue(name) for name in names]
        self.urls = {name: client.create_queue(QueueName=name, Attributes=kind)["QueueUrl"] for name in names}

    def open(self) -> PullDriver:
        with mock.patch("cloudq.drivers.sqs.driver.open_client", return_value=self.client):
            driver = SQSDriver(REGION, endpoint_url=self.proxy.url, wire=self.wire, look_wait=timedelta(0))
        assert isinstance(self.caller(driver), LeanClient) is (self.wire == "auto")
        return driver

    def second_client(self) -> PullDriver:
        return self.open()

    def caller(self, driver: PullDriver) -> Any:
        """Who makes the driver's calls."""
        assert isinstance(driver, SQSDriver)
        return driver._calls.client_for(self.queue)

    def stall(self, driver: PullDriver, stall: Stall) -> bool:
        caller = self.caller(driver)
        delete = caller.delete_message_batch

        def delete_in_flight(**parameters: Any) -> Any:
            if stall.hang():
                raise ReadTimeoutError(endpoint_url=self.urls[self.queue])
            return delete(**parameters)

        caller.delete_message_batch = delete_in_flight
        self.stalled.append(caller)  # `close` takes it away again
        return True

    @contextmanager
    def spoil(self, driver: PullDriver, spoil: Spoil) -> Iterator[None]:
        async def spoilt(request: Request, forward: Forward) -> Raw | Response:
            answer = await forward(request)
            return Raw(spoil.of(answer.encoded())) if spoil.cuts else Response(answer.status, spoil.of(answer.body))

        self.proxy.policy = spoilt
        try:
            yield
        finally:
            self.proxy.policy = pass_on

    def put_raw(self, driver: PullDriver, queue: str, body: bytes) -> None:
        text = storable(body)
        if text is None:
            super().put_raw(driver, queue, body)  # no SDK could put this in as it is
            return
        key = uuid.uuid4().hex
        order = {"MessageGroupId": key, "MessageDeduplicationId": key} if is_ordered(queue) else {}
        self.client.send_message(QueueUrl=self.urls[queue], MessageBody=text, **order)

    def close(self) -> None:
        for caller in self.stalled:
            vars(caller).pop("delete_message_batch", None)
        for url in self.urls.values():
            self.client.delete_queue(QueueUrl=url)
