"""Dead letters as lines of JSON: bodies byte for byte, edits noted, strangers' lines refused one by one."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.driver import DeadMessage, SendResult
from cloudq.core.message import LINEAGE
from cloudq.core.redriving import REDRIVEN, edits_of, times_redriven
from cloudq.core.signatures import fault_in, sign
from cloudq.core.signing_keys import SigningKey, SigningKeys
from cloudq.errors import Throttled
from cloudq.queues.dead_letters import Redriven
from cloudq.queues.letters import exchange
from cloudq.queues.letters.exchange import line_of
from cloudq.queues.letters.groups import fingerprint_of
from tests.unit.queues.letters.letters import a_failure, a_letter, a_message, a_queue, bury, received

KEY = SigningKey("ops", bytes(range(32)))
# As another program may have written it: white space, an order of its own, an escape.
FOREIGN = b'{ "type":"shop.welcome", "id":"f", "source":"\\u0077eb", "specversion":"1.0", "data": {"n" : 1.0} }\n'


def load(lines: Iterable[bytes], **options: Any) -> tuple[Redriven, list[Any]]:
    """What an import did, and what is in the queue."""
    queue, driver, _ = a_queue(**{name: options.pop(name) for name in ("name", "keys") if name in options})
    done = queue.dead_letters.load(lines, **{"by": "ann@host", **options})
    return done, received(driver, queue.name)


def line(dead: DeadMessage | None = None, **members: Any) -> bytes:
    return json.dumps({**json.loads(line_of(dead or a_letter())), **members}).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in json.loads(line_of(a_letter())).items() if key != name}).encode()


def errors(done: Redriven) -> list[str]:
    return [str(error) for error in done.errors]


def test_a_line_says_what_is_known() -> None:
    """What isn't known is left out."""
    letter = a_letter(a_message(extensions={REDRIVEN: 2}), group="user-7")
    assert json.loads(line_of(letter)) == {
        "format": 1,
        "queue": "q",
        "key": "7",
        "id": "m",
        "task": "shop.welcome",
        "dead_at": "2026-01-31T12:00:00Z",
        "redriven": 2,
        "group": fingerprint_of(letter),
        "ordering_group": "user-7",
        "failure": json.loads(a_failure().encode()),
        "body": letter.body.decode(),
    }
    torn = json.loads(line_of(DeadMessage(key="1", id="x", queue="q", body=b"\xff\x00", message=None, failure=None)))
    assert {"format", "queue", "key", "id", "redriven", "group", "body_base64"} == set(torn)
    assert b"\xff\x00" == base64.b64decode(torn["body_base64"])


def test_a_line_steers_no_terminal() -> None:
    """Somebody will look at the file; its value is the same."""
    letter = a_letter(body='{"\x9b\u2028": "\x1b]0;T\x07"}'.encode())
    written = line_of(letter)
    assert written.decode().isprintable()
    assert letter.body == json.loads(written)["body"].encode()


@pytest.mark.parametrize("body", [FOREIGN, b"\xff\x00 no json", wire.encode(a_message(payload={"text": "ä"}))])
def test_what_is_exported_and_imported_is_what_a_redrive_sends(body: bytes) -> None:
    """The same body and the same count, whatever it is; but for its lineage, which is each one's own."""
    queue, driver, clock = a_queue()
    bury(driver, clock, body)
    lines = list(queue.dead_letters.export())
    assert 1 == queue.dead_letters.redrive().redriven
    (redriven,) = received(driver)
    done, (imported,) = load(lines)
    assert Redriven(redriven=1, chosen=1) == done
    if imported.message is None or redriven.message is None:
        assert redriven.body == imported.body
    else:
        own = {LINEAGE: imported.message.extensions[LINEAGE]}
        assert redriven.message.extensions[LINEAGE] != own[LINEAGE]
        assert replace(redriven.message, extensions={**redriven.message.extensions, **own}) == imported.message
        assert 1 == times_redriven(imported.message, None)


@pytest.mark.parametrize("body", [wire.encode(a_message()), b"\xff\x00 no json"])
def test_an_import_is_stored_whatever_was_stored_before_it(body: bytes) -> None:
    """By a redrive, another import or another line: that may be gone since, and there is no other copy of this."""
    queue, driver, clock = a_queue()
    bury(driver, clock, body)
    lines = list(queue.dead_letters.export())
    queue.dead_letters.redrive()
    for _ in range(2):
        assert 2 == queue.dead_letters.load([*lines, *lines], by="ann").redriven
    assert 5 == len(received(driver))


