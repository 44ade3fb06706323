"""What a queue refuses of what a producer asks for: a table, over the queue's name and its `Capabilities`.

Beside `plan()`, which emulates what a backend can't do: what can't be emulated is refused here, before anything is
stored. A driver may say it in words of its own (`Capabilities.refusals`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from cloudq.core.capabilities import Capabilities, Refusal, Words
from cloudq.core.message import Message, is_dead_letter_queue
from cloudq.core.spans import shown
from cloudq.errors import UnsupportedError


class Rule(NamedTuple):
    """One thing that may be refused.

    Attributes:
        refuses: Whether a queue of that name and with these capabilities refuses the message.
        words: Why, and what to do instead.
        refusal: Under which name a driver may have words of its own for it.
    """

    refuses: Callable[[Message, str, Capabilities], bool]
    words: Words
    refusal: Refusal | None = None


WORDS: Final[Mapping[Refusal, Words]] = {
    Refusal.SEND: Words("takes no messages by itself", "send to where its messages come from"),
    Refusal.REDRIVE: Words(
        "takes no messages by itself, so its dead letters can't be sent to it again",
        "have the service's own tool move them, or send to where its messages come from",
    ),
    Refusal.ORDERING_KEY: Words(
        "keeps no order, so ordering_key is refused", "send to a queue whose name ends in .fifo, or leave it out"
    ),
    Refusal.CANCEL: Words("can't take back what was sent to it", "have the task check whether it is still wanted"),
}

# The first that applies is said.
RULES: Final[Sequence[Rule]] = (
    Rule(
        lambda _message, queue, _able: is_dead_letter_queue(queue),
        Words("is a dead-letter queue by its name: nothing is sent there", "choose another name"),
    ),
    Rule(lambda _message, _queue, able: not able.copies, WORDS[Refusal.SEND], Refusal.SEND),
    Rule(
        lambda message, _queue, able: message.ordering_key is not None and not able.ordering,
        WORDS[Refusal.ORDERING_KEY],
        Refusal.ORDERING_KEY,
    ),
    Rule(
        lambda message, _queue, able: message.ordering_key is None and able.ordering,
        Words(
            "keeps the order of an ordering_key, and the message has none",
            "pass ordering_key=..., or send to a queue without .fifo",
        ),
    ),
    Rule(
        lambda message, _queue, _able: message.ordering_key is not None and message.not_before is not None,
        Words(
            "keeps an order in which a delayed message would lose its place: delay and ordering_key exclude each other",
            "leave one of them out",
        ),
    ),
)


def refuse_unsupported(message: Message, queue: str, capabilities: Capabilities) -> None:
    """Refuses a message that asks for what the queue can't do.

    Raises:
        UnsupportedError: It says what, why, and what to do instead.
    """
    for rule in RULES:
        if rule.refuses(message, queue, capabilities):
            raise _said(queue, capabilities, rule.refusal, rule.words)
    if message.time_limit is not None:
        refuse_time_limit(message.time_limit, capabilities, f"task {message.task!r}", queue)


def takes_plain(queue: str, capabilities: Capabilities) -> bool:
    """Whether the queue takes messages that have no keys and no time limit, which is all that the rules look at."""
    plain = Message(id="", task="", queue=queue)
    return not any(rule.refuses(plain, queue, capabilities) for rule in RULES)


def is_unshared(message: Message, capabilities: Capabilities) -> bool:
    """Whether its fairness key has no effect in a queue. That is no reason to refuse it, only to say so."""
    return message.fairness_key is not None and not capabilities.fairness


def is_plain(message: Message) -> bool:
    """Whether a message is such a one."""
    return message.ordering_key is None and message.fairness_key is None and message.time_limit is None


def refused(refusal: Refusal, queue: str, capabilities: Capabilities) -> UnsupportedError:
    """The error for what the queue refuses, in its driver's words if it has any."""
    return _said(queue, capabilities, refusal, WORDS[refusal])


def refuse_time_limit(limit: timedelta, capabilities: Capabilities, task: str, queue: str) -> None:
    """Refuses a task's time limit that the queue's leases can't last.

    Raises:
        UnsupportedError: A run could be handed to somebody else before it is over.
    """
    longest = capabilities.max_lease
    if longest is not None and not capabilities.extendable and limit > longest:
        raise UnsupportedError(
            f"{task} has a time limit of {shown(limit)}, and queue {queue!r} waits {shown(longest)} at most for a run",
            hint="cut the work into steps that send the next one, or use a backend whose leases can be extended",
        )


def _said(queue: str, capabilities: Capabilities, refusal: Refusal | None, default: Words) -> UnsupportedError:
    words = default if refusal is None else capabilities.refusals.get(refusal, default)
    return UnsupportedError(f"queue {queue!r} {words.why}", hint=words.hint)
