"""`cloudq dlq list`, `show`, `redrive` and `purge`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Annotated, Final

from cloudq.cli.choosing import any_app, one_queue, queues_of
from cloudq.cli.dlq.moving import move_all
from cloudq.cli.dlq.text import as_json, moment, reason_of, show
from cloudq.cli.failures import FAILED
from cloudq.cli.options import Backend, Debug, Json, NamedApp, Queue, Yes, queue_name
from cloudq.cli.output import (
    confirm,
    confirm_or_exit,
    is_terminal,
    note,
    progress,
    refuse,
    table,
    write,
    write_bytes,
    write_json,
)
from cloudq.cli.parameters import Argument, Option
from cloudq.core.driver import DeadMessage
from cloudq.core.url import parse_url
from cloudq.errors import ConfigurationError
from cloudq.queues.dead_letters import PAGE, DeadLetters

LIST_EXAMPLES: Final = (
    "cloudq dlq list",
    "cloudq dlq list emails --limit 20",
    "cloudq dlq list emails --json --limit 0",
)
SHOW_EXAMPLES: Final = ("cloudq dlq show emails 17", "cloudq dlq show emails 17 --raw > body.json")
REDRIVE_EXAMPLES: Final = (
    "cloudq dlq redrive emails 17 18",
    "cloudq dlq redrive emails --all --limit 1000",
    "cloudq dlq redrive emails --all --by-service",
)
# Of a purge: what is taken has to be deleted while the lease on it lasts.
_AT_ONCE: Final = 1_000
PURGE_EXAMPLES: Final = ("cloudq dlq purge emails 17", "cloudq dlq purge emails --all --yes")

OptionalQueue = Annotated[
    str | None,
    Argument(metavar="QUEUE", help="The queue's name. Default: every queue that the tasks declare."),
]
Keys = Annotated[
    list[str] | None, Argument(metavar="KEY...", help="Which ones, as the list shows.", show_default=False)
]
All = Annotated[bool, Option("--all", help="All of the queue's dead letters.")]
Limit = Annotated[int | None, Option("--limit", metavar="N", min=1, help="At most this many, the oldest first.")]

ByService = Annotated[
    bool, Option("--by-service", help="With --all: let Amazon SQS move them itself. See the limits above.")
]

Unasked = Annotated[bool, Option("--yes", "-y", help="Don't ask. With --by-service: needed if stdin isn't a terminal.")]


def list_(
    queue: OptionalQueue = None,
    *,
    limit: Annotated[int, Option("--limit", metavar="N", min=0, help="At most this many a queue; 0 for all.")] = PAGE,
    after: Annotated[
        str | None, Option("--after", metavar="KEY", help="From behind this one, to go on where a list ended.")
    ] = None,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """List dead letters, oldest first. Takes none, changes nothing."""
    with any_app(app, backend, wanted=queue is None) as chosen:
        names = queues_of(chosen, [] if queue is None else [queue_name(queue)])
        if after is not None and len(names) > 1:
            raise ConfigurationError(
                "--after needs a queue: a key is the place in one queue's list", hint="name the queue"
            )
        rows: list[tuple[object, ...]] = []
        for name in names:
            letters = chosen.app.queue(name).dead_letters
            last: str | None = None
            for dead in _list_pages(letters, after, limit):
                last = dead.key
                if json:
                    write_json(as_json(dead))
                else:
                    task = dead.message.task if dead.message else None
                    attempts = dead.failure.attempts if dead.failure else None
                    rows.append((name, dead.key, task, moment(dead.dead_at), attempts, _first_line(reason_of(dead))))
            if last is not None and letters.peek(limit=1, after=last):
                note(f"there are more: cloudq dlq list {name} --after {last}")
            else:
                _tell_unseen(letters)
    if json:
        return
    if rows:
        table(("queue", "key", "task", "dead since", "attempts", "reason"), rows)
    else:
        note(f"no dead letters in {_names(names)}")


def show_(
    queue: Queue,
    keys: Keys = None,
    *,
    every: All = False,
    limit: Limit = None,
    raw: Annotated[bool, Option("--raw", help="The stored body of one, byte for byte.")] = False,
    force: Annotated[bool, Option("--force", help="With --raw: to a terminal, too, which it may steer.")] = False,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Show all that is known of dead letters: reason, error, traceback's end, counts, times, worker, payload."""
    if raw and (json or every or len(keys or []) != 1):
        raise ConfigurationError("--raw writes the body of one dead letter, and nothing else", hint="name one KEY")
    if raw and not force and is_terminal(sys.stdout):
        raise ConfigurationError(
            "--raw writes bytes as somebody sent them, and on a terminal they may do anything",
            hint="--raw > FILE, --raw | less, or --raw --force",
        )
    with _letters(queue, app, backend) as (name, _, letters):
        wanted = _select(letters, keys, every=every, limit=limit)
        missing = 0
        for number, (key, dead) in enumerate(wanted):
            if dead is None:
                missing += 1
                _miss(name, key)
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


