"""From a queue's name to its URL."""

from __future__ import annotations

from cloudq.core.message import dead_letter_queue
from cloudq.drivers.sqs.urls import QueueUrls
from cloudq.queues.names import check_queue

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/mail"


def test_a_name_that_is_a_url_takes_no_call() -> None:
    """It is taken as it stands, without the prefix; so is that of its dead-letter queue."""

    def no_client() -> None:
        raise AssertionError("nobody is to be asked")

    urls = QueueUrls(no_client, prefix="prod-")
    assert check_queue(URL) == urls.of(URL) == URL
    assert urls.of(dead_letter_queue(URL)) == f"{URL}-dlq"
