"""What the broker refuses, in AMQP's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cloudq.emulators.service_bus.amqp.errors import AmqpError
from cloudq.emulators.service_bus.broker.api import BrokerError


def as_amqp(error: BrokerError) -> AmqpError:
    """The same refusal."""
    return AmqpError(error.condition.value, error.text)


@contextmanager
def amqp_errors() -> Iterator[None]:
    """What the broker refuses inside is an `AmqpError`."""
    try:
        yield
    except BrokerError as error:
        raise as_amqp(error) from error
