"""`cloudq dlq redrive`, `edit` and `purge`: what becomes of dead letters."""

from __future__ import annotations

import getpass
import socket
import sys
from typing import Annotated, Final

from cloudq.cli.choosing import any_app, queues_of
from cloudq.cli.dlq.change import (
    ExpiresOption,
    HeaderOption,
    KeyOption,
    NoExpiry,
    NoKey,
    PayloadOption,
    SetOption,
    TaskOption,
    UnsetOption,
    change_of,
)
from cloudq.cli.dlq.chosen import (
    All,
    Choice,
    Condition,
    DryRun,
    Keys,
    Limit,
    Place,
    Rate,
    Unchecked,
    Vouch,
    choice,
    place,
    rate_of,
    tell_missing,
    tell_unseen,
)
from cloudq.cli.dlq.going_on import Options, command
from cloudq.cli.dlq.moving import move_all
from cloudq.cli.dlq.report import NOTHING_LEFT, UNSEEN, end, watched
from cloudq.cli.failures import FAILED
from cloudq.cli.options import Backend, Debug, Json, NamedApp, Queue, Yes, queue_name
from cloudq.cli.output import confirm, confirm_or_exit, is_terminal, note, progress, write, write_json
from cloudq.cli.parameters import Option
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.url import parse_url
from cloudq.errors import ConfigurationError
from cloudq.queues.dead_letters import DeadLetters, Redriven

REDRIVE_EXAMPLES: Final = (
    "cloudq dlq redrive emails 17 18",
    "cloudq dlq redrive emails --where 'task=shop.welcome error=SMTP*' --limit 1000 --rate 50/s",
    "cloudq dlq redrive emails --all --dry-run",
    "cloudq dlq redrive emails --all --by-service",
)
EDIT_EXAMPLES: Final = (
    "cloudq dlq edit emails 17 --set user_id=42",
    "cloudq dlq edit emails --where 'group=ab12cd34ef56' --set 'locale=\"de\"' --dry-run",
    "cloudq dlq edit emails --where 'task=shop.hello' --task shop.welcome",
)
PURGE_EXAMPLES: Final = (
    "cloudq dlq purge emails 17",
    "cloudq dlq purge emails --where 'dead<30d'",
    "cloudq dlq purge emails --all --yes",
)

ByService = Annotated[
    bool, Option("--by-service", help="With --all: let Amazon SQS move them itself. See the limits above.")
]
Unasked = Annotated[bool, Option("--yes", "-y", help="Don't ask. With --by-service: needed if stdin isn't a terminal.")]
UnaskedOfMany = Annotated[bool, Option("--yes", "-y", help="Don't ask.")]


