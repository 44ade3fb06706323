"""Secrets in the texts of errors."""

from __future__ import annotations

import asyncio
import contextvars
import sys

import pytest

import cloudq
from cloudq.core.redaction import LONGEST, mask_secrets, redacted, redacted_by, redacting

AWS_ID = "AKIA" + "Q" * 16


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no route to postgres://u:S3CRET@db/x", "no route to postgres://u:***@db/x"),
        ("redis://:p/w=@h:6379/0, amqp://a:b@c@h", "redis://:***@h:6379/0, amqp://a:***@h"),
        ("Endpoint=sb://n/;SharedAccessKeyName=root;SharedAccessKey=ab+/c=;E=q",
         "Endpoint=sb://n/;SharedAccessKeyName=root;SharedAccessKey=***;E=q"),
        ("DefaultEndpointsProtocol=https;AccountKey=abc==", "DefaultEndpointsProtocol=https;AccountKey=***"),
        ("GET /b?se=1&sig=ab%2Bc%3D&sp=r", "GET /b?se=1&sig=***&sp=r"),
        (f"key {AWS_ID} is unknown", "key *** is unknown"),
        ("aws_secret_access_key = wJal/K7+x", "aws_secret_access_key = ***"),
        ("/b?X-Amz-Credential=a/b&X-Amz-Signature=0af&x=1", "/b?X-Amz-Credential=***&X-Amz-Signature=***&x=1"),
        ("host=db user=u password=S3CRET dbname=x", "host=db user=u password=*** dbname=x"),
        ("PWD=S3CRET;Server=x", "PWD=***;Server=x"),
        ("Bearer eyJhbGciOiJub25l.eyJzdWIiOiIxIn0.c2ln", "Bearer ***"),
        ("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIB\nQQ==\n-----END RSA PRIVATE KEY-----\nb",
         "a\n***-----END RSA PRIVATE KEY-----\nb"),
    ],
)  # fmt: skip
def test_the_default_masks_what_has_a_secrets_form(text: str, expected: str) -> None:
    """Passwords in URLs and connection strings, keys and tokens of clouds; the rest of the text says what it said."""
    assert expected == mask_secrets(text) == cloudq.mask_secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://host:8080/users/a@b.example isn't there",
        "user a@b.example has no order 42",
        "KeyError: 'SharedAccessKeyName=root'",
        "the password was refused",
        "AKIA and ASIA are prefixes",
    ],
)
def test_what_has_not_stays(text: str) -> None:
    """A port is no password, an address of mail no host."""
    assert text == mask_secrets(text)


@pytest.mark.parametrize("hostile", ["://a:", "password=", "eyJaaaaaaaaa.", "-----BEGIN PRIVATE KEY-----", "AKIA"])
def test_a_text_that_was_made_to_cost_much_ends(hostile: str) -> None:
    """Every repetition is bounded, so that the work grows with the text only, not with its square."""
    mask_secrets(hostile * (LONGEST // len(hostile)))


def test_the_apps_own_is_in_force_within_the_block_only() -> None:
    """Elsewhere it is the default; an await within the block changes nothing."""

    async def within() -> str:
        with redacting(str.upper):
            await asyncio.sleep(0)
            return redacted("a")

    assert ("A", "a", "postgres://u:***@h") == (asyncio.run(within()), redacted("a"), redacted("postgres://u:p@h"))


def test_a_block_that_is_closed_elsewhere_ends() -> None:
    """A coroutine that nobody awaits to its end is closed in whatever context the garbage collector has."""
    block = redacting(str.upper)
    contextvars.copy_context().run(block.__enter__)
    contextvars.copy_context().run(block.__exit__, None, None, None)
    assert "a" == redacted("a")


def test_a_function_that_fails_shows_nothing() -> None:
    """Neither the text nor what it raised, which may hold it; nor what isn't a text."""

    def broken(text: str) -> str:
        raise ValueError(text)

    assert "<not shown: redact raised ValueError>" == redacted_by(broken, "S3CRET")
    assert "<not shown: redact raised SystemExit>" == redacted_by(sys.exit, "S3CRET")
    assert "<not shown: redact gave NoneType>" == redacted_by(lambda _text: None, "S3CRET")  # type: ignore[arg-type, return-value]


def test_no_more_is_looked_at_than_is_ever_kept() -> None:
    """Of a text that holds a whole body, the beginning."""
    assert LONGEST == len(redacted("a" * (LONGEST + 1)))
