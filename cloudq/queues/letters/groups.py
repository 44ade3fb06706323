"""`DeadGroup`: dead letters of one cause, told by a fingerprint that stays the same over redrives and deploys."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from cloudq.core.driver import DeadMessage
from cloudq.core.printable import shortened
from cloudq.core.redriving import times_redriven

MOST_GROUPS: Final = 10_000
"""The most groups that are told apart. Anybody who may send can make up ever more names of tasks."""
OTHERS: Final = "others"
"""In place of a fingerprint: those beyond `MOST_GROUPS`."""
NOT_DECODED: Final = "(can't be decoded)"
"""In place of a task's name."""

_DIGITS: Final = 12
# More of a line tells nobody more, and patterns on it take time.
_LINE_CHARS: Final = 300
# What differs from one message to the next: what is quoted, then names of things in hexadecimal, then numbers.
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_HEXADECIMAL: Final = re.compile(r"\b(?=[0-9a-f-]*[0-9])(?:0x)?[0-9a-f]{4,}(?:-[0-9a-f]{4,})*\b", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[0-9]+(?:[.,:][0-9]+)*")


class DeadGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of one task that died of the same.

    Attributes:
        fingerprint: Its name: `--where group=...` means its members. `others` for those beyond the first 10,000 groups.
        task: The task's name; `(can't be decoded)` for bodies that can't be.
        error_type: The exception's class, or `None` where there was none.
        text: What its members say, without what differs between them: numbers, and what is quoted.
        count: How many there are.
        since: When the first one died, as far as that is known.
        until: When the last one did.
        redriven: How often the one that was redriven most often was.
        example: The `key` of the oldest.
    """

    fingerprint: str
    task: str
    error_type: str | None
    text: str
    count: int
    since: datetime | None
    until: datetime | None
    redriven: int
    example: str


def fingerprint_of(dead: DeadMessage) -> str:
    """Twelve hexadecimal digits: the task, the error's class, and the first line of its text.

    Where nothing was raised the reason's first line is in the text's place. Numbers and what is quoted don't count.
    """
    task, kind, text = _cause(dead)
    digest = hashlib.sha256()
    for part in (task, kind or "", text):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:%s" % (len(encoded), encoded))
    return digest.hexdigest()[:_DIGITS]


def grouped(letters: Iterable[DeadMessage]) -> Sequence[DeadGroup]:
    """The groups, that with the most members first."""
    counted: dict[str, _Count] = {}
    for dead in letters:
        fingerprint = fingerprint_of(dead)
        if fingerprint not in counted and len(counted) >= MOST_GROUPS:
            fingerprint = OTHERS
        counted.setdefault(fingerprint, _Count(dead)).add(dead)
    groups = [count.group(fingerprint) for fingerprint, count in counted.items()]
    return sorted(groups, key=lambda group: (group.fingerprint == OTHERS, -group.count))


class _Count:
    """What is known of one group so far."""

    __slots__ = ("_cause", "_count", "_example", "_redriven", "_since", "_until")

    def __init__(self, first: DeadMessage) -> None:
        self._cause = _cause(first)
        self._example = first.key
        self._count = self._redriven = 0
        self._since: datetime | None = None
        self._until: datetime | None = None

    def add(self, dead: DeadMessage) -> None:
        at = dead.died_at
        self._count += 1
        self._redriven = max(self._redriven, times_redriven(dead.message, dead.failure))
        if at is not None:
            self._since = at if self._since is None else min(self._since, at)
            self._until = at if self._until is None else max(self._until, at)

    def group(self, fingerprint: str) -> DeadGroup:
        task, kind, text = self._cause if fingerprint != OTHERS else ("", None, "further groups")
        return DeadGroup(
            fingerprint=fingerprint,
            task=task,
            error_type=kind,
            text=text,
            count=self._count,
            since=self._since,
            until=self._until,
            redriven=self._redriven,
            example=self._example,
        )


def _cause(dead: DeadMessage) -> tuple[str, str | None, str]:
    """The task, the error's class, and what it says without what differs between members of a group."""
    task = dead.message.task if dead.message is not None else NOT_DECODED
    failure = dead.failure
    if failure is None:
        return task, None, ""
    said = failure.error_message if failure.error_type is not None else failure.reason
    line = next(iter((said or "").splitlines()), "")[:_LINE_CHARS]
    masked = _NUMBER.sub("#", _HEXADECIMAL.sub("#", _QUOTED.sub("'…'", line)))
    return task, failure.error_type, shortened(masked.strip(), _LINE_CHARS)
