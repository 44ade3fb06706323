"""Making queues."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cloudq.core.driver import QueueMaker
from cloudq.drivers.sqs import SQSDriver
from cloudq.errors import ConfigurationError
from tests.unit.drivers.sqs.fakes import ENDPOINT, FakeSqs
from tests.unit.drivers.sqs.using import parameters


@pytest.mark.parametrize(("queue", "dead", "receives"), [("n", "n-dlq", 21), ("n.fifo", "n-dlq.fifo", 100)])
def test_a_queue_is_made_with_its_dead_letter_queue(driver, sqs, queue, dead, receives):
    """With a redrive policy as the backstop; one that is there is left as it is."""
    assert isinstance(driver, QueueMaker)
    assert driver.make_queue(queue)
    first, second = parameters(sqs, "CreateQueue")
    assert (dead, queue) == (first["QueueName"], second["QueueName"])
    policy = second["Attributes"]["RedrivePolicy"]
    assert f'{{"deadLetterTargetArn":"arn:aws:sqs:test:1:{dead}","maxReceiveCount":{receives}}}' == policy
    assert not driver.make_queue(queue)
    assert 2 == len(parameters(sqs, "CreateQueue"))


EUROPE = "https://sqs.eu-west-1.amazonaws.com/1/mail"


@pytest.mark.parametrize("queue", [EUROPE, f"{EUROPE}.fifo"])
def test_a_queue_that_is_named_by_its_url_is_made_under_its_name(queue):
    """Without the prefix, which such names don't have."""
    sqs = FakeSqs()
    sqs.meta = SimpleNamespace(endpoint_url=sqs.meta.endpoint_url, region_name="eu-west-1")
    driver = SQSDriver("eu-west-1", client=sqs, prefix="prod-")
    for made in ("mail", "mail-dlq", "mail.fifo", "mail-dlq.fifo"):
        driver._urls._known[f"https://sqs.eu-west-1.amazonaws.com/1/{made}"] = f"{ENDPOINT}/1/{made}"
    assert driver.make_queue(queue)
    kind = ".fifo" if queue.endswith(".fifo") else ""
    assert [f"mail-dlq{kind}", f"mail{kind}"] == [given["QueueName"] for given in parameters(sqs, "CreateQueue")]
    assert not driver.make_queue(queue)


@pytest.mark.parametrize(
    ("queue", "why"),
    [
        (EUROPE, "is in region eu-west-1, and queues are made in us-east-1"),
        (EUROPE.replace("eu-west-1", "us-east-1").replace("/1/", "/2/"), "another account"),
    ],
)
def test_a_url_of_another_place_makes_no_queue_here_unsaid(queue, why):
    """Queues are made in the client's region, by the account of its credentials."""
    sqs = FakeSqs()
    sqs.meta = SimpleNamespace(endpoint_url=sqs.meta.endpoint_url, region_name="us-east-1")
    with pytest.raises(ConfigurationError, match=why):
        SQSDriver("us-east-1", client=sqs).make_queue(queue)
