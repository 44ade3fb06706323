"""Answers that are cut, emptied or of another kind: nothing is done but what the service named as done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, get_args

import msgspec
import pytest
from botocore.config import Config

from cloudq import App
from cloudq.aws_wire.wires import WireName
from cloudq.core.driver import Ack, Final, Outgoing, Release
from cloudq.core.message import Message
from cloudq.drivers.sqs import SQSDriver
from cloudq.drivers.sqs.answers import unnamed_too
from cloudq.errors import BackendError, BackendUnavailable, Throttled
from cloudq.queues.cloud_queue import CloudQueue
from tests.chaos.http_proxy import Request
from tests.chaos.raw_answers import OTHER_KINDS, RawServer, answer, body_for, cuts
from tests.unit.drivers.sqs.fakes import FakeSqs
from tests.unit.drivers.sqs.served import KIND, REQUEST_ID, answered, of

LEASE = timedelta(seconds=60)
ZERO = timedelta(0)
ROLE = "arn:aws:iam::123456789012:role/scheduler"


class Service:
    """A fake SQS behind a port, whose answers to one operation can be broken.

    Attributes:
        broken: The operation whose answers are broken, if any.
        instead: What is made of such an answer.
        whole: The latest answer to it before it was broken.
    """

    def __init__(self) -> None:
        self.sqs = FakeSqs("q", "q-dlq", "q.fifo")
        self.broken = ""
        self.instead: Callable[[bytes], bytes] = lambda whole: whole
        self.whole = b""

    def respond(self, request: Request) -> bytes:
        schedules = request.action == "?"
        whole = SCHEDULED if schedules else answered(self.sqs, request)
        if self.broken != ("CreateSchedule" if schedules else request.action):
            return whole
        self.whole = whole
        return self.instead(whole)


SCHEDULED = answer(
    b'{"ScheduleArn": "arn:aws:scheduler:eu-west-1:1:schedule/default/a"}',
    kind="application/json",
    x_amzn_RequestId=REQUEST_ID,
)


@pytest.fixture(scope="module", params=get_args(WireName))
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Service, SQSDriver]]:
    """One for all, over each wire: a client's making takes longer than its calls."""
    service = Service()
    with pytest.MonkeyPatch.context() as patch, RawServer(service.respond) as server:
        patch.setenv("AWS_ACCESS_KEY_ID", "x")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        driver = SQSDriver(
            "eu-west-1", endpoint_url=server.url, scheduler_role=ROLE, look_wait=ZERO, wire=request.param
        )
        yield service, driver
        driver.close()


@pytest.fixture
def service(served: tuple[Service, SQSDriver]) -> Service:
    """With an empty service behind it, and nothing broken."""
    served[0].sqs = FakeSqs("q", "q-dlq", "q.fifo")
    served[0].broken = ""
    return served[0]


@pytest.fixture
def driver(served: tuple[Service, SQSDriver]) -> SQSDriver:
    """A real client, which gets the service's answers."""
    return served[1]


def item(number: int, **options: Any) -> Outgoing:
    return Outgoing(id=f"id-{number}", queue="q", body=b'{"n": "\xc3\xa9"}', **options)


def held(driver: SQSDriver) -> list[Any]:
    driver.send([item(0), item(1)])
    return list(driver.receive("q", limit=10, wait=ZERO, lease=LEASE))


def raised(call: Callable[[], object]) -> list[Exception | None]:
    try:
        call()
    except Exception as error:
        return [error]
    return [None]


def send(driver: SQSDriver) -> list[Exception | None]:
    return [result.error for result in driver.send([item(0), item(1)])]


def receive(driver: SQSDriver) -> list[Exception | None]:
    """Brings a message, so that a part of the answer is no answer that there is none."""
    driver.send([item(9)])
    return raised(lambda: driver.receive("q", limit=1, wait=ZERO, lease=LEASE))


def schedule(driver: SQSDriver) -> list[Exception | None]:
    return [result.error for result in driver.send([item(0, delay=timedelta(days=1))])]


def settle(driver: SQSDriver, step: Any) -> list[Exception | None]:
    finals = [Final(lease=delivery.lease, step=step) for delivery in LEASED]
    return [result.error for result in driver.settle(finals)]


