"""`Handler` and `Job`: what the Processor needs to know of a task, and of a delivery that is bound to one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from threading import Event
from typing import Protocol, TypeVar

from cloudq.core.claiming import Begun
from cloudq.core.delivery import Delivery
from cloudq.core.message import Message
from cloudq.core.policy import RetryPolicy

ContextT_co = TypeVar("ContextT_co", covariant=True)


class Job(Protocol[ContextT_co]):
    """A delivery bound to its task: what is left is to run it."""

    @property
    def context(self) -> ContextT_co:
        """What the handler and the middleware see."""
        ...

    def run(self) -> object:
        """Runs a sync handler."""
        ...

    async def arun(self) -> object:
        """Runs an async handler."""
        ...


class Handler(Protocol[ContextT_co]):
    """A declared task, as far as the Processor needs to know it."""

    @property
    def name(self) -> str:
        """The task's name."""
        ...

    @property
    def queues(self) -> Sequence[str]:
        """The queues that the task's declaration names."""
        ...

    @property
    def retry_policy(self) -> RetryPolicy:
        """The task's own policy, or its app's."""
        ...

    @property
    def time_limit(self) -> timedelta | None:
        """How long the handler may run."""
        ...

    @property
    def is_async(self) -> bool:
        """Whether the handler is a coroutine function."""
        ...

    @property
    def dead_letters_expired(self) -> bool:
        """Whether a message that expired is dead-lettered in place of being acknowledged."""
        ...

    def load(self, message: Message) -> Message:
        """The message with its payload, where a reference stands in its place. May block.

        Raises:
            PayloadLost: The payload isn't there any more, or isn't what was sent.
            ConfigurationError: No store is configured to look for it in.
            BackendError: It isn't available at the moment.
        """
        ...

    def bind(
        self,
        delivery: Delivery,
        message: Message,
        *,
        deadline: datetime | None,
        lease_lost: Event,
        claim: Begun | None = None,
    ) -> Job[ContextT_co]:
        """Binds the payload to the parameters.

        Args:
            delivery: What was handed over.
            message: With its payload.
            deadline: When its time limit ends it, or `None`.
            lease_lost: Set once its lease, or its claim, is over.
            claim: Of its idempotency key, where one was claimed.

        Raises:
            PayloadError: It doesn't fit.
        """
        ...


def not_of(handler: Handler[object], queue: str) -> str:
    """Why a message from that queue isn't run, in words that fit a dead letter's reason."""
    return f"not a task of this queue: {handler.name!r} names {', '.join(map(repr, handler.queues))}, not {queue!r}"
