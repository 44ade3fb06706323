"""What a `dynamodb://TABLE` says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.store_url import parse_store_url
from cloudq.errors import ConfigurationError
from cloudq.stores.dynamodb.url import clients_of, open_url

FIVE = timedelta(seconds=5)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the SDK's own chain finds them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")


def test_region_and_endpoint() -> None:
    """Those of the URL."""
    clients = clients_of(parse_store_url("dynamodb://cloudq?region=eu-west-1"), FIVE)
    assert clients.get().meta.endpoint_url == "https://dynamodb.eu-west-1.amazonaws.com"
    clients.close()


def test_no_region_is_an_error_that_says_where_to_name_one() -> None:
    """At open."""
    with pytest.raises(ConfigurationError, match="no client of Amazon DynamoDB") as raised:
        clients_of(parse_store_url("dynamodb://cloudq"), FIVE)
    assert "?region=" in (raised.value.hint or "")


def test_an_endpoint_without_tls_is_this_machine_or_allowed() -> None:
    """Signed requests don't travel in the clear because a setting of development was left over."""
    url = "dynamodb://cloudq?region=eu-west-1&endpoint_url=http://dynamodb:8000"
    with pytest.raises(ConfigurationError, match="without TLS"):
        clients_of(parse_store_url(url), FIVE)
    clients_of(parse_store_url(f"{url}&allow_insecure=1"), FIVE).close()


@pytest.mark.parametrize("url", ["dynamodb://", "dynamodb://ab", "dynamodb://tab%20le", "dynamodb://cloudq/path"])
def test_it_names_a_table(url: str) -> None:
    """As DynamoDB names them."""
    with pytest.raises(ConfigurationError):
        open_url(parse_store_url(url), "app", FIVE, SYSTEM_CLOCK)


def test_the_sdk_may_make_all_calls() -> None:
    """`wire=boto3`, as for queues."""
    clients = clients_of(parse_store_url("dynamodb://cloudq?region=eu-west-1&wire=boto3"), FIVE)
    assert clients.caller() is clients.get()
    clients.close()
    with pytest.raises(ConfigurationError, match="none of auto and boto3"):
        clients_of(parse_store_url("dynamodb://cloudq?region=eu-west-1&wire=lean"), FIVE)
