"""What goes wrong in AMQP, under the names that the standard has for it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class ErrorCondition(StrEnum):
    """The error conditions that this package answers with (AMQP 1.0, parts 2.8.15 to 2.8.18)."""

    INTERNAL_ERROR = "amqp:internal-error"
    NOT_FOUND = "amqp:not-found"
    UNAUTHORIZED_ACCESS = "amqp:unauthorized-access"
    DECODE_ERROR = "amqp:decode-error"
    RESOURCE_LIMIT_EXCEEDED = "amqp:resource-limit-exceeded"
    NOT_ALLOWED = "amqp:not-allowed"
    INVALID_FIELD = "amqp:invalid-field"
    NOT_IMPLEMENTED = "amqp:not-implemented"
    CONNECTION_FORCED = "amqp:connection:forced"
    FRAMING_ERROR = "amqp:connection:framing-error"
    WINDOW_VIOLATION = "amqp:session:window-violation"
    HANDLE_IN_USE = "amqp:session:handle-in-use"
    UNATTACHED_HANDLE = "amqp:session:unattached-handle"
    DETACH_FORCED = "amqp:link:detach-forced"
    MESSAGE_SIZE_EXCEEDED = "amqp:link:message-size-exceeded"


class AmqpError(Exception):
    """Something that AMQP has an error condition for.

    Attributes:
        condition: The error condition, a symbol of the standard or of the service.
        text: What is wrong, for people.
        info: More about it, by symbol.
    """

    def __init__(self, condition: str, text: str, info: Mapping[str, object] | None = None) -> None:
        super().__init__(text)
        self.condition = str(condition)
        self.text = text
        self.info = dict(info or {})


class DecodeError(AmqpError):
    """Bytes that are no AMQP: cut off, of no known type, or beyond a limit of this codec."""

    def __init__(self, text: str) -> None:
        super().__init__(ErrorCondition.DECODE_ERROR, text)


class FramingError(AmqpError):
    """Bytes that are no frame."""

    def __init__(self, text: str) -> None:
        super().__init__(ErrorCondition.FRAMING_ERROR, text)


class EncodeError(ValueError):
    """A value that AMQP has no type for, or that is out of its type's range."""
