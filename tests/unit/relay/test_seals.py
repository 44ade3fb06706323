"""Whose signature a message has once it is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudq.app import App
from cloudq.core.message import Message
from cloudq.core.signatures import fault_in, sign
from cloudq.core.signing_keys import parse_signing_keys
from cloudq.core.wire import decode, encode
from cloudq.errors import UndecodableError
from cloudq.queues.signing import UNSIGNED, Signing
from cloudq.relay.seals import Seals
from tests.unit.relay.fakes import Refusing

OLD, NEW = "old:" + "ab" * 32, "new:" + "cd" * 32
KEYS = parse_signing_keys(f"{NEW},{OLD}", "keys")
MESSAGE = Message(id="a", task="t", payload={"n": 1}, queue="q")


def signed(key: str) -> bytes:
    """The message as a program stores it that has this key."""
    return sign(encode(MESSAGE), parse_signing_keys(key, "key").first)


def test_without_keys() -> None:
    """A relay without keys passes on what is there."""
    body = signed(OLD)
    message = decode(body, "q")

    assert message is Seals(lambda: UNSIGNED).opened(message, body)


def test_a_signature_of_our_own() -> None:
    """It is made anew when the message is published."""
    body = signed(OLD)
    opened = Seals(lambda: Signing(mode="require", keys=KEYS)).opened(decode(body, "q"), body)

    assert opened.sealed is None
    assert MESSAGE == opened


@pytest.mark.parametrize("body", [signed("other:" + "ef" * 32), signed(OLD).replace(b'"n":1', b'"n":2')])
def test_a_signature_of_somebody_else(body: bytes) -> None:
    """It stays as it is, for the worker to judge; where signatures are required it is refused."""
    message = decode(body, "q")

    assert message is Seals(lambda: Signing(mode="warn", keys=KEYS)).opened(message, body)
    with pytest.raises(UndecodableError, match="signatures are required, and"):
        Seals(lambda: Signing(mode="require", keys=KEYS)).opened(message, body)


def test_no_signature() -> None:
    """Where signatures are required nothing is signed that its sender didn't sign."""
    body = encode(MESSAGE)
    with pytest.raises(UndecodableError, match="signatures are required, and it has no signature"):
        Seals(lambda: Signing(mode="require", keys=KEYS)).opened(MESSAGE, body)


def test_a_large_payload_that_is_signed(tmp_path: Path) -> None:
    """It becomes a reference, and that has a signature that fits."""
    large = Message(id="a", task="t", payload={"text": "x" * 2_000_000}, queue="q")
    body = sign(encode(large), KEYS.first)
    driver = Refusing()
    stored: list[bytes] = []
    send = driver.send
    driver.send = lambda outgoing: stored.extend(item.body for item in outgoing) or send(outgoing)  # type: ignore[method-assign, func-returns-value]
    app = App("memory://", signing="require", signing_keys=NEW, claim_check=f"file://{tmp_path}")
    with app.using(driver):
        message = Seals(lambda: app.runtime.signing).opened(decode(body, "q"), body)
        (result,) = app.queue("q").send_all([message])

    assert result.error is None
    assert len(stored[0]) < 2_000
    assert fault_in(stored[0], KEYS) is None
