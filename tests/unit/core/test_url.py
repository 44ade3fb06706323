"""A backend's URL as a value: its parts, what is refused, and what a banner may show of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.url import BackendUrl, check_port, parse_url, rooted
from cloudq.errors import ConfigurationError


def test_a_url_in_its_parts() -> None:
    """Percent-decoded, each parameter by its name."""
    url = parse_url("acme://host/a%20b/c?timeout=9&empty=")
    assert BackendUrl(scheme="acme", host="host", path="a b/c", parameters={"timeout": "9", "empty": ""}) == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite.db", "starts with a scheme"),
        ("acme://user:secret@host", "holds credentials"),
        ("acme://host#part", "no #fragment"),
        ("acme://host/%00", "NUL"),
        ("acme://host?secret", "aren't name=value"),
        ("acme://host?a=1&a=2", "twice"),
        ("acme://%ff", "not a backend URL"),
    ],
)
def test_what_is_no_url_is_refused_without_showing_a_secret(url: str, why: str) -> None:
    """Before a driver sees it."""
    with pytest.raises(ConfigurationError, match=why) as raised:
        parse_url(url)
    assert "secret" not in f"{raised.value} {raised.value.hint}"


def test_a_parameter_that_the_driver_does_not_know_is_refused_with_a_guess() -> None:
    """A misspelt one would have no effect, unnoticed."""
    with pytest.raises(ConfigurationError, match="acme:// has no parameter 'tmeout': did you mean 'timeout'"):
        parse_url("acme://?tmeout=9").only({"timeout", "prefix"})


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "1e300", ""])
def test_a_span_is_a_number_of_seconds_within_a_year(text: str) -> None:
    """Anything else is refused, with an example."""
    with pytest.raises(ConfigurationError, match="not a number of seconds") as raised:
        parse_url(f"acme://?timeout={text}").seconds("timeout", timedelta(seconds=15))
    assert "timeout=30" == raised.value.hint


def test_a_span_that_is_left_out_is_the_drivers_own() -> None:
    """Parts of a second are fine."""
    assert timedelta(seconds=15) == parse_url("acme://").seconds("timeout", timedelta(seconds=15))
    assert timedelta(seconds=1.5) == parse_url("acme://?timeout=1.5").seconds("timeout", timedelta(seconds=15))


@pytest.mark.parametrize("text", ["0", "0.0", "1e-9"])
def test_a_timeout_is_some_time(text: str) -> None:
    """Else every call would fail, and say that the backend gave no answer."""
    with pytest.raises(ConfigurationError, match="timeout=0 leaves no time for any call") as raised:
        parse_url(f"acme://?timeout={text}").timeout(timedelta(seconds=15))
    assert raised.value.hint == "timeout=15"
    assert parse_url("acme://").timeout(timedelta(seconds=15)) == timedelta(seconds=15)


@pytest.mark.parametrize("address", ["http://h:65536/a", "h:0", "h:x", "http://[::1/", "h:-1"])
def test_an_address_without_a_port_to_call_is_refused(address: str) -> None:
    """By the setting that names it; its value may hold a secret."""
    with pytest.raises(ConfigurationError, match="endpoint names no host and port that can be called") as raised:
        check_port(address, "endpoint")
    assert address not in str(raised.value)


@pytest.mark.parametrize("address", ["http://h/a:0", "h", "", "h:", "h:1", "http://[::1]:65535/"])
def test_a_port_may_be_left_out(address: str) -> None:
    """A scheme has its own."""
    check_port(address, "endpoint")


@pytest.mark.parametrize("text", ["9", "11_000", "10001", "1e3", "-100"])
def test_a_size_is_a_whole_number_within_its_bounds(text: str) -> None:
    """From the least to the most."""
    with pytest.raises(ConfigurationError, match="not a number of bytes"):
        parse_url(f"acme://?max_body={text}").size("max_body", 500, least=10, most=10_000)


def test_a_banner_shows_no_parameters_value() -> None:
    """One may be a secret; a file is shown by its whole path."""
    assert "acme://host/a?token=…" == str(parse_url("acme://host/a?token=secret"))
    assert "secret" not in repr(parse_url("acme://host/a?token=secret"))
    assert "sqlite:////var/q.db" == str(parse_url("sqlite:////var/q.db"))


def test_only_a_relative_sqlite_path_is_rooted(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """As of the folder that is current now; the path keeps its own encoding."""
    monkeypatch.chdir(str(tmp_path))
    assert f"sqlite:///{tmp_path}/a%20b.db?timeout=9" == rooted("sqlite:///a%20b.db?timeout=9")
    for url in ("sqlite:////var/q.db", "memory://", "acme://host/a", "no url"):
        assert url == rooted(url)
