"""`cloudq doctor` on the emulator of Service Bus: each fault planted in it is found."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from cloudq import App
from cloudq.cli.doctor.examination import Report, examine
from cloudq.drivers.service_bus import ServiceBusDriver, inspecting
from cloudq.emulators.service_bus.broker.settings import Inert, QueueSettings, Status
from cloudq.emulators.service_bus.runner import ServiceBusEmulator, SystemClock
from cloudq.errors import PermissionDenied
from tests.integration.doctor.modules import defaults
from tests.integration.service_bus.place import VARIABLE

MINUTE = timedelta(minutes=1)
# What `ServiceBusDriver.make_queue` asks for.
OURS = QueueSettings(lock_duration=5 * MINUTE, max_delivery_count=100, dead_letter_on_expiration=True)


class Place:
    """An app with a task on `mail`, with a prefix of its own."""

    def __init__(self, emulator: ServiceBusEmulator, **parameters: object) -> None:
        self.emulator = emulator
        self.prefix = f"p{uuid.uuid4().hex[:8]}-"
        more = "".join(f"&{name}={value}" for name, value in parameters.items())
        self.app = App(f"servicebus://?admin_endpoint={emulator.admin_url}&prefix={self.prefix}{more}", store="none")
        self.app.task("welcome", queue="mail", time_limit=MINUTE)(lambda: None)

    def make(self, settings: QueueSettings = OURS, queue: str = "mail") -> None:
        self.emulator.create_queue(self.prefix + queue, settings)

    def report(self, *queues: str, works: bool = True, folder: Path | None = None) -> Report:
        return examine(self.app, queues or ("mail",), works=works, folder=folder, installed=lambda _: None)

    def found(self, *queues: str, works: bool = True, folder: Path | None = None) -> list[str]:
        report = self.report(*queues, works=works, folder=folder)
        assert [] == report.unchecked
        return [finding.fault.id for finding in report.findings]


@pytest.fixture(scope="module")
def emulator() -> Iterator[ServiceBusEmulator]:
    with ServiceBusEmulator() as emulator:
        yield emulator


@pytest.fixture
def place(emulator: ServiceBusEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv(VARIABLE, emulator.connection_string)
    made = Place(emulator)
    yield made
    made.app.close()


@pytest.mark.parametrize("queue", ["mail", "orders.fifo"])
def test_what_cloudq_makes_has_no_fault(place, queue):
    """Without and with sessions."""
    driver = place.app.driver()
    assert isinstance(driver, ServiceBusDriver)
    assert driver.make_queue(queue)
    assert [] == place.found(queue)


@pytest.mark.parametrize("queue", ["mail", "orders.fifo"])
def test_what_the_terraform_module_makes_has_no_fault(place, queue):
    """By the defaults of its variables: terraform/azure-service-bus/variables.tf."""
    values = defaults("azure-service-bus")
    made = QueueSettings(
        lock_duration=timedelta(seconds=int(values["lock_seconds"])),
        max_delivery_count=int(values["max_delivery_count"]),
        requires_session=queue.endswith(".fifo"),
        dead_letter_on_expiration=True,
    )
    place.make(made, queue)
    assert [] == place.found(queue)


def test_a_queue_that_remembers_ids_for_as_long_as_the_url_says_has_no_fault(emulator, place):
    """By `dedup_window`."""
    told = Place(emulator, dedup_window=600)
    told.make(replace(OURS, requires_duplicate_detection=True, duplicate_detection_window=10 * MINUTE))
    assert [] == told.found()
    told.app.close()


def _made(**changes: object) -> Callable[[Place], object]:
    return lambda place: place.make(replace(OURS, **changes))


def _forwarded(name: str) -> Callable[[Place], object]:
    def plant(place: Place) -> None:
        place.make(OURS, "other")
        place.make(replace(OURS, **{name: f"{place.prefix}other"}))

    return plant


PLANTED: list[tuple[str, Callable[[Place], object]]] = [
    ("queue-missing", lambda place: None),
    ("queue-order", _made(requires_session=True)),
    ("queue-stopped", _made(status=Status.RECEIVE_DISABLED)),
    ("lease-short", _made(lock_duration=MINUTE)),
    ("deliveries-few", _made(max_delivery_count=10)),
    ("expired-are-lost", _made(dead_letter_on_expiration=False)),
    ("messages-forwarded", _forwarded("forward_to")),
    ("dead-letters-elsewhere", _forwarded("forward_dead_letters_to")),
    ("queue-deletes-itself", _made(inert=Inert(properties={"AutoDeleteOnIdle": "PT1H"}))),
]


@pytest.mark.parametrize(("fault", "plant"), PLANTED, ids=[f"{n}-{fault}" for n, (fault, _) in enumerate(PLANTED)])
def test_a_planted_fault_is_found(place, fault, plant):
    """That one, and no other; where nobody may look at dead letters, that the right to do so isn't known is said."""
    plant(place)
    report = place.report()
    assert [fault] == [finding.fault.id for finding in report.findings]
    assert len(report.unchecked) == (fault in {"queue-stopped", "dead-letters-elsewhere"})


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [("ids-not-remembered", {"dedup_window": 600}), ("messages-small", {"max_message": 1048576})],
)
def test_what_the_url_says_and_the_queue_does_not(emulator, place, fault, parameters):
    """That ids are remembered; that larger messages are taken."""
    told = Place(emulator, **parameters)
    told.make()
    assert [fault] == told.found()
    told.app.close()