def test_an_edited_import_is_stored_each_time() -> None:
    """With the same edit, too."""
    queue, driver, _ = a_queue()
    for _ in range(2):
        assert 1 == queue.dead_letters.load([line(edit={"payload": {"n": 2}})], by="ann").redriven
    assert 2 == len(received(driver))


def test_an_undecodable_import_has_a_name_of_its_own() -> None:
    """Services that de-duplicate by the id of what has no name would swallow the next one."""
    queue, driver, clock = a_queue()
    bury(driver, clock, b"\xff")
    names: list[str | None] = []
    send = driver.send
    driver.send = lambda items: (names.extend(item.native_id for item in items), send(items))[1]  # type: ignore[method-assign]
    lines = list(queue.dead_letters.export())
    for _ in range(2):
        queue.dead_letters.load(lines, by="ann")
    assert (2, False) == (len(set(names)), None in names)


def test_a_line_with_an_edit_is_edited() -> None:
    """And the edit noted; a member that it doesn't have stays."""
    changes = {"payload": {"n": 2}, "task": "other", "idempotency_key": None, "headers": {"a": "b"}}
    before = a_letter(a_message(payload={"n": 1}, idempotency_key="k", fairness_key="f"))
    _, (delivery,) = load([line(before, edit=changes)])
    message = delivery.message
    assert ({"n": 2}, "other", None, {"a": "b"}, "f") == (
        message.payload,
        message.task,
        message.idempotency_key,
        message.headers,
        message.fairness_key,
    )
    (edit,) = edits_of(message)
    assert ("ann@host", {"payload", "task", "idempotency_key", "headers"}) == (edit.by, set(edit.what))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"no json", "isn't what an export writes"),
        (b"[" * 100_000, "isn't what an export writes"),
        (b"{}", "isn't what an export writes"),
        (line(format=2), "is of format 2"),
        (line(queue="other"), "is of queue 'other', not of 'q'"),
        (without("body"), "has to have a body"),
        (line(body_base64="AA=="), "and not both"),
        (json.dumps({"format": 1, "queue": "q", "body_base64": "?"}).encode(), "isn't base64"),
        (line(failure={"reason": "r", "generation": -1}), "generation is no count"),
        (line(failure="x"), "the failure details can't be read"),
        (line(edit={"payloat": {}}), "payloat"),
        (line(edit={"payload": [1]}), "isn't what an export writes"),
        (line(edit={}), "changes nothing"),
        (line(a_letter(body=b"\xff"), edit={"task": "t"}), "can't be edited"),
    ],
)
def test_a_line_that_cannot_be_sent_is_named(text: bytes, said: str) -> None:
    """By its number; those around it are sent."""
    good = [line(a_letter(a_message(id=id_))) for id_ in "ab"]
    done, deliveries = load([good[0], text, good[1]])
    assert (2, 3, 1) == (done.redriven, done.chosen, len(done.errors))
    assert errors(done)[0].startswith("line 2: ")
    assert said in errors(done)[0]
    assert ["a", "b"] == [delivery.id for delivery in deliveries]


def test_a_line_that_is_too_long_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is looked at first."""
    monkeypatch.setattr(exchange, "LONGEST_LINE", 10)
    done, _ = load([b"x" * 11])
    assert ["line 1: it has 11 bytes, more than an export writes"] == errors(done)


def test_an_import_goes_on_where_it_ended() -> None:
    """From a line on, at most so many; empty lines are no lines, and keep the others' numbers."""
    lines = [line(a_letter(a_message(id=str(number)))) + b"\n" for number in range(5)]
    lines.insert(2, b" \n")
    done, deliveries = load(lines, start=3, limit=2)
    assert (2, ["2", "3"]) == (done.redriven, [delivery.id for delivery in deliveries])
    done, _ = load([*lines[:3], b"no json"], start=3)
    assert "line 4: " in errors(done)[0]


def test_a_dry_run_sends_nothing() -> None:
    """It says which lines could be."""
    done, deliveries = load([line(), b"no json"], dry_run=True)
    assert (0, 2, 1, []) == (done.redriven, done.chosen, len(done.errors), deliveries)


