"""`cloudq send`."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated, Final

import msgspec

from cloudq.cli.choosing import Chosen, any_app
from cloudq.cli.options import Backend, Debug, Json, NamedApp, duration, queue_name
from cloudq.cli.output import note, write, write_json
from cloudq.cli.parameters import Argument, Option
from cloudq.cli.wording import in_options
from cloudq.core.url import parse_url
from cloudq.errors import OptionError, PayloadError, UnknownTaskError, nearest
from cloudq.tasks.definition import Definition
from cloudq.tasks.options import SendOptions

# A moment that is over is taken (the message is due at once), one that is further away than 400 days isn't: so what is
# shown can be pasted on any day from now on. What expires has to lie ahead.
_SHOWN: Final = {"--at": "2027-01-31T09:00+01:00", "--expires": "2030-01-31T09:00+01:00"}
EXAMPLES = (
    "cloudq send app.welcome '{\"user_id\": 42}'",
    "cloudq send app.welcome '{\"user_id\": 42}' --delay 5m --idempotency-key welcome-42",
    "cloudq send app.welcome --at 2027-01-31T09:00+01:00 --header tenant=a - < payload.json",
    "cloudq send app.welcome '{\"user_id\": 42}' --expires 10m",
    "cloudq send app.welcome '{\"user_id\": 42}' --track --json",
    "cloudq send search.reindex '{\"shop\": 7}' --debounce 30s",
    "cloudq send other.task --unchecked --queue other --backend sqlite:////var/lib/shop/cloudq.db",
)


def send(
    task: Annotated[str, Argument(metavar="TASK", help="The task's name.", show_default=False)],
    payload: Annotated[
        str, Argument(metavar="JSON", help="Its arguments: a JSON object, or - to read one from stdin.")
    ] = "{}",
    *,
    queue: Annotated[
        str | None,
        Option("--queue", metavar="NAME", help="Instead of the task's first queue."),
    ] = None,
    priority: Annotated[
        str | None, Option("--priority", metavar="NAME", help="One of the task's priorities, in place of --queue.")
    ] = None,
    delay: Annotated[str | None, Option("--delay", metavar="30s|5m|2h", help="Not before this long from now.")] = None,
    at: Annotated[
        str | None, Option("--at", metavar="TIME", help="Not before this moment: ISO 8601 with a UTC offset.")
    ] = None,
    expires: Annotated[
        str | None,
        Option("--expires", metavar="10m|TIME", help="Not begun any more that long after its time, or from TIME on."),
    ] = None,
    idempotency_key: Annotated[
        str | None, Option("--idempotency-key", metavar="KEY", help="The same work has the same key.")
    ] = None,
    ordering_key: Annotated[
        str | None, Option("--ordering-key", metavar="KEY", help="Messages of one key run one after the other.")
    ] = None,
    fairness_key: Annotated[
        str | None, Option("--fairness-key", metavar="KEY", help="Whose message it is, where capacity is shared.")
    ] = None,
    header: Annotated[
        list[str] | None, Option("--header", metavar="NAME=TEXT", help="Travels with the message. Repeatable.")
    ] = None,
    track: Annotated[
        bool, Option("--track", help="Note in the app's store from now on how far it has come, for `cloudq result`.")
    ] = False,
    debounce: Annotated[
        str | None,
        Option(
            "--debounce",
            metavar="30s|5m|2h",
            help="Run that long from now, and only if none of the same payload, or --waiting-key, is sent so before.",
        ),
    ] = None,
    unique_while_waiting: Annotated[
        bool,
        Option(
            "--unique-while-waiting",
            help="Store nothing while one of the same payload, or --waiting-key, waits for its first run.",
        ),
    ] = False,
    waiting_key: Annotated[
        str | None, Option("--waiting-key", metavar="KEY", help="What counts as the same for these two.")
    ] = None,
    unchecked: Annotated[
        bool,
        Option(
            "--unchecked",
            help="Send what the app doesn't know: a task, a queue of it. Or look for no app.",
        ),
    ] = False,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Store a message that makes a worker run TASK. Prints its id once it is stored.

    Where the app is found, the task has to be one of its own and the payload has to fit. Where none is found, the
    message is sent as it is, and stderr says so.
    """
    options = _options(queue, delay, at, expires, header)
    if track:
        options["track"] = True
    if debounce is not None:
        options["debounce"] = duration("--debounce", debounce)
    if unique_while_waiting:
        options["unique_while_waiting"] = True
    for name, key in (
        ("waiting_key", waiting_key),
        ("idempotency_key", idempotency_key),
        ("ordering_key", ordering_key),
        ("fairness_key", fairness_key),
        ("priority", priority),
    ):
        if key is not None:
            options[name] = key  # type: ignore[literal-required]  # one of four names of the TypedDict
    arguments = _payload(sys.stdin.read() if payload == "-" else payload)
    with in_options(), any_app(app, backend, wanted=not unchecked, stores=True) as chosen:
        _check_task(chosen, task, unchecked=unchecked)
        if unchecked:
            chosen.app.configure(strict_queues=False)
        sent = chosen.app.send(task, arguments, **options)
        known = chosen.app.runtime.handlers.get(task)
        to = options.get("queue") or (_queue_of(known, priority) if known else chosen.app.default_queue)
    if json:
        write_json(
            {
                "id": sent.id,
                "duplicate": sent.duplicate,
                "receipt": sent.receipt,
                "task": known.name if known else task,
                "queue": to,
                "backend": str(parse_url(chosen.app.url)),
                "validated": known is not None,
            }
        )
        return
    write(sent.id)
    if sent.duplicate:
        before = "one of its kind waits" if unique_while_waiting else "a message with this idempotency key was there"
        note(f"{before} already: nothing new was stored")


