"""`cloudq bridge celery`."""

from __future__ import annotations

import os
import signal
import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta, tzinfo
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final

from cloudq.cli.choosing import refuse_memory, tasks_app
from cloudq.cli.failures import FAILED, INTERRUPTED
from cloudq.cli.options import AppSpec, Backend, Debug, Json, duration
from cloudq.cli.output import note, progress, table, write, write_json
from cloudq.cli.parameters import Option
from cloudq.core.printable import NAME_CHARS, TEXT_CHARS, shortened
from cloudq.core.redaction import mask_secrets
from cloudq.errors import CloudqError, ConfigurationError, OptionError

if TYPE_CHECKING:
    from cloudq.compat.celery.bridge.old_queue import OldQueue
    from cloudq.compat.celery.bridge.tally import Left, Tally

CELERY_EXAMPLES: Final = (
    "cloudq bridge celery --from redis://redis.example:6379/0 --app shop.tasks --dry-run",
    "cloudq bridge celery --from redis://redis.example:6379/0 --queue emails --app shop.tasks --idle 2h",
    "cloudq bridge celery --from 'sqs://eu-west-1?prefix=celery-' --app shop.tasks --idle 2h --json",
)

# Celery's own, which it prefers to its settings ("Configuration and defaults", broker_url, Celery 5.7).
BROKER_VARIABLE: Final = "CELERY_BROKER_URL"
# Of those that stay, this many are shown to people; all of them to programs.
_SHOWN: Final = 100


