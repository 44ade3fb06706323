"""`LearntSizes`: what a queue takes is learnt from what it refuses, and forgotten."""

from __future__ import annotations

from datetime import timedelta

from cloudq.core.driver import Outgoing
from cloudq.core.failure import Failure
from cloudq.errors import MessageTooLarge
from cloudq.queues.sizes import REMEMBERED, LearntSizes
from cloudq.testing import FakeClock


def item(size: int, queue: str = "q", failure: Failure | None = None) -> Outgoing:
    return Outgoing(id="1", queue=queue, body=b"x" * size, failure=failure)


def test_the_limit_that_a_refusal_names_is_kept_for_its_queue_alone():
    """A queue's limit isn't that of its dead-letter queue; the bytes beside the body are kept, too."""
    sizes = LearntSizes(FakeClock())
    assert sizes.of("q") is None
    sizes.note_refused(item(1000), MessageTooLarge("no", hint="more room", size=1020, limit=800))
    learnt = sizes.of("q")
    assert learnt is not None
    assert (800, 20, "more room", 600) == (learnt.limit, learnt.beside, learnt.hint, learnt.roomy)
    assert sizes.of("q-dlq") is None


def test_a_refusal_without_numbers_says_that_it_was_too_much():
    """Then the queue takes less than what it refused, details included."""
    sizes = LearntSizes(FakeClock())
    failure = Failure(reason="why")
    sizes.note_refused(item(1000, failure=failure), MessageTooLarge("no"))
    learnt = sizes.of("q")
    assert learnt is not None
    assert 1000 + len(failure.encode()) - 1 == learnt.limit


def test_room_for_details_is_16_kib_or_a_quarter():
    """Of a large queue as much as a dead letter's details may take, of a small one a part."""
    sizes = LearntSizes(FakeClock())
    for limit, roomy in ((262_144, 245_760), (65_536, 49_152), (1_024, 768)):
        sizes.note_refused(item(1), MessageTooLarge("no", size=limit + 1, limit=limit))
        learnt = sizes.of("q")
        assert learnt is not None
        assert roomy == learnt.roomy


def test_it_is_forgotten_after_an_hour_or_a_larger_success():
    """Somebody may have raised the queue's limit. The wall clock doesn't count."""
    clock = FakeClock()
    sizes = LearntSizes(clock)
    refusal = MessageTooLarge("no", size=1000, limit=800)
    sizes.note_refused(item(1000), refusal)
    clock.step(timedelta(days=1))
    clock.advance(REMEMBERED - timedelta(seconds=1))
    assert sizes.of("q") is not None
    clock.advance(timedelta(seconds=1))
    assert sizes.of("q") is None
    sizes.note_refused(item(1000), refusal)
    sizes.note_stored(item(800))
    assert sizes.of("q") is not None
    sizes.note_stored(item(801))
    assert sizes.of("q") is None


def test_what_lies_beside_one_message_is_not_taken_for_the_next():
    """Tracers add some hundred bytes to each; what is more is one message's own, and the next has all its room."""
    sizes = LearntSizes(FakeClock())
    sizes.note_refused(item(100), MessageTooLarge("no", size=1_048_577, limit=1_048_576))
    learnt = sizes.of("q")
    assert learnt is not None
    assert 1024 == learnt.beside
