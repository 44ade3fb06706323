"""Where signatures are required, none of a thousand messages that are unsigned or altered runs, at any edge."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

import cloudq
from cloudq.aws_lambda import handler as lambda_handler
from cloudq.azure_functions import handler as functions_handler
from cloudq.core.capabilities import Capabilities
from cloudq.core.signatures import ATTRIBUTE
from cloudq.drivers.memory import MemoryDriver
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from cloudq.push import PushEdge, PushSettings, ahandle, handle
from cloudq.testing import in_memory, profiles, run_all
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.integration.forgeries import (
    FORGED,
    GOOD,
    TEXT,
    all_of_them,
    app_that_requires,
    assert_that_none_ran,
    good,
    put,
    reasons,
)  # fmt: skip
from tests.integration.processes import start_worker
from tests.unit.aws_lambda.fakes import Mapping
from tests.unit.azure_functions.fakes import Host
from tests.unit.push.fakes import push, pushed

BURST = WorkerSettings(burst=True, grace=timedelta(seconds=60))
PROFILES = [None, profiles.sqs_like, profiles.service_bus_like, profiles.cloud_tasks_like]


@pytest.mark.parametrize("profile", PROFILES, ids=["memory", "sqs", "service bus", "cloud tasks"])
def test_a_worker_with_threads(profile: Callable[[str], Capabilities] | None) -> None:
    """In memory, with what each service can do."""
    ran: list[int] = []
    app = app_that_requires(ran)
    driver = MemoryDriver(capabilities=profile)
    with app.using(driver):
        put(driver, all_of_them())
        Worker(app, BURST).run()
        assert_that_none_ran(ran, reasons(driver))


def test_a_worker_on_sqlite(tmp_path: Path) -> None:
    """Threads and a loop."""
    ran: list[int] = []
    app = app_that_requires(ran)
    driver = SQLiteDriver(tmp_path / "queue.db", synchronous="normal")
    with app.using(driver):
        put(driver, all_of_them())
        Worker(app, BURST).run()
        assert_that_none_ran(ran, reasons(driver))
    driver.close()


@pytest.mark.slow
def test_a_worker_with_processes(tmp_path: Path) -> None:
    """Children, which have the keys from the environment; no log shows one."""
    (tmp_path / "app.py").write_text(
        f"""
from pathlib import Path
import cloudq
app = cloudq.App("sqlite:///{tmp_path}/queue.db")

@app.task("take")
def take(n: int = -1) -> None:
    (Path(__file__).parent / f"ran-{{n}}").touch()

@app.task("other")
async def other(n: int = -1) -> None:
    take(n)
"""
    )
    driver = SQLiteDriver(tmp_path / "queue.db")
    put(driver, all_of_them())
    keys = {"CLOUDQ_SIGNING": "require", "CLOUDQ_SIGNING_KEYS": TEXT}
    worker = start_worker(tmp_path, "--app", "app", "--processes", "2", "--burst", **keys)
    assert 0 == worker.wait(100)
    ran = [int(file.name.partition("-")[2]) for file in tmp_path.glob("ran-*")]
    found = reasons(driver)
    driver.close()
    assert_that_none_ran(ran, found)
    assert "0a0a" not in (tmp_path / "worker.log").read_text()


@pytest.mark.slow
def test_a_worker_on_service_bus() -> None:
    """On the emulator, by the real SDK."""
    ran: list[int] = []
    app = app_that_requires(ran)
    with ServiceBusEmulator(admin_port=None) as emulator:
        emulator.create_queue("default")
        driver = ServiceBusDriver("127.0.0.1", connection_string=emulator.connection_string)
        with app.using(driver):
            put(driver, all_of_them())
            Worker(app, WorkerSettings(max_tasks=FORGED + GOOD, grace=timedelta(seconds=60))).run()
            assert_that_none_ran(ran, reasons(driver))
        driver.close()


@pytest.mark.parametrize("on_a_loop", [False, True])
def test_the_push_edge_with_messages_of_its_backend(on_a_loop: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is answered with 200 once its dead letter is stored."""
    monkeypatch.setenv("CLOUDQ_SIGNING", "require")
    monkeypatch.setenv("CLOUDQ_SIGNING_KEYS", TEXT)
    ran: list[int] = []
    with pushed() as (app, driver):
        app.task("take")(lambda n=-1: ran.append(n))
        app.task("other")(lambda n=-1: ran.append(n))
        edge = PushEdge(app, PushSettings(insecure_no_auth=True))
        for n, body in enumerate(all_of_them()):
            headers, _ = push("take", id=f"p{n}")
            headers["content-length"] = str(len(body))
            answer = asyncio.run(ahandle(edge, headers, body)) if on_a_loop else handle(edge, headers, body)
            assert 200 == answer.status
        edge.close()
        assert_that_none_ran(ran, reasons(driver))


