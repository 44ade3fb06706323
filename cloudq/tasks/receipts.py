"""A send's receipt: a text that can be stored, by which any process of the app cancels the message."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

import msgspec

from cloudq.errors import OptionError, UnsupportedError
from cloudq.tasks.sent import Sent

# What a receipt starts with. Another form gets another one.
_FORM: Final = "cq1."
_ANY_FORM: Final = re.compile(r"cq[0-9]+\.")
_ENCODER: Final = msgspec.json.Encoder()


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a receipt says.

    Attributes:
        queue: The queue that the message was sent to.
        native: The driver's own receipt of it.
        noted: The message's id, if a store has noted that it waits.
    """

    queue: str
    native: str
    noted: str | None = None


def receipt_of(queue: str, native: str, noted: str | None = None) -> str:
    """The receipt of a message: letters, digits, `-`, `_` and a dot, to be stored or typed."""
    encoded = _ENCODER.encode((queue, native) if noted is None else (queue, native, noted))
    # As base64.urlsafe_b64encode without its padding, in a quarter of the time: `translate` makes a table each time.
    text = binascii.b2a_base64(encoded, newline=False).decode("ascii")
    return _FORM + text.rstrip("=").replace("+", "-").replace("/", "_")


def is_receipt(text: str) -> bool:
    """Whether a text is meant as a receipt; else it may be a message's id."""
    return _ANY_FORM.match(text) is not None


def read_receipt(sent: Sent | str) -> Receipt:
    """What a receipt says, or that of a `Sent`.

    Raises:
        UnsupportedError: The message has no receipt.
        OptionError: It isn't a receipt.
    """
    receipt = sent.receipt if isinstance(sent, Sent) else sent
    if receipt is None:
        raise UnsupportedError(
            "this message has no receipt: its queue can't cancel, or only delayed messages, or it was a duplicate",
            hint="docs/reference/backends.md says which backends can",
        )
    if not isinstance(receipt, str):
        raise OptionError(f"a receipt is a text, not a {type(receipt).__name__}", hint="pass the Sent, or its .receipt")
    form, encoded = receipt[: len(_FORM)], receipt[len(_FORM) :]
    try:
        if form != _FORM:
            raise ValueError
        padded = encoded.encode("ascii") + b"=" * (-len(encoded) % 4)
        said = base64.b64decode(padded, b"-_", validate=True)
        queue, native, *noted = msgspec.json.decode(said, type=list[str])
        if len(noted) > 1:
            raise ValueError
    except (ValueError, binascii.Error, RecursionError):
        raise OptionError(
            "this is no receipt of a message", hint="it is the .receipt of what a send returned, unchanged"
        ) from None
    return Receipt(queue=queue, native=native, noted=noted[0] if noted else None)