def test_progress_is_told_after_each_batch_and_no_line_is_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is interrupted knows from where to go on."""
    monkeypatch.setattr(exchange, "_BATCH", 2)
    read: list[int] = []
    seen: list[tuple[int, int]] = []

    def lines() -> Iterable[bytes]:
        for number in range(5):
            read.append(number)
            yield line(a_letter(a_message(id=str(number))))

    load(lines(), progress=lambda done: seen.append((done.chosen, len(read))))
    assert [(2, 2), (4, 4), (5, 5)] == seen


def test_a_batch_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large bodies aren't all held at once."""
    monkeypatch.setattr(exchange, "_BATCH_BYTES", 1)
    seen: list[int] = []
    load([line(a_letter(a_message(id=id_))) for id_ in "abc"], progress=lambda done: seen.append(done.chosen))
    assert [1, 2, 3] == seen


def test_a_rate_holds_for_an_import() -> None:
    """As for a redrive."""
    queue, driver, clock = a_queue()
    clock.wait = lambda _, timeout: clock.advance(timeout) or False  # type: ignore[assignment]
    lines = [line(a_letter(a_message(id=str(number)))) for number in range(6)]
    assert 6 == queue.dead_letters.load(lines, by="ann", rate=2).redriven
    assert timedelta(seconds=2) == clock.elapsed()
    assert 6 == len(received(driver))


def test_what_is_not_stored_is_told_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend's own error, its hint too."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    queue, driver, _ = a_queue()
    error = Throttled("slow down", hint="wait")
    monkeypatch.setattr(driver, "send", lambda items: [SendResult(error=error)] * len(items))
    done = queue.dead_letters.load([line()], by="ann")
    assert (0, ["line 1: slow down; hint: wait"]) == (done.redriven, errors(done))
    assert isinstance(done.errors[0], Throttled)
    assert "slow down" == error.message, "the backend's own error is as it was"


def test_an_ordered_queue_gets_the_group_back() -> None:
    """Of what a foreign producer gave a key beside the body."""
    letter = a_letter(body=FOREIGN, message=wire.decode(FOREIGN, "q.fifo"), queue="q.fifo", group="user-7")
    _, (delivery,) = load([line_of(letter)], name="q.fifo")
    assert "user-7" == delivery.group


# ── signatures ───────────────────────────────────────────────────────────────────────────────────────────

SIGNED = sign(FOREIGN, KEY)


def exported(body: bytes) -> bytes:
    return line_of(a_letter(wire.decode(body, "q"), body=body))


def test_what_is_signed_stays_signed() -> None:
    """By its sender: an import needs no key for it."""
    for keys in (None, SigningKeys([KEY])):
        done, (delivery,) = load([exported(SIGNED)], keys=keys)
        assert (1, ()) == (done.redriven, done.errors)
        assert fault_in(delivery.body, SigningKeys([KEY])) is None
        assert b'{"n" : 1.0}' in delivery.body


@pytest.mark.parametrize("body", [FOREIGN, SIGNED.replace(b"1.0}", b"2.0}")], ids=["unsigned", "altered"])
def test_what_nobody_signed_is_refused_or_vouched_for(body: bytes) -> None:
    """A file is easily altered; who vouches signs it."""
    keys = SigningKeys([KEY])
    done, deliveries = load([exported(body)], keys=keys)
    assert (0, []) == (done.redriven, deliveries)
    assert "isn't signed with a key of yours" in errors(done)[0]
    done, (delivery,) = load([exported(body)], keys=keys, vouch=True)
    assert (1, None) == (done.redriven, fault_in(delivery.body, keys))
    assert () == edits_of(delivery.message), "to vouch is no edit"


def test_an_edit_in_a_file_is_signed() -> None:
    """If the line's own signature fits."""
    keys = SigningKeys([KEY])
    edited = json.dumps({**json.loads(exported(SIGNED)), "edit": {"payload": {"n": 2}}}).encode()
    _, (delivery,) = load([edited], keys=keys)
    assert ({"n": 2}, None) == (delivery.message.payload, fault_in(delivery.body, keys))
    done, _ = load([edited])
    assert "there is no key here" in errors(done)[0]


def test_an_import_to_a_backend_that_is_down_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says from where to go on; no line is passed over without a word."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    monkeypatch.setattr(exchange, "_BATCH", 1)
    queue, driver, _ = a_queue()
    error = Throttled("slow down")
    monkeypatch.setattr(driver, "send", lambda items: [SendResult(error=error)] * len(items))
    done = queue.dead_letters.load([line()] * 9, by="ann")
    assert (0, 3, 4) == (done.redriven, done.chosen, len(done.errors))
    assert "stopped behind line 3" in errors(done)[-1]
    assert "go on with line 4" in errors(done)[-1]
