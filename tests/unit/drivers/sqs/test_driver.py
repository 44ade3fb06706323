"""`SQSDriver` over a fake SQS: what is no matter of one of its rooms."""

from __future__ import annotations

import pytest

from cloudq.core.call_reports import CallReports, ReportsCalls
from cloudq.core.driver import Ack, Final, QueueStats
from cloudq.drivers.sqs import SQSDriver
from cloudq.errors import (
    BackendError,
    QueueNotFound,
    UnsupportedError,
)
from tests.observing import Told
from tests.unit.drivers.sqs.fakes import FakeSqs
from tests.unit.drivers.sqs.using import item, receive


def test_stats_are_two_calls(driver):
    """The queue's and its dead-letter queue's numbers."""
    driver.send([item(1), item(2)])
    driver.send([item(3, queue="q-dlq")])
    receive(driver, limit=1)
    assert QueueStats(ready=1, delayed=0, in_flight=1, dead=1) == driver.stats("q")


def test_stats_without_a_dead_letter_queue(clock):
    """How many are dead isn't known then; a queue that isn't there is an error."""
    driver = SQSDriver("test", client=FakeSqs("q"), clock=clock)
    assert QueueStats(ready=0, delayed=0, in_flight=0) == driver.stats("q")
    with pytest.raises(QueueNotFound):
        driver.stats("other")


def test_a_closed_driver_sends_nothing(driver, sqs):
    """Each item has an error, and no call is made."""
    driver.close()
    assert [BackendError] == [type(result.error) for result in driver.send([item()])]
    assert [] == sqs.operations()


def test_a_name_that_sqs_does_not_take_is_refused_before_anything_is_called(driver, sqs):
    """Where a queue is named first, for a send or at a worker's start: it says what is taken."""
    for name in ("shop.mail", "q" * 77):
        with pytest.raises(UnsupportedError, match="can't be the name of a queue of Amazon SQS"):
            driver.capabilities(name)
    assert [] == sqs.calls


def test_each_request_is_told_by_the_services_name_of_it(driver, sqs):
    """With the queue that it was for, and the error that it ended in."""
    told = Told()
    assert isinstance(driver, ReportsCalls)
    assert ("aws_sqs", "sqs.test") == (driver.system, driver.server)
    driver.report_to(CallReports(told, None))
    driver.send([item(1), item(2)])
    [delivery] = receive(driver, limit=1)
    driver.settle([Final(lease=delivery.lease, step=Ack())])
    with pytest.raises(QueueNotFound):
        driver.stats("other")
    driver.report_to(None)
    driver.stats("q")
    names = ["GetQueueUrl", "SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch"]
    assert [(name, "q", None) for name in names] == told.calls[:-1]
    assert ("GetQueueUrl", "other") == told.calls[-1][:2]
    assert told.calls[-1][2] is not None
