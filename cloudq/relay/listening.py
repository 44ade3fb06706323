"""`Listener`: PostgreSQL's NOTIFY tells an idle relay of new messages at once, in place of polling.

A trigger of the outbox's table notifies (`cloudq outbox schema --notify` prints it), once a transaction. A notification
that is lost costs nothing but time: the relay looks by itself, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from cloudq.core.clock import Clock
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import ConfigurationError, StoreUnavailable
from cloudq.relay.doorbell import Doorbell
from cloudq.running.backoff import Backoff

if TYPE_CHECKING:
    from sqlalchemy import Engine

logger = SafeLogger("cloudq.relay")

CHANNEL: Final = "cloudq_outbox"
# A notification crosses a machine in a millisecond; what takes as long as this never comes.
PATIENCE: Final = timedelta(seconds=5)
# How soon a listener notices that it is to end.
_SLICE: Final = 0.5
_CONNECT_SECONDS: Final = 5


class Listener:
    """Listens on a connection of its own, in a thread of its own, and connects again where that breaks.

    Args:
        url: SQLAlchemy's URL of the server itself, with psycopg: no pooler between that lends a connection for a
            transaction (PgBouncer's `pool_mode=transaction`), since it takes a LISTEN, and forgets it.
        ring: Called at each notification, in the listener's thread.
        clock: Where the time comes from.

    Raises:
        ConfigurationError: The URL isn't one of PostgreSQL, or a package isn't installed.
    """

    def __init__(self, url: str, ring: Callable[[], None], *, clock: Clock) -> None:
        self._engine = _engine(url)
        self._ring = ring
        self._clock = clock
        self._stop = Doorbell(clock)
        self._thread = threading.Thread(target=self._run, name="cloudq-listen", daemon=True)
        self.hears = False
        """Whether it is connected at the moment, so that the relay needn't look often."""

    def check(self) -> None:
        """Sends itself a notification, from a connection of its own, and looks for the trigger.

        Raises:
            ConfigurationError: What is notified isn't heard; or nothing notifies.
            StoreUnavailable: The server can't be reached.
        """
        word = uuid4().hex
        try:
            with self._connect() as hearing, self._connect() as saying:
                hearing.execute(f"listen {CHANNEL}")
                saying.execute("select pg_notify(%s, %s)", (CHANNEL, word))
                heard = any(said.payload == word for said in hearing.notifies(timeout=PATIENCE.total_seconds()))
                notifies = saying.execute(_TRIGGER).fetchone() is not None
        except _errors() as error:
            raise _unavailable(error) from error
        if not heard:
            raise ConfigurationError(
                "the connection of listen_url doesn't hear what is notified: a pooler stands between, "
                "which forgets a LISTEN (PgBouncer with pool_mode=transaction, say)",
                hint="name the PostgreSQL server itself in listen_url; or leave listen_url out, and the relay polls",
            )
        if not notifies:
            raise ConfigurationError(
                "nothing notifies of new messages: the outbox's table has no trigger for it",
                hint="run what `cloudq outbox schema --notify` prints; or leave listen_url out, and the relay polls",
            )

    def start(self) -> None:
        """Begins to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Has it end, which takes half a second. Returns at once."""
        self._stop.ring()

    def _run(self) -> None:
        backoff = Backoff(first=timedelta(seconds=1), longest=timedelta(seconds=30))
        while not self._stop.rings:
            try:
                self._listen(backoff)
            except Exception as error:  # noqa: BLE001 - whatever it is, the relay polls until it can listen again
                if self.hears or not backoff.tries:
                    logger.warning("nothing tells of new messages, so the relay polls until it hears again: %s", error)
                self.hears = False
                self._ring()  # it waits for longer than it polls now
                self._stop.wait(0, backoff.next())
        self.hears = False
        self._engine.dispose()

    def _listen(self, backoff: Backoff) -> None:
        with self._connect() as connection:
            connection.execute(f"listen {CHANNEL}")
            if backoff.tries:
                logger.info("the relay hears of new messages again")
            backoff.reset()
            self.hears = True
            self._ring()  # for what came before it listened
            while not self._stop.rings:
                for _ in connection.notifies(timeout=_SLICE, stop_after=1):
                    self._ring()

    def _connect(self) -> Any:
        """A connection of psycopg's own, which alone has `notifies`."""
        return _Lent(self._engine)


class _Lent:
    """`with`: a connection, with each statement a transaction of its own; closed at the end."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> Any:
        self._raw = self._engine.raw_connection()
        connection: Any = self._raw.driver_connection
        connection.autocommit = True
        return connection

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):  # it may be broken already
            self._raw.invalidate()


_TRIGGER: Final = (
    "select 1 from pg_trigger t join pg_class c on c.oid = t.tgrelid "
    "where c.relname = 'cloudq_outbox' and t.tgname = 'cloudq_outbox_notify' and t.tgenabled <> 'D'"
)


def _engine(url: str) -> Engine:
    try:
        from sqlalchemy import NullPool, create_engine
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    try:
        made = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError("listen_url is no URL of a database", hint="postgresql://HOST/DATABASE") from error
    if made.drivername in {"postgresql", "postgres"}:
        made = made.set(drivername="postgresql+psycopg")
    if made.drivername != "postgresql+psycopg":
        raise ConfigurationError(
            f"listen_url names {made.drivername}: only PostgreSQL notifies, and psycopg hears it",
            hint="postgresql://HOST/DATABASE; or leave listen_url out, and the relay polls",
        )
    try:
        return create_engine(made, poolclass=NullPool, connect_args={"connect_timeout": _CONNECT_SECONDS})
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error


def _not_installed(error: ModuleNotFoundError) -> ConfigurationError:
    return ConfigurationError(
        f"to be told of new messages needs the module {error.name!r}, which isn't installed",
        hint="pip install 'cloudq[sql]'",
    )


def _errors() -> tuple[type[Exception], ...]:
    from psycopg import Error
    from sqlalchemy.exc import DBAPIError

    return Error, DBAPIError


def _unavailable(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"the server of listen_url can't be reached: {error}")
