"""`cloudq doctor` on the emulator of Cloud Tasks: each fault planted in it is found."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from google.cloud.tasks_v2 import HttpTarget, Queue, RateLimits, RetryConfig, UpdateQueueRequest, UriOverride
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from cloudq import App
from cloudq.cli.doctor.examination import examine
from cloudq.drivers.cloud_tasks import CloudTasksDriver
from cloudq.emulators.cloud_tasks import VARIABLE, CloudTasksEmulator
from cloudq.emulators.cloud_tasks.access import Policies
from tests.integration.doctor.modules import defaults

PARENT = "projects/my-project/locations/europe-west1"
URL = "cloudtasks://my-project/europe-west1?target=https://worker.example/tasks"


class Place:
    """An app with a task on `mail`, with a prefix of its own."""

    def __init__(self) -> None:
        self.prefix = f"p{uuid.uuid4().hex[:8]}-"
        self.app = App(f"{URL}&prefix={self.prefix}")
        self.app.task("welcome", queue="mail", time_limit=timedelta(minutes=5))(lambda: None)

    @property
    def driver(self) -> CloudTasksDriver:
        driver = self.app.driver()
        assert isinstance(driver, CloudTasksDriver)
        return driver

    def name(self, queue: str) -> str:
        return f"{PARENT}/queues/{self.prefix}{queue}"

    def made(self) -> Place:
        assert self.driver.make_queue("mail")
        return self

    def set(self, queue: str, **changes: Any) -> None:
        mask = [f"{name}.{inner}" for name, inners in _FIELDS.items() if name in changes for inner in inners]
        request = UpdateQueueRequest(queue=Queue(name=self.name(queue), **changes), update_mask=FieldMask(paths=mask))
        self.driver.client.update_queue(request)

    def found(self, *queues: str) -> list[str]:
        report = examine(self.app, queues or ("mail",), installed=lambda _: None)
        assert [] == report.unchecked
        return [finding.fault.id for finding in report.findings]


_FIELDS = {
    "retry_config": ("max_attempts", "max_retry_duration", "max_backoff"),
    "rate_limits": ("max_concurrent_dispatches",),
    "http_target": ("uri_override",),
}
RETRY = {"max_attempts": -1, "max_backoff": Duration(seconds=300)}


@pytest.fixture(scope="module")
def emulator() -> Iterator[CloudTasksEmulator]:
    with CloudTasksEmulator() as emulator:
        yield emulator


@pytest.fixture
def place(emulator: CloudTasksEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv(VARIABLE, emulator.address)
    made = Place()
    yield made
    made.app.close()


def test_what_cloudq_makes_has_no_fault(place):
    """The queue and its paused dead-letter queue."""
    assert [] == place.made().found()


def test_what_the_terraform_module_makes_has_no_fault(place):
    """By the defaults of its variables: terraform/google-cloud-tasks/variables.tf."""
    values = defaults("google-cloud-tasks")
    retry = RetryConfig(
        max_attempts=-1,
        min_backoff=Duration(seconds=int(values["min_backoff_seconds"])),
        max_backoff=Duration(seconds=int(values["max_backoff_seconds"])),
        max_doublings=16,
    )
    rates = RateLimits(
        max_concurrent_dispatches=int(values["max_concurrent_dispatches"]),
        max_dispatches_per_second=float(values["max_dispatches_per_second"]),
    )
    client = place.driver.client
    client.create_queue(parent=PARENT, queue=Queue(name=place.name("mail"), retry_config=retry, rate_limits=rates))
    client.create_queue(parent=PARENT, queue=Queue(name=place.name("mail-dlq"), retry_config=retry))
    client.pause_queue(name=place.name("mail-dlq"))
    assert [] == place.found()


def _deleted(queue: str) -> Callable[[Place], object]:
    return lambda place: place.driver.client.delete_queue(name=place.name(queue))


def _retries(queue: str, **changes: Any) -> Callable[[Place], object]:
    return lambda place: place.set(queue, retry_config=RetryConfig(**(RETRY | changes)))


def _overridden(place: Place) -> None:
    place.set("mail", http_target=HttpTarget(uri_override=UriOverride(host="elsewhere.example")))


PLANTED: list[tuple[str, Callable[[Place], object]]] = [
    ("queue-missing", _deleted("mail")),
    ("dead-letter-queue-missing", _deleted("mail-dlq")),
    ("queue-stopped", lambda place: place.driver.client.pause_queue(name=place.name("mail"))),
    ("dead-letter-queue-pushes", lambda place: place.driver.client.resume_queue(name=place.name("mail-dlq"))),
    ("service-deletes", _retries("mail", max_attempts=5)),
    ("service-deletes", _retries("mail-dlq", max_attempts=5)),
    ("service-deletes", _retries("mail", max_retry_duration=Duration(seconds=60))),
    ("backoff-short", _retries("mail", max_backoff=Duration(seconds=10))),
    ("pushes-unbounded", lambda place: place.set("mail", rate_limits=RateLimits(max_concurrent_dispatches=1000))),
    ("pushed-elsewhere", _overridden),
]


@pytest.mark.parametrize(("fault", "plant"), PLANTED, ids=[f"{n}-{fault}" for n, (fault, _) in enumerate(PLANTED)])
def test_a_planted_fault_is_found(place, fault, plant):
    """That one, and no other."""
    plant(place.made())
    assert [fault] == place.found()


def test_what_the_tasks_declare_and_the_service_can_not_do(place):
    """A run of more than 30 minutes; an order."""
    place.made().app.task("slow", queue="mail", time_limit=timedelta(minutes=31))(lambda: None)
    assert ["service-cannot"] == place.found()
    place.app.task("ordered", queue="orders.fifo")(lambda: None)
    assert {"service-cannot"} == set(place.found("mail", "orders.fifo"))


def test_a_permission_that_is_missing(place, monkeypatch):
    """The emulator grants all, so it is told to deny one."""
    test = Policies.test

    def denied(self: Policies, resource: str, permissions: Any) -> list[str]:
        return [] if resource.endswith("mail-dlq") else test(self, resource, permissions)

    monkeypatch.setattr(Policies, "test", denied)
    assert ["permission-missing"] == place.made().found()
    report = examine(place.app, ["mail"], works=False, installed=lambda _: None)
    assert [] == report.findings, "a producer sends to the queue alone"


def test_a_message_that_nearly_expires(place):
    """By its own time, since the service lists it: 31 days are kept."""
    place.made()
    now = place.app.clock.now

    class Later:
        """A clock that is 25 days ahead."""

        def __getattr__(self, name: str) -> Any:
            return getattr(clock, name)

        def now(self) -> Any:
            return now() + timedelta(days=25)

    clock = place.app.clock
    place.driver.client.pause_queue(name=place.name("mail"))
    place.app.send("welcome")
    place.driver._clock = Later()  # type: ignore[assignment]  # what it counts ages by
    assert ["nearly-expired", "queue-stopped"] == sorted(place.found())
