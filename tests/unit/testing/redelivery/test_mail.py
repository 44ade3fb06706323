"""The broker of a rehearsal: messages by number, their deliveries, and what order allows."""

from __future__ import annotations

import pytest

from cloudq import App
from cloudq.core.driver import Outgoing
from cloudq.testing import FakeClock, in_memory
from cloudq.testing.memory import memory_of
from cloudq.testing.redelivery.mail import LEASE, Mails


@pytest.fixture
def app():
    """In memory."""
    with in_memory(App(), clock=FakeClock()) as app:
        yield app


def test_messages_have_numbers_in_the_order_in_which_they_were_sent(app):
    """Those that are sent meanwhile come after."""
    mails = Mails(memory_of(app))
    app.send("a")
    assert mails.find(1) is None
    app.send("b")
    assert ["a()", "b()"] == [str(mail) for mail in mails]


def test_bytes_that_are_no_message_and_dead_letters_have_none(app):
    """There is no task that they run."""
    mails = Mails(memory_of(app))
    memory_of(app).send([Outgoing(id="1", queue="q", body=b"?")])
    memory_of(app).send([Outgoing(id="2", queue="q-dlq", body=b"{}")])
    app.send("a")
    assert ["a()"] == [str(mail) for mail in mails]


def test_a_long_payload_is_cut(app):
    """A report's line stays one."""
    app.send("a", {"text": "x" * 1000})
    [mail] = Mails(memory_of(app))
    assert len(str(mail)) < 80


def test_each_delivery_counts(app):
    """As the task sees it."""
    app.send("a")
    [mail] = Mails(memory_of(app))
    first, second = mail.deliver(app.clock), mail.deliver(app.clock)
    assert (1, 1) == (first.attempt, first.deliveries)
    assert (2, 2) == (second.attempt, second.deliveries)
    assert first.id == second.id == mail.message.id
    assert app.clock.elapsed() + LEASE == first.lease.ends


def test_what_only_waited_killed_no_worker(app):
    """However often: of its deliveries those without a known end are what makes it poison."""
    app.send("a")
    [mail] = Mails(memory_of(app))
    for _ in range(50):
        mail.deliver(app.clock)
        mail.counted -= 1
    last = mail.deliver(app.clock)
    assert (1, 51, 50) == (last.attempt, last.deliveries, last.known_ends)


def test_an_ordered_queue_delivers_a_key_in_order(app):
    """The next one once the one before is done; the one before not again after that."""
    for key in ("k", "k", "other"):
        app.send("a", queue="q.fifo", ordering_key=key)
    first, second, other = Mails(mails := memory_of(app))
    broker = Mails(mails)
    first, second, other = broker
    assert (True, False, True) == tuple(map(broker.may_come, (first, second, other)))
    first.done = True
    assert broker.may_come(second)
    assert broker.may_come(first)
    second.deliver(app.clock)
    assert not broker.may_come(first)


def test_a_redriven_message_begins_anew(app):
    """With its first attempt."""
    app.send("a")
    [mail] = Mails(memory_of(app))
    mail.deliver(app.clock)
    mail.done, mail.reason = True, "gave up"
    mail.redrive()
    assert (False, None) == (mail.done, mail.reason)
    assert 1 == mail.deliver(app.clock).attempt
