"""`Looking`: the side of `DeadLetters` that takes nothing and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.driver import BoundedLooks, DeadLetterQueue, DeadMessage, HidingLooks
from cloudq.core.printable import shortened
from cloudq.core.shield import shielded
from cloudq.errors import OptionError
from cloudq.queues.letters.exchange import line_of
from cloudq.queues.letters.groups import DeadGroup, grouped
from cloudq.queues.letters.redriving import PAGE
from cloudq.queues.letters.where import Where

# Of what was given in the place of a key or a number, in an error.
_SHOWN: Final = 60


class Looking:
    """What can be seen of the dead letters of one queue.

    Args:
        queue: The queue that they died in.
        dead: They.
        clock: Where the time comes from.
    """

    def __init__(self, queue: str, dead: DeadLetterQueue, clock: Clock) -> None:
        self.queue = queue
        self._dead = dead
        self._clock = clock

    @shielded
    def peek(self, *, limit: int = PAGE, after: str | None = None) -> Sequence[DeadMessage]:
        """Up to `limit` dead letters, oldest first, from behind the one whose `key` is `after`. Takes nothing.

        Raises:
            OptionError: The limit isn't a whole number from 0.
        """
        return self._dead.peek(limit=checked_limit(limit), after=after)

    def __iter__(self) -> Iterator[DeadMessage]:
        """All dead letters, oldest first, read page by page."""
        return self.select()

    def select(
        self, where: Where | str | None = None, *, limit: int | None = None, after: str | None = None
    ) -> Iterator[DeadMessage]:
        """Those of a condition, oldest first, from behind the one whose `key` is `after`. Read page by page.

        Takes nothing. On Amazon SQS, which shows nothing without leasing it, a look hides all that it reads from others
        until it ends.

        Raises:
            OptionError: The condition, or the limit, means nothing.
        """
        condition = Where.of(where, now=self._clock.now())
        return islice(filter(condition.matches, self._pages(after)), bound_of(limit))

    def groups(self, where: Where | str | None = None) -> Sequence[DeadGroup]:
        """What they died of: those of one task and one cause together, the most frequent first. Takes nothing."""
        return grouped(self.select(where))

    @property
    def unseen(self) -> bool:
        """Whether the latest look here ended at the backend's bound, so that there may be more dead letters.

        Amazon SQS and Google Cloud Tasks can't list them page by page. A look there ends after 10,000, or after 64 MiB
        of their bodies; the others show once those are gone. Azure Service Bus lists all, but hands over only the
        oldest: there a search for chosen ones, to redrive or to purge them, ends after 10,000 others.
        """
        return isinstance(self._dead, BoundedLooks) and self._dead.unseen

    @property
    def hides_for(self) -> timedelta | None:
        """For how long a look that is cut off hides from others what it had read, at most; `None` where none does."""
        return self._dead.hides_for if isinstance(self._dead, HidingLooks) else None

    @shielded
    def get(self, key: str) -> DeadMessage | None:
        """The dead letter with that `key`, or `None` if there is none (any more)."""
        return self._dead.get(*_checked([key]))

    def find(self, keys: Sequence[str]) -> Iterator[tuple[str, DeadMessage | None]]:
        """Each of the keys with the dead letter that has it, or with `None` if there is none (any more).

        On Amazon SQS, where to find one is to read the queue, all of them are found by one look.

        Raises:
            OptionError: The keys are no list of texts.
        """
        return self._find(_checked(keys))

    def _find(self, keys: Sequence[str]) -> Iterator[tuple[str, DeadMessage | None]]:
        found: dict[str, DeadMessage] = {}
        by_one_look = len(keys) > 1 and isinstance(self._dead, HidingLooks)
        if by_one_look:
            wanted = set(keys)
            found = {dead.key: dead for dead in self.select() if dead.key in wanted}
        # Behind the bound of a look at all of them a look for one may come further: it needs no other's body.
        complete = by_one_look and not self.unseen
        for key in keys:
            yield key, (found[key] if key in found else None if complete else self.get(key))

    def export(
        self, where: Where | str | None = None, *, limit: int | None = None, after: str | None = None
    ) -> Iterator[bytes]:
        """Those that `select` gives, as lines of JSON without their ends; bodies byte for byte. Takes nothing."""
        return map(line_of, self.select(where, limit=limit, after=after))

    def _pages(self, after: str | None) -> Iterator[DeadMessage]:
        while page := self._dead.peek(limit=PAGE, after=after):
            yield from page
            after = page[-1].key

    def _chosen(self, keys: Sequence[str] | None, where: Where | str | None, limit: int | None) -> list[str]:
        """The keys of those that are meant: listed first, so that nothing that dies again is taken in a circle."""
        if keys is None:
            return [dead.key for dead in self.select(where, limit=limit)]
        if where is not None:
            raise OptionError("keys and a condition both say which dead letters are meant", hint="give one of them")
        return list(dict.fromkeys(_checked(keys)))[: bound_of(limit)]

    def _listed(
        self, keys: Sequence[str] | None, where: Where | str | None, limit: int | None
    ) -> Iterator[DeadMessage]:
        """Those that are meant and there."""
        if keys is None:
            return self.select(where, limit=limit)
        found = self.find(self._chosen(keys, where, limit))
        return (dead for _, dead in found if dead is not None)


def bound_of(limit: int | None) -> int | None:
    """At most how many; `None` is all.

    Raises:
        OptionError: It isn't a whole number from 0. To other programs -1 means all, which here would be none.
    """
    return None if limit is None else checked_limit(limit)


def checked_limit(limit: int) -> int:
    """The limit, if it is one. Raises as `bound_of`."""
    if not isinstance(limit, int) or limit < 0:
        raise OptionError(
            f"a limit is a whole number of dead letters, from 0, not {shortened(repr(limit), _SHOWN)}",
            hint="None, or none given, is all",
        )
    return limit


def _checked(keys: Sequence[str]) -> Sequence[str]:
    """The keys, if they are some. A text is a sequence of texts, too: `purge("12")` would delete 1 and 2."""
    if isinstance(keys, str) or not isinstance(keys, Iterable):
        raise OptionError(
            f"keys are a list of texts, not {shortened(repr(keys), _SHOWN)}",
            hint='["12"]; a condition is where="task=emails.*"',
        )
    given = list(keys)
    for key in given:
        if not isinstance(key, str):
            raise OptionError(f"a key is a text, not {shortened(repr(key), _SHOWN)}", hint="as DeadMessage.key says it")
    return given
