"""A dead letter as people and programs read it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import msgspec
import pytest

from cloudq.cli.dlq.text import NO_REASON, as_json, moment, reason_of, show
from cloudq.core.driver import DeadMessage
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.reference import Reference

AT = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
MESSAGE = Message(id="1", task="t", queue="elsewhere", payload={"n": [1]}, headers={"trace": "abc"}, ordering_key="k")


def dead(message: Message | None = MESSAGE, failure: Failure | None = None, body: bytes = b"{}") -> DeadMessage:
    return DeadMessage(key="7", id="1", queue="q", body=body, message=message, failure=failure, dead_at=AT)


def test_what_is_known_is_shown_and_the_rest_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Headers, keys and another queue that it was sent to; no line for what there isn't."""
    show(dead())
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in ("key: 7", "sent to: elsewhere", "header trace: abc", "ordering key: k", f"reason: {NO_REASON}"):
        assert line in lines
    assert not any(line.startswith(("error", "attempts", "worker", "idempotency", "traceback")) for line in lines)


def test_a_large_body_that_cannot_be_decoded_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """Its size is told, and its bytes can't steer the terminal."""
    show(dead(None, body=b"\x1b" * 5000))
    out = capsys.readouterr().out
    assert "body (5,000 bytes):" in out
    assert out.rstrip("\n").endswith("…")
    assert 4096 == out.count("\\x1b")
    assert "\x1b" not in out


def test_a_payload_in_a_store_is_told_by_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Its name and its digest; it isn't fetched."""
    reference = Reference(key="2026/01/31/x", size=5, sha256="0" * 64)
    show(dead(msgspec.structs.replace(MESSAGE, reference=reference, payload={})))
    out = capsys.readouterr().out
    assert "payload, in the claim-check store:" in out
    assert "SHA-256 " + "0" * 64 in out


def test_a_program_gets_all_of_it() -> None:
    """As JSON, with the body byte for byte."""
    failure = Failure(reason="boom", attempts=2)
    found = json.loads(msgspec.json.encode(as_json(dead(failure=failure, body=b"\xff"))))
    assert ("7", "t", "boom") == (found["key"], found["task"], found["reason"])
    assert (2, {"n": [1]}) == (found["failure"]["attempts"], found["message"]["payload"])
    assert b"\xff" == base64.b64decode(found["body_base64"])
    bare = json.loads(msgspec.json.encode(as_json(dead(None))))
    assert (None, None, None, None) == (bare["task"], bare["reason"], bare["failure"], bare["message"])


def test_a_dead_letter_of_the_backends_own_has_a_reason_too() -> None:
    """That it was moved by the backend."""
    assert (NO_REASON, "boom") == (reason_of(dead()), reason_of(dead(failure=Failure(reason="boom"))))


def test_moments_are_in_utc_to_the_second() -> None:
    """None stays None: the line is left out."""
    assert "2026-01-31 12:30:00 UTC" == moment(AT.replace(microsecond=5))
    assert moment(None) is None
