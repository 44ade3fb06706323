"""What an `sqs://` URL says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.url import parse_url
from cloudq.drivers.sqs.url import open_url
from cloudq.errors import ConfigurationError


@pytest.mark.parametrize(("parameters", "seconds"), [("", 5), ("?timeout=30", 10), ("?timeout=1.5", 0.5)])
def test_the_timeout_is_that_of_a_whole_send(parameters: str, seconds: float) -> None:
    """15 seconds if nobody says another; a call takes a third of it."""
    driver = open_url(parse_url(f"sqs://eu-west-1{parameters}"), SYSTEM_CLOCK)
    assert timedelta(seconds=seconds) == driver.capabilities("q").call_timeout
    driver.close()


@pytest.mark.parametrize("value", ["0", "never", "-1", ""])
def test_a_timeout_that_is_none_is_refused(value: str) -> None:
    """Nothing could be sent in no time."""
    with pytest.raises(ConfigurationError, match="timeout"):
        open_url(parse_url(f"sqs://eu-west-1?timeout={value}"), SYSTEM_CLOCK)


@pytest.mark.parametrize("way", ["endpoint_url", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"])
def test_an_endpoint_without_tls_is_this_machine_or_allowed(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed requests and payloads don't travel in the clear because a setting of development was left over."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")

    def opens(endpoint: str, more: str = "") -> None:
        if way == "endpoint_url":
            more += f"&endpoint_url={endpoint}"
        else:
            monkeypatch.setenv(way, endpoint)
        open_url(parse_url(f"sqs://eu-west-1?timeout=15{more}"), SYSTEM_CLOCK).close()

    opens("http://127.0.0.1:4566")
    opens("https://vpce.example.com")
    with pytest.raises(ConfigurationError, match=rf"{way.removesuffix('_SQS')}.* names another machine without TLS"):
        opens("http://localstack:4566")
    opens("http://localstack:4566", "&allow_insecure=1")


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:99999", "http://127.0.0.1:x", "https://sqs.example:0"])
@pytest.mark.parametrize("way", ["endpoint_url", "AWS_ENDPOINT_URL"])
def test_an_endpoint_has_a_port_or_none(way: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening refuses what the SDK would raise an error of Python's for, at each call."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    named = f"?endpoint_url={endpoint}" if way == "endpoint_url" else ""
    if not named:
        monkeypatch.setenv(way, endpoint)
    with pytest.raises(ConfigurationError, match=f"{way}.* names no host and port"):
        open_url(parse_url("sqs://eu-west-1" + named), SYSTEM_CLOCK)
