"""The two ends of a receiver: what the broker calls back, and what the server calls."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from cloudq.emulators.service_bus.broker.api import BrokerError, Received


class ReceiverSink(Protocol):
    """The server's end of a receiver: where messages go."""

    def deliver(self, received: Received) -> None:
        """Takes one message; the receiver's credit was lowered by one before."""
        ...

    def ended(self, error: BrokerError) -> None:
        """The receiver is closed by the broker: its session's lock was lost, or its entity deleted or disabled."""
        ...


class SessionSink(ReceiverSink, Protocol):
    """The server's end of a receiver that waits for a session. One of the first two is called, once."""

    def accepted(self, receiver: SessionReceiver) -> None:
        """A session is locked for this receiver. It starts without credit."""
        ...

    def refused(self, error: BrokerError) -> None:
        """No session: `SESSION_CANNOT_BE_LOCKED` (somebody has it), `TIMEOUT` (none came), or the entity is gone."""
        ...


class Receiver(Protocol):
    """The broker's end of a receiver."""

    @property
    def credit(self) -> int:
        """How many more messages it may be given."""
        ...

    def set_credit(self, credit: int) -> None:
        """How many messages the server takes from now on (not added to what was left).

        What is available is delivered before this returns, in turns among the receivers of an entity. So to drain is
        `set_credit(n)`, then `set_credit(0)`. While the AMQP session's window is shut, the credit is 0.
        """
        ...

    def close(self) -> None:
        """The link is gone. Closing twice is allowed.

        Message locks stay until they run out. A session is free at once, and what is locked in it becomes available
        with its delivery count unchanged.
        """
        ...


class SessionReceiver(Receiver, Protocol):
    """A receiver that holds the lock of one session."""

    @property
    def session_id(self) -> str:
        """The session's id; the empty string is one."""
        ...

    @property
    def locked_until(self) -> datetime:
        """When the session's lock runs out."""
        ...


class Waiting(Protocol):
    """A receiver that may still be waiting for its session."""

    def cancel(self) -> None:
        """Stops waiting: neither `accepted` nor `refused` is called any more. After either it does nothing."""
        ...
