"""What a redrive stores: the message as it was, its attempts before it, under a name that swallows nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.driver import Capabilities
from cloudq.core.failure import Failure
from cloudq.core.message import LINEAGE, Message
from cloudq.core.redriving import Edit, redriven_copy, times_redriven, with_edit
from cloudq.core.signatures import fault_in
from cloudq.core.signing_keys import SigningKey, SigningKeys
from cloudq.drivers.memory import MemoryDriver
from cloudq.queues.letters.copying import Copier
from cloudq.testing import FakeClock
from cloudq.testing.profiles import sqs_like
from tests.unit.queues.letters.letters import NOW, a_failure, a_message, taken

KEY = SigningKey("ops", bytes(range(32)))


def copier(queue: str = "q", *, signer: SigningKey | None = None, capabilities: Capabilities | None = None) -> Copier:
    return Copier(queue, capabilities or MemoryDriver().capabilities(queue), FakeClock(), signer)


def test_the_copy_has_all_attempts_before_it() -> None:
    """Due at once, in the next generation, one redrive more; and what else it says stays."""
    message = a_message(
        payload={"n": 1},
        headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        idempotency_key="k",
        attempt_base=4,
        generation=4,
        not_before=a_message().sent_at,
        extensions={"subject": "kept"},
    )
    item = copier().copy(taken(wire.encode(message), failure=a_failure(generation=6)))
    copy = wire.decode(item.body, "q")
    assert (0, None, 7, 1) == (copy.attempt_base, copy.not_before, copy.generation, times_redriven(copy, None))
    expected = redriven_copy(message, a_failure(generation=6))
    assert replace(expected, extensions={**expected.extensions, LINEAGE: item.native_id}) == copy
    assert (item.delay, item.failure, item.foreign) == (timedelta(0), None, None)


def test_what_others_set_beside_the_body_goes_with_it() -> None:
    """In the driver's own form."""
    delivery = replace(taken(wire.encode(a_message())), foreign={"tenant": "a"})
    assert {"tenant": "a"} == copier().copy(delivery).foreign


def test_an_edited_copy_has_a_name_of_its_own() -> None:
    """The unchanged one may be known to the backend, from a redrive that crashed: it would swallow this one."""
    delivery = taken(wire.encode(a_message(payload={"n": 1})))
    edited = a_message(payload={"n": 2})
    plain, changed = copier().copy(delivery), copier().copy(delivery, edited)
    assert plain.native_id != changed.native_id
    assert plain.native_id == copier().copy(delivery).native_id
    assert changed.native_id != copier().copy(delivery, a_message(payload={"n": 3})).native_id
    assert {"n": 2} == wire.decode(changed.body, "q").payload


def test_a_copy_is_known_by_its_dead_letter() -> None:
    """The same one is the same copy again; its twin's, which may be gone since, swallows nothing."""
    message = a_message()
    body = wire.encode(message)
    for instead in (None, a_message(payload={"n": 2})):
        first, again, twin = (copier().copy(taken(body, copy=name), instead).native_id for name in ("1", "1", "2"))
        assert first == again
        assert first != twin


def test_what_descends_from_a_copy_has_its_name() -> None:
    """So what workers make of the same letter's copy again is the same, and of its twin's, or an edit's, it isn't."""
    body = wire.encode(a_message())

    def retry(name: str, instead: Message | None = None) -> str | None:
        copy = wire.decode(copier().copy(taken(body, copy=name), instead).body, "q")
        return copy.retry_copy(attempt_base=1, not_before=None).native_id()

    assert retry("1") == retry("1")
    assert 3 == len({retry("1"), retry("2"), retry("1", a_message(payload={"n": 2}))})


def test_a_lineage_is_that_of_the_latest_copy() -> None:
    """What was redriven, died and is redriven again descends from the latter redrive."""
    first = copier().copy(taken(wire.encode(a_message()), copy="1"))
    second = copier().copy(taken(first.body, copy="2", failure=a_failure(generation=1)))
    lineages = [wire.decode(item.body, "q").extensions[LINEAGE] for item in (first, second)]
    assert [first.native_id, second.native_id] == lineages
    assert first.native_id != second.native_id


def test_the_same_edit_again_is_the_same_copy_again() -> None:
    """Whenever and by whomever: one that was killed is done again."""
    delivery = taken(wire.encode(a_message()))
    edits = [Edit(at=NOW + timedelta(hours=n), by=str(n), what=["payload"], was="0") for n in range(2)]
    names = {copier().copy(delivery, with_edit(a_message(payload={"n": 2}), edit)).native_id for edit in edits}
    assert 1 == len(names)


def test_what_is_changed_is_signed() -> None:
    """With the operator's key; what isn't changed stays as it was signed, or not."""
    delivery = taken(wire.encode(a_message()))
    signing = copier(signer=KEY)
    keys = SigningKeys([KEY])
    assert fault_in(signing.copy(delivery, a_message(payload={"n": 2})).body, keys) is None
    assert fault_in(signing.copy(delivery).body, keys) is not None
    assert fault_in(copier().copy(delivery, a_message(payload={"n": 2})).body, keys) is not None


def test_bytes_that_cannot_be_decoded_go_back_as_they_are() -> None:
    """With a count and a generation beside them, and no name: a later one might be swallowed."""
    item = copier().copy(taken(b"\xff", failure=a_failure(generation=3, redriven=1)))
    assert (b"\xff", None, "native") == (item.body, item.native_id, item.id)
    assert (4, 2) == (item.failure and item.failure.generation, item.failure and item.failure.redriven)
    assert copier().copy(taken(b"\xff")).failure is None


@pytest.mark.parametrize("key", ["own", None])
def test_an_ordered_queue_keeps_the_group(key: str | None) -> None:
    """The message's own key, else the one that a foreign producer gave to the service alone."""
    delivery = taken(wire.encode(a_message(queue="q.fifo", ordering_key=key)), queue="q.fifo", group="native")
    assert (key or "native") == copier("q.fifo", capabilities=sqs_like("q.fifo")).copy(delivery).ordering_key


def test_on_an_unordered_queue_a_group_is_no_order() -> None:
    """It is never given to the driver."""
    delivery = taken(wire.encode(a_message(ordering_key="k")), group="native")
    assert copier().copy(delivery).ordering_key is None


def test_it_goes_to_the_queue_that_it_died_in() -> None:
    """Wherever it was sent to first."""
    item = copier("other").copy(taken(wire.encode(a_message(queue="q")), queue="other", failure=Failure(reason="r")))
    assert ("other", "other") == (item.queue, wire.decode(item.body, "x").queue)
