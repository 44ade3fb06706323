"""What declarations say of flow control: how fast a task's messages start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from cloudq.core.message import Message
from cloudq.core.safe_log import is_from_outside
from cloudq.errors import ConfigurationError, OptionError, TaskDefinitionError, wording
from cloudq.flow.breakers import Breaker
from cloudq.flow.rates import Rate
from cloudq.flow.seats import AtOnce
from cloudq.tasks.keys import Key, check_template, key_for

if TYPE_CHECKING:
    from cloudq.tasks.binding import Parameters

T = TypeVar("T")

UNKNOWN_KEY: Final = ""
"""What messages share whose key isn't known: it can't be made, or their payload isn't in them. No key is empty."""


class FlowOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Of a declaration, checked.

    Attributes:
        rate: How fast; `None`: as fast as there are slots.
        at_once: How many at once; `None`: as many as there are slots.
        breaker: When nothing of it is started; `None`: always.
    """

    rate: Rate | None = None
    at_once: AtOnce | None = None
    breaker: Breaker | None = None

    @property
    def shared(self) -> bool:
        """Whether something of it is shared by all workers, through the store."""
        return any(one is not None and not one.per_worker for one in (self.rate, self.at_once))


UNLIMITED: Final = FlowOptions()


def flow_options(options: Mapping[str, Any], parameters: Sequence[str], task: str) -> FlowOptions:
    """Those of a declaration.

    Raises:
        TaskDefinitionError: One of them means nothing.
    """
    given = {name: options[name] for name in ("rate", "at_once", "breaker") if options.get(name) is not None}
    if not given:
        return UNLIMITED
    breaker = given.get("breaker")
    if breaker is not None and not isinstance(breaker, Breaker):
        raise TaskDefinitionError(
            f"breaker of task {task!r} is a cloudq.Breaker, not {breaker!r}", hint="breaker=cloudq.Breaker(failures=5)"
        )
    rate = _made("rate", rate_of, given, task)
    at_once = _made("at_once", at_once_of, given, task)
    for name, one in (("rate", rate), ("at_once", at_once)):
        if one is not None and one.key is not None:
            check_template(f"the key of {name}", one.key, parameters, task)
    return FlowOptions(rate=rate, at_once=at_once, breaker=breaker)


def _made(name: str, make: Callable[[object], T], given: Mapping[str, Any], task: str) -> T | None:
    if name not in given:
        return None
    try:
        return make(given[name])
    except OptionError as error:
        raise TaskDefinitionError(f"{name} of task {task!r}: {wording(error)}", hint=error.hint) from error


def rate_of(value: object) -> Rate:
    """A rate, or the text of one.

    Raises:
        OptionError: It is neither.
    """
    return value if isinstance(value, Rate) else Rate(value)  # type: ignore[arg-type]  # it refuses what isn't a text


def at_once_of(value: object) -> AtOnce:
    """How many at once, or the number.

    Raises:
        OptionError: It is neither.
    """
    return value if isinstance(value, AtOnce) else AtOnce(value)  # type: ignore[arg-type]  # it refuses what isn't a number


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
    """What a message is counted under; `UNKNOWN_KEY` where that can't be told. Asks nobody.

    Whatever the parameters' types and a key's function raise is no reason to raise here: what is wrong with the payload
    is found, and said, by the run that follows.
    """
    if message.reference is not None:
        return UNKNOWN_KEY  # it is in the claim-check store, and isn't fetched for that
    try:
        return key_for("key", key, parameters.with_defaults(parameters.arguments(message.payload)))
    except BaseException as error:
        if is_from_outside(error):
            raise
        return UNKNOWN_KEY
