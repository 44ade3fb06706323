"""What declarations say of flow control: how fast a task's messages start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cloudq.core.message import Message
from cloudq.errors import ConfigurationError, OptionError, PayloadError, TaskDefinitionError, wording
from cloudq.flow.rates import Rate
from cloudq.tasks.keys import Key, check_template, key_for

if TYPE_CHECKING:
    from cloudq.tasks.binding import Parameters

UNKNOWN_KEY: Final = ""
"""What messages share whose key isn't known: it can't be made, or their payload isn't in them. No key is empty."""


class FlowOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Of a declaration, checked.

    Attributes:
        rate: How fast; `None`: as fast as there are slots.
    """

    rate: Rate | None = None

    @property
    def shared(self) -> bool:
        """Whether something of it is shared by all workers, through the store."""
        return self.rate is not None and not self.rate.per_worker


UNLIMITED: Final = FlowOptions()


def flow_options(options: Mapping[str, Any], parameters: Sequence[str], task: str) -> FlowOptions:
    """Those of a declaration.

    Raises:
        TaskDefinitionError: One of them means nothing.
    """
    if options.get("rate") is None:
        return UNLIMITED
    try:
        rate = rate_of(options["rate"])
    except OptionError as error:
        raise TaskDefinitionError(f"rate of task {task!r}: {wording(error)}", hint=error.hint) from error
    _check_key("the key of the rate", rate.key, parameters, task)
    return FlowOptions(rate=rate)


def rate_of(value: object) -> Rate:
    """A rate, or the text of one.

    Raises:
        OptionError: It is neither.
    """
    return value if isinstance(value, Rate) else Rate(value)  # type: ignore[arg-type]  # it refuses what isn't a text


def check_queue_rates(given: object) -> None:
    """Refuses what isn't a rate of a queue.

    Raises:
        ConfigurationError: Saying which.
    """
    if given is None:
        return
    if not isinstance(given, Mapping) or not all(isinstance(queue, str) for queue in given):
        raise ConfigurationError("queue_rates are rates by the names of queues", hint='queue_rates={"mail": "50/s"}')
    for queue, value in given.items():
        try:
            rate = rate_of(value)
        except OptionError as error:
            raise ConfigurationError(f"the rate of queue {queue!r}: {wording(error)}", hint=error.hint) from error
        if rate.key is not None:
            raise ConfigurationError(
                f"the rate of queue {queue!r} has a key, which only a task's payload can",
                hint="give the rate to the task",
            )


def queue_rates(given: Mapping[str, str | Rate] | None, before: Mapping[str, Rate]) -> Mapping[str, Rate]:
    """Those of an app: the ones given, which were checked, else the ones before."""
    return before if given is None else {queue: rate_of(value) for queue, value in given.items()}


def key_of(key: Key, message: Message, parameters: Parameters) -> str:
    """What a message is counted under; `UNKNOWN_KEY` where that can't be told. Asks nobody, and never raises.

    What is wrong with the payload is found, and said, by the run that follows.
    """
    if message.reference is not None:
        return UNKNOWN_KEY  # it is in the claim-check store, and isn't fetched for that
    try:
        return key_for("key", key, parameters.with_defaults(parameters.arguments(message.payload)))
    except (OptionError, PayloadError):
        return UNKNOWN_KEY


def _check_key(what: str, key: Any, parameters: Sequence[str], task: str) -> None:
    if key is None:
        return
    check_template(what, key, parameters, task)
