"""Behaviours of repairs where messages are signed: only what the operator's key has signed reaches a worker."""

from __future__ import annotations

import json
from collections.abc import Mapping

from msgspec.structs import replace

from cloudq.core.message import Message
from cloudq.core.outcome import ACKED
from cloudq.core.signature_check import SignatureCheck
from cloudq.core.signatures import fault_in, kept
from cloudq.core.signing_keys import SigningKeys
from cloudq.errors import ConfigurationError
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.dead_letters import DeadLetters
from cloudq.queues.letters.editing import Means
from cloudq.testing.conformance.bench import TASK, Bench
from cloudq.testing.conformance.signatures import KEYS, altered_events, signed_event

BY = "the kit"
OTHERS = {"z": 2}


class DeadLettersSigned:
    """Edits and imports under signatures."""

    def test_an_edited_message_runs_where_signatures_are_required(self, bench: Bench) -> None:
        """It is signed with the operator's key. Without a key it is refused, and the dead letter stays."""
        bench.put_raw(signed_event())
        bench.kill(bench.one())
        refused = _letters(bench, None).edit(_other_payload, by=BY)
        assert [type(error) for error in refused.errors] == [ConfigurationError]
        assert [dead.body for dead in bench.dead()] == [signed_event()]
        assert _letters(bench).edit(_other_payload, by=BY).redriven == 1
        assert _run(bench, 1) == [OTHERS]

    def test_an_edit_of_what_is_not_signed_is_vouched_for(self, bench: Bench) -> None:
        """The operator's key signs nothing that nobody has signed, unless the operator says that it is to."""
        for body in altered_events()[-2:]:  # without a signature, and with one that doesn't fit
            bench.put_raw(body)
            bench.kill(bench.one())
        refused = _letters(bench).edit(_other_payload, by=BY)
        assert [type(error) for error in refused.errors] == [ConfigurationError] * 2
        assert len(bench.dead()) == 2
        assert _letters(bench).edit(_other_payload, by=BY, vouch=True).redriven == 2
        assert _run(bench, 2) == [OTHERS] * 2

    def test_an_import_keeps_what_is_signed(self, bench: Bench) -> None:
        """As its sender wrote it, so that the sender's key still fits."""
        _assert_kept(bench, KEYS)

    def test_an_import_of_what_is_signed_needs_no_key(self, bench: Bench) -> None:
        """Its bytes stay, and a worker with the sender's key can tell."""
        _assert_kept(bench, None)

    def test_an_import_of_what_was_altered_is_refused(self, bench: Bench) -> None:
        """Each such line is an error, and nothing is stored. What is vouched for is signed anew, and runs."""
        line = json.loads(_exported(bench, signed_event()))
        bodies = altered_events()
        lines = [json.dumps(line | {"body": body.decode()}).encode() for body in bodies]
        refused = _letters(bench).load(lines, by=BY)
        assert [type(error) for error in refused.errors] == [ConfigurationError] * len(bodies)
        bench.nothing()
        done = _letters(bench).load(lines[-1:], by=BY, vouch=True)
        assert (done.redriven, done.errors) == (1, ())
        assert len(_run(bench, 1)) == 1

    def test_an_import_that_edits_signs_anew(self, bench: Bench) -> None:
        """What a line's `edit` changes is signed with the operator's key, and refused where there is none."""
        line = json.loads(_exported(bench, signed_event())) | {"edit": {"payload": OTHERS}}
        refused = _letters(bench, None).load([json.dumps(line).encode()], by=BY)
        assert [type(error) for error in refused.errors] == [ConfigurationError]
        bench.nothing()
        assert _letters(bench).load([json.dumps(line).encode()], by=BY).redriven == 1
        assert _run(bench, 1) == [OTHERS]


def _letters(bench: Bench, keys: SigningKeys | None = KEYS) -> DeadLetters:
    """The dead letters, as an operator with these keys has them."""
    return DeadLetters(
        bench.queue,
        bench.driver.dead_letters(bench.queue),
        CloudQueue(bench.queue, bench.driver, clock=bench.clock).store_copies,
        bench.capabilities,
        bench.clock,
        means=Means(keys=keys),
    )


def _assert_kept(bench: Bench, keys: SigningKeys | None) -> None:
    """What an operator with these keys exports and imports is handed over as it was signed."""
    done = _letters(bench, keys).load([_exported(bench, signed_event())], by=BY)
    assert (done.redriven, done.errors) == (1, ())
    delivery = bench.one()
    assert kept(delivery.body) == kept(signed_event())
    assert fault_in(delivery.body, KEYS) is None


def _other_payload(message: Message) -> Message:
    return replace(message, payload=OTHERS)


def _exported(bench: Bench, body: bytes) -> bytes:
    """The line of that body, which is no longer here."""
    bench.put_raw(body)
    bench.kill(bench.one())
    letters = _letters(bench)
    (line,) = letters.export()
    assert letters.purge() == 1
    return line


def _run(bench: Bench, count: int) -> list[Mapping[str, object]]:
    """The payloads that a worker which requires signatures is handed and runs."""
    payloads: list[Mapping[str, object]] = []
    worker = bench.processor(
        lambda message: payloads.append(dict(message.payload)),
        signatures=SignatureCheck(KEYS, required=True, known=[TASK]),
    )
    for _ in range(count):
        assert worker.work() == ACKED
    bench.nothing()
    return payloads
