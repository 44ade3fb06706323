"""The command line run in this process, in a folder of its own, with an app to work with."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from cloudq import App
from cloudq.cli import main, worker_pages
from cloudq.core import wire
from cloudq.core.driver import Final, NativeDeadLetter, Outgoing, PullDriver
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.queues.urls import _HOSTED

SHOP = '''
"""A shop."""
from datetime import timedelta
import cloudq

app = cloudq.App()

@app.task(queue="emails", idempotency_key="welcome-{user_id}", aliases=["shop.hello"])
def welcome(context: cloudq.Context, user_id: int, since: str = "today") -> None: ...

@app.task(lease=timedelta(minutes=5), time_limit=timedelta(minutes=2))
async def report(rows: list[int]) -> None: ...
'''
WRITER = """
from pathlib import Path
import cloudq
app = cloudq.App()

@app.task(queue="emails")
def write(name: str) -> None:
    Path(name).touch()

@app.task
def fail(reason: str) -> None:
    raise cloudq.DeadLetter(reason)
"""
AT = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
FAILURE = Failure(
    reason="gave up after 5 attempts: ValueError: no such user",
    error_type="ValueError",
    error_message="no such user",
    traceback='Traceback (most recent call last):\n  File "shop.py", line 9\nValueError: no such user\n',
    attempts=5,
    deliveries=6,
    first_at=AT,
    last_at=AT + timedelta(hours=1),
    worker="host:42",
)


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Cli(Protocol):
    def __call__(self, *arguments: str) -> Result: ...


class Terminal(io.StringIO):
    """What a person types, or sees."""

    def isatty(self) -> bool:
        return True


class Folder(NamedTuple):
    path: Path
    url: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    """The current folder, empty, with CLOUDQ_URL set; modules imported from it are forgotten."""
    monkeypatch.chdir(tmp_path)
    for name in ("CLOUDQ_APP", "CLOUDQ_URL", "NO_COLOR", "FORCE_COLOR", *_HOSTED):
        monkeypatch.delenv(name, raising=False)
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    monkeypatch.setenv("CLOUDQ_URL", url)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield Folder(path=tmp_path, url=url)
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.fixture
def shop(folder: Folder) -> Folder:
    """The folder with `shop.py`, which declares two tasks on the queues emails and default."""
    (folder.path / "shop.py").write_text(SHOP)
    return folder


@pytest.fixture
def writer(folder: Folder) -> Folder:
    """The folder with `writer.py`, whose tasks leave something behind."""
    (folder.path / "writer.py").write_text(WRITER)
    return folder


@pytest.fixture
def cli(folder: Folder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """Runs `cloudq` with arguments: exit code, stdout, stderr. Nobody is at stdin."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = main(arguments)
        return Result(code, *capsys.readouterr())

    yield run
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a person at stdin who types this."""

    def types(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", Terminal(text))

    return types


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's page may take as long as a busy machine makes it."""
    monkeypatch.setattr(worker_pages, "PATIENCE", timedelta(seconds=60))


@pytest.fixture
def bury(folder: Folder) -> Callable[..., list[str]]:
    """Puts dead letters with these bodies into a queue; returns their keys."""

    def buried(queue: str, bodies: Sequence[bytes], failure: Failure = FAILURE) -> list[str]:
        app = App(folder.url)
        driver: PullDriver = app.driver()  # type: ignore[assignment]  # SQLite is one
        for number, body in enumerate(bodies):
            driver.send([Outgoing(id=f"id-{number}", queue=queue, body=body)])
            [delivery] = driver.receive(queue, limit=1, wait=timedelta(0), lease=timedelta(minutes=1))
            [result] = driver.settle([Final(lease=delivery.lease, step=NativeDeadLetter(failure=failure))])
            assert result.error is None
        keys = [dead.key for dead in app.queue(queue).dead_letters]
        app.close()
        return keys

    return buried


def body(number: int = 0, task: str = "shop.welcome", **fields: object) -> bytes:
    """A message's bytes."""
    values = {"id": f"id-{number}", "task": task, "queue": "emails", "payload": {"user_id": number}, "sent_at": AT}
    return wire.encode(Message(**{**values, **fields}))  # type: ignore[arg-type]  # a test's own values


@pytest.fixture
def terminal() -> type[Terminal]:
    """The class of terminals."""
    return Terminal


@pytest.fixture
def make_body() -> Callable[..., bytes]:
    """`body`."""
    return body
