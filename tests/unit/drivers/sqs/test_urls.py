"""From a queue's name to its URL, and from a URL to its parts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.message import dead_letter_queue
from cloudq.drivers.sqs.calls import Calls
from cloudq.drivers.sqs.urls import Place, QueueUrls, place_of
from cloudq.errors import BackendUnavailable, UnsupportedError
from cloudq.queues.names import check_queue
from tests.unit.drivers.sqs.fakes import FakeSqs
from tests.unit.drivers.sqs.using import Straight

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/mail"
SECOND = timedelta(seconds=1)


def test_a_name_that_is_a_url_takes_no_call() -> None:
    """It is taken as it stands, without the prefix; so is that of its dead-letter queue."""
    urls = QueueUrls(Calls(Straight(None), SECOND), prefix="prod-")  # there is nobody to be asked
    assert check_queue(URL) == urls.of(URL) == urls.learn(URL, "other") == URL
    assert urls.of(dead_letter_queue(URL)) == f"{URL}-dlq"
    assert ("mail", "mail-dlq", "prod-mail") == tuple(
        urls.native_name(name) for name in (URL, dead_letter_queue(URL), "mail")
    )


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("https://sqs.eu-west-1.amazonaws.com", "eu-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("https://us-gov-west-1.queue.amazonaws.com", "us-gov-west-1"),
        ("https://sqs-fips.us-east-1.amazonaws.com", "us-east-1"),
        ("https://sqs.us-east-1.api.aws", "us-east-1"),
        ("https://vpce-0a1-b2c.sqs.us-west-2.vpce.amazonaws.com", "us-west-2"),
        ("http://sqs.us-east-1.localhost.localstack.cloud:4566", "us-east-1"),
        ("https://queue.amazonaws.com", None),
        ("http://127.0.0.1:4566", None),
        ("http://localhost:4566/queue", None),
    ],
)
def test_a_url_says_where_a_queue_is(host: str, region: str | None) -> None:
    """Its region where the host names it; always its account and its name."""
    assert Place(region=region, account="123456789012", name="mail.fifo") == place_of(f"{host}/123456789012/mail.fifo")


def test_a_queue_without_a_url_is_an_error_of_ours() -> None:
    """And nothing is remembered of it: the next call asks again."""
    sqs = FakeSqs("q")
    urls = QueueUrls(Calls(Straight(sqs), SECOND))
    answer = sqs.get_queue_url
    sqs.get_queue_url = lambda **_: {}  # type: ignore[method-assign]  # as botocore makes it of a cut answer
    with pytest.raises(BackendUnavailable, match="QueueUrl"):
        urls.of("q")
    sqs.get_queue_url = answer  # type: ignore[method-assign]  # as it was
    assert urls.of("q").endswith("/1/q")


@pytest.mark.parametrize(
    ("prefix", "queue"),
    [
        ("", "a.b"),
        ("", "mail:1"),
        ("", "shop/mail"),
        ("", "q" * 77),
        ("prod-", "q" * 72),
        ("", f"{'q' * 72}.fifo"),
        ("", f"{'q' * 77}-dlq"),
        ("", "https://sqs.eu-west-1.amazonaws.com/123456789012/a.b"),
    ],
)
def test_a_name_that_sqs_does_not_take(prefix: str, queue: str) -> None:
    """It is refused, with what is taken; the name of its dead-letter queue has to fit, too."""
    with pytest.raises(UnsupportedError, match="can't be the name of a queue of Amazon SQS") as caught:
        QueueUrls(Calls(Straight(None), SECOND), prefix=prefix).check(queue)
    assert "letters, digits, hyphens and underscores, at most 7" in str(caught.value.hint) or "-dlq" in queue


@pytest.mark.parametrize(
    ("prefix", "queue"),
    [("", "q" * 76), ("prod_", "q" * 71), ("", f"{'q' * 71}.fifo"), ("", f"{'q' * 76}-dlq"), ("", URL)],
)
def test_a_name_that_sqs_takes(prefix: str, queue: str) -> None:
    """At the longest, too; so is a URL."""
    QueueUrls(Calls(Straight(None), SECOND), prefix=prefix).check(queue)


@pytest.mark.parametrize("url", ["https://sqs.eu-west-1.amazonaws.com", "https://sqs.eu-west-1.amazonaws.com/mail"])
def test_a_url_that_names_no_queue(url: str) -> None:
    """It has to say whose queue it is, and which."""
    with pytest.raises(UnsupportedError, match="isn't the URL of a queue"):
        QueueUrls(Calls(Straight(None), SECOND)).check(url)
