"""What becomes of each of Celery's options here: it maps, it changes its meaning, or it is refused by its name.

The tables beside this module say it of every option that Celery has. A test holds them to Celery's own signatures, and
`cloudq migrate-report celery` reads the same tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeAlias

import msgspec

from cloudq.errors import CloudqError, nearest


class Verdict(Enum):
    """What becomes of an option."""

    MAPS = "maps"
    CHANGES = "changes meaning"
    REFUSED = "refused"


class Entry(msgspec.Struct, frozen=True):
    """What becomes of one option.

    Attributes:
        verdict: The answer.
        ours: What does it here; what is different; or what to do instead.
        accepts: Values of a refused option that ask for nothing else than what is done here anyway. `None` always is.
    """

    verdict: Verdict
    ours: str
    accepts: tuple[object, ...] = ()

    def takes(self, value: object) -> bool:
        """Whether this value is no reason to refuse."""
        if self.verdict is not Verdict.REFUSED or value is None:
            return True
        if isinstance(value, (list, set, frozenset)):
            value = tuple(value)
        return any(type(value) is type(one) and value == one for one in self.accepts)


Table: TypeAlias = Mapping[str, Entry]


def maps(ours: str) -> Entry:
    """It does the same here."""
    return Entry(Verdict.MAPS, ours)


def changes(ours: str) -> Entry:
    """It is honoured, and something is different."""
    return Entry(Verdict.CHANGES, ours)


def refused(instead: str, *accepts: object) -> Entry:
    """It can't be honoured, but for values that ask for what is done anyway."""
    return Entry(Verdict.REFUSED, instead, accepts)


def each(entry: Entry, *names: str) -> dict[str, Entry]:
    """The same of several options."""
    return dict.fromkeys(names, entry)


def check(table: Table, options: Mapping[str, Any], error: type[CloudqError], where: str) -> None:
    """Refuses what can't be honoured. Values aren't shown: a setting may hold a password.

    Args:
        table: What is known of such options.
        options: What is given.
        error: What is raised.
        where: Whose they are, for the message.

    Raises:
        CloudqError: The `error`, by the option's name.
    """
    for name, value in options.items():
        entry = table.get(name)
        if entry is None:
            raise error(f"{where}: Celery has no option {name!r}", hint=nearest(name, table))
        if not entry.takes(value):
            raise error(f"{where}: Celery's option {name!r} can't be honoured", hint=entry.ours)
