"""Which client calls for a queue: real botocore clients, whose requests are caught before they are sent."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from types import SimpleNamespace

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

import cloudq
from cloudq.core.driver import Ack, Final, Outgoing, Release
from cloudq.core.message import dead_letter_queue
from cloudq.drivers.sqs import SQSDriver
from cloudq.drivers.sqs.routes import RegionRoutes, Routes
from cloudq.errors import UnsupportedError
from tests.unit.drivers.sqs.fakes import ENDPOINT, FakeSqs
from tests.unit.drivers.sqs.using import LEASE, ZERO, item, receive

PATIENT = timedelta(minutes=1)  # real clients are made, which takes a busy machine its time
PATH = "/000000000000/q"
HOME = "https://sqs.us-east-1.amazonaws.com"
ELSEWHERE = "https://sqs.eu-west-1.amazonaws.com"
VPC = "https://vpce-0a1b-example.sqs.us-east-1.vpce.amazonaws.com"
LEGACY = "https://eu-west-1.queue.amazonaws.com"
FIPS = "https://sqs-fips.us-east-1.amazonaws.com"
DUAL = "https://sqs.us-east-1.api.aws"
OURS = "http://127.0.0.1:9324"
ROLE = "arn:aws:iam::123456789012:role/cloudq/scheduler"


class Caught:
    """What was asked of which host, signed for which region. A `FakeSqs` answers.

    Attributes:
        requests: `(operation, host, region)` of each.
        tokens: The hosts that were sent the session's token.
    """

    def __init__(self) -> None:
        self.sqs = FakeSqs()
        self.requests: list[tuple[str, str, str]] = []
        self.tokens: set[str] = set()

    def queue(self, url: str) -> str:
        for one in (url, dead_letter_queue(url)):
            self.sqs.queues[one] = self.sqs.queues[f"{ENDPOINT}/1/{one.rpartition('/')[2]}"] = []
            self.sqs.sources.add(f"arn:aws:sqs:test:1:{one.rpartition('/')[2]}")
        return url

    def answer(self, request):
        target = request.headers.get("X-Amz-Target", b"").decode().rpartition(".")[2]
        signed = request.headers["Authorization"].decode().split("Credential=")[1].split("/")[2]
        host = request.url.split("/")[2]
        self.requests.append((target or "CreateSchedule", f"{request.url.partition(':')[0]}://{host}", signed))
        if "X-Amz-Security-Token" in request.headers:
            self.tokens.add(host)
        status, content = 200, {}
        try:
            if target:
                method = getattr(self.sqs, re.sub(r"(?<!^)(?=[A-Z])", "_", target).lower())
                content = method(**json.loads(request.body))
            else:
                content = {"ScheduleArn": "arn:x"}
        except ClientError as error:
            status, content = 400, {"__type": f"com.amazonaws.sqs#{error.response['Error']['Code']}"}
        raw = SimpleNamespace(stream=lambda **_: iter([json.dumps(content).encode()]))
        headers = {"content-type": "application/x-amz-json-1.0", "x-amzn-RequestId": "0"}
        return AWSResponse(request.url, status, headers, raw)

    def places(self) -> set[tuple[str, str]]:
        """The hosts and regions since the last time."""
        found = {(host, region) for _, host, region in self.requests}
        self.requests.clear()
        return found


@pytest.fixture
def caught(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "test")
    caught = Caught()
    monkeypatch.setattr(URLLib3Session, "send", caught.answer)
    return caught


def use(driver, queue):
    """Each way in which the driver calls AWS for a queue."""
    assert [None, None] == [result.error for result in driver.send([item(1, queue=queue), item(2, queue=queue)])]
    first, second = receive(driver, queue)
    assert driver.extend([first.lease], LEASE)[0].error is None
    finals = [Final(lease=first.lease, step=Ack()), Final(lease=second.lease, step=Release(delay=ZERO))]
    assert [None, None] == [result.error for result in driver.settle(finals)]
    driver.stats(queue)
    driver.purge(queue)
    dead = Outgoing(id="d", queue=dead_letter_queue(queue), body=b"{}")
    assert driver.send([dead])[0].error is None
    letters = driver.dead_letters(queue)
    (letter,) = letters.peek(limit=1)
    (taken,) = letters.take([letter.key], limit=1, lease=LEASE)
    assert letters.settle([Final(lease=taken.lease, step=Ack())])[0].error is None
    assert 0 == letters.purge(None)
    move = driver.start_move(queue)
    driver.move_progress(queue, move)
    driver.cancel_move(queue, move)
    driver.make_queue(queue)
    assert driver.send([item(3, queue=queue, delay=timedelta(days=1))])[0].error is None


OPERATIONS = {
    "SendMessageBatch",
    "ReceiveMessage",
    "ChangeMessageVisibilityBatch",
    "DeleteMessageBatch",
    "GetQueueAttributes",
    "PurgeQueue",
    "StartMessageMoveTask",
    "ListMessageMoveTasks",
    "CancelMessageMoveTask",
    "GetQueueUrl",
    "CreateSchedule",
}


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (HOME, "us-east-1"),
        (ELSEWHERE, "eu-west-1"),
        (VPC, "us-east-1"),
        (LEGACY, "eu-west-1"),
        (FIPS, "us-east-1"),
        (DUAL, "us-east-1"),
        ("https://queue.amazonaws.com", "us-east-1"),
    ],
)
def test_a_queue_is_called_where_its_url_says(caught, host, region):
    """At that host, signed for its region, by every call; its schedules are made in the same region."""
    driver = SQSDriver("us-east-1", scheduler_role=ROLE, look_wait=ZERO, timeout=PATIENT)
    use(driver, caught.queue(host + PATH))
    schedules = [(place, signed) for operation, place, signed in caught.requests if operation == "CreateSchedule"]
    assert [(f"https://scheduler.{region}.amazonaws.com", region)] == schedules
    assert OPERATIONS == {operation for operation, _, _ in caught.requests}
    assert {(host, region), *schedules} == caught.places()
    driver.close()


def test_names_and_urls_go_each_to_their_own(caught):
    """A queue without a URL is the driver's own region's, before and after others; a host has one client."""
    driver = SQSDriver("us-east-1", look_wait=ZERO, timeout=PATIENT)
    for queue in ("q", ELSEWHERE + PATH, "q", VPC + PATH, ELSEWHERE + "/000000000000/r"):
        driver.stats(caught.queue(queue) if "/" in queue else _named(caught, queue))
    assert {(HOME, "us-east-1"), (ELSEWHERE, "eu-west-1"), (VPC, "us-east-1")} == caught.places()
    clients = [driver._routes.client_for(host + PATH) for host in (ELSEWHERE, ELSEWHERE, VPC)]
    assert clients[0] is clients[1] is not clients[2]
    driver.close()


def _named(caught, queue):
    caught.sqs.queues[f"{ENDPOINT}/1/{queue}"] = caught.sqs.queues[f"{ENDPOINT}/1/{queue}-dlq"] = []
    return queue


@pytest.mark.cloudq_allow_real
@pytest.mark.parametrize("host", ["https://sqs.eu-west-1.example.org", "http://sqs.us-east-1.amazonaws.com"])
def test_signed_requests_go_to_nobody_else(caught, host):
    """Each way to name such a queue is refused with what to do, before anything is sent to anybody."""
    app = cloudq.App("sqs://us-east-1")
    queue = host + PATH
    with pytest.raises(UnsupportedError, match="isn't on a host of Amazon SQS") as refused:
        app.send("job", {}, queue=queue)
    assert "endpoint_url=" in str(refused.value.hint)
    driver = app.driver()
    for call in (driver.capabilities, driver.stats, driver.purge, driver.make_queue, driver.start_move):
        with pytest.raises(UnsupportedError):
            call(queue)
    with pytest.raises(UnsupportedError):
        driver.receive(queue, limit=1, wait=ZERO, lease=LEASE)
    with pytest.raises(UnsupportedError):
        driver.dead_letters(queue).peek(limit=1)
    assert [UnsupportedError] == [type(result.error) for result in driver.send([item(queue=queue)])]
    assert [] == caught.requests
    app.close()


@pytest.mark.parametrize("by_variable", [False, True])
@pytest.mark.parametrize("endpoint", [OURS, VPC])
def test_with_an_endpoint_set_all_goes_there(monkeypatch, caught, endpoint, by_variable):
    """Whatever a URL names: a server of one's own, or one VPC endpoint for all."""
    if by_variable:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", endpoint)
    driver = SQSDriver("us-east-1", endpoint_url=None if by_variable else endpoint, look_wait=ZERO, timeout=PATIENT)
    for host in (OURS, ELSEWHERE, VPC, "https://example.org"):
        driver.stats(caught.queue(host + PATH))
    assert {(endpoint, "us-east-1")} == caught.places()
    driver.close()


