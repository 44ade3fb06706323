"""What a queue refuses, as a table: each rule alone, in the core's words or in the driver's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from cloudq.core.driver import Capabilities, Refusal, Words
from cloudq.core.message import Message
from cloudq.core.refusals import RULES, WORDS, is_plain, is_unshared, refuse_unsupported, refused, takes_plain
from cloudq.errors import UnsupportedError

ABLE = Capabilities(max_batch=1, max_body=1_000, fairness=True)
ORDERED = replace(ABLE, ordering=True)
MESSAGE = Message(id="1", task="shop.pay", queue="q")
KEYED = replace(MESSAGE, ordering_key="k")
DELAYED = replace(KEYED, not_before=datetime(2030, 1, 1, tzinfo=UTC))
FAIR = replace(MESSAGE, fairness_key="tenant")
LONG = replace(MESSAGE, time_limit=timedelta(hours=1))
SHORT = replace(ABLE, max_lease=timedelta(minutes=30), extendable=False)

# message, queue, what it can do, what is refused (None: nothing)
CASES = [
    (MESSAGE, "q", ABLE, None),
    (MESSAGE, "q-dlq", ABLE, "queue 'q-dlq' is a dead-letter queue by its name"),
    (MESSAGE, "q-dlq.fifo", ORDERED, "queue 'q-dlq.fifo' is a dead-letter queue by its name"),
    (MESSAGE, "q", replace(ABLE, copies=False), "queue 'q' takes no messages by itself"),
    (KEYED, "q", ABLE, "queue 'q' keeps no order, so ordering_key is refused"),
    (KEYED, "q.fifo", ORDERED, None),
    (MESSAGE, "q.fifo", ORDERED, "queue 'q.fifo' keeps the order of an ordering_key, and the message has none"),
    (DELAYED, "q.fifo", ORDERED, "delay and ordering_key exclude each other"),
    (replace(DELAYED, ordering_key=None), "q", ABLE, None),
    (FAIR, "q", ABLE, None),
    (FAIR, "q", replace(ABLE, fairness=False), None),
    (LONG, "q", ABLE, None),
    (LONG, "q", replace(SHORT, extendable=True), None),
    (LONG, "q", replace(SHORT, max_lease=timedelta(hours=1)), None),
    (LONG, "q", SHORT, "task 'shop.pay' has a time limit of 1 h, and queue 'q' waits 30 min at most"),
]


@pytest.mark.parametrize(("message", "queue", "able", "said"), CASES)
def test_what_is_refused(message, queue, able, said):
    """Each with what to do instead."""
    if said is None:
        refuse_unsupported(message, queue, able)
        return
    with pytest.raises(UnsupportedError) as raised:
        refuse_unsupported(message, queue, able)
    assert said in str(raised.value)
    assert raised.value.hint


def test_every_rule_has_a_case():
    """So that none is added without one."""
    applied = {
        index
        for message, queue, able, _ in CASES
        for index, rule in enumerate(RULES)
        if rule.refuses(message, queue, able)
    }
    assert set(range(len(RULES))) == applied


@pytest.mark.parametrize("refusal", Refusal)
def test_a_driver_may_have_words_of_its_own(refusal):
    """Else the core's are said, which name no service."""
    own = replace(ABLE, refusals={refusal: Words("of Acme does nothing of the kind", hint="ask Acme")})
    error = refused(refusal, "q", own)
    assert ("queue 'q' of Acme does nothing of the kind", "ask Acme") == (error.message, error.hint)
    assert f"queue 'q' {WORDS[refusal].why}" == refused(refusal, "q", ABLE).message


def test_the_words_of_a_driver_are_said_when_a_send_is_refused():
    """As by `refused`."""
    own = replace(ABLE, refusals={Refusal.ORDERING_KEY: Words("is of Acme", hint="ask Acme")})
    with pytest.raises(UnsupportedError, match="queue 'q' is of Acme"):
        refuse_unsupported(KEYED, "q", own)


def test_plain_messages_are_decided_once_a_queue() -> None:
    """For each message that counts as plain: a queue that takes plain ones refuses it not, and another one does."""
    plain = [message for message, *_ in CASES if is_plain(message)]
    for _, queue, able, _ in CASES:
        for message in plain:
            try:
                refuse_unsupported(message, queue, able)
            except UnsupportedError:
                taken = False
            else:
                taken = True
            assert takes_plain(queue, able) is taken


def test_a_message_with_a_key_or_a_time_limit_is_not_plain() -> None:
    """Nor is one that a rule refuses where it takes plain ones."""
    assert is_plain(MESSAGE)
    assert not any(is_plain(message) for message in (KEYED, FAIR, LONG))
    refused_where_plain_are_taken = [
        message for message, queue, able, said in CASES if said is not None and takes_plain(queue, able)
    ]
    assert not any(map(is_plain, refused_where_plain_are_taken))


def test_where_a_fairness_key_has_no_effect() -> None:
    """Such a message is taken all the same; who sent it is told once."""
    assert is_unshared(FAIR, replace(ABLE, fairness=False))
    assert not is_unshared(FAIR, ABLE)
    assert not is_unshared(MESSAGE, replace(ABLE, fairness=False))
