"""An outbox in a SQLite file, beside the folder's queue."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from cloudq import App
from cloudq.core import wire
from cloudq.core.message import Message
from cloudq.outbox.opening import create_tables


class Shelf(NamedTuple):
    """The outbox.

    Attributes:
        url: What the command line is given.
        store: Has a transaction store a message of that number, for the queue and with the ordering key; its id.
        published: How many messages are in a queue by now.
    """

    url: str
    store: Callable[..., int]
    published: Callable[..., int | None]


@pytest.fixture
def shelf(folder, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """An empty outbox, which the environment doesn't name."""
    for name in ("CLOUDQ_OUTBOX_URL", "CLOUDQ_OUTBOX_LISTEN_URL", "CLOUDQ_CLAIM_CHECK"):
        monkeypatch.delenv(name, raising=False)
    file: Path = folder.path / "shop.db"
    sqlite3.connect(file).close()
    url = f"sqlite:///{file}"
    create_tables(url)

    def store(number: int, queue: str = "emails", key: str | None = None, text: str = "") -> int:
        payload = {"user_id": number, "text": text}
        message = Message(id=f"id-{number}", task="shop.welcome", payload=payload, queue=queue, ordering_key=key)
        digest = b"" if key is None else hashlib.sha256(f"{queue}:{key}".encode()).digest()
        with closing(sqlite3.connect(file)) as connection, connection:
            row = connection.execute(
                "insert into cloudq_outbox (namespace, queue, task, body, ordering_key, key_digest, number, created_at)"
                " values ('', ?, ?, ?, ?, ?, ?, cast((julianday('now') - 2440587.5) * 86400000000 as integer))",
                (queue, message.task, wire.encode(message), key, digest, number),
            )
        return row.lastrowid or 0

    def published(queue: str = "emails") -> int | None:
        app = App(folder.url)
        stats = app.queue(queue).stats()
        app.close()
        return stats.ready

    return Shelf(url, store, published)


@pytest.fixture
def parked(cli, shelf: Shelf) -> int:
    """The id of a message that a relay has parked, as it is too large; another one of its key waits behind it."""
    first = shelf.store(1, "q.fifo", "a", text="x" * 2_000_000)
    shelf.store(2, "q.fifo", "a")
    assert 1 == cli("outbox", "relay", "--once", "--outbox", shelf.url).code
    return first
