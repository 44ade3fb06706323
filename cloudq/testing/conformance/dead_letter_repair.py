"""Behaviours of what operators do with dead letters: choose, count, edit, carry out and in, and be interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from cloudq.core.driver import HidingLooks, Outgoing, SendResult
from cloudq.core.message import Message
from cloudq.core.outcome import Retried, Snoozed
from cloudq.core.redriving import edits_of, times_redriven
from cloudq.core.signatures import fault_in
from cloudq.errors import ConfigurationError
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.dead_letters import DeadLetters
from cloudq.queues.letters.editing import Means
from cloudq.testing.conformance.bench import Bench
from cloudq.testing.conformance.dead_letters import POISON
from cloudq.testing.conformance.faults import FailingSends
from cloudq.testing.conformance.harness import ZERO
from cloudq.testing.conformance.signatures import KEYS, signed_event

BY = "operator@kit"


class DeadLettersRepaired:
    """Repairing what failed for good."""

    def test_a_condition_chooses_dead_letters(self, bench: Bench) -> None:
        """What it doesn't mean stays: for a look, a redrive and a purge."""
        messages = bench.send_and_kill(3)
        letters = _letters(bench)
        first, second = messages[0].id, messages[1].id
        assert [dead.id for dead in letters.select(f"id={first} error=Broken text='no such order'")] == [first]
        assert letters.redrive(where=f"id={first}").redriven == 1
        assert [delivery.id for delivery in bench.receive(2)] == [first]
        assert letters.purge(where=f"id={second}") == 1
        assert [dead.id for dead in bench.dead()] == [messages[2].id]

    def test_a_dry_run_changes_nothing(self, bench: Bench) -> None:
        """It counts; nothing is sent, nothing deleted."""
        messages = bench.send_and_kill(2)
        letters = _letters(bench)
        assert letters.redrive(dry_run=True).chosen == letters.purge(dry_run=True) == 2
        assert letters.edit(_edited, by=BY, dry_run=True).errors == ()
        assert [dead.id for dead in bench.dead()] == [message.id for message in messages]
        bench.nothing()
        assert letters.redrive().redriven == 2, "nor is anything taken"

    def test_dead_letters_of_one_cause_are_one_group(self, bench: Bench) -> None:
        """Counted, with since when; its name chooses its members."""
        bench.send_and_kill(2)
        bench.put_raw(POISON)
        bench.kill(bench.one(), "undecodable")
        letters = _letters(bench)
        groups = letters.groups()
        assert [group.count for group in groups] == [2, 1]
        assert groups[0].error_type == "shop.errors.Broken"
        assert groups[0].since is not None
        assert len(list(letters.select(f"group={groups[0].fingerprint}"))) == 2

    def test_the_count_of_redrives_survives_them(self, bench: Bench) -> None:
        """What died, was redriven and died again says how often; so does what can't be decoded."""
        bench.send_and_kill(1)
        bench.put_raw(POISON)
        bench.kill(bench.one())
        groups = {group.fingerprint for group in _letters(bench).groups()}
        for times in range(3):
            assert [times_redriven(dead.message, dead.failure) for dead in bench.dead()] == [times, times]
            assert bench.redrive() == 2
            for delivery in bench.receive(2):
                bench.kill(delivery)
        assert {group.fingerprint for group in _letters(bench).groups()} == groups

    def test_an_edited_message_is_handed_over_as_it_says_now(self, bench: Bench) -> None:
        """As its first attempt, with a note of the edit; the dead letter is gone, the others stay."""
        messages = bench.send_and_kill(2)
        done = _letters(bench).edit(_edited, [bench.dead()[1].key], by=BY)
        assert (done.redriven, done.errors) == (1, ())
        (delivery,) = bench.receive(2)
        assert delivery.message is not None
        assert (delivery.id, delivery.attempt) == (messages[1].id, 1)
        assert dict(delivery.message.payload) == {"number": 1, "edited": True}
        assert [(edit.by, list(edit.what)) for edit in edits_of(delivery.message)] == [(BY, ["payload"])]
        assert [dead.id for dead in bench.dead()] == [messages[0].id]

    def test_an_edit_whose_copy_fails_loses_nothing(self, bench: Bench) -> None:
        """The dead letter stays as it was, and the error is reported."""
        (message,) = bench.send_and_kill(1)
        done = _letters(bench, FailingSends(bench.driver).send).edit(_edited, by=BY)
        assert (done.redriven, len(done.errors)) == (0, 1)
        (dead,) = bench.dead()
        assert (dead.id, dead.message) == (message.id, message)
        bench.nothing()

    def test_an_edit_is_not_swallowed_by_an_unchanged_copy(self, bench: Bench) -> None:
        """A redrive was killed between its copy and the deletion: the edit that follows is another message."""
        (message,) = bench.send_and_kill(1)
        _interrupt(bench, store_first=True)
        done = _letters(bench).edit(_edited, by=BY)
        assert (done.redriven, done.errors) == (1, ())
        payloads = []
        for _ in range(2):  # one after the other, as they are of one ordering key where there is one
            delivery = bench.one()
            assert delivery.message is not None
            payloads.append(dict(delivery.message.payload))
            bench.ack(delivery)
        assert sorted(payloads, key=len) == [dict(message.payload), {**message.payload, "edited": True}]

    def test_an_edit_is_signed_anew_or_refused(self, bench: Bench) -> None:
        """By the operator's key, where a key of theirs had signed what is there."""
        bench.put_raw(signed_event())
        bench.kill(bench.one())
        refused = _letters(bench).edit(_edited, by=BY)
        assert [type(error) for error in refused.errors] == [ConfigurationError]
        assert _letters(bench, means=Means(keys=KEYS)).edit(_edited, by=BY).redriven == 1
        delivery = bench.one()
        assert fault_in(delivery.body, KEYS) is None
        assert delivery.message is not None
        assert delivery.message.payload["edited"] is True

    def test_an_export_keeps_bodies_byte_for_byte(self, bench: Bench) -> None:
        """It takes nothing; imported, each is what a redrive would have sent. Also what can't be decoded."""
        body = bench.prepared(bench.message(payload={"text": "ä \N{SNOWMAN}"})).body + b"\n  "
        for raw in (body, POISON):
            bench.put_raw(raw)
            bench.kill(bench.one())
        letters = _letters(bench)
        lines = list(letters.export())
        assert json.loads(lines[0])["body"].encode() == body
        assert len(bench.dead()) == 2
        assert letters.purge() == 2
        done = letters.load(lines, by=BY)
        assert (done.redriven, done.errors) == (2, ())
        deliveries = bench.receive(2, sure=2)
        assert POISON in [delivery.body for delivery in deliveries]
        (message,) = (delivery.message for delivery in deliveries if delivery.message is not None)
        assert message.payload == {"text": "ä \N{SNOWMAN}"}
        assert times_redriven(message, None) == 1

    def test_an_import_edits_what_a_line_says(self, bench: Bench) -> None:
        """And notes it; a line that can't be read is an error, and the others go on."""
        bench.send_and_kill(1)
        letters = _letters(bench)
        (line,) = letters.export()
        changed = json.dumps(json.loads(line) | {"edit": {"payload": {"n": 2}}}).encode()
        letters.purge()
        done = letters.load([b"no line", changed], by=BY)
        assert (done.redriven, len(done.errors)) == (1, 1)
        message = bench.one().message
        assert message is not None
        assert (dict(message.payload), len(edits_of(message))) == ({"n": 2}, 1)

    def test_two_imports_of_one_message_are_two_to_the_end(self, bench: Bench) -> None:
        """Each is retried, dies and is redriven inside the window: no copy of one swallows a copy of the other."""
        (message,) = bench.send_and_kill(1)
        letters = _letters(bench)
        lines = list(letters.export())
        letters.purge()
        assert [letters.load(lines, by=BY).redriven for _ in range(2)] == [1, 1]
        for outcome in (Retried(delay=ZERO, reason="again"), Snoozed(delay=bench.unit, reason="again")):
            # Of one ordering key only the first is there; a retry leaves it where it is.
            for delivery in bench.receive(2, sure=1 if bench.capabilities.ordering else 2):
                carried = bench.carry_out(delivery, outcome)
                assert (carried.copied, carried.error) == (True, None)
            bench.advance(outcome.delay + bench.grain)
        for _ in range(2):
            bench.kill(bench.one())
        assert [dead.id for dead in bench.dead()] == [message.id] * 2
        assert bench.redrive() == 2
        for _ in range(2):
            bench.ack(bench.one())

    def test_an_interrupted_redrive_leaves_each_in_one_place_or_in_two(self, bench: Bench) -> None:
        """What isn't settled is free at once, and the same call does the rest."""
        ids = [message.id for message in bench.send_and_kill(4)]
        _interrupt(bench, store_first=True)
        assert [dead.id for dead in bench.dead()] == ids[1:] or set(ids) == {dead.id for dead in bench.dead()}
        assert bench.redrive() >= 3
        received = [delivery.id for delivery in bench.receive(8, sure=4)]
        assert set(received) == set(ids)
        assert all(received.count(id_) <= 2 for id_ in ids)
        assert list(bench.dead()) == []

    def test_two_operators_at_once_make_two_copies_at_most(self, bench: Bench) -> None:
        """Each that was meant is sent by one of them, or seen as the other's."""
        ids = [message.id for message in bench.send_and_kill(3)]
        theirs: list[int] = []

        def store(copies: Sequence[Outgoing]) -> Sequence[SendResult]:
            if not theirs:
                done = _letters(bench).redrive()
                theirs.append(done.redriven)
                assert list(done.errors) == []
            return bench.driver.send(copies)

        ours = _letters(bench, store).redrive()
        assert list(ours.errors) == []
        assert ours.redriven + theirs[0] == 3
        received = [delivery.id for delivery in bench.receive(6, sure=3)]
        assert set(received) == set(ids)
        assert all(received.count(id_) <= 2 for id_ in ids)

    def test_a_dead_letter_says_in_whose_order_it_was(self, bench: Bench) -> None:
        """On an ordered queue its ordering key, also where its body can't say it; elsewhere none is in force."""
        (message,) = bench.send_and_kill(1)
        bench.put_raw(POISON)
        bench.kill(bench.one())
        groups = {dead.body: dead.group for dead in bench.dead()}
        if bench.capabilities.ordering:
            assert groups[bench.prepared(message).body] == message.ordering_key
            assert groups[POISON] is not None
        else:
            assert set(groups.values()) == {None}

    def test_what_a_look_hides_is_given_back_at_once(self, bench: Bench) -> None:
        """Others see all of it as soon as the look has ended; one that leases says for how long it might not be so."""
        bench.send_and_kill(2)
        queue = bench.driver.dead_letters(bench.queue)
        assert len(list(_letters(bench).select("error=Nothing"))) == 0
        others = bench.client().dead_letters(bench.queue)
        assert len(others.peek(limit=10)) == 2
        assert len(others.take(None, limit=10, lease=bench.lease)) == 2
        if isinstance(queue, HidingLooks):
            assert queue.hides_for > bench.unit * 0


def _letters(
    bench: Bench, store: Callable[[Sequence[Outgoing]], Sequence[SendResult]] | None = None, means: Means | None = None
) -> DeadLetters:
    copies = store or CloudQueue(bench.queue, bench.driver, clock=bench.clock).store_copies
    return DeadLetters(
        bench.queue,
        bench.driver.dead_letters(bench.queue),
        copies,
        bench.capabilities,
        bench.clock,
        means=means,
    )


def _edited(message: Message) -> Message:
    return replace(message, payload={**message.payload, "edited": True})


def _interrupt(bench: Bench, *, store_first: bool) -> None:
    """A redrive that is interrupted at the first copy that it makes, or just behind it."""

    def store(copies: Sequence[Outgoing]) -> Sequence[SendResult]:
        if store_first:
            assert [result.error for result in bench.driver.send(copies)] == [None] * len(copies)
        raise KeyboardInterrupt

    letters = DeadLetters(
        bench.queue,
        bench.driver.dead_letters(bench.queue),
        store,
        replace(bench.capabilities, max_batch=1),
        bench.clock,
    )
    try:
        letters.redrive()
    except KeyboardInterrupt:
        return
    raise AssertionError("the redrive should have been interrupted")
