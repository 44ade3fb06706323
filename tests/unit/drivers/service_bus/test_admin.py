"""The administration is asked once, in bounded time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Self

import pytest
from azure.core.exceptions import ResourceExistsError, ServiceResponseError

from cloudq.drivers.service_bus.admin import Admin, admin_client
from cloudq.drivers.service_bus.limits import MAX_LOCK
from cloudq.errors import BackendUnavailable, UnsupportedError

CONNECTION_STRING = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=any;SharedAccessKey=any;UseDevelopmentEmulator=true"
MINUTE = timedelta(minutes=1)


class Client:
    """Keeps what queues are made with, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.made: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def create_queue(self, name: str, **options: Any) -> None:
        if self.error is not None:
            raise self.error
        self.made[name] = options

    def get_queue_runtime_properties(self, name: str) -> Any:
        raise ServiceResponseError(f"no answer for {name}")


def admin_of(client: Any, lock: timedelta | None = None) -> Admin:
    return Admin(lambda: client, "prod-", None, lock)


@pytest.mark.parametrize(("lock", "made"), [(None, MAX_LOCK), (MINUTE, MINUTE)], ids=["the longest", "as told"])
def test_a_queue_is_made_with_the_lock_that_is_told(lock: timedelta | None, made: timedelta) -> None:
    """And with sessions where its name says so."""
    client = Client()
    assert admin_of(client, lock).make_queue("mail.fifo")
    options = client.made["prod-mail.fifo"]
    assert (made, True) == (options["lock_duration"], options["requires_session"])


def test_a_queue_that_is_there_stays_as_it_is() -> None:
    """And a subscription isn't made at all."""
    assert not admin_of(Client(ResourceExistsError("there"))).make_queue("mail")
    with pytest.raises(UnsupportedError):
        admin_of(Client()).make_queue("orders/Subscriptions/mail")


def test_no_answer_is_said() -> None:
    """As of any other call."""
    with pytest.raises(BackendUnavailable):
        admin_of(Client()).stats("mail")


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:1"], ids=["the service", "an emulator"])
def test_a_call_is_bounded(endpoint: str | None) -> None:
    """Half of its time is for the connection, and half for the answer; the SDK's own patience is five minutes."""
    client: Any = admin_client("", CONNECTION_STRING, endpoint, patience=timedelta(seconds=5))
    with client:
        pipeline = client._impl._client._pipeline
        config = pipeline._transport.connection_config
        assert (2.5, 2.5) == (config.timeout, config.read_timeout)
        retries = [policy for policy in pipeline._impl_policies if hasattr(policy, "total_retries")]
        assert [0] == [policy.total_retries for policy in retries]
