"""From a broker's URL to its queue."""

from __future__ import annotations

import pytest

from cloudq.compat.celery.bridge import opening
from cloudq.compat.celery.bridge.opening import open_old_queue
from cloudq.compat.celery.bridge.sqs_queue import SQSQueue
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.errors import BackendUnavailable, ConfigurationError
from tests.servers.own import free_port


@pytest.mark.parametrize("url", ["amqp://localhost", "sqlite:///x.db", "nonsense", "azureservicebus://x"])
def test_other_brokers_are_refused(url):
    """Naming those that are known."""
    with pytest.raises(ConfigurationError, match="Redis and SQS") as refused:
        open_old_queue(url, "celery", SYSTEM_CLOCK)
    assert "--from redis://" in refused.value.hint


def test_sqs_is_opened_by_cloudqs_driver(monkeypatch):
    """Without a call: no queue is asked for, made or listed."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    queue = open_old_queue("sqs://eu-west-1?prefix=celery-", "shop.mails", SYSTEM_CLOCK)
    assert isinstance(queue, SQSQueue)
    queue.close()


def test_options_of_redis_are_refused_for_sqs():
    """Rather than ignored."""
    with pytest.raises(ConfigurationError, match="are Redis's"):
        open_old_queue("sqs://eu-west-1", "celery", SYSTEM_CLOCK, prefix="x")


def test_a_redis_that_isnt_there():
    """Is told as a backend that can't be reached."""
    with pytest.raises(BackendUnavailable, match="can't be reached"):
        open_old_queue(f"redis://127.0.0.1:{free_port()}/0", "celery", SYSTEM_CLOCK)


@pytest.mark.parametrize(
    ("url", "package"), [("redis://x", "kombu"), ("sqs://eu-west-1", "kombu"), ("redis://x", "redis")]
)
def test_what_is_missing_is_named_before_anything_is_read(url, package, monkeypatch):
    """With the extra that brings it."""

    def imported(name):
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(opening, "import_module", imported)
    with pytest.raises(ConfigurationError, match=f"needs {package}") as refused:
        open_old_queue(url, "celery", SYSTEM_CLOCK)
    assert "cloudq[celery-bridge]" in refused.value.hint
