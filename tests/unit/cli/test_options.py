"""How the texts of options are read."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.cli.options import duration, queue_name
from cloudq.errors import OptionError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30", timedelta(seconds=30)),
        ("0", timedelta(0)),
        ("1.5", timedelta(seconds=1.5)),
        ("30s", timedelta(seconds=30)),
        ("250ms", timedelta(milliseconds=250)),
        ("5m", timedelta(minutes=5)),
        ("2h", timedelta(hours=2)),
        ("1h30m", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
    ],
)
def test_duration(text, expected):
    """A number with a unit, several of them, or bare seconds."""
    assert expected == duration("--delay", text)


@pytest.mark.parametrize(
    "text", ["", "-5", "5 minutes", "m", "5x", "1e3", "nan", "\u0663\u0660s", "9" * 400, "9" * 400 + "d"]
)
def test_what_is_no_duration_is_refused(text):
    """Anything else is refused, with examples of what isn't."""
    with pytest.raises(OptionError) as caught:
        duration("--delay", text)
    assert "--delay 5m" in caught.value.hint


@pytest.mark.parametrize(("name", "owner"), [("emails-dlq", "emails"), ("emails-dlq.fifo", "emails.fifo")])
def test_dead_letter_queue_is_refused_by_its_owner(name, owner):
    """The name of a dead-letter queue is answered with the queue that it belongs to."""
    with pytest.raises(OptionError) as caught:
        queue_name(name)
    assert caught.value.hint.endswith(f": {owner}")


def test_queue_name():
    """A queue's name is taken; what none could have is refused."""
    assert "emails.fifo" == queue_name("emails.fifo")
    with pytest.raises(OptionError):
        queue_name("e mails")
