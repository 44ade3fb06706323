"""Queues that somebody paused: by the backend, or by a flag in the store."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cloudq import App
from cloudq.cli.doctor.fault import Finding, Unchecked, Where
from cloudq.cli.doctor.pauses import paused
from cloudq.cli.queue_needs import Cloud
from cloudq.drivers.sqs import SQSDriver
from cloudq.errors import StoreUnavailable
from cloudq.stores.memory import MemoryStore
from tests.unit.cli.doctor.test_queue_law import TASKS, looked
from tests.unit.drivers.cloud_tasks.fakes import FakeCloudTasks
from tests.unit.drivers.sqs.fakes import FakeSqs

pytestmark = pytest.mark.cloudq_allow_real


def test_by_the_backend(tmp_path):
    """SQLite notes it in its file."""
    app = App(f"sqlite:///{tmp_path / 'queue.db'}")
    assert [] == list(paused(app, "mail", None))
    app.pause("mail")
    (finding,) = paused(app, "mail", None)
    assert isinstance(finding, Finding)
    assert ("queue-stopped", Where.SQLITE, "cloudq resume mail") == (finding.fault.id, finding.where, finding.command)
    app.close()


@pytest.fixture
def app(monkeypatch):
    """An app on SQS, whose store is named by a URL that is a server's, and is one of this process."""
    app = App("sqs://test", store="redis://127.0.0.1:1/0")
    store = MemoryStore()
    monkeypatch.setattr("cloudq.queues.store_connection.open_store", lambda *_, **__: store)
    with app.using(SQSDriver("test", client=FakeSqs())):
        yield app
    app.close()


def test_by_a_flag_in_the_store(app):
    """SQS can't pause."""
    assert [] == list(paused(app, "mail", looked(Cloud.AWS)))
    app.pause("mail")
    (finding,) = paused(app, "mail", looked(Cloud.AWS))
    assert isinstance(finding, Finding)
    assert ("queue-stopped", Where.SQS, "cloudq resume mail") == (finding.fault.id, finding.where, finding.command)


def test_a_store_that_can_not_be_asked(app, monkeypatch):
    """It is said so."""
    monkeypatch.setattr(App, "is_paused", lambda *_: (_ for _ in ()).throw(StoreUnavailable("gone")))
    assert [Unchecked(what="whether queue 'mail' is paused", why="gone")] == list(
        paused(app, "mail", looked(Cloud.AWS))
    )


@pytest.mark.parametrize("store", ["none", "sqlite:///{folder}/store.db"])
def test_without_a_store_of_a_server_nothing_is_asked(tmp_path, store):
    """And no file is made."""
    app = App("sqs://test", store=store.format(folder=tmp_path))
    with app.using(SQSDriver("test", client=FakeSqs())):
        assert [] == list(paused(app, "mail", looked(Cloud.AWS)))
    assert [] == list(tmp_path.iterdir())


def test_a_service_whose_settings_show_it_is_not_asked_again():
    """Cloud Tasks and Service Bus."""
    service = FakeCloudTasks()
    app = App("cloudtasks://my-project/europe-west1?target=https://worker.example")
    with app.using(service.driver()):
        assert [] == list(paused(app, "mail", looked(Cloud.GOOGLE, settings=replace(TASKS, stopped="paused"))))
    assert [] == service.calls