LEASED: list[Any] = []

COUNTS = [f"ApproximateNumberOfMessages{which}" for which in ("", "Delayed", "NotVisible")]

CALLS: dict[str, tuple[str, Callable[[SQSDriver], list[Exception | None]]]] = {
    "send": ("SendMessageBatch", send),
    "receive": ("ReceiveMessage", receive),
    "ack": ("DeleteMessageBatch", lambda it: settle(it, Ack())),
    "release": ("ChangeMessageVisibilityBatch", lambda it: settle(it, Release())),
    "extend": (
        "ChangeMessageVisibilityBatch",
        lambda it: [result.error for result in it.extend([one.lease for one in LEASED], LEASE)],
    ),
    "url": ("GetQueueUrl", lambda it: raised(lambda: SQSDriver("x", client=it.client, look_wait=ZERO).stats("q"))),
    "stats": ("GetQueueAttributes", lambda it: raised(lambda: it.stats("q"))),
    "purge": ("PurgeQueue", lambda it: raised(lambda: it.purge("q-dlq"))),
    "make": ("CreateQueue", lambda it: raised(lambda: it.make_queue("new"))),
    "move": ("StartMessageMoveTask", lambda it: raised(lambda: it.start_move("q"))),
    "list": ("ListMessageMoveTasks", lambda it: raised(lambda: it.move_progress("q", "0:x"))),
    "schedule": ("CreateSchedule", schedule),
}


def assert_nothing_is_settled(driver: SQSDriver) -> None:
    errors = [result.error for result in driver.extend([one.lease for one in LEASED], LEASE)]
    assert [None] * len(LEASED) == errors


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_an_answer_that_is_cut_at_any_byte_says_nothing(service: Service, driver: SQSDriver, name: str) -> None:
    """Each item may have been stored, deleted or changed: reported as such, and no lease is settled by it."""
    operation, call = CALLS[name]
    service.sqs.sources.add("arn:aws:sqs:test:1:q-dlq")
    LEASED[:] = held(driver)
    length = _length(service, driver, operation, call)
    for cut in range(length):
        service.broken, service.instead = operation, lambda whole, cut=cut: whole[:cut]  # type: ignore[misc]
        _forget(service)
        errors = call(driver)
        assert {BackendUnavailable} == {type(error) for error in errors}, f"cut after {service.whole[:cut]!r}"
        service.broken = ""
    assert_nothing_is_settled(driver)


