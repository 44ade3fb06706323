"""What an answer doesn't name is not done, and a call ends in its time, whatever the service or the way to it do."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import grpc
import pytest
from google.api_core import exceptions as api
from google.cloud.tasks_v2 import BatchCreateTasksResponse, CloudTasksClient, Queue, Task
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.longrunning import operations_pb2
from google.protobuf.message import DecodeError

from cloudq.core.delivery import Lease
from cloudq.core.driver import Ack, Final, Outgoing
from cloudq.drivers.cloud_tasks import CloudTasksDriver
from cloudq.drivers.cloud_tasks.cancelling import receipt_of
from cloudq.drivers.cloud_tasks.dead_letters import _Receipt
from cloudq.errors import BackendUnavailable
from cloudq.testing.clock import START, FakeClock
from tests.unit.drivers.cloud_tasks.fakes import LOCATION, URL, FakeCloudTasks

TIMEOUT = timedelta(seconds=0.9)
# For a machine that is busy with other things; the service's own time-outs are many times as long.
MARGIN = 30.0
KEY = f"{'0' * 14}-abc"


@pytest.fixture
def service() -> FakeCloudTasks:
    return FakeCloudTasks("emails", "emails-dlq")


def item(id_: str, queue: str = "emails", **changes: object) -> Outgoing:
    return Outgoing(id=id_, queue=queue, body=b"{}", **changes)


def empty(method: str, answer: object) -> object:
    """The same kind of answer, with nothing in it; of a list, one task without a name."""
    del method
    if isinstance(answer, operations_pb2.Operation):
        return operations_pb2.Operation()
    kind = type(answer)
    return kind(tasks=[Task()]) if "tasks" in kind.meta.fields else kind()


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_answer_stores_nothing(service):
    """A task without a name, and an operation without anything: each item may have been stored, and is in doubt."""
    service.answer = empty
    driver = service.driver()
    for results in (driver.send([item("1")]), driver.send([item("2"), item("3")])):
        assert {BackendUnavailable} == {type(result.error) for result in results}
        assert all("may have been" in str(result.error) for result in results)


def test_an_answer_about_another_task_stores_nothing(service):
    """One that has another name than the task that was sent."""
    service.answer = lambda method, answer: Task(name=f"{answer.name}-other") if method == "create_task" else answer
    (result,) = service.driver().send([item("1", native_id="k")])
    assert isinstance(result.error, BackendUnavailable)
    (result,) = service.driver().send([item("2")])
    assert result.error is None, "whatever name the service gave it"


def test_of_a_batch_whose_answer_is_cut_only_what_is_named_is_stored(service):
    """Cut at each byte: what of it can still be read names some of the tasks, and only those are said to be stored."""
    service.fail_item = lambda task: api.ResourceExhausted("quota") if task.http_request.body == b"no" else None
    sent = [item("a"), item("b"), Outgoing(id="c", queue="emails", body=b"no"), item("d")]
    whole: list[operations_pb2.Operation] = []
    service.answer = lambda _, answer: whole.append(answer) or answer
    assert [None, None, "Throttled", None] == [
        result.error and type(result.error).__name__ for result in service.driver().send(sent)
    ]
    text = whole[0].SerializeToString()
    names = [task.name for task in service.stored("emails")]
    seen = set()
    for length in range(len(text)):
        try:
            cut = operations_pb2.Operation.FromString(text[:length])
        except DecodeError:
            continue  # gRPC makes an error of it
        service = FakeCloudTasks("emails", "emails-dlq")
        service.answer = lambda _, answer, cut=cut: cut
        driver = service.driver(timeout=TIMEOUT)
        results = driver.send(sent)
        named = _named(cut)
        stored = {name for name, result in zip([*names[:2], "c", names[2]], results, strict=True) if not result.error}
        assert stored <= named, length
        seen.add(len(stored))
    assert 0 in seen


def _named(operation: operations_pb2.Operation) -> set[str]:
    try:
        response = BatchCreateTasksResponse.deserialize(operation.response.value)
    except DecodeError:
        return set()
    return {task.name for task in response.tasks}


def _lose(service: FakeCloudTasks) -> None:
    def lost(method: str, answer: object) -> object:
        del method, answer
        raise api.ServiceUnavailable("Socket closed")

    service.answer = lost


def test_a_batch_whose_answer_was_lost_is_not_stored_twice(service):
    """Sent again together, alone, or with others: each is stored once, and said to be stored, not to be a duplicate."""
    driver = service.driver()
    _lose(service)
    for result in driver.send([item(name) for name in "abcd"]):
        assert isinstance(result.error, BackendUnavailable)
    service.answer = lambda _, answer: answer
    results = [*driver.send([item("a")]), *driver.send([item("c"), item("new")]), *driver.send([item("b"), item("d")])]
    assert [(None, False)] * 5 == [(result.error, result.duplicate) for result in results]
    assert 5 == len(service.stored("emails"))


def test_what_is_in_doubt_is_named_from_then_on(service):
    """A single task has no name at first, since a name takes the service longer: of it there may be two, not more."""
    driver = service.driver()
    _lose(service)
    tries = [driver.send([item("a")])[0].error for _ in range(3)]
    assert [BackendUnavailable, BackendUnavailable, type(None)] == list(map(type, tries)), "the third finds the second"
    service.answer = lambda _, answer: answer
    assert [None] == [result.error for result in driver.send([item("b")])]
    assert 2 + 1 == len(service.stored("emails"))
    assert {} == driver._sending._doubtful


@pytest.mark.parametrize(
    "ask",
    [
        lambda driver, _: driver.purge("emails"),
        lambda driver, _: driver.stats("emails"),
        lambda driver, _: driver.queue_settings("emails"),
        lambda driver, _: driver.make_queue("fresh"),
        lambda driver, _: driver.dead_letters("emails").peek(limit=1),
        lambda driver, key: driver.dead_letters("emails").get(key),
    ],
    ids=["purge", "stats", "settings", "make", "peek", "get"],
)
def test_an_empty_answer_is_no_success(service, ask: Callable[[CloudTasksDriver, str], object]):
    """Of whatever call that has something to say."""
    driver = service.driver()
    driver.send([item("1"), item("2")])
    driver.send([item("dead", "emails-dlq", native_id="dead")])
    (letter,) = driver.dead_letters("emails").peek(limit=1)
    service.answer = empty
    with pytest.raises(BackendUnavailable, match="didn't say"):
        ask(driver, letter.key)


def test_a_queue_that_is_not_said_to_be_paused_is_not(service):
    """A dead-letter queue that isn't would push what is dead."""
    service.answer = lambda method, answer: Queue(name=answer.name) if method == "pause_queue" else answer
    with pytest.raises(BackendUnavailable, match="paused"):
        service.driver().make_queue("fresh")


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def silent() -> Iterator[CloudTasksDriver]:
    """A driver on a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        channel = grpc.insecure_channel(f"127.0.0.1:{server.getsockname()[1]}")
        client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        driver = CloudTasksDriver(
            "my-project", "europe-west1", target=URL, timeout=TIMEOUT, clock=FakeClock(), make_client=lambda: client
        )
        yield driver
        driver.close()


def _lease() -> Lease:
    task = f"{LOCATION}/queues/emails-dlq/tasks/abc"
    return Lease(
        queue="emails",
        receipt=_Receipt(task=task),
        expires_at=START + timedelta(hours=1),
        ends=timedelta(hours=1),
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda driver: driver.send([item("1")]),
        lambda driver: driver.send([item(str(n)) for n in range(100)]),
        lambda driver: driver.stats("emails"),
        lambda driver: driver.purge("emails"),
        lambda driver: driver.cancel("emails", receipt_of(f"{LOCATION}/queues/emails/tasks/x", START + timedelta(1))),
        lambda driver: driver.make_queue("emails"),
        lambda driver: driver.queue_settings("emails"),
        lambda driver: driver.missing_permissions("emails", works=True),
        lambda driver: driver.dead_letters("emails").peek(limit=1),
        lambda driver: driver.dead_letters("emails").get(KEY),
        lambda driver: driver.dead_letters("emails").take([KEY] * 3, limit=3, lease=timedelta(seconds=1)),
        lambda driver: driver.dead_letters("emails").settle([Final(lease=_lease(), step=Ack())] * 5),
        lambda driver: driver.dead_letters("emails").purge([KEY, KEY[:-1]]),
    ],
    ids=[
        *("send", "batch", "stats", "purge", "cancel", "make", "settings", "permissions"),
        *("peek", "get", "take", "settle", "purge-dead"),
    ],
)
def test_a_call_ends_within_a_third_of_the_timeout(silent, ask: Callable[[CloudTasksDriver], object]):
    """Against a server that says nothing, with an error that is tried again; it is what the capabilities say."""
    assert TIMEOUT / 3 == silent.capabilities("emails").call_timeout
    began = time.monotonic()
    try:
        answer = ask(silent)
    except BackendUnavailable:
        pass
    else:
        assert isinstance(answer, list)
        assert {BackendUnavailable} == {type(result.error) for result in answer}
    assert time.monotonic() - began < TIMEOUT.total_seconds() / 3 + MARGIN


def test_a_token_that_is_not_to_be_had_takes_no_longer():
    """The SDK fetches it within the call; whatever that waits for, the call has its deadline."""
    goes_on = threading.Event()

    def slow(context: object, callback: Callable[..., None]) -> None:
        del context
        goes_on.wait(100)
        callback((), None)

    with socket.create_server(("127.0.0.1", 0)) as server:
        credentials = grpc.composite_channel_credentials(
            grpc.local_channel_credentials(), grpc.metadata_call_credentials(slow)
        )
        channel = grpc.secure_channel(f"127.0.0.1:{server.getsockname()[1]}", credentials)
        client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        driver = CloudTasksDriver("my-project", "europe-west1", target=URL, timeout=TIMEOUT, make_client=lambda: client)
        began = time.monotonic()
        (result,) = driver.send([item("1")])
        took = time.monotonic() - began
        goes_on.set()
        driver.close()
    assert isinstance(result.error, BackendUnavailable)
    assert took < TIMEOUT.total_seconds() / 3 + MARGIN


def test_credentials_that_are_looked_for_for_long_are_found_by_a_later_call(service):
    """Where there are none in a file the SDK asks servers for them. No call waits for that; the search goes on."""
    goes_on = threading.Event()
    made: list[int] = []

    def make() -> FakeCloudTasks:
        made.append(1)
        goes_on.wait(100)
        return service

    driver = CloudTasksDriver("my-project", "europe-west1", target=URL, timeout=TIMEOUT, make_client=make)
    for _ in range(2):
        began = time.monotonic()
        (result,) = driver.send([item("1")])
        assert isinstance(result.error, BackendUnavailable)
        assert "credentials" in str(result.error)
        assert time.monotonic() - began < TIMEOUT.total_seconds() / 3 + MARGIN
    goes_on.set()
    assert driver.client is service
    assert [None] == [result.error for result in driver.send([item("1")])]
    assert [1] == made