def test_messages_that_live_for_longer_than_their_keys(place):
    """Records of keys are kept for four weeks there."""
    place.make(replace(OURS, default_time_to_live=timedelta(days=60)))
    assert [] == place.found(), "no task has a key"
    place.app.task("once", queue="mail", idempotency_key="{n}")(lambda n: None)
    assert ["keys-forgotten"] == place.found()


@pytest.mark.parametrize(("works", "ids"), [(True, ["permission-missing"]), (False, [])], ids=["worker", "producer"])
def test_a_permission_that_is_missing(place, monkeypatch, works, ids):
    """The emulator looks at no keys, so a look at the dead letters is refused here in its place."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionDenied("no claim to listen")

    place.make()
    monkeypatch.setattr("cloudq.drivers.service_bus.dead_letters.ServiceBusDeadLetters.peek", refused)
    assert ids == place.found(works=works)
    assert inspecting.LISTEN.endswith("(Listen)")


def test_the_host_of_azure_functions(place, tmp_path):
    """Where a host.json is, it is held against the time limits."""
    place.make()
    place.app.task("slow", queue="mail", time_limit=10 * MINUTE)(lambda: None)
    (tmp_path / "host.json").write_text(json.dumps({"functionTimeout": "00:05:00"}))
    assert {"functions-timeout", "functions-lock"} == set(place.found(folder=tmp_path))


def test_a_message_that_is_nearly_lost(monkeypatch):
    """By the time at which the service stored it: that of this emulator is three days behind."""

    class Behind(SystemClock):
        def now(self) -> datetime:
            return super().now() - timedelta(days=3)

    with ServiceBusEmulator(clock=Behind()) as emulator:
        monkeypatch.setenv(VARIABLE, emulator.connection_string)
        place = Place(emulator)
        place.make(replace(OURS, default_time_to_live=timedelta(days=4)))
        assert [] == place.found()
        place.app.send("welcome")
        assert ["nearly-expired"] == place.found()
        place.app.close()


def test_the_oldest_message_of_a_queue_with_sessions_is_not_looked_for(place):
    """Nobody can look into one without a session."""
    place.make(replace(OURS, requires_session=True), "orders.fifo")
    driver = place.app.driver()
    assert isinstance(driver, ServiceBusDriver)
    assert driver.oldest_age("orders.fifo") is None