@pytest.mark.parametrize("kind", OTHER_KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_an_answer_of_another_kind_says_nothing(service: Service, driver: SQSDriver, name: str, kind: str) -> None:
    """Whatever stands between here and the service, and whatever it answers instead."""
    operation, call = CALLS[name]
    service.sqs.sources.add("arn:aws:sqs:test:1:q-dlq")
    LEASED[:] = held(driver)
    service.broken, service.instead = operation, OTHER_KINDS[kind]
    errors = call(driver)
    if kind == "emptied" and name in {"purge", "receive", "list"}:
        assert [None] == errors  # whole, by the service, and there is nothing that it would have to name
    else:
        assert {BackendUnavailable} == {type(error) for error in errors}
    service.broken = ""
    assert_nothing_is_settled(driver)


def _forget(service: Service) -> None:
    """So that making a queue, or a move, begins as it did the first time."""
    service.sqs.tasks.clear()
    for url in [url for url in service.sqs.queues if "new" in url]:
        del service.sqs.queues[url]


def _length(service: Service, driver: SQSDriver, operation: str, call: Callable[[SQSDriver], object]) -> int:
    """Of the answer; the call itself isn't told anything by it."""
    service.broken, service.instead = operation, lambda _: b""
    call(driver)
    return len(service.whole)


@pytest.mark.parametrize("step", [Ack(), Release()])
def test_what_is_not_named_may_be_tried_again(service: Service, driver: SQSDriver, step: Any) -> None:
    """An answer that names one of two settles that one; the other one's next try does."""
    LEASED[:] = held(driver)
    service.broken = "DeleteMessageBatch" if isinstance(step, Ack) else "ChangeMessageVisibilityBatch"
    service.instead = lambda _: of({"Successful": [{"Id": "0"}], "Failed": []})
    first, second = settle(driver, step)
    assert None is first
    assert isinstance(second, BackendUnavailable)
    assert "may have been" in str(second)
    service.broken = ""
    finals = [Final(lease=LEASED[1].lease, step=step)]
    assert None is driver.settle(finals)[0].error


@pytest.mark.parametrize(
    "said",
    [
        {"Id": "0"},
        {"Id": "0", "MessageId": "", "MD5OfMessageBody": "0" * 32},
        {"Id": "0", "MessageId": "m", "MD5OfMessageBody": "0" * 32},
        {"Id": "1", "MessageId": "m", "MD5OfMessageBody": "0" * 32},
        {"MessageId": "m"},
        {"Id": ["0"]},
        None,
    ],
)
def test_a_message_is_stored_when_its_id_and_digest_are_named(service: Service, driver: SQSDriver, said: Any) -> None:
    """An entry without the service's id, of another body or for another item stores nothing."""
    service.broken, service.instead = "SendMessageBatch", lambda _: of({"Successful": [said]})
    (result,) = driver.send([item(0)])
    assert isinstance(result.error, BackendUnavailable)
    assert "may have been stored" in str(result.error)


def test_a_send_is_tried_again_until_the_service_says_so(service: Service, driver: SQSDriver) -> None:
    """What may have been stored is sent again: at least once, and accepted only then."""
    breaks = [OTHER_KINDS["a web page"], lambda whole: whole[:25], lambda whole: body_for(whole, b"{}")]

    def instead(whole: bytes) -> bytes:
        return breaks.pop()(whole) if breaks else whole

    service.broken, service.instead = "SendMessageBatch", instead
    CloudQueue("q", driver).send(Message(id="1", task="t", queue="q"))
    assert 4 == service.sqs.operations().count("SendMessageBatch")
    app = App()
    service.instead = OTHER_KINDS["a web page"]
    with app.using(driver), pytest.raises(BackendUnavailable, match="may or may not have been carried out"):
        app.send("t", queue="q")


@pytest.mark.parametrize("failed", [None, {"Id": {}}, {"Id": "0", "Code": 5, "Message": 5}])
def test_a_failure_of_another_form_is_one_still(service: Service, driver: SQSDriver, failed: Any) -> None:
    """Whatever stands in an answer, each item has its error, and nothing else is raised."""
    service.broken, service.instead = "SendMessageBatch", lambda _: of({"Failed": [failed]})
    (result,) = driver.send([item(0)])
    assert isinstance(result.error, BackendError)


@pytest.mark.parametrize(
    ("message", "missing"),
    [
        ({"MessageId": "m", "Body": "{}"}, "ReceiptHandle"),
        ({"MessageId": "m", "ReceiptHandle": "r", "Body": 5}, "Body"),
        (None, "ReceiptHandle"),
    ],
)
def test_a_receive_that_brings_no_message_is_an_error(
    service: Service, driver: SQSDriver, message: Any, missing: str
) -> None:
    """One without a receipt handle could never be settled."""
    service.broken = "ReceiveMessage"
    service.instead = lambda _: of({"Messages": [message]})
    with pytest.raises(BackendUnavailable, match=missing):
        driver.receive("q", limit=1, wait=ZERO, lease=LEASE)


@pytest.mark.parametrize("name", ["ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "SentTimestamp"])
@pytest.mark.parametrize("said", ["", "x", "1e3", "9" * 30])
def test_a_number_that_is_none_is_an_error_of_the_backend(
    service: Service, driver: SQSDriver, name: str, said: str
) -> None:
    """A worker takes it for an outage: nothing else would have it receive again. Any number is a count."""
    message = {"MessageId": "m", "ReceiptHandle": "r", "Body": "{}", "Attributes": {name: said}}
    service.broken = "ReceiveMessage"
    service.instead = lambda _: of({"Messages": [message]})
    errors = raised(lambda: driver.receive("q", limit=1, wait=ZERO, lease=LEASE))
    if name == "ApproximateReceiveCount" and said in ("", "9" * 30):
        assert [None] == errors
    else:
        assert isinstance(errors[0], BackendUnavailable)
        assert name in str(errors[0])


def test_other_numbers_that_are_none_are_errors_of_the_backend(service: Service, driver: SQSDriver) -> None:
    """Of a dead letter, of a queue's counts, and of a move."""
    dead = {"MessageId": "m", "ReceiptHandle": "r", "Body": "{}", "Attributes": {"SentTimestamp": "x"}}
    broken = {
        "GetQueueAttributes": (lambda: driver.stats("q"), {"Attributes": dict.fromkeys(COUNTS, "x")}),
        "ReceiveMessage": (
            lambda: driver.dead_letters("q").peek(limit=1),
            {"Messages": [dead]},
        ),
        "ListMessageMoveTasks": (lambda: driver.move_progress("q", "0:x"), {"Results": [{"StartedTimestamp": "x"}]}),
    }
    for service.broken, (call, said) in broken.items():
        service.instead = lambda _, said=said: of(said)
        (error,) = raised(call)
        assert isinstance(error, BackendUnavailable), (service.broken, error)


@pytest.mark.parametrize("kind", [KIND, "application/json"])
def test_an_error_of_the_service_is_read_as_before(service: Service, driver: SQSDriver, kind: str) -> None:
    """It has its type, or LocalStack's, and its request id too; a part of it is none."""
    service.broken = "SendMessageBatch"
    refused = b'{"__type": "com.amazonaws.sqs#RequestThrottled", "message": "Request is throttled."}'
    whole = answer(refused, kind=kind, status="403 Forbidden", x_amzn_RequestId=REQUEST_ID)
    service.instead = lambda _: whole
    assert isinstance(driver.send([item(0)])[0].error, Throttled)
    service.instead = lambda _: whole[:-40]
    assert BackendUnavailable is type(driver.send([item(0)])[0].error)


@pytest.mark.parametrize("headers", [{}, {"Transfer-Encoding": "chunked"}])
def test_an_answer_without_a_length_counts_when_it_is_whole(
    service: Service, driver: SQSDriver, headers: dict[str, str]
) -> None:
    """As emulators send it, in chunks or until the connection ends; a part of it doesn't."""
    lines = [f"HTTP/1.1 200 OK\r\nContent-Type: {KIND}\r\nx-amzn-RequestId: {REQUEST_ID}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in {"Connection": "close", **headers}.items()]

    def without_length(whole: bytes) -> bytes:
        body = whole.partition(b"\r\n\r\n")[2]
        if headers:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        return "".join(lines).encode() + b"\r\n" + body

    service.broken, service.instead = "SendMessageBatch", without_length
    assert [None, None] == send(driver)
    service.instead = lambda whole: without_length(whole)[:-10]
    assert {BackendUnavailable} == {type(error) for error in send(driver)}


def test_an_item_that_is_named_twice_failed() -> None:
    """The worse of the two counts."""
    failed = {"Id": "0", "Code": "InternalError", "Message": "no", "SenderFault": False}
    (error,) = unnamed_too({"Successful": [{"Id": "0"}], "Failed": [failed]}, ["0"], "q", done="deleted")
    assert isinstance(error, BackendUnavailable)
    assert "InternalError" in str(error)


def test_a_client_of_the_programs_own_is_watched_too(service: Service) -> None:
    """And only once, however many drivers have it."""
    import boto3

    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    with RawServer(service.respond) as server:
        config = Config(retries={"total_max_attempts": 1})
        client = boto3.client("sqs", "eu-west-1", endpoint_url=server.url, config=config, **keys)
        drivers = [SQSDriver("eu-west-1", client=client) for _ in range(2)]
        service.broken, service.instead = "SendMessageBatch", OTHER_KINDS["a web page"]
        for driver in drivers:
            assert isinstance(driver.send([item(0)])[0].error, BackendUnavailable)
        client.close()


def test_every_beginning_of_an_answer_is_a_cut() -> None:
    """The empty one, but not the whole."""
    assert [b"", b"a"] == list(cuts(b"ab"))
    assert b"Content-Length: 2\r\n\r\n[]" in body_for(of({"a": 1}), b"[]")
    assert {"a": 1} == msgspec.json.decode(of({"a": 1}).partition(b"\r\n\r\n")[2])
