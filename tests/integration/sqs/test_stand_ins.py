"""Where LocalStack and moto's server differ from Amazon SQS as AWS documents it: docs/reference/sqs-stand-ins.md.

Each test states what a stand-in does. One that fails here is news: the stand-in has changed, and the page is to be too.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from cloudq.cli.doctor.queue_law import Looked, judge
from cloudq.cli.queue_needs import Cloud
from cloudq.core.message import dead_letter_queue
from cloudq.drivers.sqs import SQSDriver
from localstack.start import CREDENTIALS
from tests.moto_server import moto_server

# Only the test itself is timed: the first one's fixtures may have to install LocalStack.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

REGION = "us-east-1"
KIB = 1024


def client_of(url: str) -> Any:
    return boto3.client(
        "sqs",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def moto() -> Iterator[Any]:
    with moto_server() as url:
        yield client_of(url)


@pytest.fixture
def localstack_client(localstack: str) -> Any:
    return client_of(localstack)


def queue_on(client: Any, suffix: str = "", **attributes: str) -> str:
    name = f"differs-{uuid.uuid4().hex[:8]}{suffix}"
    if suffix:
        attributes["FifoQueue"] = "true"
    return str(client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


def receive(client: Any, url: str, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.receive_message(QueueUrl=url, WaitTimeSeconds=1, **options).get("Messages", [])
    return found


# ── LocalStack ───────────────────────────────────────────────────────────────────────────────────────────


def test_on_localstack_a_late_change_of_visibility_succeeds(localstack_client: Any) -> None:
    """AWS answers MessageNotInflight; LocalStack says yes, and hides nothing."""
    client = localstack_client
    url = queue_on(client)
    client.send_message(QueueUrl=url, MessageBody="x")
    (message,) = receive(client, url, VisibilityTimeout=1)
    time.sleep(1.5)
    client.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=60)
    assert 1 == len(receive(client, url))


# ── moto ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_on_moto_a_late_change_of_visibility_hides_the_message(moto: Any) -> None:
    """AWS answers MessageNotInflight; on moto it succeeds, and hides the message as if its lease had gone on."""
    url = queue_on(moto)
    moto.send_message(QueueUrl=url, MessageBody="x")
    (message,) = receive(moto, url, VisibilityTimeout=1)
    time.sleep(1.5)
    moto.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=60)
    assert [] == receive(moto, url)


def test_the_12_hours_count_from_the_receive_except_on_moto(moto: Any, localstack_client: Any) -> None:
    """On AWS and LocalStack a message that was sent a while ago has all of them; on moto it doesn't."""
    for client in (moto, localstack_client):
        url = queue_on(client)
        client.send_message(QueueUrl=url, MessageBody="x")
        time.sleep(2.5)
        (message,) = receive(client, url)
        change = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 43_198}
        if client is moto:
            with pytest.raises(ClientError, match="Total VisibilityTimeout"):
                client.change_message_visibility(**change)
        else:
            client.change_message_visibility(**change)


def test_on_moto_a_deduplication_id_is_forgotten_with_its_message(moto: Any) -> None:
    """AWS remembers it for 5 minutes, whatever becomes of the message; moto takes the second one as new."""
    url = queue_on(moto, ".fifo")
    for _ in range(2):
        moto.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="g", MessageDeduplicationId="once")
        (message,) = receive(moto, url)
        moto.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def with_attributes(number: int) -> dict[str, Any]:
    """An entry of a batch: ten of their bodies fit into 1 MiB, but not with their attributes."""
    return {
        "Id": str(number),
        "MessageBody": "x" * (102 * KIB),
        "MessageAttributes": {"a": {"DataType": "String", "StringValue": "y" * (2 * KIB)}},
    }


def test_on_moto_attributes_do_not_count_for_the_size_of_a_batch(moto: Any) -> None:
    """AWS counts them for the 1 MiB of a batch, as LocalStack does."""
    entries = [with_attributes(number) for number in range(10)]
    assert 10 == len(moto.send_message_batch(QueueUrl=queue_on(moto), Entries=entries)["Successful"])


def test_on_localstack_attributes_count_for_the_size_of_a_batch(localstack_client: Any) -> None:
    """As AWS documents it: where moto doesn't, LocalStack does."""
    client = localstack_client
    entries = [with_attributes(number) for number in range(10)]
    with pytest.raises(ClientError, match="BatchRequestTooLong"):
        client.send_message_batch(QueueUrl=queue_on(client), Entries=entries)


def beyond_the_12_hours(client: Any) -> tuple[str, list[dict[str, Any]]]:
    """A queue, and changes for its two messages: the first is for longer than AWS grants, and refuses."""
    url = queue_on(client)
    for _ in range(2):
        client.send_message(QueueUrl=url, MessageBody="x")
    first, second = receive(client, url, MaxNumberOfMessages=2)
    time.sleep(1.5)
    return url, [
        {"Id": "beyond", "ReceiptHandle": first["ReceiptHandle"], "VisibilityTimeout": 43_200},
        {"Id": "good", "ReceiptHandle": second["ReceiptHandle"], "VisibilityTimeout": 0},
    ]


def test_on_moto_one_entry_beyond_the_12_hours_refuses_a_whole_batch(moto: Any) -> None:
    """AWS reports each entry; moto answers with the one's error, and doesn't look at those behind it."""
    url, entries = beyond_the_12_hours(moto)
    with pytest.raises(ClientError, match="Total VisibilityTimeout"):
        moto.change_message_visibility_batch(QueueUrl=url, Entries=entries)
    assert [] == receive(moto, url)


def test_on_localstack_a_batch_goes_beyond_the_12_hours(localstack_client: Any) -> None:
    """AWS reports that entry as failed; LocalStack grants it."""
    url, entries = beyond_the_12_hours(localstack_client)
    answer = localstack_client.change_message_visibility_batch(QueueUrl=url, Entries=entries)
    assert {"beyond", "good"} == {one["Id"] for one in answer["Successful"]}


def test_a_redrive_allow_policy_is_given_back_except_on_moto(moto: Any, localstack_client: Any) -> None:
    """AWS tells every attribute that was set."""
    for client in (moto, localstack_client):
        url = queue_on(client)
        client.set_queue_attributes(QueueUrl=url, Attributes={"RedriveAllowPolicy": '{"redrivePermission":"denyAll"}'})
        told = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert ("RedriveAllowPolicy" in told) is (client is not moto)


# ── both ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stand_in", ["moto", "localstack_client"])
@pytest.mark.parametrize("suffix", ["", ".fifo"])
def test_what_cloudq_makes_is_in_order_on_either(request: pytest.FixtureRequest, stand_in: str, suffix: str) -> None:
    """`queues check` reads the settings as these servers give them."""
    client = request.getfixturevalue(stand_in)
    driver = SQSDriver(REGION, client=client)
    queue = f"checked-{uuid.uuid4().hex[:8]}{suffix}"

    def found() -> list[str]:
        settings, dead = driver.queue_settings(queue), driver.queue_settings(dead_letter_queue(queue))
        looked = Looked(cloud=Cloud.AWS, queue=queue, native=queue, settings=settings, dead=dead)
        return [finding.what for finding in judge(looked)]

    assert 2 == len(found())
    driver.make_queue(queue)
    assert [] == found()
    client.set_queue_attributes(QueueUrl=driver._urls.of(queue), Attributes={"MaximumMessageSize": "262144"})
    (problem,) = found()
    assert "MaximumMessageSize is 262144" in problem
