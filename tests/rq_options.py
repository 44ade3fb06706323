"""The page of RQ's options, written from the tables of `cloudq.compat.rq`. See `tests.option_pages`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from cloudq.compat.rq.table import Table
from cloudq.compat.rq.words import DECORATOR, DELAY, ENQUEUE, JOB, PACKAGE, QUEUE, WORK, WORKER

PAGE: Final = Path(__file__).parents[1] / "docs/reference/rq-options.md"
TABLES: Final[Mapping[str, Table]] = {
    "What `rq` exports": PACKAGE,
    "`enqueue` and its like": ENQUEUE,
    "`@job`": DECORATOR,
    "`delay` of a function under `@job`": DELAY,
    "`Queue`": QUEUE,
    "`Job`": JOB,
    "`Worker`": WORKER,
    "`Worker.work`": WORK,
}
_HEAD: Final = """# RQ's options

What becomes of each word of RQ 3.0 in [`cloudq.compat.rq`](../how-to/coming-from-rq.md).

- *Maps*: it does the same.
- *Changes meaning*: it is honoured, and something is different, which is said.
- *Refused*: an error by its name, which says what to do instead. Of an option `None` and `False` ask for nothing, and
  are taken.

The page is written from the tables that the code goes by, and tests hold those to RQ's own signatures and attributes.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for title, table in TABLES.items():
        parts.append(f"\n## {title}\n\n| RQ | | here |\n|---|---|---|\n" + "".join(_rows(table)))
    return "".join(parts)


def _rows(table: Table) -> Iterator[str]:
    """A row for each answer, with all of the words that have it."""
    for verdict, answers in (("maps", table.maps), ("changes meaning", table.changes), ("refused", table.refused)):
        groups: dict[str, list[str]] = {}
        for name, here in answers.items():
            groups.setdefault(here, []).append(name)
        for here, names in groups.items():
            yield f"| {', '.join(f'`{name}`' for name in sorted(names))} | {verdict} | {here} |\n"