def redrive(
    queue: Queue,
    keys: Keys = None,
    *,
    every: All = False,
    where: Condition = None,
    limit: Limit = None,
    rate: Rate = None,
    dry_run: DryRun = False,
    by_service: ByService = False,
    yes: Unasked = False,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Send dead letters to their queue again, with their full number of attempts.

    Each copy is stored before its dead letter is deleted, so a crash in between leaves both, never none. A message that
    dies again meanwhile is not taken twice. Interrupted, it says by which command to go on.

    For very many on Amazon SQS (standard queues) there is --by-service, with two limits. Messages that the service
    itself dead-lettered keep their earlier attempts, and may be dead again at their first failure. Messages that die
    again at once are moved again, in a circle, for as long as the move runs. It asks first; Ctrl-C cancels it.
    """
    if by_service:
        if keys or not every or limit is not None or where is not None or rate is not None or dry_run:
            raise ConfigurationError(
                "--by-service moves all dead letters: it goes with --all, without KEYs, --where, --limit, --rate or "
                "--dry-run",
                hint=f"cloudq dlq redrive {queue} --all --by-service",
            )
        name = queue_name(queue)
        with any_app(app, backend, wanted=False) as chosen:
            queues_of(chosen, [name])
            move_all(chosen.app.queue(name), str(parse_url(chosen.app.url)), yes=yes, json=json)
        return
    pace = rate_of(rate)
    with place(queue, app, backend) as at:
        meant = choice(keys, where, every=every, limit=limit, now=at.now)
        there, missing = _listed(at, meant)
        if dry_run:
            done = Redriven(redriven=0, chosen=len(there))
        else:
            _ask("Send", at, there, meant, yes=yes)
            how: Options = {"--rate": rate, "--yes": yes, "--app": app, "--backend": backend, "--json": json}
            with watched("redriving", len(there), lambda done: _again(at, meant, "redrive", done, how=how)) as watch:
                done = at.letters.redrive(there, rate=pace, progress=watch.update)
        total = len(there) + missing
        end(at.name, done, total, said="redrove", json=json, dry_run=dry_run, unseen=at.letters.unseen)


def edit(
    queue: Queue,
    keys: Keys = None,
    *,
    every: All = False,
    where: Condition = None,
    set_: SetOption = None,
    unset: UnsetOption = None,
    payload: PayloadOption = None,
    task: TaskOption = None,
    idempotency_key: KeyOption = None,
    no_idempotency_key: NoKey = False,
    header: HeaderOption = None,
    expires: ExpiresOption = None,
    no_expiry: NoExpiry = False,
    limit: Limit = None,
    rate: Rate = None,
    dry_run: DryRun = False,
    vouch: Vouch = False,
    unchecked: Unchecked = False,
    yes: UnaskedOfMany = False,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Correct dead letters, and send them to their queue again as a redrive does.

    Each message notes when, by whom and in what it was edited. With signing keys it is signed anew, if its signature
    fitted one of them; else --vouch is needed. A message that somebody else signed can't be edited without a key.

    With --app another task has to be one of its own, or --unchecked; a payload that its task wouldn't take is refused;
    and what the task ignores in payloads of one key (idempotency_ignore) is known.
    """
    change = change_of(
        set_=set_,
        unset=unset,
        payload=payload,
        task=task,
        idempotency_key=idempotency_key,
        no_idempotency_key=no_idempotency_key,
        headers=header,
        expires=expires,
        no_expiry=no_expiry,
        now=SYSTEM_CLOCK.now(),
    )
    pace = rate_of(rate)
    by = operator()
    with place(queue, app, backend) as at:
        meant = choice(keys, where, every=every, limit=limit, now=at.now)
        there, missing = _listed(at, meant)
        if dry_run:
            done = at.letters.edit(change, there, by=by, vouch=vouch, unchecked=unchecked, dry_run=True)
        else:
            _ask("Edit and send", at, there, meant, yes=yes)
            how: Options = {"--rate": rate, "--vouch": vouch, "--unchecked": unchecked, "--yes": yes}
            how = {**how, "--app": app, "--backend": backend, "--json": json}
            with watched(
                "editing",
                len(there),
                lambda done: _again(at, meant, "edit", done, how=how, more=" with the same changes"),
            ) as watch:
                done = at.letters.edit(
                    change, there, by=by, rate=pace, vouch=vouch, unchecked=unchecked, progress=watch.update
                )
        total = len(there) + missing
        end(at.name, done, total, said="edited and sent", json=json, dry_run=dry_run, unseen=at.letters.unseen)


def purge(
    queue: Queue,
    keys: Keys = None,
    *,
    every: All = False,
    where: Condition = None,
    limit: Limit = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Delete dead letters for good. Export them first, if you may want them back: `cloudq dlq export`."""
    with place(queue, app, backend) as at:
        meant = choice(keys, where, every=every, limit=limit, now=at.now)
        if every and yes and limit is None and not dry_run:
            # No question is read that it could exceed: all that are there, by the service's own means.
            _say_deleted(at.name, at.letters.purge(), json=json)
            return
        # By what was listed: those that die while the question is read are no part of its answer.
        wanted, missing = _listed(at, meant)
        if dry_run:
            if json:
                write_json({"queue": at.name, "deleted": 0, "chosen": len(wanted), "dry_run": True})
            else:
                write(f"{len(wanted):,} dead letters of queue {at.name!r} would be deleted; nothing was changed")
            if missing:
                raise SystemExit(FAILED)
            return
        if wanted:
            confirm_or_exit(
                f"Delete {len(wanted):,} dead letters of queue {at.name!r} in {at.where} for good?", yes=yes
            )
        deleted = _purge(at.letters, wanted)
        unseen = deleted < len(wanted) and at.letters.unseen
        if deleted < len(wanted):
            why = UNSEEN if unseen else "they are gone, or somebody else works on them"
            note(f"{len(wanted) - deleted:,} were not deleted: {why}")
        _say_deleted(at.name, deleted, json=json)
        if unseen or (meant.keys is not None and deleted < len(wanted) + missing):
            raise SystemExit(FAILED)


def _say_deleted(name: str, deleted: int, *, json: bool) -> None:
    if json:
        write_json({"queue": name, "deleted": deleted})
    else:
        write(f"deleted {deleted:,} dead letters of queue {name!r}")


def _purge(letters: DeadLetters, wanted: list[str]) -> int:
    with progress("deleting", len(wanted)) as more:
        shown = 0

        def update(deleted: int) -> None:
            nonlocal shown
            more(deleted - shown)
            shown = deleted

        return letters.purge(wanted, progress=update)


def _listed(at: Place, meant: Choice) -> tuple[list[str], int]:
    """The keys of those that are there, and how many aren't. Listed first: what dies again isn't taken in a circle."""
    there: list[str] = []
    missing = 0
    for key, dead in meant.found(at.letters):
        if dead is None:
            missing += 1
            tell_missing(at.name, key)
        else:
            there.append(key)
    tell_unseen(at.letters)
    return there, missing


def _ask(doing: str, at: Place, there: list[str], meant: Choice, *, yes: bool) -> None:
    """Asks a person, where not each was named."""
    if meant.keys is not None or not there or not is_terminal(sys.stdin):
        return
    if not confirm(f"{doing} {len(there):,} dead letters of queue {at.name!r} in {at.where} again?", yes=yes):
        note("nothing was sent")
        raise SystemExit(FAILED)


def _again(at: Place, meant: Choice, verb: str, done: Redriven, *, how: Options, more: str = "") -> str:
    """The command that does the rest: not what died again since this one began."""
    if meant.keys is not None:
        return f"the same command: what was sent is no longer here{more}"
    before = f"until={at.now.isoformat()}"
    condition = before if meant.where is None else f"{meant.where.fixed} {before}"
    left = None if meant.limit is None else meant.limit - done.redriven + done.undeleted
    if left == 0:
        return NOTHING_LEFT
    return command(verb, at.name, options={"--where": condition, "--limit": left, **how}) + more


def operator() -> str:
    """Who edits: the user and the machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
