"""Edits: what may change, what is noted, and who may sign it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.driver import DeadMessage
from cloudq.core.fingerprint import fingerprint
from cloudq.core.message import Message
from cloudq.core.redriving import edits_of
from cloudq.core.signatures import sign
from cloudq.core.signing_keys import SigningKey, SigningKeys
from cloudq.errors import CloudqError, ConfigurationError, OptionError, PayloadError, UndecodableError, UnsupportedError
from cloudq.queues.claim_check import ClaimCheck, load_payload, referring
from cloudq.queues.letters.editing import EDITABLE, LONGEST_KEY, Change, Editor, Means, NoTasks, refuse_unsigned, tried
from cloudq.tasks.keys import MAX_KEY
from cloudq.testing import FakeClock
from tests.unit.queues.letters.letters import NOW, a_letter, a_message

OURS = SigningKey("ops", bytes(range(32)))
THEIRS = SigningKey("web", bytes(range(1, 33)))
BOTH = SigningKeys([OURS, THEIRS])


def editor(change: Change, *, keys: SigningKeys | None = None, vouch: bool = False, **means: object) -> Editor:
    return Editor(change, by="ann@host", means=Means(keys=keys, **means), clock=FakeClock(NOW), vouch=vouch)  # type: ignore[arg-type]


def set_n(message: Message) -> Message:
    return replace(message, payload={**message.payload, "n": 2})


def signed(key: SigningKey, message: Message | None = None) -> DeadMessage:
    body = sign(wire.encode(message or a_message(payload={"n": 1})), key)
    return a_letter(wire.decode(body, "q"), body=body)


def test_an_edit_is_noted() -> None:
    """When, by whom, in what, and what the payload was; the letter itself is left as it is."""
    letter = a_letter(a_message(payload={"n": 1, "m": 1}))
    edited = editor(set_n).edit(letter)
    assert {"n": 2, "m": 1} == edited.payload
    (edit,) = edits_of(edited)
    assert (NOW, "ann@host", ["payload"]) == (edit.at, edit.by, list(edit.what))
    assert fingerprint({"n": 1, "m": 1}).hex() == edit.was
    assert {"n": 1, "m": 1} == letter.message.payload  # type: ignore[union-attr]


def test_what_may_change() -> None:
    """Each of these, and nothing else of a message."""
    changes = {
        "task": "other",
        "payload": {"x": 1},
        "idempotency_key": "k",
        "fairness_key": "f",
        "headers": {"a": "b"},
        "expires_at": NOW + timedelta(days=1),
    }
    assert set(EDITABLE) == set(changes)
    for name, value in changes.items():
        edited = editor(lambda message, name=name, value=value: replace(message, **{name: value})).edit(a_letter())
        assert [[name]] == [list(edit.what) for edit in edits_of(edited)]
    for name in set(Message.__struct_fields__) - set(changes):
        other = {"generation": 7, "attempt_base": 7, "queue": "elsewhere", "extensions": {"a": 1}}.get(name, "x")
        with pytest.raises(UnsupportedError, match=f"doesn't change its {name}"):
            editor(lambda message, name=name, other=other: replace(message, **{name: other})).edit(a_letter())


def test_an_edit_of_nothing_is_refused() -> None:
    """It would be a redrive that nobody asked for."""
    with pytest.raises(OptionError, match="changes nothing"):
        editor(lambda message: message).edit(a_letter())


def test_what_cannot_be_decoded_cannot_be_edited() -> None:
    """An export can."""
    with pytest.raises(UndecodableError, match="can't be edited") as raised:
        editor(set_n).edit(a_letter(body=b"\xff"))
    assert "export" in (raised.value.hint or "")


MEANINGLESS = [
    {"task": ""},
    {"task": "bad\x1b[31m"},
    {"idempotency_key": ""},
    {"idempotency_key": "k" * (LONGEST_KEY + 1)},
    {"idempotency_key": "a\0b"},
    {"fairness_key": ""},
    {"expires_at": NOW},
    {"expires_at": (NOW + timedelta(days=1)).replace(tzinfo=None)},
]


@pytest.mark.parametrize("change", MEANINGLESS, ids=lambda change: next(iter(change)))
def test_what_no_send_takes_is_no_edit(change: dict[str, object]) -> None:
    """A key that is none, a task's name that is none, a moment that is over: it would be gone at once."""
    with pytest.raises(OptionError):
        editor(lambda message: replace(message, **change)).edit(a_letter())
    assert LONGEST_KEY == MAX_KEY


def test_what_was_so_before_may_stay() -> None:
    """Only what is changed has to mean something; and a key, or a moment to come, may be taken away or given."""
    before = a_letter(a_message(idempotency_key="", expires_at=NOW - timedelta(days=1), payload={"n": 1}))
    assert "" == editor(set_n).edit(before).idempotency_key
    later = NOW + timedelta(seconds=1)
    for change in ({"idempotency_key": None}, {"expires_at": None}, {"expires_at": later}):
        editor(lambda message, change=change: replace(message, **change)).edit(before)  # type: ignore[misc]


