"""Which App a command works with, and on which backend."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import msgspec
from msgspec.structs import replace

from cloudq.app import App
from cloudq.cli.consent import refuse_others_code
from cloudq.cli.options import queue_name
from cloudq.cli.output import note
from cloudq.core.url import DEFAULT_URL, parse_url
from cloudq.discovery import APP_VARIABLE, Found, NoAppNamed, find_app, load_app
from cloudq.errors import CloudqError, ConfigurationError, nearest
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.urls import URL_VARIABLE, backend_url
from cloudq.tasks.importing import not_imported


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """An App to work with.

    Attributes:
        app: The App, on the backend that is used.
        spec: What it was loaded from, or `None` for a bare one that has no tasks.
        folder: The folder from which it was imported; `None` for a bare one.
        how: What named it: an option, a variable, a file; `None` for a bare one.
        backend_from: What named its backend: an option, a variable, the App, the default.
        missing: Whether its database doesn't exist or is an empty file, and must not be made: it is empty in this
            process.
        why_bare: Why it is a bare one.
    """

    app: App
    spec: str | None = None
    folder: str | None = None
    how: str | None = None
    backend_from: str = "the default"
    missing: bool = False
    why_bare: str | None = None


@contextmanager
def tasks_app(spec: str | None, backend: str | None, *, looks: bool = False) -> Iterator[Chosen]:
    """The App whose tasks a command needs; its backend is closed after the block.

    Args:
        spec: The App that was asked for, if one was; else it is looked for.
        backend: The backend that was asked for, if one was.
        looks: Whether the command looks at the backend only, and so leaves no file behind.

    Raises:
        ConfigurationError: There is none, or others may have put it there, or the backend can't be used.
        TaskDefinitionError: A task's declaration is wrong.
    """
    found = find_app(spec)
    refuse_others_code(found)
    app = load(found)
    _use(app, backend)
    chosen = _found(app, found, backend)
    if looks:
        with _looking(chosen) as looking:
            yield looking
        return
    try:
        yield chosen
    finally:
        app.close()


@contextmanager
def any_app(spec: str | None, backend: str | None, *, wanted: bool = True, stores: bool = False) -> Iterator[Chosen]:
    """The App that was asked for, or a bare one for what needs no tasks; its backend is closed after the block.

    Nothing else is imported: a command that looks or repairs is run anywhere, and every folder may have an `app.py`.

    Args:
        spec: The App that was asked for, if one was.
        backend: The backend that was asked for, if one was.
        wanted: Whether its tasks are needed. If not, and the backend is given, no App is looked for.
        stores: Whether the command stores messages, and so may make the database. All others leave no file behind.

    Raises:
        ConfigurationError: The App that was asked for can't be loaded; or one wasn't asked for, and it alone may know
            where the messages are; or they are in memory.
        TaskDefinitionError: A task's declaration is wrong.
    """
    with _looking(_chosen(spec, backend, wanted=wanted), stores=stores) as looking:
        yield looking


@contextmanager
def _looking(chosen: Chosen, *, stores: bool = False) -> Iterator[Chosen]:
    """The App on its backend; on an empty one where its database isn't there yet, and nothing is to be stored in it."""
    refuse_memory(chosen.app)
    try:
        why = None if stores else _nothing_there(chosen.app)
        if why is None:
            yield chosen
            return
        from cloudq.drivers.memory import MemoryDriver

        note(f"note: {why}: nothing was stored there yet")
        with chosen.app.using(MemoryDriver()):  # as empty as the file would be
            yield replace(chosen, missing=True)
    finally:
        chosen.app.close()


@contextmanager
def one_queue(
    queue: str, spec: str | None, backend: str | None, *, stores: bool = False
) -> Iterator[tuple[Chosen, CloudQueue]]:
    """The one queue that a command is about. Says so if no task declares that name. Needs no tasks.

    Raises:
        ConfigurationError: As `any_app`.
        OptionError: It is no name of a queue.
    """
    name = queue_name(queue)
    with any_app(spec, backend, wanted=False, stores=stores) as chosen:
        queues_of(chosen, [name])
        yield chosen, chosen.app.queue(name)


def _chosen(spec: str | None, backend: str | None, *, wanted: bool) -> Chosen:
    if not spec and not os.environ.get(APP_VARIABLE):
        return _not_asked_for(backend, wanted=wanted)
    found = find_app(spec)
    app = load(found)
    _use(app, backend)
    return _found(app, found, backend)


