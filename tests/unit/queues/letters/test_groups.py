"""Groups: what counts as the same cause, and what is told of those that share one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.redriving import REDRIVEN
from cloudq.queues.letters import groups
from cloudq.queues.letters.groups import NOT_DECODED, OTHERS, DeadGroup, fingerprint_of, grouped
from tests.unit.queues.letters.letters import NOW, a_failure, a_letter, a_message


def of(said: str, kind: str | None = "ValueError", task: str = "billing.charge") -> str:
    failure = a_failure(error_type=kind, error_message=said if kind else None, reason=said, traceback=None)
    return fingerprint_of(a_letter(a_message(task=task), failure))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no such invoice: 42", "no such invoice: 7"),
        ("took 1.5 s", "took 12.75 s"),
        ("no user 'ann'", "no user 'bob the builder'"),
        ('key "a" twice', 'key "b" twice'),
        ("no blob 0197f3f6-8f0e-7c1a-9d53-6c1d2f6f7a11", "no blob 1197f3f6-8f0e-7c1a-9d53-6c1d2f6f7a12"),
        ("at 0x7f3a9c", "at 0x55d0e1b2c3d4"),
        ("line one\nmore 1", "line one\nother"),
        ("Connection to 10.0.0.1:25 lost", "Connection to 10.0.12.13:587 lost"),
    ],
)
def test_what_differs_from_message_to_message_does_not_count(one: str, other: str) -> None:
    """Numbers, addresses, what is quoted, and all lines but the first."""
    assert of(one) == of(other)


def test_the_cause_counts() -> None:
    """Task, class and words tell groups apart."""
    named = {of("no user"), of("no user", "KeyError"), of("no user", task="billing.refund"), of("no invoice")}
    assert 4 == len(named)


def test_it_stays_the_same() -> None:
    """Over deploys and versions of cloudq: scripts name groups. A changed rule would be a changed number here."""
    assert "d1162f677ff0" == of("no such invoice: 42")


def test_without_an_error_it_is_the_reason() -> None:
    """What the service itself moved, say."""
    one, other = (of(f"worker died or lease expired {times} times", None) for times in (5, 12))
    assert one == other
    assert one != of("payload: user_id is missing", None)


def test_what_cannot_be_decoded_is_grouped_too() -> None:
    """By its reason; without one by that."""
    torn = a_letter(body=b"\xff", failure=a_failure(error_type=None, reason="undecodable: at byte 3"))
    assert fingerprint_of(torn) == fingerprint_of(a_letter(body=b"\xfe", failure=torn.failure))
    (group,) = grouped([torn])
    assert (NOT_DECODED, None, "undecodable: at byte #") == (group.task, group.error_type, group.text)


def test_a_group_tells_how_many_since_when_and_how_often_redriven() -> None:
    """The most frequent first; the example is the oldest."""
    late, later = timedelta(hours=1), timedelta(hours=2)
    letters = [
        a_letter(key="1", dead_at=NOW + late),
        a_letter(a_message(task="other"), key="2"),
        a_letter(a_message(extensions={REDRIVEN: 2}), key="3", dead_at=NOW + later),
        a_letter(key="4", dead_at=None, failure=a_failure(last_at=NOW)),
    ]
    first, second = grouped(letters)
    assert first == DeadGroup(
        fingerprint=fingerprint_of(letters[0]),
        task="shop.welcome",
        error_type="smtplib.SMTPServerDisconnected",
        text="Connection to # timed out",
        count=3,
        since=NOW,
        until=NOW + later,
        redriven=2,
        example="1",
    )
    assert ("other", 1, 0) == (second.task, second.count, second.redriven)


def test_strangers_cannot_make_up_ever_more_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the most that are told apart, the rest are counted together, at the end."""
    monkeypatch.setattr(groups, "MOST_GROUPS", 2)
    letters = [a_letter(a_message(task=f"made.up{'x' * number}"), key=str(number)) for number in range(5)]
    found = grouped([*letters, letters[0]])
    assert [(2, False), (1, False), (3, True)] == [(one.count, one.fingerprint == OTHERS) for one in found]


def test_a_long_line_costs_little() -> None:
    """Patterns see its beginning only."""
    assert of("a" * 300 + "1") == of("a" * 300 + "b" * 10_000_000)
