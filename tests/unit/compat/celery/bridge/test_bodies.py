"""The body of a Celery message: unpacked within bounds, and JSON or nothing."""

from __future__ import annotations

import base64
import bz2
import gzip
import lzma
import zlib
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from cloudq.compat.celery.bridge import bodies
from cloudq.compat.celery.bridge.bodies import loaded, unpacked
from cloudq.compat.celery.bridge.stays import Stays, Why

JSON = "application/json"


def packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("compression", "compress"),
    [
        ("application/x-gzip", zlib.compress),  # kombu's name for it
        ("application/x-bz2", bz2.compress),
        ("application/x-lzma", lzma.compress),
        (None, bytes),
    ],
)
def test_what_kombu_packs_is_unpacked(compression, compress):
    """By the compressions that Python itself has."""
    assert b"[1, 2]" == unpacked(packed(compress(b"[1, 2]")), "base64", compression)


def test_a_body_that_is_a_text_is_that_text():
    """Without base64 (kombu's `body_encoding: utf-8`)."""
    assert '["é"]'.encode() == unpacked('["é"]', "utf-8", None)


@pytest.mark.parametrize(
    ("body", "encoding", "compression", "why"),
    [
        ("%%%", "base64", None, Why.UNREADABLE),
        ("W10=", "rot13", None, Why.UNREADABLE),
        ("W10=", "base64", "zstd", Why.COMPRESSION),
        ("W10=", "base64", ["gzip"], Why.COMPRESSION),
        ("W10=", "base64", "application/x-gzip", Why.UNREADABLE),
        (packed(gzip.compress(b"[]", mtime=0)), "base64", "application/x-gzip", Why.UNREADABLE),
        (packed(zlib.compress(b"[1, 2, 3]")[:-5]), "base64", "application/x-gzip", Why.UNREADABLE),
    ],
)
def test_what_cant_be_unpacked_stays(body, encoding, compression, why):
    """And says what is wrong with it."""
    with pytest.raises(Stays) as stays:
        unpacked(body, encoding, compression)
    assert why is stays.value.why


@pytest.mark.parametrize(
    ("compression", "compress"),
    [
        ("application/x-gzip", zlib.compress),
        ("application/x-bz2", bz2.compress),
        ("application/x-lzma", lzma.compress),
    ],
)
def test_a_small_body_that_becomes_a_large_one_is_cut_off(compression, compress, monkeypatch):
    """It is unpacked no further than what is looked at."""
    monkeypatch.setattr(bodies, "MOST_BYTES", 1000)
    with pytest.raises(Stays) as stays:
        unpacked(packed(compress(bytes(100_000))), "base64", compression)
    assert Why.TOO_LARGE is stays.value.why


def test_no_more_is_unpacked_than_is_looked_at(monkeypatch):
    """However much a body would become."""
    asked = []

    class Tool:
        eof = True

        def decompress(self, data, most=None):
            asked.append(most)
            return b"[]"

    monkeypatch.setattr(bodies, "_DECOMPRESSORS", {"application/x-gzip": Tool})
    unpacked("W10=", "base64", "application/x-gzip")
    assert [bodies.MOST_BYTES + 1] == asked


def test_kombus_own_types_are_read_as_what_they_were():
    """A datetime and a Decimal that Celery's JSON wrote."""
    body = (
        b'[{"__type__": "datetime", "__value__": "2026-11-29T20:00:00+00:00"},'
        b' {"__type__": "decimal", "__value__": "1.10"}]'
    )
    assert [datetime(2026, 11, 29, 20, tzinfo=UTC), Decimal("1.10")] == loaded(body, JSON, "utf-8")


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        (b"\x80\x04.", "application/x-python-serialize", Why.SERIALIZER),
        (b"[]", "application/x-yaml", Why.SERIALIZER),
        (b"[]", None, Why.SERIALIZER),
        (b"[]", "text/plain", Why.SERIALIZER),
        (b"[1,", JSON, Why.UNREADABLE),
        (b"\xff\xfe", JSON, Why.UNREADABLE),
        pytest.param(b"[" * 100_000, JSON, Why.UNREADABLE, id="deep"),
        pytest.param(b"1" * 10_000, JSON, Why.UNREADABLE, id="long"),
        (b'{"__type__": "module", "__value__": "os"}', JSON, Why.UNREADABLE),
        (b'{"__type__": "uuid", "__value__": {"int": "x"}}', JSON, Why.UNREADABLE),
    ],
)
def test_what_isnt_json_stays(body, kind, why):
    """Pickle is never loaded, and nothing that a reader raises ends the bridge."""
    with pytest.raises(Stays) as stays:
        loaded(body, kind, "utf-8")
    assert why is stays.value.why
