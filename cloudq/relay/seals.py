"""`Seals`: whose signature a message has once it is published.

A program that has signing keys signs what it stores in its outbox, as what it sends. A message keeps that signature on
its way, unless it has to change: a payload that is too large for its queue becomes a reference. So the relay looks at
the signature first, and where it is one of its own keys' it is made anew, for what is published in the end.

Who may write the outbox's table could otherwise have anything signed. So where signatures are required, what has none,
or one that doesn't fit, is refused here already.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from msgspec.structs import replace

from cloudq.core.message import Message
from cloudq.core.signatures import fault_in
from cloudq.errors import UndecodableError
from cloudq.queues.signing import Signing


class Seals:
    """Looks at signatures.

    Args:
        signing: Which keys sign and verify, and how strictly; asked once, at the first message.
    """

    def __init__(self, signing: Callable[[], Signing]) -> None:
        self._asked = signing

    @cached_property
    def _signing(self) -> Signing:
        return self._asked()

    def opened(self, message: Message, body: bytes) -> Message:
        """The message as it is to be sent: without a signature that the queue will make anew.

        Args:
            message: What was decoded.
            body: From what.

        Raises:
            UndecodableError: It isn't signed as it has to be.
            ConfigurationError: The keys can't be used.
        """
        keys = self._signing.keys
        if keys is None:
            return message
        fault = fault_in(body, keys)
        if fault is None:
            return replace(message, sealed=None)
        if self._signing.mode == "require":
            raise UndecodableError(
                f"signatures are required, and {fault}",
                hint="give the program that sends the same CLOUDQ_SIGNING_KEYS; `cloudq outbox skip` deletes this one",
            )
        return message