def _queue_of(task: Definition, priority: str | None) -> str:
    if priority is None or task.priorities is None:
        return task.queue
    return task.priorities.queue_of(priority, task.name)


def _check_task(chosen: Chosen, task: str, *, unchecked: bool) -> None:
    """Refuses a name that the app doesn't declare; says so where none could be looked at."""
    if task in chosen.app.runtime.handlers:
        return
    if chosen.spec is None:
        if not unchecked:
            note(f"note: sent without checking name and payload: {chosen.why_bare}")
        return
    if not unchecked:
        raise UnknownTaskError(
            f"{chosen.spec} declares no task {task!r}: {nearest(task, chosen.app.runtime.handlers)}",
            hint="--unchecked sends it all the same, for a worker of another program",
        )


def _options(
    queue: str | None, delay: str | None, at: str | None, expires: str | None, header: list[str] | None
) -> SendOptions:
    options = SendOptions()
    if delay is not None and at is not None:
        raise OptionError("--delay and --at exclude each other", hint="give one of them")
    if queue is not None:
        options["queue"] = queue_name(queue)
    if delay is not None:
        options["delay"] = duration("--delay", delay)
    if at is not None:
        options["at"] = _moment("--at", at)
    if expires is not None:
        is_moment = "-" in expires or ":" in expires
        options["expires"] = (
            _moment("--expires", expires) if is_moment else duration("--expires", expires, positive=True)
        )
    if header:
        options["headers"] = dict(map(_header, header))
    return options


def _moment(option: str, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        hint = f"{option} {_SHOWN[option]}"
        raise OptionError(f"{option} {text!r} is no time in ISO 8601", hint=hint) from None
    if at.utcoffset() is None:
        raise OptionError(
            f"{option} {text!r} has no UTC offset", hint=f"{option} {text}Z for UTC, or {option} {text}+01:00"
        )
    return at


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise OptionError(f"--header {text!r} is not NAME=TEXT", hint="--header tenant=a")
    return name, value


def _payload(text: str) -> dict[str, object]:
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise PayloadError(
            f"the payload isn't JSON: {error}", hint="quote it for the shell: '{\"user_id\": 42}'"
        ) from error
    if not isinstance(value, dict):
        raise PayloadError(
            f"the payload is a JSON {type(value).__name__}, not an object of arguments by name",
            hint="'{\"user_id\": 42}'",
        )
    return value
