"""The client: one a process, of the emulator or of the service."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from google.auth import exceptions as auth
from google.auth.credentials import AnonymousCredentials
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from cloudq.core.driver import Outgoing
from cloudq.drivers.cloud_tasks import CloudTasksDriver, client
from cloudq.drivers.cloud_tasks.cancelling import receipt_of
from cloudq.errors import BackendUnavailable, PermissionDenied
from tests.unit.drivers.cloud_tasks.fakes import LOCATION, URL, FakeCloudTasks
from tests.unit.drivers.cloud_tasks.http2 import answering, no_status, page, trailers_only


def test_an_emulator_is_called_without_credentials(monkeypatch):
    """The variable names it; nothing is asked of the machine's account."""
    monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", "127.0.0.1:1")
    monkeypatch.setattr("google.auth.default", lambda *_, **__: pytest.fail("credentials were asked for"))
    made = client.open_client()
    assert "grpc" == made.transport.kind
    made.transport.close()


def test_the_service_is_called_by_the_sdk_s_own_channel(monkeypatch):
    """With the credentials that the SDK finds, over TLS, and tried again soon after an outage."""
    made = []
    create = CloudTasksGrpcTransport.create_channel
    monkeypatch.delenv("CLOUD_TASKS_EMULATOR_HOST", raising=False)
    monkeypatch.setattr("google.auth.default", lambda *_, **__: (AnonymousCredentials(), "my-project"))
    monkeypatch.setattr(
        CloudTasksGrpcTransport,
        "create_channel",
        lambda host, **given: made.append((host, given)) or create(host, **given),
    )
    client.open_client().transport.close()
    ((host, given),) = made
    assert "cloudtasks.googleapis.com:443" == host
    assert isinstance(given["credentials"], AnonymousCredentials)
    assert {"grpc.max_receive_message_length": -1, "grpc.max_reconnect_backoff_ms": 5_000}.items() <= dict(
        given["options"]
    ).items()


def test_without_credentials_each_send_says_so(monkeypatch):
    """At the first call: opening a driver makes none."""

    def none(*_, **__):
        raise auth.DefaultCredentialsError("Your default credentials were not found.")

    monkeypatch.delenv("CLOUD_TASKS_EMULATOR_HOST", raising=False)
    monkeypatch.setattr("google.auth.default", none)
    driver = CloudTasksDriver("my-project", "europe-west1", target=URL)
    (result,) = driver.send([Outgoing(id="1", queue="emails", body=b"")])
    assert isinstance(result.error, PermissionDenied)
    driver.close()


def test_a_process_has_one_client_and_a_child_another(monkeypatch):
    """A channel must not be used on both sides of a fork, nor be closed by the child."""
    made = []

    def make():
        one = SimpleNamespace(closed=False)
        one.transport = SimpleNamespace(close=lambda: setattr(one, "closed", True))
        made.append(one)
        return one

    clients = client.Clients(make)
    assert [] == made
    assert clients.get() is clients.get() is made[0]
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    clients.after_fork()
    clients.close()
    assert not made[0].closed
    assert clients.get() is clients.get() is made[1]
    clients.close()
    assert (False, True) == (made[0].closed, made[1].closed)


def test_a_driver_that_made_no_call_has_nothing_to_close():
    """A worker that only answers opens no channel."""
    driver = FakeCloudTasks().driver()
    driver.close()
    driver.close()
    assert "my-project" in repr(driver)


PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (PAGE, BackendUnavailable),
        (page("200"), BackendUnavailable),
        (page("302"), BackendUnavailable),
        (page("403"), PermissionDenied),
        (page("404"), BackendUnavailable),
        (page("503"), BackendUnavailable),
        (trailers_only, BackendUnavailable),
        (no_status, BackendUnavailable),
    ],
    ids=["http/1.1", "200", "302", "403", "404", "503", "no message", "no status"],
)
def test_what_is_no_answer_of_the_service_is_an_error(monkeypatch, answer, error):
    """A web page of whatever status, a success without a message: nothing is stored, cancelled or purged by it, and the
    service isn't taken for one without batches.
    """
    with answering(answer) as address:
        monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", address)
        driver = CloudTasksDriver("my-project", "europe-west1", target=URL)
        for count in (1, 2):
            results = driver.send([Outgoing(id=str(n), queue="emails", body=b"") for n in range(count)])
            assert [error] * count == [type(result.error) for result in results]
        handle = receipt_of(f"{LOCATION}/queues/emails/tasks/x", datetime.now(UTC) + timedelta(days=1))
        for ask in (
            lambda: driver.cancel("emails", handle),
            lambda: driver.purge("emails"),
            lambda: driver.dead_letters("emails").purge([f"{'0' * 14}-a", f"{'0' * 14}-b"]),
        ):
            with pytest.raises(error):
                ask()
        assert driver._service.has_batches
        driver.close()