class Tasks(NoTasks):
    """An app that knows one task: its fingerprints leave all out, and it takes no payload without `m`."""

    def fingerprint_of(self, message: Message) -> bytes:
        return b"\x01" * 32

    def check_payload(self, message: Message) -> None:
        if "m" not in message.payload:
            raise PayloadError("m is missing", field="m")


def test_the_app_knows_what_a_task_ignores_and_takes() -> None:
    """Its own fingerprint is noted; what its task wouldn't take isn't sent, as it would die at once."""
    edited = editor(set_n, tasks=Tasks()).edit(a_letter(a_message(payload={"m": 1})))
    assert "01" * 32 == edits_of(edited)[0].was
    with pytest.raises(PayloadError):
        editor(set_n, tasks=Tasks()).edit(a_letter())


@pytest.mark.parametrize("key", [OURS, THEIRS])
def test_what_one_of_the_keys_signed_is_edited(key: SigningKey) -> None:
    """Its sender's signature goes: who stores it signs it anew."""
    edited = editor(set_n, keys=BOTH).edit(signed(key))
    assert edited.sealed is None
    assert b'"n":2' in wire.encode(edited)


FORGED = signed(SigningKey("web", bytes(32)))
UNSIGNED = a_letter(a_message(payload={"n": 1}))


@pytest.mark.parametrize("letter", [FORGED, UNSIGNED], ids=["forged", "unsigned"])
def test_what_nobody_signed_takes_a_voucher(letter: DeadMessage) -> None:
    """Else the operator's key would make a true message of whatever lies there."""
    with pytest.raises(ConfigurationError, match="isn't signed with a key of yours") as raised:
        editor(set_n, keys=BOTH).edit(letter)
    assert "vouch" in (raised.value.hint or "")
    assert {"n": 2} == editor(set_n, keys=BOTH, vouch=True).edit(letter).payload


def test_without_a_key_what_is_signed_is_not_edited() -> None:
    """Vouched for or not: workers would refuse it. What isn't signed is edited."""
    for vouch in (False, True):
        with pytest.raises(ConfigurationError, match="there is no key here"):
            editor(set_n, vouch=vouch).edit(signed(THEIRS))
    assert {"n": 2} == editor(set_n).edit(UNSIGNED).payload


def test_what_cannot_be_decoded_is_nobody_elses_to_sign() -> None:
    """With keys it takes a voucher to send it."""
    letter = a_letter(body=b"\xff")
    with pytest.raises(ConfigurationError):
        refuse_unsigned(letter, BOTH, vouch=False)
    refuse_unsigned(letter, BOTH, vouch=True)
    refuse_unsigned(letter, None, vouch=False)


@pytest.fixture
def store(tmp_path: Path) -> ClaimCheck:
    return ClaimCheck(f"file://{tmp_path}", clock=SYSTEM_CLOCK)


def large(store: ClaimCheck) -> DeadMessage:
    message = a_message(payload={"n": 1, "text": "x" * 1000})
    blob = store.blob(message)
    blob.save()
    return a_letter(referring(message, blob))


def test_a_large_payload_is_edited_whole(store: ClaimCheck) -> None:
    """It is read from its store, and lies there again under another name; the old one stays, as others may have it."""
    letter = large(store)
    edited = editor(set_n, claim_check=store).edit(letter)
    assert edited.reference is not None
    assert letter.message is not None
    assert edited.reference != letter.message.reference
    assert {"n": 2, "text": "x" * 1000} == load_payload(edited, store).payload
    assert 1 == load_payload(letter.message, store).payload["n"]
    assert fingerprint({"n": 1, "text": "x" * 1000}).hex() == edits_of(edited)[0].was


def test_a_dry_run_stores_nothing(store: ClaimCheck, tmp_path: Path) -> None:
    """It looks whether each can be edited, and says why not."""
    letter = large(store)
    before = sorted(tmp_path.rglob("*"))
    done = tried(editor(set_n, claim_check=store), [letter, a_letter(body=b"\xff"), a_letter()])
    assert (0, 3, ["UndecodableError"]) == (done.redriven, done.chosen, [type(one).__name__ for one in done.errors])
    assert before == sorted(tmp_path.rglob("*"))


def test_without_its_store_a_large_payload_is_not_edited(store: ClaimCheck) -> None:
    """The rest of it would be lost."""
    with pytest.raises(CloudqError, match="no claim-check store"):
        editor(set_n).edit(large(store))


@pytest.mark.parametrize(
    "changes", [{"task": ""}, {"expires_at": NOW.replace(tzinfo=None)}, {"payload": {"x": float("nan")}}]
)
def test_what_no_worker_could_read_is_not_sent(changes: dict[str, object]) -> None:
    """The operator learns it now, and the dead letter stays."""
    with pytest.raises(CloudqError):
        editor(lambda message: replace(message, **changes)).edit(a_letter())