@pytest.mark.parametrize(
    ("variable", "host"),
    [
        ("AWS_USE_FIPS_ENDPOINT", "https://sqs-fips.{}.amazonaws.com"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "https://sqs.{}.api.aws"),
    ],
)
def test_where_the_sdk_is_told_to_call_other_hosts_of_a_region(monkeypatch, caught, variable, host):
    """SQS gives plain URLs only, so with FIPS, say, they mean the FIPS host of their region."""
    monkeypatch.setenv(variable, "true")
    driver = SQSDriver("us-east-1", timeout=PATIENT)
    for named, region in ((HOME, "us-east-1"), (ELSEWHERE, "eu-west-1")):
        driver.stats(caught.queue(named + PATH))
        assert {(host.format(region), region)} == caught.places()
    driver.close()


def test_all_of_a_drivers_clients_are_closed_and_made_anew_after_a_fork(caught):
    """Those of other hosts, too, and another service's."""
    made = []

    def make(region, endpoint):
        client = SimpleNamespace(
            meta=SimpleNamespace(endpoint_url=endpoint or HOME, region_name=region), closed=False, region=region
        )
        client.close = lambda: setattr(client, "closed", True)
        made.append(client)
        return client

    routes = Routes(make, "us-east-1", None)
    schedulers = RegionRoutes(make, routes, "us-east-1", None)
    assert schedulers.client_for("q") is schedulers.client_for(VPC + PATH) is schedulers.own()
    assert routes.client_for(ELSEWHERE + PATH).region == schedulers.client_for(ELSEWHERE + PATH).region == "eu-west-1"
    assert 4 == len(made)
    for each in (routes, schedulers):
        each._lock.acquire()  # by a thread that the child doesn't have
        each.after_fork()
        each.close()
    assert all(client.closed for client in made)
