"""`cloudq worker` on a backend that pushes: it is served over HTTP."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from cloudq.cli.banner import note_undeclared, show_banner
from cloudq.cli.choosing import Chosen
from cloudq.cli.output import note
from cloudq.cli.parameters import Option
from cloudq.errors import ConfigurationError, TransientError

if TYPE_CHECKING:
    from cloudq.app import App
    from cloudq.push.server import PushWorker

PORT_VARIABLE: Final = "PORT"
PORT: Final = 8080
LOCALHOST: Final = "127.0.0.1"
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - where PORT is set, who calls comes from outside of the container
HIGHEST_PORT: Final = 65535
PANEL: Final = "Backends that push (Cloud Tasks)"

Host = Annotated[
    str | None,
    Option(
        "--host",
        metavar="ADDRESS",
        panel=PANEL,
        help="Where to listen. Default: 127.0.0.1, or 0.0.0.0 where PORT is set.",
    ),
]
Port = Annotated[
    int | None,
    Option(
        "--port",
        metavar="N",
        min=0,
        max=HIGHEST_PORT,
        panel=PANEL,
        help="Default: PORT, as Cloud Run sets it, or 8080.",
    ),
]
ServiceAccounts = Annotated[
    list[str] | None,
    Option(
        "--service-account",
        metavar="EMAIL",
        panel=PANEL,
        help="Who may push; repeatable. Default: the service_account of the URL.",
    ),
]
UnsignedAccounts = Annotated[
    list[str] | None,
    Option(
        "--unsigned-account",
        metavar="EMAIL",
        panel=PANEL,
        help="Who of them needs no signature where the app requires one; repeatable.",
    ),
]
Audiences = Annotated[
    list[str] | None,
    Option(
        "--audience",
        metavar="TEXT",
        panel=PANEL,
        help="What their tokens are for; repeatable. Default: the audience, or the target, of the URL.",
    ),
]
VerifiedInFront = Annotated[
    bool,
    Option(
        "--verified-in-front",
        panel=PANEL,
        help="Accept tokens whose signature was removed by a service in front that requires authentication.",
    ),
]
InsecureNoAuth = Annotated[
    bool,
    Option(
        "--insecure-no-auth",
        panel=PANEL,
        help="Take pushes without a token, from this machine only: for development.",
    ),
]


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """What was said about serving pushes.

    Attributes:
        host: The address, if one was given.
        port: The port, if one was given.
        service_accounts: Who may push.
        unsigned_accounts: Who of them needs no signature.
        audiences: What their tokens are for.
        verified_in_front: Whether a service in front verifies.
        insecure_no_auth: Whether pushes aren't verified at all.
    """

    host: str | None
    port: int | None
    service_accounts: Sequence[str] | None
    unsigned_accounts: Sequence[str] | None
    audiences: Sequence[str] | None
    verified_in_front: bool
    insecure_no_auth: bool

    def given(self) -> list[str]:
        """The options that were given."""
        options = {
            "--host": self.host is not None,
            "--port": self.port is not None,
            "--service-account": bool(self.service_accounts),
            "--unsigned-account": bool(self.unsigned_accounts),
            "--audience": bool(self.audiences),
            "--verified-in-front": self.verified_in_front,
            "--insecure-no-auth": self.insecure_no_auth,
        }
        return [name for name, given in options.items() if given]


def serve(
    chosen: Chosen,
    serving: Serving,
    *,
    queues: Sequence[str],
    concurrency: int,
    max_tasks: int | None,
    grace: timedelta,
    health: tuple[str, int] | None,
    metrics: tuple[str, int] | None,
    as_json: bool,
    beside: AbstractContextManager[None],
) -> int:
    """Serves pushes until a signal stops it, in the block `beside`. Returns the exit code.

    Raises:
        ConfigurationError: It can't work like this.
    """
    from cloudq.push.server import PushWorker, ServerSettings
    from cloudq.push.settings import PushSettings

    host, port = listens_at(serving)
    settings = PushSettings(
        concurrency=concurrency,
        waiting=concurrency,
        queues=queues,
        service_accounts=serving.service_accounts or None,
        unsigned_accounts=serving.unsigned_accounts or (),
        audiences=serving.audiences or None,
        verified_in_front=serving.verified_in_front,
        insecure_no_auth=serving.insecure_no_auth,
    )
    server = ServerSettings(host=host, port=port, grace=grace, max_tasks=max_tasks, health=health, metrics=metrics)
    service = PushWorker(chosen.app, settings, server)
    _show_banner(service, chosen, as_json=as_json)
    with beside:
        return service.run()


def look_at_queues(app: App, queues: Sequence[str]) -> None:
    """Counts what is in the queues, since nothing else tells a worker that is pushed to whether they are there.

    Args:
        app: The app.
        queues: Those to look at; none for all that the tasks declare.

    Raises:
        QueueNotFound: A queue doesn't exist.
        PermissionDenied: The credentials may not look at it.
    """
    for queue in queues or app.runtime.declared_queues():
        try:
            app.queue(queue).stats()
        except TransientError as error:
            note(f"note: queue {queue!r} couldn't be looked at: {error.message}")


def listens_at(serving: Serving) -> tuple[str, int]:
    """The address and port.

    Raises:
        ConfigurationError: `PORT` is none.
    """
    text = os.environ.get(PORT_VARIABLE) or None
    if text is None or (serving.port is not None and serving.host is not None):
        return serving.host or LOCALHOST, PORT if serving.port is None else serving.port
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 0 < int(text) <= HIGHEST_PORT):
        raise ConfigurationError(
            f"{PORT_VARIABLE} is no port", hint=f"unset {PORT_VARIABLE}, or pass --host and --port"
        )
    return serving.host or EVERYWHERE, int(text) if serving.port is None else serving.port


def refuse(given: Sequence[str], *, pushes: bool) -> None:
    """Refuses options of the other kind of worker: to ignore them would be to do something else than was asked for.

    Raises:
        ConfigurationError: There are such options.
    """
    if not given:
        return
    shown = ", ".join(given)
    if pushes:
        raise ConfigurationError(
            f"this backend pushes its messages, and {shown} is for backends that are polled",
            hint="leave it out; --concurrency bounds what runs at once, and the service's queue how fast it pushes",
        )
    raise ConfigurationError(
        f"this backend is polled, and {shown} is for backends that push",
        hint="leave it out, or pass --backend cloudtasks",
    )


def _show_banner(service: PushWorker, chosen: Chosen, *, as_json: bool) -> None:
    settings, (host, port) = service.settings, service.address
    verifier = service.edge.verifier
    lines = {
        "queues": ", ".join(settings.queues) or "whichever push here",
        "tasks": ", ".join(sorted(chosen.app.tasks)),
        "at once": f"{settings.concurrency} tasks at once",
        "address": f"http://{f'[{host}]' if ':' in host else host}:{port}",
        "pushers": "anybody on this machine (--insecure-no-auth)"
        if verifier is None
        else f"{', '.join(sorted(verifier.accounts))}, for {', '.join(verifier.audiences)}",
    }
    fields = {
        "queues": list(settings.queues),
        "concurrency": settings.concurrency,
        "host": host,
        "port": port,
        "service_accounts": [] if verifier is None else sorted(verifier.accounts),
        "audiences": [] if verifier is None else verifier.audiences,
    }
    show_banner(chosen, lines, fields, as_json=as_json)
    note_undeclared(chosen, settings.queues)
