"""A minimal edge: the real `Processor` and the real `plan()` over a driver, one delivery at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby
from threading import Event

import msgspec

from cloudq.core.claiming import Begun
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Final, Outgoing, PullDriver
from cloudq.core.message import Message
from cloudq.core.outcome import Outcome
from cloudq.core.plan import Plan, plan
from cloudq.core.policy import RetryPolicy
from cloudq.errors import ConfigurationError


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """How an outcome was carried out.

    Attributes:
        plan: What was to be done.
        copied: Whether all copies were stored, so that the plan's `final` was taken, not its `on_copy_failure`.
        error: What the settlement reported.
    """

    plan: Plan
    copied: bool
    error: Exception | None


def carry_out(driver: PullDriver, delivery: Delivery, outcome: Outcome, now: datetime) -> Carried:
    """Stores the plan's copies; if all are stored, takes its final step, else the one for that case."""
    planned = plan(delivery, outcome, driver.capabilities(delivery.queue), now)
    copied = store(driver, planned.copies)
    step = planned.final if copied else planned.on_copy_failure
    (result,) = driver.settle([Final(lease=delivery.lease, step=step)])
    return Carried(plan=planned, copied=copied, error=result.error)


def store(driver: PullDriver, copies: Sequence[Outgoing]) -> bool:
    """Whether all copies are stored, of all queues."""
    results = [
        result for _, batch in groupby(copies, key=lambda copy: copy.queue) for result in driver.send(list(batch))
    ]
    return all(result.error is None for result in results)


class Script:
    """A task for the `Processor`, made of one function of the message. Keeps the deliveries that it ran for."""

    is_async = False
    time_limit = None
    dead_letters_expired = False
    queues: Sequence[str] = ()

    def __init__(self, name: str, function: Callable[[Message], object], policy: RetryPolicy) -> None:
        self.name = name
        self.retry_policy = policy
        self.ran: list[Delivery] = []
        self._function = function

    def load(self, message: Message) -> Message:
        """A script's messages carry their payloads; one that doesn't is another's."""
        raise ConfigurationError(f"{message!r} has its payload in a store, and a script has no store")

    def bind(
        self,
        delivery: Delivery,
        message: Message,
        *,
        deadline: datetime | None,
        lease_lost: Event,
        claim: Begun | None = None,
    ) -> ScriptRun:
        """Takes any payload."""
        del deadline, lease_lost, claim
        return ScriptRun(self, delivery, message)

    def run(self, delivery: Delivery, message: Message) -> object:
        """Runs the function for one delivery."""
        self.ran.append(delivery)
        return self._function(message)


class ScriptRun:
    """One run of a `Script`."""

    context = None

    def __init__(self, script: Script, delivery: Delivery, message: Message) -> None:
        self._script = script
        self._delivery = delivery
        self._message = message

    def run(self) -> object:
        """Runs the script's function."""
        return self._script.run(self._delivery, self._message)

    async def arun(self) -> object:
        """A script isn't async, so this isn't called."""
        return self.run()
