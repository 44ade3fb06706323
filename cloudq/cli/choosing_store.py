"""Which store of idempotency keys a command works with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec

from cloudq.cli.choosing import Chosen, any_app
from cloudq.cli.output import note
from cloudq.cli.parameters import Option
from cloudq.core.store import Store
from cloudq.core.store_url import parse_store_url
from cloudq.errors import ConfigurationError
from cloudq.queues.store_connection import NATIVE_ONLY, STORE_VARIABLE

StoreOption = Annotated[
    str | None,
    Option(
        "--store",
        metavar="URL",
        help="Which store. Default: the app's own, then CLOUDQ_STORE_URL, then the one beside an SQLite backend.",
    ),
]


class ChosenStore(msgspec.Struct, frozen=True, kw_only=True):
    """A store to work with.

    Attributes:
        chosen: The App whose store it is; a bare one if none was asked for.
        store: The store, open.
        namespace: Of the keys that it is opened with.
        where: Its URL, as it may be shown.
    """

    chosen: Chosen
    store: Store
    namespace: str
    where: str


@contextmanager
def one_store(given: str | None, spec: str | None, backend: str | None) -> Iterator[ChosenStore]:
    """The store that a command works with, open; closed after the block. A file that isn't there isn't made.

    Args:
        given: The store's URL, if one was given.
        spec: The App that was asked for, if one was.
        backend: The backend that was asked for, if one was: its prefix is the keys' where the store's URL has none.

    Raises:
        ConfigurationError: There is no store, or its URL can't be used; or as `any_app`.
        SchemaMismatch: Its tables are missing, or of another version.
        StoreRefused: It can't be used as it is.
        StoreUnavailable: It can't be reached.
    """
    with store_url(given, spec, backend) as (chosen, url):
        stores = chosen.app.runtime.stores
        where, namespace = str(parse_store_url(url)), stores.namespace
        file = _missing_file(url)
        if file is not None:
            note(f"note: {file} doesn't exist: nothing was stored there yet")
            from cloudq.stores.memory import MemoryStore

            yield ChosenStore(chosen=chosen, store=MemoryStore(), namespace=namespace, where=where)
            return
        store = stores.store
        if store is None:
            raise _no_store()
        yield ChosenStore(chosen=chosen, store=store, namespace=namespace, where=where)


@contextmanager
def store_url(given: str | None, spec: str | None, backend: str | None) -> Iterator[tuple[Chosen, str]]:
    """The URL of the store that a command is about, and the App whose it is. Opens nothing.

    Raises:
        ConfigurationError: There is none; or as `any_app`.
    """
    # `stores`: nothing stands in for a file that is missing, since the backend isn't opened at all.
    with any_app(spec, backend, wanted=False, stores=True) as chosen:
        stores = chosen.app.runtime.stores
        if given is not None:
            parse_store_url(given)
            stores.given = given
        url = stores.url
        if url is None or url == NATIVE_ONLY:
            raise _no_store()
        try:
            yield chosen, url
        finally:
            stores.close()


def _no_store() -> ConfigurationError:
    return ConfigurationError(
        "there is no store of idempotency keys to look at",
        hint=f"--store URL, or set {STORE_VARIABLE}; an app that has one: --app",
    )


def _missing_file(url: str) -> Path | None:
    """The store's file, if it doesn't exist and could be made."""
    where = parse_store_url(url)
    if where.scheme != "sqlite" or where.host or not where.path:
        return None
    file = Path(where.path).absolute()
    # Where the folder isn't there either, opening says so.
    return file if file.parent.is_dir() and not os.path.lexists(file) else None
