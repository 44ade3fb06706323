"""Calls without TLS."""

from __future__ import annotations

import logging

import pytest

from cloudq.core import plain_text
from cloudq.core.plain_text import allows_insecure, check_plain_text, is_loopback, warn_once
from cloudq.core.url import parse_url
from cloudq.errors import ConfigurationError

HERE = ["localhost", "queue.localhost", "127.0.0.1", "127.8.9.1", "[::1]", "[::ffff:127.0.0.1]"]
ELSEWHERE = ["example.com", "localstack", "10.0.0.1", "localhost.example.com", "127.0.0.1.example.com", "[fe80::1]"]


@pytest.fixture(autouse=True)
def unwarned() -> None:
    """As in a process that has warned of nothing yet."""
    warn_once.cache_clear()


@pytest.mark.parametrize("form", ["http://{}:4566/x", "{}:4566", "http://{}", "sb://{}:5672"])
@pytest.mark.parametrize("host", ELSEWHERE)
def test_another_machine_is_refused_unless_that_is_allowed(
    host: str, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is signed or sent there could be read on its way. The setting is named, and its value isn't."""
    address = form.format(host)
    with pytest.raises(ConfigurationError, match="endpoint_url names another machine without TLS") as caught:
        check_plain_text(address, setting="endpoint_url", allowed=False)
    assert host not in str(caught.value)
    assert "allow_insecure=1" in str(caught.value.hint)
    check_plain_text(address, setting="endpoint_url", allowed=True)
    assert ["endpoint_url has a service on another machine called without TLS: right for development only"] == [
        record.getMessage() for record in caplog.records
    ]


@pytest.mark.parametrize("form", ["http://{}:4566/x", "{}:4566", "HTTP://{}", "sb://{}:5672"])
@pytest.mark.parametrize("host", HERE)
def test_this_machine_is_warned_of_once(host: str, form: str, caplog: pytest.LogCaptureFixture) -> None:
    """A variable that was left over in production is seen in the log, however many drivers are opened."""
    for _ in range(3):
        check_plain_text(form.format(host), setting="HOST", allowed=False)
    assert [(logging.WARNING, "HOST has a service on this machine called without TLS: right for development only")] == [
        (record.levelno, record.getMessage()) for record in caplog.records
    ]


@pytest.mark.parametrize("address", ["https://example.com", "HTTPS://10.0.0.1:4566/x"])
def test_tls_is_no_matter_of_it(address: str, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever the service is."""
    check_plain_text(address, setting="endpoint_url", allowed=False)
    assert [] == caplog.records


@pytest.mark.parametrize("address", ["", "http://", "http://[::1", "ftp://example.com"])
def test_what_cannot_be_read_is_another_machine(address: str) -> None:
    """It isn't called on the guess that it is this one."""
    with pytest.raises(ConfigurationError):
        check_plain_text(address, setting="endpoint_url", allowed=False)


def test_the_parameter_is_a_switch() -> None:
    """0 or 1, and 0 where it isn't given; its value isn't shown."""
    assert [False, False, True] == [
        allows_insecure(parse_url(f"sqs://{q}")) for q in ("", "?allow_insecure=0", "?allow_insecure=1")
    ]
    with pytest.raises(ConfigurationError, match="allow_insecure is neither 0 nor 1") as caught:
        allows_insecure(parse_url("sqs://?allow_insecure=s3cret"))
    assert "s3cret" not in str(caught.value)
    assert "allow_insecure" == plain_text.ALLOW_INSECURE


def test_loopback_is_by_name_or_address() -> None:
    """No name is looked up: an answer could be anybody's."""
    assert all(is_loopback(host.strip("[]")) for host in HERE)
    assert not any(is_loopback(host.strip("[]")) for host in ELSEWHERE)
