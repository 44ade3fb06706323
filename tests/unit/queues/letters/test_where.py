"""Conditions: which dead letters they mean, and what they refuse."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.redriving import REDRIVEN
from cloudq.errors import OptionError
from cloudq.queues.letters.groups import fingerprint_of
from cloudq.queues.letters.where import LONGEST, Where
from tests.unit.queues.letters.letters import NOW, a_failure, a_letter, a_message

LETTER = a_letter(
    a_message(
        idempotency_key="order-42",
        ordering_key="user-7",
        fairness_key="tenant-1",
        source="web",
        headers={"locale": "de"},
        extensions={REDRIVEN: 2},
        sent_at=NOW - timedelta(days=1),
    )
)
POISON = a_letter(body=b"\xff", failure=a_failure(error_type=None, error_message=None, traceback=None))


def means(text: str, letter: object = LETTER) -> bool:
    return Where.parse(text, now=NOW + timedelta(hours=3)).matches(letter)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "task=shop.welcome",
        "task=shop.*",
        "task!=billing.*",
        "error=SMTP*",
        "error=smtplib.SMTPServerDisconnected",
        "error!=Value*",
        'text="connection TO 10.0.0.?"',
        "text=SHOP.PY",
        "text='gave up'",
        "id=m",
        "key=order-*",
        "ordering=user-7",
        "fairness=tenant-[0-9]",
        "source=web",
        "header.locale=de",
        f"group={fingerprint_of(LETTER)}",
        f"group={fingerprint_of(LETTER)[:6]}*",
        "attempts=5",
        "attempts>=5 attempts<6 attempts!=4",
        "redriven=2",
        "redriven>1 redriven<=2",
        "dead<2h",
        "dead<=2026-01-31T12:00",
        "dead=2026-01-31T13:00+01:00",
        "dead>4h",
        "until=2h",
        "sent<1d",
        "sent>2026-01-29",
        "task=shop.* error=SMTP* dead<2h redriven=2",
    ],
)
def test_it_means(text: str) -> None:
    """Each term that holds, and all of several."""
    assert means(text)


@pytest.mark.parametrize(
    "text",
    [
        "task=welcome",
        "task=SHOP.welcome",
        "task!=shop.*",
        "error=ValueError",
        "error!=SMTP*",
        "text=nowhere",
        "key=order",
        "header.locale=en",
        "header.other=*",
        "group=000000000000",
        "attempts>5",
        "redriven=0",
        "dead>2h",
        "dead<2026-01-31T12:00",
        "until=2026-01-31T12:00",
        "sent>1h",
        "task=shop.* error=ValueError",
    ],
)
def test_it_does_not_mean(text: str) -> None:
    """One term that doesn't hold is enough."""
    assert not means(text)


def test_what_is_not_known_equals_nothing() -> None:
    """Neither a text nor a time of what can't be decoded; to be unequal is all that holds of it."""
    unknown = a_letter(body=b"\xff", failure=a_failure(last_at=None, error_type=None), dead_at=None)
    assert not any(means(text, unknown) for text in ("task=*", "error=*", "key=*", "sent>9d", "dead<1s", "dead>9d"))
    assert all(means(text, unknown) for text in ("task!=x", "error!=x", "redriven=0", "id=*", "text=smtp", "until=9d"))
    assert means("error!=*", POISON)


def test_it_died_when_that_is_known() -> None:
    """Else when it failed last, else when it was sent."""
    failed = a_letter(dead_at=None)
    sent = a_letter(a_message(sent_at=NOW - timedelta(days=2)), a_failure(last_at=None), dead_at=None)
    assert means("dead=2026-01-31T12:00", failed)
    assert means("dead=2026-01-29T12:00", sent)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task", "is not NAME=VALUE"),
        ("=x", "is not NAME=VALUE"),
        ("header.=x", "is not NAME=VALUE"),
        ("tusk=x", "did you mean 'task'"),
        ("task<x", "is a text"),
        ("attempts=many", "is a number"),
        ("attempts=-1", "is a number"),
        ("redriven=12345678901", "is a number"),
        ("dead<yesterday", "is a time"),
        ("dead<999999999d", "is a time"),
        ("sent=0000-01-01", "is a time"),
        ("until=soon", "is a time"),
        ("until<2h", "goes with = only"),
        ("text='open", "can't be read"),
        ("x" * (LONGEST + 1), "at most 10,000"),
    ],
)
def test_what_means_nothing_is_refused(text: str, said: str) -> None:
    """With what is wrong; a typo never means all."""
    with pytest.raises(OptionError, match=said):
        Where.parse(text)


def test_it_reads_as_it_was_written() -> None:
    """For logs, and for the command that goes on."""
    assert "Where('task=shop.*')" == repr(Where.parse("task=shop.*"))
    assert "task=shop.*" == Where.parse("task=shop.*").text


def test_a_time_ago_is_fixed_for_later() -> None:
    """By the moment that it was; the rest is quoted as it has to be, or as it was written if nothing is fixed."""
    given = Where.parse(r"""text='no such "user"' dead>2h sent<2026-01-31 until=1m id!=a\b""", now=NOW)
    fixed = Where.parse(given.fixed, now=NOW + timedelta(days=9))
    assert given.fixed == fixed.fixed
    moments = "dead>2026-01-31T10:00:00+00:00 sent<2026-01-31 until=2026-01-31T11:59:00+00:00"
    assert f"""'text=no such "user"' {moments} id!=ab""" == given.fixed
    assert "text='gave up'  id=m" == Where.parse("text='gave up'  id=m").fixed


def test_what_a_caller_gave() -> None:
    """A condition stays what it is; nothing means all."""
    given = Where.parse("id=m")
    assert given is Where.of(given, now=NOW)
    assert Where.of(None, now=NOW).matches(POISON)
    assert not Where.of("id=other", now=NOW).matches(LETTER)


def test_a_pattern_takes_no_longer_for_a_strangers_text() -> None:
    """A text that nearly fits, over and over, is no way to stop an operator."""
    forged = a_letter(a_message(task="a" * 100_000))
    assert not means("task=" + "a*" * 30 + "b", forged)
