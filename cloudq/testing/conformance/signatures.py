"""Behaviours with signatures: what a foreign sender signed stays as it was written; what isn't signed never runs."""

from __future__ import annotations

import json

from cloudq.core.message import Message
from cloudq.core.outcome import ACKED, DeadLettered, Retried, Snoozed
from cloudq.core.signature_check import SignatureCheck
from cloudq.core.signatures import fault_in, kept, sign
from cloudq.core.signing_keys import SigningKey, SigningKeys
from cloudq.testing.conformance.bench import TASK, Bench
from cloudq.testing.conformance.harness import ZERO

KEYS = SigningKeys([SigningKey("kit", bytes(range(32)))])

# As no encoder of ours would write it: numbers, escapes, white space, an offset from UTC, data before their event.
_EVENT = (
    b'{ "data" : { "z":1.0, "a" : [ 1e2 , "\\u00e9\xc3\xa9" ], "big": 123456789012345678901234567890 },\n'
    b'"timelimit":"300", "headers": "{ \\"b\\":\\"1\\" }", "time":"2026-01-31T13:00:00.250+01:00", "subject":"kept",'
    b'"specversion":"1.0", "id":"7", "source":"/n\\u006fde", "type":"%s"%s }'
)
# What its signature is about, each with another value.
ALTERED = {
    "id": "8",
    "source": "/else",
    "type": "conformance.other",
    "time": "2026-01-31T12:00:00.250Z",
    "expirytime": "2030-01-31T12:00:00Z",
    "idempotencykey": "key",
    "orderingkey": "key",
    "fairnesskey": "key",
    "timelimit": 301,
    "headers": '{"b":"1"}',
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "x=1",
    "data": {"z": 2},
}


def signed_event(task: str = TASK) -> bytes:
    """The event with its signature, beside which it is as its sender wrote it."""
    unsigned = _EVENT % (task.encode(), b"")
    signature = json.loads(sign(unsigned, KEYS.first))["cloudqsignature"]
    return _EVENT % (task.encode(), b', "cloudqsignature" : "%s"' % signature.encode())


def altered_events() -> list[bytes]:
    """The same event, each time with something altered: an attribute, the signature, or without one."""
    event = json.loads(signed_event())
    changed = [event | {name: value} for name, value in ALTERED.items()]
    none = {name: value for name, value in event.items() if name != "cloudqsignature"}
    zero = event | {"cloudqsignature": event["cloudqsignature"][:-4] + "0000"}
    return [json.dumps(one).encode() for one in (*changed, none, zero)]


class Signatures:
    """Keeping what is signed, byte for byte, without a key."""

    def test_a_retry_keeps_what_is_signed(self, bench: Bench) -> None:
        """Released or copied, now or later, counted or not: the next worker reads what was signed."""
        bench.put_raw(signed_event())
        for outcome in (
            Retried(delay=ZERO, reason="again"),
            Retried(delay=bench.unit, reason="later"),
            Snoozed(delay=bench.unit, reason="not due yet"),
        ):
            assert bench.carry_out(bench.one(), outcome).error is None
            bench.advance(outcome.delay + bench.grain)
        _assert_as_signed(bench)

    def test_a_dead_letter_and_its_redrive_keep_what_is_signed(self, bench: Bench) -> None:
        """The dead letter's body is unchanged; what a redrive sends still has a signature that fits."""
        bench.put_raw(signed_event())
        bench.kill(bench.one())
        (dead,) = bench.dead()
        assert dead.body == signed_event()
        assert bench.redrive() == 1
        _assert_as_signed(bench)

    def test_what_is_not_signed_never_runs(self, bench: Bench) -> None:
        """Where signatures are required it is a dead letter at once, with the reason; what is signed runs."""
        ran: list[Message] = []
        check = SignatureCheck(KEYS, required=True, known=[TASK])
        worker = bench.processor(ran.append, signatures=check)
        altered = altered_events()
        for body in altered:
            bench.put_raw(body)
            assert isinstance(worker.work(), DeadLettered)
        bench.put_raw(signed_event())
        assert worker.work() == ACKED
        bench.nothing()
        assert [message.id for message in ran] == ["7"]
        dead = list(bench.driver.dead_letters(bench.queue).peek(limit=len(altered)))
        assert sorted(letter.body for letter in dead) == sorted(altered)
        assert all(letter.failure and letter.failure.reason.startswith("signature: ") for letter in dead)


def _assert_as_signed(bench: Bench) -> None:
    """The next worker reads what was signed, accepts it, and runs it."""
    payloads: list[object] = []
    worker = bench.processor(
        lambda message: payloads.append(dict(message.payload)),
        signatures=SignatureCheck(KEYS, required=True, known=[TASK]),
    )
    delivery = bench.one()
    assert kept(delivery.body) == kept(signed_event())
    assert fault_in(delivery.body, KEYS) is None
    assert worker.work_on(delivery) == ACKED
    assert payloads == [{"z": 1.0, "a": [100.0, "éé"], "big": 123456789012345678901234567890}]
