"""From what kombu stores to a call of a task."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

import pytest

from cloudq.compat.celery.bridge.bodies import MOST_BYTES
from cloudq.compat.celery.bridge.reading import CeleryCall, readable
from cloudq.compat.celery.bridge.stays import Stays, Why
from tests.unit.compat.celery.bridge.messages import written


def call(raw: bytes, *timezone) -> CeleryCall:
    return readable(raw).call(*timezone)


def why_stays(raw: bytes) -> Why:
    with pytest.raises(Stays) as stays:
        call(raw)
    assert str(stays.value)
    return stays.value.why


def test_a_call_is_read():
    """Its arguments, its id, and how often it was tried."""
    found = call(written([1, "two"], {"c": 3}, headers={"retries": 2}))
    assert ("shop.add", [1, "two"], {"c": 3}, 2) == (found.task, found.args, found.kwargs, found.retries)
    assert ("11111111-2222-3333-4444-555555555555", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee") == (found.id, found.tag)
    assert found.eta is found.expires is None
    assert {} == found.headers


def test_on_sqs_it_is_the_base64_of_the_same():
    """Which is what kombu stores there by default."""
    assert call(written()) == call(base64.b64encode(written()))


def test_times_are_utc():
    """By their own offsets; without one by Celery's timezone."""
    headers = {"eta": "2026-11-29T22:00:00+02:00", "expires": "2026-11-29T21:00:00"}
    found = call(written(headers=headers), ZoneInfo("Europe/Berlin"))
    assert datetime(2026, 11, 29, 20, tzinfo=UTC) == found.eta == found.expires
    assert timedelta(0) == found.eta.utcoffset()


def test_the_callers_own_headers_travel():
    """Those that are texts; Celery's own don't."""
    found = call(written(headers={"tenant": "a", "traceparent": "00-1", "count": 3, "compression": None}))
    assert {"tenant": "a", "traceparent": "00-1"} == found.headers


@pytest.mark.parametrize("tag", [None, 7, "", "\x1b[31m", "a" * 200])
def test_without_a_tag_the_body_names_the_publication(tag):
    """So that another call which was given the same id is another message still."""
    first, second = call(written([1, 2], tag=tag)), call(written([1, 3], tag=tag))
    assert first.tag == call(written([1, 2], tag=tag)).tag != second.tag
    assert first.tag.isalnum()


SIGNATURE = {"task": "shop.add", "args": [], "kwargs": {}, "options": {}}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (written(callbacks=[SIGNATURE]), Why.LINK),
        (written(errbacks=[SIGNATURE]), Why.LINK_ERROR),
        (written(chain=[SIGNATURE]), Why.CHAIN),
        (written(chord=SIGNATURE), Why.CHORD),
        (written(headers={"group": "g1"}), Why.GROUP),
        (written(task=None), Why.PROTOCOL),
        (written(content_type="application/x-python-serialize", body=b"\x80\x04."), Why.SERIALIZER),
        (written(headers={"compression": "zstd"}), Why.COMPRESSION),
    ],
    ids=map(str, count()),  # else the whole message
)
def test_what_is_more_than_a_call_of_json_stays(raw, why):
    """Each with its own word."""
    assert why is why_stays(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"nonsense!",
        b"[1]",
        b"\xff\xfe\x00",
        b'{"body": 1, "headers": {}, "properties": {}}',
        b'{"body": "", "headers": [], "properties": {}}',
        b'{"specversion": "1.0", "id": "1", "source": "cloudq", "type": "shop.add", "data": {}}',
        b"{" * 50_000,
        written(id_=None),
        written(id_="\x1b[31m"),
        written(id_="x" * 513),
        written(task=""),
        written(task="shop.\nadd"),
        written(task=7),  # type: ignore[arg-type]
        written(body=b"{}"),
        written(body=b"[[], {}]"),
        written(body=b"[{}, [], {}]"),
        written(body=b'["ab", {}, {}]'),
        written(headers={"eta": "soon"}),
        written(headers={"eta": 12}),
        written(headers={"expires": "0001-01-01T00:00:00+23:00"}),
        written(headers={"retries": -1}),
        written(headers={"retries": True}),
        written(headers={"retries": 2**40}),
    ],
    ids=map(str, count()),
)
def test_what_isnt_celerys_stays(raw):
    """Whatever a stranger put into the queue is listed, and ends nothing."""
    assert Why.UNREADABLE is why_stays(raw)


def test_what_is_too_large_isnt_parsed():
    """Its size alone decides."""
    assert Why.TOO_LARGE is why_stays(b"{" * (MOST_BYTES + 1))


def test_it_can_be_told_which_one_stays():
    """By what its outside says, though its body can't be read."""
    found = readable(written(body=b"\x80\x04."))
    assert ("11111111-2222-3333-4444-555555555555", "shop.add") == (found.named.id, found.named.task)


def test_arguments_are_in_no_repr():
    """They may hold what no log should."""
    assert "secret" not in repr(call(written(["secret"], headers={"token": "secret"})))
