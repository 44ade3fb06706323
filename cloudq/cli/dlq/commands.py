"""`cloudq dlq list` and `show`: what takes nothing and changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from cloudq.cli.choosing import any_app, queues_of
from cloudq.cli.dlq.chosen import (
    All,
    Condition,
    Keys,
    Limit,
    choice,
    condition_of,
    place,
    tell_hidden,
    tell_missing,
    tell_unseen,
)
from cloudq.cli.dlq.going_on import Options, command
from cloudq.cli.dlq.text import as_json, in_words, moment, reason_of, show
from cloudq.cli.failures import FAILED
from cloudq.cli.options import Backend, Debug, Json, NamedApp, Queue, queue_name
from cloudq.cli.output import is_terminal, note, refuse_closed, table, write, write_bytes, write_json
from cloudq.cli.parameters import Argument, Option
from cloudq.core.driver import DeadMessage
from cloudq.errors import ConfigurationError
from cloudq.queues.dead_letters import PAGE, DeadLetters, Where

LIST_EXAMPLES: Final = (
    "cloudq dlq list",
    "cloudq dlq list emails --limit 20",
    "cloudq dlq list emails --where 'task=shop.welcome error=SMTP* dead>2h'",
    "cloudq dlq list emails --groups",
    "cloudq dlq list emails --json --limit 0",
)
SHOW_EXAMPLES: Final = ("cloudq dlq show emails 17", "cloudq dlq show emails 17 --raw > body.json")

OptionalQueue = Annotated[
    str | None,
    Argument(metavar="QUEUE", help="The queue's name. Default: every queue that the tasks declare."),
]
Row = tuple[object, ...]


def list_(
    queue: OptionalQueue = None,
    *,
    where: Condition = None,
    groups: Annotated[
        bool,
        Option("--groups", help="A line for those that died of the same: how many, since when, how often redriven."),
    ] = False,
    limit: Annotated[int, Option("--limit", metavar="N", min=0, help="At most this many a queue; 0 for all.")] = PAGE,
    after: Annotated[
        str | None, Option("--after", metavar="KEY", help="From behind this one, to go on where a list ended.")
    ] = None,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """List dead letters, oldest first. Takes none, changes nothing.

    With --groups those of one task that died of the same are one line, the most frequent first; --where group=... means
    its members, in all commands.
    """
    refuse_closed(sys.stdout, "stdout")
    if groups and after is not None:
        raise ConfigurationError("--groups counts all, so it has no place to go on from", hint="leave --after out")
    with any_app(app, backend, wanted=queue is None) as chosen:
        condition = condition_of(where, chosen.app.clock.now())
        names = queues_of(chosen, [] if queue is None else [queue_name(queue)])
        if after is not None and len(names) > 1:
            raise ConfigurationError(
                "--after needs a queue: a key is the place in one queue's list", hint="name the queue"
            )
        again: Options = {
            "--where": None if condition is None else condition.fixed,
            "--limit": None if limit == PAGE else limit,
            "--app": app,
            "--backend": backend,
            "--json": json,
        }
        rows: list[Row] = []
        for name in names:
            letters = chosen.app.queue(name).dead_letters
            tell_hidden(letters)
            if groups:
                rows += _groups(name, letters, condition, limit, json=json)
            else:
                rows += _list(name, letters, condition, limit, after, again=again, json=json)
    if json:
        return
    if rows:
        table(("queue", "group", "what") if groups else _COLUMNS, rows)
    else:
        note(f"no dead letters{'' if where is None else ' of that condition'} in {_names(names)}")


_COLUMNS: Final = ("queue", "key", "task", "dead since", "attempts", "reason")


def _list(
    name: str,
    letters: DeadLetters,
    where: Where | None,
    limit: int,
    after: str | None,
    *,
    again: Options,
    json: bool,
) -> list[Row]:
    """Page by page, so that a list of any length needs one page of memory, but for the rows of its table."""
    rows: list[Row] = []
    last: str | None = None
    for dead in letters.select(where, limit=limit or None, after=after):
        last = dead.key
        if json:
            write_json(as_json(dead))
        else:
            rows.append(_row(name, dead))
    if last is not None and limit and next(letters.select(where, limit=1, after=last), None) is not None:
        note(f"there are more: {command('list', name, options={**again, '--after': last})}")
    else:
        tell_unseen(letters)
    return rows


def _row(name: str, dead: DeadMessage) -> Row:
    task = dead.message.task if dead.message else None
    attempts = dead.failure.attempts if dead.failure else None
    return (name, dead.key, task, moment(dead.dead_at), attempts, _first_line(reason_of(dead)))


def _groups(name: str, letters: DeadLetters, where: Where | None, limit: int, *, json: bool) -> list[Row]:
    found = letters.groups(where)
    tell_unseen(letters)
    shown = found[: limit or None]
    if json:
        for group in shown:
            write_json({"queue": name, **msgspec.structs.asdict(group)})
    elif len(shown) < len(found):
        note(f"there are {len(found) - len(shown):,} more groups in queue {name!r}: --limit 0")
    return [(name, group.fingerprint, in_words(group)) for group in shown]


def show_(
    queue: Queue,
    keys: Keys = None,
    *,
    every: All = False,
    where: Condition = None,
    limit: Limit = None,
    raw: Annotated[bool, Option("--raw", help="The stored body of one, byte for byte.")] = False,
    force: Annotated[bool, Option("--force", help="With --raw: to a terminal, too, which it may steer.")] = False,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Show all that is known of dead letters: reason, error, traceback's end, counts, times, worker, payload, edits."""
    if raw and (json or every or where is not None or len(keys or []) != 1):
        raise ConfigurationError("--raw writes the body of one dead letter, and nothing else", hint="name one KEY")
    if raw and not force and is_terminal(sys.stdout):
        raise ConfigurationError(
            "--raw writes bytes as somebody sent them, and on a terminal they may do anything",
            hint="--raw > FILE, --raw | less, or --raw --force",
        )
    if raw:
        refuse_closed(sys.stdout, "stdout")
    with place(queue, app, backend) as at:
        meant = choice(keys, where, every=every, limit=limit, now=at.now)
        missing = 0
        for number, (key, dead) in enumerate(meant.found(at.letters)):
            if dead is None:
                missing += 1
                tell_missing(at.name, key)
            elif raw:
                write_bytes(dead.body)
            elif json:
                write_json(as_json(dead))
            else:
                if number:
                    write("")
                show(dead)
        if missing:
            raise SystemExit(FAILED)


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"queue {name!r}" for name in names)