def redrive(
    queue: Queue,
    keys: Keys = None,
    *,
    every: All = False,
    limit: Limit = None,
    by_service: ByService = False,
    yes: Unasked = False,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Send dead letters to their queue again, with their full number of attempts.

    Each copy is stored before its dead letter is deleted, so a crash in between leaves both, never none. A message that
    dies again meanwhile is not taken twice.

    For very many on Amazon SQS (standard queues) there is --by-service, with two limits. Messages that the service
    itself dead-lettered keep their earlier attempts, and may be dead again at their first failure. Messages that die
    again at once are moved again, in a circle, for as long as the move runs. It asks first; Ctrl-C cancels it.
    """
    if by_service:
        if keys or not every or limit is not None:
            raise ConfigurationError(
                "--by-service moves all dead letters: it goes with --all, without KEYs or --limit",
                hint=f"cloudq dlq redrive {queue} --all --by-service",
            )
        name = queue_name(queue)
        with any_app(app, backend, wanted=False) as chosen:
            queues_of(chosen, [name])
            move_all(chosen.app.queue(name), str(parse_url(chosen.app.url)), yes=yes, json=json)
        return
    with _letters(queue, app, backend) as (name, where, letters):
        # Listed first: a message that fails again at once must not be redriven in a circle.
        found = [(key, dead is not None) for key, dead in _select(letters, keys, every=every, limit=limit)]
        there = [key for key, is_there in found if is_there]
        _tell_unseen(letters)
        if every and there and is_terminal(sys.stdin):
            question = f"Send {len(there):,} dead letters of queue {name!r} in {where} again?"
            if not confirm(question, yes=yes):
                note("nothing was sent")
                raise SystemExit(FAILED)
        errors: list[Exception] = []
        redriven = 0
        with progress("redriving", len(there)) as done:
            for start in range(0, len(there), PAGE):
                batch = there[start : start + PAGE]
                result = letters.redrive(batch)
                redriven += result.redriven
                errors += result.errors
                done(len(batch))
        for key, is_there in found:
            if not is_there:
                _miss(name, key)
        left = len(found) - redriven
        if len(there) > redriven and not errors:
            note(f"{len(there) - redriven:,} were left: somebody else redrives or deletes them")
        for text, times in _counted(errors).items():
            note(f"error: {text}" + (f" ({times} times)" if times > 1 else ""))
        if json:
            write_json({"queue": name, "redriven": redriven, "left": left, "errors": [str(error) for error in errors]})
        else:
            write(f"redrove {redriven:,} of {len(found):,} dead letters of queue {name!r}")
        if left or errors:
            raise SystemExit(FAILED)


def purge(
    queue: Queue,
    keys: Keys = None,
    *,
    every: All = False,
    yes: Yes = False,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Delete dead letters for good."""
    with _letters(queue, app, backend) as (name, where, letters):
        if every and keys:
            raise _either()
        # By what was listed: those that die while the question is read are no part of its answer.
        found = [(key, dead is not None) for key, dead in _select(letters, keys, every=every, limit=None)]
        for key, is_there in found:
            if not is_there:
                _miss(name, key)
        wanted = [key for key, is_there in found if is_there]
        _tell_unseen(letters)
        if wanted:
            confirm_or_exit(f"Delete {len(wanted):,} dead letters of queue {name!r} in {where} for good?", yes=yes)
        deleted = sum(letters.purge(wanted[at : at + _AT_ONCE]) for at in range(0, len(wanted), _AT_ONCE))
        if deleted < len(wanted):
            note(f"{len(wanted) - deleted:,} were not deleted: they are gone, or somebody else works on them")
        if json:
            write_json({"queue": name, "deleted": deleted})
        else:
            write(f"deleted {deleted:,} dead letters of queue {name!r}")
        if keys and deleted < len(set(keys)):
            raise SystemExit(FAILED)


@contextmanager
def _letters(queue: str, spec: str | None, backend: str | None) -> Iterator[tuple[str, str, DeadLetters]]:
    """The queue's name, its backend, and its dead letters."""
    with one_queue(queue, spec, backend) as (chosen, one):
        yield one.name, str(parse_url(chosen.app.url)), one.dead_letters


def _tell_unseen(letters: DeadLetters) -> None:
    if letters.unseen:
        note("note: there are more dead letters than the backend shows at once; they show once others are gone")


def _list_pages(letters: DeadLetters, after: str | None, limit: int) -> Iterator[DeadMessage]:
    """Page by page, so that a list of any length needs one page of memory."""
    left = limit or None
    while left is None or left > 0:
        page = letters.peek(limit=PAGE if left is None else min(PAGE, left), after=after)
        if not page:
            return
        yield from page
        after = page[-1].key
        left = None if left is None else left - len(page)


def _select(
    letters: DeadLetters, keys: Sequence[str] | None, *, every: bool, limit: int | None
) -> Iterator[tuple[str, DeadMessage | None]]:
    """The dead letters that a command is about; `None` for a key that none has."""
    if bool(keys) == every:
        raise _either()
    if every:
        return ((dead.key, dead) for dead in islice(letters, limit))
    return ((key, letters.get(key)) for key in islice(dict.fromkeys(keys or ()), limit))


def _either() -> ConfigurationError:
    return ConfigurationError("either KEYs or --all say which dead letters are meant", hint="cloudq dlq list QUEUE")


def _miss(queue: str, key: str) -> None:
    refuse(f"there is no dead letter {key!r} in queue {queue!r} (any more)", f"cloudq dlq list {queue}")


def _counted(errors: Sequence[Exception]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for error in errors:
        counts[str(error)] = counts.get(str(error), 0) + 1
    return counts


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"queue {name!r}" for name in names)
