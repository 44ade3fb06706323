"""Verified senders that can't sign: what they push is signed here, and so are all of its copies."""

from __future__ import annotations

from datetime import timedelta

import pytest

import cloudq
from cloudq.core.message import dead_letter_queue
from cloudq.core.signatures import ATTRIBUTE, fault_in, sign
from cloudq.core.signing_keys import parse_signing_keys
from cloudq.errors import ConfigurationError
from cloudq.push import PushEdge, PushSettings, handle
from cloudq.push.settings import verifier_for
from tests.unit.push.fakes import ACCOUNT, URL, push, pushed

TEXT = f"a:{'0a' * 32},b:{'0b' * 32}"
KEYS = parse_signing_keys(TEXT, "KEYS")
SCHEDULER = "scheduler@project-1.iam.gserviceaccount.com"


class Believed:
    """Takes each request for one of that account's."""

    def __init__(self, account):
        self.account = account

    def verify(self, headers):
        del headers
        return self.account


@pytest.fixture
def place(monkeypatch):
    """A backend that pushes, to an app that requires signatures; what the environment says counts at the edge."""
    monkeypatch.setenv("CLOUDQ_SIGNING", "require")
    monkeypatch.setenv("CLOUDQ_SIGNING_KEYS", TEXT)
    with pushed() as made:
        yield made


@pytest.fixture
def edge_for(place):
    app, _ = place
    made = []

    def edge_for(sender, unsigned=(SCHEDULER,)):
        edge = PushEdge(app, PushSettings(unsigned_accounts=unsigned, insecure_no_auth=True))
        made.append(edge)
        edge.open()
        edge.verifier = Believed(sender)
        return edge

    yield edge_for
    for edge in made:
        edge.close()


def there(driver, queue):
    return driver.receive(queue, limit=9, wait=timedelta(0), lease=timedelta(minutes=1))


def retry() -> None:
    raise cloudq.Retry("once more", delay=timedelta(0))


@pytest.mark.parametrize(
    ("sender", "unsigned", "runs"),
    [(SCHEDULER, [SCHEDULER], True), (ACCOUNT, [SCHEDULER], False), (ACCOUNT, [], False)],
)
def test_only_the_named_accounts_need_no_signature(place, edge_for, sender, unsigned, runs):
    """What another sender pushes without one is a dead letter, body unchanged."""
    app, driver = place
    ran = []
    app.task("t")(lambda: ran.append(cloudq.current().queue))
    headers, body = push("t")
    assert 200 == handle(edge_for(sender, unsigned), headers, body).status
    letters = there(driver, dead_letter_queue("default"))
    assert (["default"], []) == (ran, letters) if runs else ([], [body]) == (ran, [one.body for one in letters])
    for letter in letters:
        assert "signature: it has no signature" == letter.failure.reason


def test_the_copies_of_what_they_push_are_signed(place, edge_for):
    """A retry is pushed by the account of its queue, which needs a signature."""
    app, driver = place
    attempts = []

    @app.task("t")
    def task() -> None:
        attempts.append(cloudq.current().attempt)
        if len(attempts) == 1:
            retry()
        raise cloudq.DeadLetter("enough")

    headers, body = push("t")
    assert 200 == handle(edge_for(SCHEDULER), headers, body).status
    (copy,) = there(driver, "default")
    assert fault_in(copy.body, KEYS) is None
    headers["content-length"] = str(len(copy.body))
    assert 200 == handle(edge_for(ACCOUNT), headers, copy.body).status
    assert [1, 2] == attempts
    (letter,) = there(driver, dead_letter_queue("default"))
    assert (copy.body, "enough") == (letter.body, letter.failure.reason)


@pytest.mark.parametrize("fits", [True, False])
def test_a_signature_of_their_own_is_left_if_it_fits(place, edge_for, fits):
    """Of any key; one that doesn't fit is replaced."""
    app, driver = place
    app.task("t")(retry)
    headers, body = push("t")
    if fits:
        body = sign(body, KEYS.get("b"))
    else:
        body = body.replace(b"{", b'{"%s":"1.b.%s",' % (ATTRIBUTE.encode(), b"0" * 64), 1)
    headers["content-length"] = str(len(body))
    assert 200 == handle(edge_for(SCHEDULER), headers, body).status
    (copy,) = there(driver, "default")
    assert fault_in(copy.body, KEYS) is None
    assert bytes(copy.message.sealed[ATTRIBUTE]).startswith(b'"1.b.' if fits else b'"1.a.')


def test_for_poison_there_is_nothing_to_sign(place, edge_for):
    """It is dead-lettered as ever."""
    _, driver = place
    headers, _ = push("t")
    headers["content-length"] = "1"
    assert 200 == handle(edge_for(SCHEDULER), headers, b"?").status
    (letter,) = there(driver, dead_letter_queue("default"))
    assert b"?" == letter.body


def test_without_keys_there_is_nothing_to_sign_with(place, edge_for, monkeypatch):
    """Nothing looks at signatures then."""
    app, driver = place
    monkeypatch.delenv("CLOUDQ_SIGNING")
    monkeypatch.delenv("CLOUDQ_SIGNING_KEYS")
    app.task("t")(retry)
    assert 200 == handle(edge_for(SCHEDULER), *push("t")).status
    (copy,) = there(driver, "default")
    assert copy.message.sealed is None


def test_who_needs_no_signature_has_to_be_allowed_to_push(place):
    """A misspelt account would be seen only when its messages are dead letters."""
    app, _ = place
    with pytest.raises(ConfigurationError, match="needs no signature, and isn't one of those that may push"):
        verifier_for(PushSettings(unsigned_accounts=[SCHEDULER]), URL, app.clock)
    assert verifier_for(PushSettings(unsigned_accounts=[ACCOUNT]), URL, app.clock) is not None
    with pytest.raises(ConfigurationError, match="unsigned_accounts is a list of strings"):
        PushSettings(unsigned_accounts=SCHEDULER)
