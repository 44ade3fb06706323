"""`cloudq queues create` and `cloudq queues check`."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from cloudq.drivers.sqs import SQSDriver
from tests.unit.drivers.cloud_tasks.fakes import FakeCloudTasks
from tests.unit.drivers.sqs.fakes import FakeSqs

# The services are faked behind their URLs: nothing is reached.
pytestmark = pytest.mark.cloudq_allow_real


@pytest.fixture
def sqs(monkeypatch, shop):
    """An SQS without queues behind sqs://."""
    client = FakeSqs()
    monkeypatch.setattr(
        "cloudq.drivers.sqs.url.open_url", lambda url, clock: SQSDriver(url.host, client=client, clock=clock)
    )
    return client


def test_queues_are_created_with_their_dead_letter_queues(cli, sqs):
    """Those named; what is there already is said to be."""
    result = cli("queues", "create", "emails", "orders.fifo", "--backend", "sqs://test")
    assert (0, "created emails and emails-dlq\ncreated orders.fifo and orders-dlq.fifo\n") == result[:2]
    result = cli("queues", "create", "emails", "--backend", "sqs://test", "--json")
    assert {"queue": "emails", "dead_letter_queue": "emails-dlq", "created": False} == json.loads(result.out)


def test_no_queue_is_named_that_is_not_made(cli, sqs, monkeypatch):
    """A dead-letter queue of the service's own, as Azure Service Bus has it, comes with its queue."""
    capabilities = replace(SQSDriver("test", client=sqs).capabilities("emails"), native_dead_letter=True)
    monkeypatch.setattr(SQSDriver, "capabilities", lambda *_: capabilities)
    result = cli("queues", "create", "emails", "--backend", "sqs://test")
    assert (0, "created emails with its dead-letter queue\n") == result[:2]
    result = cli("queues", "create", "emails", "--backend", "sqs://test", "--json")
    assert {"queue": "emails", "dead_letter_queue": None, "created": False} == json.loads(result.out)


def test_without_names_all_declared_queues_are_created(cli, sqs):
    """Those of the app's tasks."""
    result = cli("queues", "create", "--app", "shop", "--backend", "sqs://test")
    assert 0 == result.code
    assert {"default", "default-dlq", "emails", "emails-dlq"} == {url.rpartition("/")[2] for url in sqs.queues}


def test_where_the_first_send_makes_a_queue_there_is_nothing_to_create(cli, shop):
    """It says so, as wrong usage."""
    result = cli("queues", "create", "emails", "--backend", shop.url)
    assert (2, "") == (result.code, result.out)
    assert "sqlite:// needs no queues to be created" in result.err


def test_queues_of_sqs_are_checked(cli, sqs):
    """As the others are."""
    result = cli("queues", "check", "emails", "--backend", "sqs://test")
    assert 1 == result.code
    assert "there is no dead-letter queue 'emails-dlq'" in result.out
    assert 0 == cli("queues", "create", "emails", "--backend", "sqs://test").code
    assert (0, "emails is in order\n") == cli("queues", "check", "emails", "--backend", "sqs://test")[:2]


@pytest.fixture
def cloud_tasks(monkeypatch, shop):
    """A Cloud Tasks without queues behind cloudtasks://."""
    service = FakeCloudTasks()
    monkeypatch.setattr("cloudq.drivers.cloud_tasks.url.open_url", lambda url, clock: service.driver())
    return service


def test_queues_are_checked(cli, cloud_tasks):
    """Each problem is a line, and makes the command fail; a queue that cloudq made has none."""
    result = cli("queues", "check", "emails", "--backend", "cloudtasks://test")
    assert 1 == result.code
    missing, dead = result.out.splitlines()
    assert missing.startswith("emails: there is no queue 'emails'")
    assert dead.startswith("emails: there is no dead-letter queue 'emails-dlq'")
    assert 0 == cli("queues", "create", "emails", "--backend", "cloudtasks://test").code
    assert (0, "emails is in order\n") == cli("queues", "check", "emails", "--backend", "cloudtasks://test")[:2]
    result = cli("queues", "check", "emails", "--backend", "cloudtasks://test", "--json")
    assert {"queue": "emails", "problems": []} == json.loads(result.out)


def test_where_queues_have_no_settings_there_is_nothing_to_check(cli, shop):
    """It says so, as wrong usage."""
    result = cli("queues", "check", "emails", "--backend", shop.url)
    assert (2, "") == (result.code, result.out)
    assert "sqlite:// can't be checked" in result.err
