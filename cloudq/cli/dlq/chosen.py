"""Which dead letters a `cloudq dlq` command is about: by their keys, by a condition, or all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Final, NamedTuple

from cloudq.cli.choosing import one_queue
from cloudq.cli.output import note, refuse
from cloudq.cli.parameters import Argument, Option
from cloudq.core.driver import DeadMessage
from cloudq.core.printable import shortened
from cloudq.core.spans import shown
from cloudq.core.url import parse_url
from cloudq.errors import ConfigurationError, OptionError
from cloudq.queues.dead_letters import DeadLetters, Where

Keys = Annotated[
    list[str] | None, Argument(metavar="KEY...", help="Which ones, as the list shows.", show_default=False)
]
All = Annotated[bool, Option("--all", help="All of the queue's dead letters.")]
Condition = Annotated[
    str | None,
    Option(
        "--where",
        metavar="CONDITION",
        help="Those of which it holds, say 'task=emails.* error=SMTP* dead<2h redriven=0'. Names: task, error, "
        "text, id, source, key, ordering, fairness, group, header.NAME, attempts, redriven, dead, until, sent.",
    ),
]
Limit = Annotated[int | None, Option("--limit", metavar="N", min=1, help="At most this many, the oldest first.")]
Rate = Annotated[str | None, Option("--rate", metavar="N/s", help="At most this many a second, evenly; N/m: a minute.")]
DryRun = Annotated[bool, Option("--dry-run", help="Only say what would be done.")]
Unchecked = Annotated[
    bool, Option("--unchecked", help="Another task may be one that the app doesn't declare, of another program.")
]
Vouch = Annotated[
    bool, Option("--vouch", help="Sign also what no key of yours has signed: you vouch for what it says.")
]

SHOWN: Final = 100
"""The most characters of an option's value in an error: it may be a file's content by mistake."""

_UNITS: Final = {"s": 1, "m": 60, "h": 3600}


class Place(NamedTuple):
    """The queue that a command is about.

    Attributes:
        name: Its name.
        where: Its backend, as a person reads it.
        letters: Its dead letters.
        now: When the command began.
    """

    name: str
    where: str
    letters: DeadLetters
    now: datetime


@contextmanager
def place(queue: str, spec: str | None, backend: str | None, *, stores: bool = False) -> Iterator[Place]:
    """The queue, on its backend. Says so where to look is to hide."""
    with one_queue(queue, spec, backend, stores=stores) as (chosen, one):
        letters = one.dead_letters
        tell_hidden(letters)
        yield Place(one.name, str(parse_url(chosen.app.url)), letters, chosen.app.clock.now())


class Choice(NamedTuple):
    """What the words of a command say.

    Attributes:
        keys: The keys that were named, each once; `None` where none was.
        where: The condition; `None` where there is none.
        limit: At most this many.
    """

    keys: Sequence[str] | None
    where: Where | None
    limit: int | None

    def found(self, letters: DeadLetters) -> Iterator[tuple[str, DeadMessage | None]]:
        """The dead letters that are meant; `None` for a key that none has."""
        if self.keys is None:
            return ((dead.key, dead) for dead in letters.select(self.where, limit=self.limit))
        return letters.find(self.keys[: self.limit])


def choice(
    keys: Sequence[str] | None, where: str | None, *, every: bool, limit: int | None = None, now: datetime
) -> Choice:
    """What is meant.

    Raises:
        ConfigurationError: Nothing is, or it is said in two ways.
        OptionError: The condition means nothing.
    """
    if bool(keys) + every + (where is not None) != 1:
        raise ConfigurationError(
            "either KEYs, --where or --all say which dead letters are meant", hint="cloudq dlq list QUEUE"
        )
    condition = condition_of(where, now, all_of_them="--all")
    return Choice(list(dict.fromkeys(keys)) if keys else None, condition, limit)


def condition_of(text: str | None, now: datetime, *, all_of_them: str = "without --where") -> Where | None:
    """What `--where` says; `None` where it isn't given. An empty one, as of a variable that isn't set, is a slip.

    Args:
        text: What was given.
        now: When the command began.
        all_of_them: What to say in its place if all are meant.

    Raises:
        OptionError: It is empty, or means nothing.
    """
    if text is None:
        return None
    if not text.strip():
        raise OptionError("the condition is empty", hint=f"{all_of_them} means all of them")
    return Where.parse(text, now=now)


def rate_of(text: str | None) -> float | None:
    """How many a second: `100/s`, `100/m`, or a bare number.

    Raises:
        OptionError: It isn't one above 0.
    """
    if text is None:
        return None
    number, slash, unit = text.partition("/")
    try:
        rate = float(number) / _UNITS[unit if slash else "s"]
    except (ValueError, KeyError):
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise OptionError(f"--rate {shortened(text, SHOWN)!r} is no rate above 0", hint="--rate 50/s, --rate 100/m")
    return rate


def tell_hidden(letters: DeadLetters) -> None:
    """Says, where it is so, that others don't see what is looked at."""
    if letters.hides_for is not None:
        note(
            "note: this service shows dead letters only by hiding them from others meanwhile; they are given back at "
            f"once, and if this is killed, after {shown(letters.hides_for)}"
        )


def tell_unseen(letters: DeadLetters) -> None:
    """Says, where it is so, that there are more."""
    if letters.unseen:
        note("note: there are more dead letters than the backend shows at once; they show once others are gone")


def tell_missing(queue: str, key: str) -> None:
    """Says that a key is no dead letter's."""
    refuse(f"there is no dead letter {key!r} in queue {queue!r} (any more)", f"cloudq dlq list {queue}")
