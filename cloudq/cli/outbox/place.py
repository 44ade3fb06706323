"""Which outbox a command works on, and how it is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

from cloudq.app import App
from cloudq.cli.parameters import Option
from cloudq.core.redaction import mask_secrets
from cloudq.errors import ConfigurationError

if TYPE_CHECKING:
    from cloudq.outbox.reading import OutboxReader

OUTBOX_VARIABLE: Final = "CLOUDQ_OUTBOX_URL"
LISTEN_VARIABLE: Final = "CLOUDQ_OUTBOX_LISTEN_URL"

OutboxUrl = Annotated[
    str | None,
    Option(
        "--outbox",
        metavar="URL",
        help=f"The database with the outbox: postgresql://, mysql:// or sqlite:///. Default: {OUTBOX_VARIABLE}.",
    ),
]
RelayedOutbox = Annotated[
    str | None,
    Option(
        "--outbox",
        metavar="URL",
        help="Also publish what programs have stored in the outbox of this database, as `cloudq outbox relay` does.",
    ),
]
ListenUrl = Annotated[
    str | None,
    Option(
        "--listen-url",
        metavar="URL",
        help="The PostgreSQL server itself, past any pooler, to be told of new messages at once. "
        f"Default: {LISTEN_VARIABLE}, else the relay looks every 200 ms.",
    ),
]
Namespace = Annotated[
    str | None,
    Option(
        "--namespace", metavar="NAME", help="Whose messages, where several apps share the tables. Default: the app's."
    ),
]


def configured_url() -> str | None:
    """The outbox of the environment, if it names one."""
    return os.environ.get(OUTBOX_VARIABLE) or None


def outbox_url(given: str | None) -> str:
    """The outbox in force.

    Raises:
        ConfigurationError: Nothing names one.
    """
    url = given or configured_url()
    if url is None:
        raise ConfigurationError(
            "no outbox is named", hint=f"--outbox postgresql://HOST/DATABASE, or set {OUTBOX_VARIABLE}"
        )
    return url


def listen_url(given: str | None) -> str | None:
    """Where to be told of new messages, if anything names it."""
    return given or os.environ.get(LISTEN_VARIABLE) or None


def opener(app: App, url: str, namespace: str | None) -> Callable[[timedelta], OutboxReader]:
    """What opens the outbox for a relay of the app."""
    from cloudq.outbox.opening import open_outbox

    def opened(lease: timedelta) -> OutboxReader:
        return open_outbox(url, namespace_of(app, namespace), lease=lease, clock=app.clock)

    return opened


@contextmanager
def reading(app: App, url: str, namespace: str | None) -> Iterator[OutboxReader]:
    """The outbox, for a command that looks or repairs; closed after the block."""
    from cloudq.outbox.opening import open_outbox

    reader = open_outbox(url, namespace_of(app, namespace))
    try:
        yield reader
    finally:
        reader.close()


def namespace_of(app: App, given: str | None) -> str:
    """Whose messages: what was given, else the app's own setting."""
    return app.outbox_namespace if given is None else given


def concurrency(url: str, asked: int) -> int:
    """How many batches at once: a SQLite file has one reader, and a second one would keep the first from reading."""
    return 1 if url.startswith("sqlite") else asked


def shown_url(url: str) -> str:
    """The URL without its password."""
    return mask_secrets(url)
