"""`StoreConnection`: an app's store of idempotency keys: which one, and the open one of this process."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote, urlencode

from cloudq.core.shield import shielded
from cloudq.core.store import Store
from cloudq.core.store_url import EXAMPLE, parse_store_url
from cloudq.core.url import parse_url, rooted
from cloudq.errors import CloudqError, ConfigurationError
from cloudq.queues.connection import Connection
from cloudq.stores.opening import open_store

STORE_VARIABLE: Final = "CLOUDQ_STORE_URL"
NATIVE_ONLY: Final = "none"
"""In place of a URL: keys are left to what the backend itself remembers of its messages."""
# Where neither the backend nor the store names a prefix.
DEFAULT_NAMESPACE: Final = "cloudq"
# What a backend's URL says of its SQLite file, and so of the store in it.
_OF_THE_FILE: Final = frozenset({"synchronous", "mode"})

# Stores of a process that forked: kept, so that the child never closes what its parent still uses.
_inherited: Final[list[object]] = []


class StoreConnection:
    """One app's store: none at first, opened at its first use, and anew after a fork. Thread-safe.

    Args:
        connection: The app's backend, which the store goes with.

    Attributes:
        given: The URL that the app was given, or `None`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._given: str | None = None
        self._lock = threading.RLock()
        # Guarded by the lock: the open one, and the process that opened it.
        self._open: tuple[int, Store] | None = None
        self._lent: tuple[int, Store | None] | None = None
        _connections.add(self)

    @property
    def given(self) -> str | None:
        """The URL that the app was given, or `None`. A relative path in it is resolved when it is set.

        Raises:
            ConfigurationError: It is set to nothing.
        """
        return self._given

    @given.setter
    def given(self, url: str | None) -> None:
        if url is not None and not url:
            raise _set_to_nothing("the app's store", "leave it out, or name")
        self._given = None if url is None else rooted(url)

    @property
    def url(self) -> str | None:
        """The URL in force, or `none`: the given one, else `CLOUDQ_STORE_URL`, else one beside the backend.

        `None` where there is none of these.

        Raises:
            ConfigurationError: `CLOUDQ_STORE_URL` is set to nothing, or no backend is set where one has to be.
        """
        return self.chosen or self._beside()

    @property
    def chosen(self) -> str | None:
        """As `url`, as far as somebody chose it.

        Raises:
            ConfigurationError: `CLOUDQ_STORE_URL` is set to nothing.
        """
        return self._given or _from_environment()

    @property
    def is_native_only(self) -> bool:
        """Whether somebody chose to have no store."""
        return self._lent is None and self.chosen == NATIVE_ONLY

    @property
    def in_use(self) -> bool:
        """Whether there is a store; it needn't be open yet."""
        lent = self._lent
        if lent is not None:
            return lent[1] is not None
        return self._open is not None or self.url not in {None, NATIVE_ONLY}

    @property
    def namespace(self) -> str:
        """What keeps the app's keys apart from those of others in the store: its URL's prefix, else the backend's.

        Raises:
            ConfigurationError: A URL can't be used.
        """
        url = None if self._lent is not None else self.url
        if url in {None, NATIVE_ONLY}:
            return self._backends_prefix()
        return parse_store_url(str(url)).namespace(self._backends_prefix())

    @property
    def store(self) -> Store | None:
        """The store, opened now if it wasn't; `None` if there is none.

        Raises:
            ConfigurationError: Its URL can't be used.
            CloudqError: It can't be opened: it isn't available, or refuses.
        """
        lent = self._lent
        if lent is not None:
            return self._in_this_process(lent)
        opened = self._open
        if opened is not None and opened[0] == os.getpid():
            return opened[1]
        return self._open_anew()

    def close(self) -> None:
        """Closes it, if it is open. The next use opens it again. A lent one stays."""
        with self._lock:
            opened, self._open = self._open, None
        if opened is not None and opened[0] == os.getpid():
            opened[1].close()

    @contextmanager
    def lend(self, store: Store | None) -> Iterator[None]:
        """Works with that store within the block, or with none, and doesn't close it."""
        with self._lock:
            before, self._lent = self._lent, (os.getpid(), store)
        try:
            yield
        finally:
            with self._lock:
                self._lent = before

    @shielded
    def _open_anew(self) -> Store | None:
        with self._lock:
            opened = self._open
            if opened is not None and opened[0] != os.getpid():
                _inherited.append(opened)
                opened = self._open = None
            if opened is None:
                url = self.url
                if url is None or url == NATIVE_ONLY:
                    return None
                store = open_store(url, namespace=self._backends_prefix(), clock=self._connection.clock)
                opened = self._open = (os.getpid(), store)
            return opened[1]

    @staticmethod
    def _in_this_process(lent: tuple[int, Store | None]) -> Store | None:
        if lent[1] is not None and lent[0] != os.getpid():
            # Its records are the parent's: what is claimed here nobody there would see.
            raise ConfigurationError(
                "the app works with a store that it was given before this process was forked",
                hint="fork before App.using() or in_memory(), or give the child's app a store of its own",
            )
        return lent[1]

    def _beside(self) -> str | None:
        """The URL of the store that goes with a backend which is a file, or this process's memory."""
        if self._connection.is_lent:
            return None
        backend = parse_url(self._connection.url)
        if backend.scheme == "sqlite":
            # The same file, in which the store has tables of its own; made with the same mode, whichever is first.
            shared = {name: value for name, value in backend.parameters.items() if name in _OF_THE_FILE}
            return f"sqlite:///{quote(backend.path)}" + (f"?{urlencode(shared)}" if shared else "")
        return "memory://" if backend.scheme == "memory" else None

    def _backends_prefix(self) -> str:
        if self._connection.is_lent:
            return DEFAULT_NAMESPACE
        try:
            return parse_url(self._connection.url).parameters.get("prefix") or DEFAULT_NAMESPACE
        except CloudqError:
            return DEFAULT_NAMESPACE  # opening the backend says what is wrong with it

    def _forget_lock(self) -> None:
        self._lock = threading.RLock()


def _from_environment(environment: Mapping[str, str] = os.environ) -> str | None:
    url = environment.get(STORE_VARIABLE)
    if url is not None and not url:
        # A variable that something should have filled in: without a store a repeated message runs again.
        raise _set_to_nothing(STORE_VARIABLE, "unset it, or set it to")
    return url


def _set_to_nothing(what: str, way_out: str) -> ConfigurationError:
    return ConfigurationError(
        f"{what} is set, but to nothing", hint=f'{way_out} a store\'s URL, e.g. {EXAMPLE}, or "{NATIVE_ONLY}"'
    )


_connections: Final[weakref.WeakSet[StoreConnection]] = weakref.WeakSet()


def _after_fork() -> None:
    # A thread that doesn't exist in the child may have held a lock.
    for connection in list(_connections):
        connection._forget_lock()


os.register_at_fork(after_in_child=_after_fork)
