"""`Message`: its names for de-duplication, its copies, and what a log may show of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.message import (
    LINEAGE,
    Message,
    dead_letter_queue,
    is_dead_letter_queue,
    is_ordered,
    native_copy_id,
)

DUE = datetime(2026, 1, 1, tzinfo=UTC)
MESSAGE = Message(
    id="id-1", task="mail.welcome", queue="mail", payload={"secret": 1}, idempotency_key="k", headers={"secret": "h"}
)

# Few letters, so that the parts of two names often share their concatenation.
parts = st.text("ab:1\x00\ud800", max_size=4)
names = st.tuples(parts, parts, parts, st.integers(0, 12), st.sampled_from(["key", "id"]))


def native(name: tuple[str, str, str, int, str]) -> str | None:
    source, task, text, generation, what = name
    if what == "key":
        return Message(id="same", task=task, queue="q", source=source, idempotency_key=text).native_id()
    return native_copy_id(source, task, text, generation)


def meaning(name: tuple[str, str, str, int, str]) -> tuple[object, ...]:
    """What a name stands for: a key has no generation, and is a task's whoever sent it."""
    source, task, text, generation, what = name
    return (what, task, text) if what == "key" else (what, source, task, text, generation)


@given(st.lists(names, max_size=30))
@example([("", "a", "bc", 1, "id"), ("", "ab", "c", 1, "id"), ("a", "", "bc", 1, "id"), ("", "a", "bc", 1, "key")])
@example([("", "a", "b1", 2, "id"), ("", "a", "b", 12, "id")])
def test_native_ids_are_alike_only_for_the_same_thing(drawn: list[tuple[str, str, str, int, str]]) -> None:
    """Neither source nor task, key, id or generation of two names can run into each other (semantics 1, 2)."""
    assert len({meaning(name) for name in drawn}) == len({native(name) for name in drawn})


def test_a_native_id_fits_every_backend() -> None:
    """64 hexadecimal digits: within the lengths and alphabets of SQS, Service Bus (128) and Cloud Tasks (500)."""
    native_id = MESSAGE.native_id()
    assert native_id is not None
    assert (64, set()) == (len(native_id), set(native_id) - set("0123456789abcdef"))


def test_a_message_without_key_needs_no_native_id_until_it_is_copied() -> None:
    """At generation 0 only an idempotency key de-duplicates; every copy has a name of its own."""
    message = Message(id="1", task="t", queue="q")
    assert message.native_id() is None
    assert (
        native_copy_id(message.source, "t", "1", 1) == message.retry_copy(attempt_base=1, not_before=None).native_id()
    )


def test_the_id_plays_no_part_in_the_name_of_a_key() -> None:
    """Two sends of one task with one key have one name, whatever their ids; of two tasks they have two."""
    again = Message(id="id-2", task="mail.welcome", queue="mail", idempotency_key="k")
    other = Message(id="id-1", task="mail.goodbye", queue="mail", idempotency_key="k")
    assert MESSAGE.native_id() == again.native_id()
    assert MESSAGE.native_id() != other.native_id()


def test_a_chain_of_copies_never_repeats_a_native_id() -> None:
    """So a key's window swallows none of them (semantics 1)."""
    chain = [MESSAGE]
    for number in range(20):
        chain.append(chain[-1].retry_copy(attempt_base=number, not_before=None))
    chain.append(chain[-1].redrive_copy(generation=3))
    chain.append(chain[-1].redrive_copy(generation=50))
    assert len(chain) == len({message.native_id() for message in chain})


def test_copies_of_two_lineages_have_names_of_their_own() -> None:
    """Their generations go by the same numbers. One that is no text, as a stranger may write it, is none."""
    lineages: list[object] = [None, "", "a", "b", 3]
    names = [
        replace(MESSAGE, generation=5, extensions={} if lineage is None else {LINEAGE: lineage}).native_id()
        for lineage in lineages
    ]
    assert native_copy_id(MESSAGE.source, MESSAGE.task, MESSAGE.id, 5) == names[0] == names[1] == names[4]
    assert 3 == len(set(names))


def test_a_lineage_plays_no_part_in_the_name_of_a_key() -> None:
    """As sent a message has none of its own: whoever writes one must not get around a key."""
    assert MESSAGE.native_id() == replace(MESSAGE, extensions={LINEAGE: "a"}).native_id()


def test_a_retry_copy_changes_what_it_says_and_nothing_else() -> None:
    """Attempts, time and generation; the id, the keys and the payload stay."""
    copy = MESSAGE.retry_copy(attempt_base=3, not_before=DUE)
    assert (3, DUE, 1) == (copy.attempt_base, copy.not_before, copy.generation)
    expected = Message(
        id="id-1", task="mail.welcome", queue="mail", payload={"secret": 1}, idempotency_key="k",
        headers={"secret": "h"}, attempt_base=3, not_before=DUE, generation=1,
    )  # fmt: skip
    assert expected == copy


@pytest.mark.parametrize(("own", "given_one", "expected"), [(0, 0, 1), (4, 2, 5), (2, 4, 5)])
def test_a_redrive_copy_starts_afresh_under_a_new_generation(own: int, given_one: int, expected: int) -> None:
    """All attempts again, at once, and newer than both the body and what is kept beside it (semantics 7)."""
    message = Message(id="1", task="t", queue="q", attempt_base=5, not_before=DUE, generation=own)
    assert Message(id="1", task="t", queue="q", generation=expected) == message.redrive_copy(generation=given_one)


def test_a_repr_shows_nothing_that_a_log_should_not_hold() -> None:
    """Neither payload, nor headers, nor keys."""
    assert "Message(id='id-1', task='mail.welcome', queue='mail', generation=0)" == repr(MESSAGE)


def test_messages_share_no_mutable_default() -> None:
    """What one message's owner does to its headers is not seen by another."""
    first, second = Message(id="1", task="t", queue="q"), Message(id="2", task="t", queue="q")
    assert first.headers is not second.headers
    assert first.extensions is not second.payload


@pytest.mark.parametrize(
    ("queue", "dead", "ordered"),
    [
        ("mail", "mail-dlq", False),
        ("mail.fifo", "mail-dlq.fifo", True),
        (".fifo", "-dlq.fifo", True),
        ("mail.fifo.x", "mail.fifo.x-dlq", False),
    ],
)
def test_the_names_of_queues(queue: str, dead: str, ordered: bool) -> None:
    """A suffix declares order and stays a suffix; a dead-letter queue is known by its name."""
    assert (dead, ordered) == (dead_letter_queue(queue), is_ordered(queue))
    assert (True, False) == (is_dead_letter_queue(dead), is_dead_letter_queue(queue))


def test_the_last_generation_has_copies_that_can_be_read() -> None:
    """A retry's and a redrive's: what claims to be at the end of the numbers begins anew."""
    last = Message(id="1", task="t", queue="q", generation=2**31 - 1, attempt_base=2**31 - 1)
    retry = last.retry_copy(attempt_base=2**31, not_before=None)
    redriven = last.redrive_copy(generation=2**31 - 1)
    for copy in (retry, redriven):
        assert copy == wire.decode(wire.encode(copy), "q")
        assert 1 == copy.generation