def celery(
    *,
    from_: Annotated[
        str | None,
        Option(
            "--from",
            metavar="URL",
            help="Celery's broker: redis://, rediss://, sentinel://, redis+socket://, or sqs://REGION?prefix=... as "
            f"cloudq writes it. Default: {BROKER_VARIABLE}.",
        ),
    ] = None,
    queue: Annotated[str, Option("--queue", metavar="NAME", help="Celery's queue.")] = "celery",
    idle: Annotated[
        str | None,
        Option(
            "--idle",
            metavar="2h",
            help="End once nothing has come for that long; 0: once nothing is found. Default: at a signal only.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Look at all that is there: store nothing, take nothing out.")
    ] = False,
    timezone: Annotated[
        str, Option("--timezone", metavar="NAME", help="Celery's timezone, for times without an offset.")
    ] = "UTC",
    key_prefix: Annotated[
        str, Option("--key-prefix", metavar="TEXT", help="On Redis: the transport option global_keyprefix.")
    ] = "",
    priority_steps: Annotated[
        str | None,
        Option("--priority-steps", metavar="0,3,6,9", help="On Redis: the transport option priority_steps."),
    ] = None,
    app: AppSpec = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Take over what waits in Celery's old queue, on the day of the switch. Stop Celery's workers first.

    Each message becomes one of the cloudq task of the same name: it is stored first, and taken out of the old queue
    afterwards, so that none is lost; a few are repeated if the bridge is killed. What can't be bridged stays in the old
    queue, and is listed with the reason: links, chains, chords, groups, pickle, tasks that the app doesn't have.

    The first SIGTERM or Ctrl-C ends it after the messages in hand. Exit code 1: some stay.
    """
    from cloudq.compat.celery.bridge.moving import Bridge
    from cloudq.compat.celery.bridge.opening import open_old_queue

    url = from_ or os.environ.get(BROKER_VARIABLE)
    if not url:
        raise ConfigurationError(
            "nothing says where Celery's messages are", hint=f"--from redis://HOST:6379/0, or set {BROKER_VARIABLE}"
        )
    ends = timedelta(0) if dry_run else None if idle is None else duration("--idle", idle)
    zone, steps = _zone(timezone), None if priority_steps is None else _steps(priority_steps)
    listed: list[Left] = []

    def told(left: Left) -> None:
        if json:
            write_json({"stays": _as_json(left)})
        elif len(listed) < _SHOWN:
            listed.append(left)

    with tasks_app(app, backend) as chosen, _stopping() as stop:
        refuse_memory(chosen.app)
        old = open_old_queue(url, queue, chosen.app.clock, prefix=key_prefix, steps=steps)
        try:
            waiting = old.waiting()
            note(_begun(queue, url, waiting, dry_run=dry_run))
            with progress("bridging", waiting or 0) as moved:
                bridge = Bridge(chosen.app, old, timezone=zone, dry_run=dry_run, told=told, moved=moved, rest=stop.rest)
                try:
                    bridge.run(ends)
                finally:  # also where it fails: what was done is done
                    _end(bridge.tally, queue, listed, behind=_behind(old), json=json, dry_run=dry_run)
        finally:
            old.close()
    if stop.signal == signal.SIGINT:
        raise SystemExit(INTERRUPTED)
    if bridge.tally.stay:
        raise SystemExit(FAILED)


class _Stop:
    """Whether somebody wants it to stop.

    Attributes:
        signal: By which that was said, or `None`.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._heard: SimpleQueue[int] = SimpleQueue()  # whose `put` may be called between any two steps

    def say(self, number: int, _frame: FrameType | None) -> None:
        self._heard.put(number)

    def rest(self, span: timedelta) -> bool:
        """Waits that long, or until somebody wants it to stop; whether somebody does."""
        if self.signal is None:
            try:
                self.signal = self._heard.get(timeout=span.total_seconds())
            except Empty:
                return False
        return True


@contextmanager
def _stopping() -> Iterator[_Stop]:
    stop = _Stop()
    before = {number: signal.signal(number, stop.say) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _zone(name: str) -> tzinfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise OptionError(f"--timezone {name!r} is no time zone", hint="--timezone Europe/Berlin") from error


def _steps(text: str) -> list[int]:
    steps = text.split(",")
    if not all(step.strip().isdecimal() and len(step) <= 4 for step in steps):
        raise OptionError(f"--priority-steps {text!r} are no numbers", hint="--priority-steps 0,3,6,9")
    return [int(step) for step in steps]


def _begun(queue: str, url: str, waiting: int | None, *, dry_run: bool) -> str:
    about = "" if waiting is None else f": about {waiting:,} messages"
    return f"{'looking at' if dry_run else 'bridging'} queue {queue!r} of {mask_secrets(url)}{about}"


def _behind(old: OldQueue) -> int:
    try:
        return old.held_back()
    except CloudqError:  # it has failed, and says so itself
        return 0


def _end(tally: Tally, queue: str, listed: list[Left], *, behind: int, json: bool, dry_run: bool) -> None:
    by_why = {why.value: count for why, count in tally.left.most_common()}
    if json:
        write_json(
            {
                "summary": {
                    "queue": queue,
                    "dry_run": dry_run,
                    "bridged": tally.bridged,
                    "duplicates": tally.duplicates,
                    "delayed": tally.delayed,
                    "retried": tally.retried,
                    "expired": tally.expired,
                    "stay": tally.stay,
                    "stay_by_why": by_why,
                    "held_back": behind,
                }
            }
        )
        return
    parts = {"delayed": tally.delayed, "retried": tally.retried, "expired": tally.expired}
    among = ", ".join(f"{count:,} {what}" for what, count in parts.items() if count)
    done = "would bridge" if dry_run else "bridged"
    write(f"{done} {tally.bridged:,} messages of queue {queue!r}" + (f" ({among})" if among else ""))
    if behind:
        first = "what was looked at" if dry_run else "what stays"
        note(f"about {behind:,} more weren't looked at: {first} is before them in its group, whose order is kept")
    if not tally.stay:
        return
    write(f"{tally.stay:,} stay there: " + ", ".join(f"{count:,} {why}" for why, count in by_why.items()))
    rows = [(left.place, _short(left.id), _short(left.task), left.why.value, _detail(left)) for left in listed]
    table(("queue", "id", "task", "why", "what keeps it"), rows)
    if len(listed) < tally.stay:
        note(f"there are {tally.stay - len(listed):,} more; --json names all of them")


def _as_json(left: Left) -> dict[str, object]:
    return {
        "place": left.place,
        "id": _short(left.id),
        "task": _short(left.task),
        "why": left.why.value,
        "detail": _detail(left),
        "size": left.size,
    }


def _short(text: str | None) -> str | None:
    return None if text is None else shortened(text, NAME_CHARS)


def _detail(left: Left) -> str:
    return shortened(left.detail, TEXT_CHARS)
