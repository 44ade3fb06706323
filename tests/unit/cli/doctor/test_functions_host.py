"""host.json of an Azure Functions app, against the tasks' time limits."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from cloudq.cli.doctor.fault import Finding, Unchecked, Where
from cloudq.cli.doctor.functions_host import look_at_host

TEN = timedelta(minutes=10)


def host(folder, timeout=None, renewal=None):
    told = {"version": "2.0"}
    if timeout is not None:
        told["functionTimeout"] = timeout
    if renewal is not None:
        told["extensions"] = {"serviceBus": {"maxAutoLockRenewalDuration": renewal}}
    (folder / "host.json").write_text(json.dumps(told))


def found(folder, longest=TEN):
    return [(one.fault.id, one.command) for one in look_at_host(folder, longest)]


@pytest.mark.parametrize(("timeout", "renewal"), [("00:10:00", "00:10:00"), ("-1", "1.00:00:00")])
def test_a_host_that_waits_long_enough(tmp_path, timeout, renewal):
    """As the page on Azure Functions says it, or without end."""
    host(tmp_path, timeout, renewal)
    assert [] == found(tmp_path)


@pytest.mark.parametrize(
    ("timeout", "renewal", "ids"),
    [
        ("00:09:59", "00:10:00", ["functions-timeout"]),
        ("00:10:00", "00:05:00", ["functions-lock"]),
        (None, None, ["functions-timeout", "functions-lock"]),
    ],
    ids=["function", "lock", "the host's own"],
)
def test_a_host_that_ends_a_task(tmp_path, timeout, renewal, ids):
    """What isn't set is five minutes; what fixes it leaves a minute to settle in."""
    host(tmp_path, timeout, renewal)
    told = found(tmp_path)
    assert ids == [fault for fault, _ in told]
    assert all('"00:11:00"' in command for _, command in told)
    assert all(one.where is Where.FUNCTIONS for one in look_at_host(tmp_path, TEN) if isinstance(one, Finding))


def test_without_a_file_or_a_time_limit_there_is_nothing_to_say(tmp_path):
    """A worker has no host.json."""
    assert [] == found(tmp_path)
    host(tmp_path, "00:01:00")
    assert [] == found(tmp_path, None)


def test_a_file_that_is_no_json_is_not_checked(tmp_path):
    """It is said so."""
    (tmp_path / "host.json").write_text("{")
    (one,) = look_at_host(tmp_path, TEN)
    assert isinstance(one, Unchecked)
    assert one.what.endswith("host.json")