@pytest.mark.parametrize("kind", ["structured", "binary", "Pub/Sub"])
def test_the_push_edge_with_events_from_outside(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Structured, binary, or within a Pub/Sub message."""
    monkeypatch.setenv("CLOUDQ_SIGNING", "require")
    monkeypatch.setenv("CLOUDQ_SIGNING_KEYS", TEXT)
    ran: list[int] = []
    with pushed() as (app, driver):
        app.task("take")(lambda n=-1: ran.append(n))
        app.task("other")(lambda n=-1: ran.append(n))
        edge = PushEdge(app, PushSettings(insecure_no_auth=True))
        for body in all_of_them():
            headers, sent = as_event(kind, body)
            assert 200 == handle(edge, {**headers, "content-length": str(len(sent))}, sent).status
        edge.close()
        assert_that_none_ran(ran, reasons(driver))


def as_event(kind: str, body: bytes) -> tuple[dict[str, str], bytes]:
    if kind == "structured":
        return {"content-type": "application/cloudevents+json"}, body
    if kind == "binary":
        event = json.loads(body)
        data = event.pop("data", None)
        encoded = event.pop("data_base64", None)
        sent = base64.b64decode(encoded) if encoded else b"" if data is None else json.dumps(data).encode()
        headers = {f"ce-{name}": str(value) for name, value in event.items() if value is not None}
        return {"content-type": "application/json", **headers}, sent
    message = {"data": base64.b64encode(body).decode(), "messageId": str(hash(body))}
    return {"content-type": "application/json"}, json.dumps({"message": message, "subscription": "s"}).encode()


def test_an_aws_lambda_function() -> None:
    """Batches of ten, good ones among them; none comes again."""
    ran: list[int] = []
    mapping = Mapping()
    mapping.app = app_that_requires(ran)
    mapping.app.configure("sqs://eu-west-1?prefix=prod-")
    with mapping.connected():
        put(mapping.app.driver(), all_of_them())
        function = lambda_handler(mapping.app)
        while (event := mapping.receive())["Records"]:
            assert [] == mapping.invoke(function, event)
        found = [
            json.loads(m["MessageAttributes"]["cloudq.dead"]["StringValue"]) for m in mapping.messages("default-dlq")
        ]
        assert_that_none_ran(ran, [failure["reason"] for failure in found])


def test_an_azure_function() -> None:
    """Lists, good ones among them; none is handed over again."""
    ran: list[int] = []
    host = Host()
    host.app = app_that_requires(ran, queue="orders")
    host.app.configure("servicebus://example.servicebus.windows.net?prefix=prod-")
    with host.connected():
        function = functions_handler(host.app, queue="orders")
        bodies = all_of_them()
        for start in range(0, len(bodies), 20):
            put(host.bus, bodies[start : start + 20], "orders")
            assert host.invoke(function)
        assert {} == host.waiting()
        assert_that_none_ran(ran, reasons(host.bus, "orders"))


def test_the_helpers_of_tests() -> None:
    """`run_all` looks at signatures like a worker; eager mode signs what it runs."""
    ran: list[int] = []
    with in_memory(app_that_requires(ran)) as app:
        put(app.driver(), all_of_them())
        run_all(app)
        assert_that_none_ran(ran, reasons(app.driver()))
        with app.eager():
            app.send("take", {"n": 7})
            asyncio.run(app.asend("other", {"n": 8}))
        assert [7, 8] == ran[-2:]


def test_what_cloudq_sends_is_signed_whatever_the_way() -> None:
    """One by one, many at once, from a loop, with all options; nothing of it is refused."""
    ran: list[int] = []
    with in_memory(app_that_requires(ran)) as app:
        take = app.tasks["take"]
        take.send(n=1)
        app.send_many([take.call(n=2), app.tasks["other"].call(n=3)])
        asyncio.run(app.asend("take", {"n": 4}))
        later = take.options(
            delay=timedelta(hours=1), headers={"a": "é", "traceparent": "00-1-2-01"}, idempotency_key="k"
        )
        later.send(n=5)
        run_all(app)
        assert ([1, 2, 3, 4, 5], []) == (sorted(ran), reasons(app.driver()))


def test_the_good_ones_are_as_json_writes_them() -> None:
    """Else the tests above would show less than they say."""
    assert GOOD == len({json.loads(body)[ATTRIBUTE] for body in good()})
    assert FORGED + GOOD == len(set(all_of_them()))
    assert cloudq.App(signing="require", signing_keys=TEXT).runtime.signing.mode == "require"
