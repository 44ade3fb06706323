"""`Finding`: one thing that a program asks of Celery, with what becomes of it here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from cloudq.compat.celery.verdicts import Entry, Table, Verdict

Kind: TypeAlias = Literal[
    "task option", "task", "call", "retry", "request", "setting", "route", "schedule", "app", "canvas", "import"
]

UNKNOWN: Final = object()
"""In the place of a value that only running the program would tell."""
_DONE_ANYWAY: Final = "it asks for what is done anyway"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one thing, wherever it is.

    Attributes:
        kind: What it is.
        name: Celery's name for it.
        verdict: What becomes of it.
        ours: What does it here, what is different, or what to do instead.
        places: Where it is: a task, a file and its line.
    """

    kind: Kind
    name: str
    verdict: Verdict
    ours: str
    places: tuple[str, ...]


def judged(kind: Kind, table: Table, name: str, value: Any, place: str) -> Finding:
    """What a table says of an option and its value."""
    entry = table.get(name)
    if entry is None:
        return Finding(kind=kind, name=name, verdict=Verdict.REFUSED, ours="no option of Celery's", places=(place,))
    return found(kind, name, entry, place, value)


def found(kind: Kind, name: str, entry: Entry, place: str, value: Any = UNKNOWN) -> Finding:
    """What an answer means for a value."""
    verdict, ours = entry.verdict, entry.ours
    if verdict is Verdict.REFUSED and value is not UNKNOWN and entry.takes(value):
        verdict, ours = Verdict.MAPS, _DONE_ANYWAY
    return Finding(kind=kind, name=name, verdict=verdict, ours=ours, places=(place,))


def together(findings: Iterable[Finding]) -> list[Finding]:
    """The same things in one finding each, with all of their places: what has no counterpart first."""
    places: dict[tuple[Verdict, Kind, str, str], dict[str, None]] = {}
    for one in findings:
        places.setdefault((one.verdict, one.kind, one.name, one.ours), {}).update(dict.fromkeys(one.places))
    order = [Verdict.REFUSED, Verdict.CHANGES, Verdict.MAPS]
    return [
        Finding(kind=kind, name=name, verdict=verdict, ours=ours, places=tuple(where))
        for (verdict, kind, name, ours), where in sorted(
            places.items(), key=lambda item: (order.index(item[0][0]), item[0][1:3])
        )
    ]


def counted(findings: Iterable[Finding]) -> Mapping[Verdict, int]:
    """How many there are of each."""
    counts = dict.fromkeys(Verdict, 0)
    for one in findings:
        counts[one.verdict] += 1
    return counts
