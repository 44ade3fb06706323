"""`TaskHome`: what a task asks of the app that it belongs to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Protocol

from cloudq.core.clock import Clock
from cloudq.core.message import Message
from cloudq.core.policy import RetryPolicy
from cloudq.tasks.dependencies.of_app import Dependencies
from cloudq.tasks.sent import Sent


class PayloadSource(Protocol):
    """Where the payload of a message is that didn't travel in it."""

    @property
    def namespace(self) -> str:
        """What keeps the app's keys apart from those of others in one store or database."""
        ...

    def with_payload(self, message: Message) -> Message:
        """The message with its payload, where a reference stands in its place."""
        ...


class TaskHome(Protocol):
    """An app, as far as its tasks need to know it."""

    retry_policy: RetryPolicy
    default_queue: str
    convert_untyped: bool
    strict_queues: bool | None
    longest_delay: timedelta
    propagate_expiry: bool
    dependencies: Dependencies

    @property
    def clock(self) -> Clock:
        """Where the time comes from."""
        ...

    @property
    def runtime(self) -> PayloadSource:
        """Where payloads come from."""
        ...

    def send(self, task: Any, /) -> Sent:
        """Stores a call."""
        ...

    async def asend(self, task: Any, /) -> Sent:
        """Stores a call, for async code."""
        ...
