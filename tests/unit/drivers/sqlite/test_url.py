"""`sqlite:///PATH`: which parameters it has."""

from datetime import timedelta

import pytest

from cloudq.core.url import parse_url
from cloudq.drivers.sqlite.url import open_url
from cloudq.errors import ConfigurationError


@pytest.mark.parametrize(
    ("parameters", "call_timeout", "patience"),
    [
        ("", 5, 4.5),
        ("?timeout=30", 10, 9),
        ("?timeout=30&busy_timeout=2", 10, 2),
        ("?timeout=3&busy_timeout=2", 1, 0.9),
        ("?busy_timeout=60", 5, 4.5),
    ],
)
def test_a_call_has_a_third_of_the_time_out(bench, parameters, call_timeout, patience):
    """It waits for others for less than that; `busy_timeout` can only shorten the wait."""
    driver = open_url(parse_url(f"sqlite:///{bench.path}{parameters}"), bench.clock)
    assert timedelta(seconds=call_timeout) == driver.capabilities("q").call_timeout
    assert timedelta(seconds=patience) == driver._patience
    driver.close()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite://host/q.db", "stands where a host would"),
        ("sqlite:///", "needs the path of a file"),
        ("sqlite:///q.db?timeout=soon", "not a number of seconds"),
        ("sqlite:///q.db?timeout=0", "timeout=0 leaves no time for any call"),
        ("sqlite:///q.db?time_out=1", "timeout"),
        ("sqlite:///q.db?synchronous=off", "neither full nor normal"),
        ("sqlite:///q.db?mode=0777", "mode isn't one of a file"),
        ("sqlite:///q.db?mode=0400", "mode isn't one of a file"),
        ("sqlite:///q.db?mode=rw", "mode isn't one of a file"),
    ],
)
def test_what_cannot_be_meant_is_refused(bench, url, why):
    """Before a file is made."""
    with pytest.raises(ConfigurationError, match=why):
        open_url(parse_url(url), bench.clock)