def _not_asked_for(backend: str | None, *, wanted: bool) -> Chosen:
    """A bare App. Where one is around that isn't imported, this is said, as that may name another backend."""
    if backend is not None and not wanted:
        return _bare(backend, "none was looked for")
    try:
        found = find_app(None)  # reads names and a project's file, and imports nothing
    except NoAppNamed as error:
        return _bare(backend, error.message)
    why = f"{found.how} isn't imported, as this command takes an app only from --app or {APP_VARIABLE}"
    named = f"--app {found.spec}, or {APP_VARIABLE}={found.spec}"
    if backend is None and not os.environ.get(URL_VARIABLE) and not Path(parse_url(DEFAULT_URL).path).exists():
        raise ConfigurationError(f"{why}, and it may say where the messages are", hint=f"{named}; or --backend URL")
    chosen = _bare(backend, f"{why}: {named}")
    if not wanted:
        note(f"note: {chosen.why_bare}; the backend is {parse_url(chosen.app.url)}")
    return chosen


def queues_of(chosen: Chosen, named: list[str]) -> list[str]:
    """The named queues, else all that the App's tasks declare; notes names that none of them declares."""
    declared = chosen.app.runtime.declared_queues()
    if not named:
        if not declared:
            note(f"no app, so the queue {chosen.app.default_queue!r} is meant: {chosen.why_bare}")
        return declared or [chosen.app.default_queue]
    if chosen.spec is not None:
        for name in named:
            if name not in declared:
                note(f"note: no task of {chosen.spec} declares queue {name!r}: {nearest(name, declared)}")
    return list(dict.fromkeys(named))


def _nothing_there(app: App) -> str | None:
    """What is said of the app's database if it has nothing yet, not even its tables, and could be made."""
    where = parse_url(app.url)
    if where.scheme != "sqlite":
        return None
    from cloudq.drivers.sqlite.url import settings_of
    from cloudq.sqlite_file.opening import refuse_fragment

    settings_of(where)  # refuses what is wrong with the URL, as opening it would
    file = Path(where.path).absolute()
    # Where the folder isn't there either, the driver says so.
    if file.parent.is_dir() and not os.path.lexists(file):
        return f"{file} doesn't exist"
    refuse_fragment(file)  # before the driver, which takes its lock first, and so makes files beside it
    return f"{file} is empty" if file.is_file() and file.stat().st_size == 0 else None


def _found(app: App, found: Found, backend: str | None) -> Chosen:
    given = app.runtime.url_from if backend is None else "--backend"
    return Chosen(app=app, spec=found.spec, folder=str(found.folder), how=found.how, backend_from=given)


def _bare(backend: str | None, why: str) -> Chosen:
    app = App()
    _use(app, backend)
    return Chosen(app=app, why_bare=why, backend_from=app.runtime.url_from if backend is None else "--backend")


@contextmanager
def importing(spec: str) -> Iterator[None]:
    """For a block that imports a user's modules. What these print isn't the command's data, and goes to stderr.

    Raises:
        ConfigurationError: Whatever a module does while it is imported, an exit too, as an error that names `spec`.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except CloudqError:
        raise
    except (Exception, SystemExit) as error:
        raise not_imported(f"importing {spec} ended with an error", error) from error


def load(found: Found) -> App:
    """The App that was found, ready.

    Raises:
        ConfigurationError: It can't be imported.
    """
    with importing(found.spec):
        return load_app(found)


def refuse_memory(app: App) -> None:
    """Refuses a backend in memory: a message would be accepted, and gone a moment later.

    Raises:
        ConfigurationError: It is one.
    """
    if parse_url(app.url).scheme == "memory":
        raise ConfigurationError(
            "memory:// lives inside one process: this one, which ends now",
            hint="--backend sqlite:///cloudq.db; in a test: cloudq.testing",
        )


def _use(app: App, backend: str | None) -> None:
    if backend is None:
        return
    if "://" not in backend and not os.environ.get(URL_VARIABLE) and _scheme(app) == backend:
        return  # the App's own URL is what the bare scheme stands for
    app.configure(backend_url(backend))


def _scheme(app: App) -> str | None:
    try:
        return app.url.partition("://")[0]
    except ConfigurationError:
        return None  # there is none: where a default would be lost
