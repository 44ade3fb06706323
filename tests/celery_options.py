"""The page of Celery's options, written from the tables of `cloudq.compat.celery`. See `tests.option_pages`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from cloudq.compat.celery.app_options import APP_METHODS, APP_OPTIONS
from cloudq.compat.celery.call_options import CALL_OPTIONS, REQUEST_FIELDS, RETRY_OPTIONS
from cloudq.compat.celery.setting_names import SETTINGS
from cloudq.compat.celery.task_options import TASK_METHODS, TASK_OPTIONS
from cloudq.compat.celery.verdicts import Entry, Table, Verdict

PAGE: Final = Path(__file__).parents[1] / "docs/reference/celery-options.md"
TABLES: Final[Mapping[str, Table]] = {
    "`@app.task` and attributes of a task": TASK_OPTIONS,
    "What else a task has": TASK_METHODS,
    "`apply_async` and `send_task`": CALL_OPTIONS,
    "`self.retry`": RETRY_OPTIONS,
    "`self.request`": REQUEST_FIELDS,
    "`Celery(...)`": APP_OPTIONS,
    "What else an app has": APP_METHODS,
    "Settings": SETTINGS,
}
_HEAD: Final = """# Celery's options

What becomes of each option of Celery in [`cloudq.compat.celery`](../how-to/coming-from-celery.md).

- *Maps*: it does the same.
- *Changes meaning*: it is honoured, and something is different, which is said.
- *Refused*: an error by the option's name, where it is declared, called or set. Values that ask for what is done anyway
  are taken.

Settings of a result backend that is no store here (`mongodb_...`, `cassandra_...`, ...) are refused. The page is
written from the tables that the code goes by, and tests hold those to Celery's own signatures.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for title, table in TABLES.items():
        parts.append(f"\n## {title}\n\n| option | | here |\n|---|---|---|\n" + "".join(_rows(table)))
    return "".join(parts)


def _rows(table: Table) -> Iterator[str]:
    """A row for each answer, with all of the options that have it, in the order of the answers' kinds."""
    order = list(Verdict)
    groups: dict[Entry, list[str]] = {}
    for name, entry in table.items():
        groups.setdefault(entry, []).append(name)
    for entry, names in sorted(groups.items(), key=lambda group: (order.index(group[0].verdict), group[1][0])):
        taken = f"; taken: {', '.join(map(_shown, entry.accepts))}" if entry.accepts else ""
        here = (entry.ours + taken).replace("|", "\\|")
        yield f"| {', '.join(f'`{name}`' for name in sorted(names))} | {entry.verdict.value} | {here} |\n"


def _shown(value: object) -> str:
    return f"`{list(value) if isinstance(value, tuple) else value!r}`"
