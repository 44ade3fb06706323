"""A relay on PostgreSQL, MariaDB and SQLite: shared work, order per key, connections that break, NOTIFY."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cloudq import App
from cloudq.core.driver import Outgoing, SendResult
from cloudq.errors import Throttled, UnsupportedError
from cloudq.outbox.opening import create_tables, open_outbox
from cloudq.relay.service import Relay
from cloudq.relay.settings import RelaySettings
from tests.unit.relay.fakes import Refusing

pytestmark = pytest.mark.slow
PATIENCE = 30
SOON = timedelta(milliseconds=10)


class Telling(Refusing):
    """The backend, which tells when something is stored."""

    def __init__(self) -> None:
        super().__init__()
        self.stored = threading.Condition()

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        results = super().send(outgoing)
        with self.stored:
            self.stored.notify_all()
        return results


class Place:
    """An outbox, and relays of it that publish to one backend in memory."""

    def __init__(self, url: str, app: App, driver: Telling) -> None:
        self.url = url
        self.app = app
        self.driver = driver
        self._texts: dict[str, str] = {}

    def send(self, *texts: str, key: str | None = None) -> None:
        """Commits messages in one transaction; the backend knows them by their texts."""
        from sqlalchemy import create_engine

        engine = create_engine(self.url)
        with engine.begin() as connection, self.app.outbox(connection) as outbox:
            for text in texts:
                queue: dict[str, Any] = {"queue": "q.fifo", "ordering_key": key} if key else {"queue": "plain"}
                self._texts[outbox.send("t", {"text": text}, **queue).id] = text
        engine.dispose()

    def relay(self, **settings: Any) -> Relay:
        made = RelaySettings(**{"poll": SOON, "concurrency": 1, **settings})
        return Relay(self.app, lambda lease: open_outbox(self.url, lease=lease), made)

    def published(self) -> list[str]:
        """The texts of what was published, in order."""
        return [self._texts[id_] for id_ in self.driver.order]

    def until(self, count: int) -> None:
        """Waits until so many were published."""
        with self.driver.stored:
            assert self.driver.stored.wait_for(lambda: len(self.driver.order) >= count, PATIENCE), self.published()

    def refuse(self, text: str, error: Exception) -> None:
        """Has the backend fail that message."""
        self.driver.errors[next(id_ for id_, known in self._texts.items() if known == text)] = error

    def execute(self, *statements: str) -> list[Any]:
        """Runs statements, each committed. The first value of the last one's rows."""
        from sqlalchemy import create_engine, text

        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                result = connection.execute(text(statement))
            found = [row[0] for row in result] if result.returns_rows else []
        engine.dispose()
        return found

    def drop_tables(self) -> None:
        """Leaves the database as it was: other tests have it, too."""
        from sqlalchemy import create_engine, inspect

        engine = create_engine(self.url)
        tables = [name for name in inspect(engine).get_table_names() if name.startswith("cloudq_outbox")]
        engine.dispose()
        self.execute(*(f"drop table {name}" for name in tables))


def place_at(url: str) -> Iterator[Place]:
    driver = Telling()
    app = App("memory://")
    with app.using(driver):
        yield Place(url, app, driver)


@pytest.fixture
def postgres(postgresql: str) -> Iterator[Place]:
    """An outbox that notifies."""
    create_tables(postgresql, notify=True)
    for place in place_at(postgresql):
        yield place
        place.drop_tables()


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An outbox on each database."""
    if request.param == "sqlite":
        sqlite3.connect(tmp_path / "shop.db").close()
        url = f"sqlite:///{tmp_path / 'shop.db'}"
    else:
        url = request.getfixturevalue(request.param)
    create_tables(url)
    for one in place_at(url):
        yield one
        one.drop_tables()


def test_once(place: Place) -> None:
    """All that was committed, each once, those of a key in their order."""
    for number in range(5):
        place.send(f"a{2 * number}", f"a{2 * number + 1}", key="a")
        place.send(f"b{number}", key="b")
        place.send(f"x{number}")

    assert 0 == place.relay(once=True, batch=4).run()
    published = place.published()
    assert 20 == len(published) == len(set(published))
    for key, count in (("a", 10), ("b", 5)):
        assert [f"{key}{n}" for n in range(count)] == [text for text in published if text.startswith(key)]
    assert [0] == place.execute("select count(*) from cloudq_outbox")


def test_a_parked_head(place: Place) -> None:
    """A key whose first message is parked waits, and only that key; after a skip it goes on."""
    place.send("a1", "a2", key="a")
    place.send("b1", key="b")
    place.refuse("a1", UnsupportedError("not here"))
    relay = place.relay(once=True)
    assert (1, ["b1"]) == (relay.run(), place.published())
    reader = open_outbox(place.url)
    (parked,) = reader.parked(10)
    assert ("UnsupportedError: not here", 1) == (parked.why, parked.behind)
    assert 1 == reader.skip([parked.id])
    reader.close()

    assert (0, ["b1", "a2"]) == (place.relay(once=True).run(), place.published())


def test_a_failed_head(place: Place) -> None:
    """A message that fails for a moment is tried again, and what follows on its key waits for it."""
    place.send("a1", "a2", key="a")
    place.refuse("a1", Throttled("slowly"))
    relay = place.relay()
    relay.start()
    place.send("x")
    place.until(1)
    place.driver.errors.clear()
    place.until(3)
    relay.end(timedelta(seconds=PATIENCE))

    assert ["x", "a1", "a2"] == place.published()


def test_two_relays_on_one_key(place: Place) -> None:
    """While one publishes the first message of a key, another one gets none of that key."""
    place.send("a1", "a2", "a3", key="a")
    place.send("x")
    inside, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        place.driver.during = lambda: None
        inside.set()
        assert go_on.wait(PATIENCE)

    place.driver.during = hold
    first = place.relay(batch=1)
    first.start()
    assert inside.wait(PATIENCE)
    second = place.relay()
    second.start()
    go_on.set()
    place.until(4)
    first.end(timedelta(seconds=PATIENCE))
    second.end(timedelta(seconds=PATIENCE))

    published = place.published()
    assert 4 == len(published)
    assert ["a1", "a2", "a3"] == [text for text in published if text != "x"]


def test_its_connection_is_cut(postgres: Place) -> None:
    """What was published when its connection broke is published again; nothing is lost, the relay goes on."""
    postgres.send("a1", "a2", key="a")

    def cut() -> None:
        postgres.driver.during = lambda: None
        postgres.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and "
            "datname = current_database() and state = 'idle in transaction'"
        )

    postgres.driver.during = cut
    relay = postgres.relay()
    relay.start()
    postgres.until(4)
    relay.end(timedelta(seconds=PATIENCE))

    assert ["a1", "a2", "a1", "a2"] == postgres.published()
    assert (2, 2) == (relay.counts().published, relay.counts().late)


def test_told_by_notify(postgres: Place) -> None:
    """With a connection that listens nothing waits for the next look."""
    minute = timedelta(minutes=1)
    relay = postgres.relay(listen_url=postgres.url, poll=minute, listening_poll=minute)
    relay.check()
    relay.start()
    postgres.send("x1")
    postgres.until(1)
    postgres.send("x2")
    postgres.until(2)
    relay.end(timedelta(seconds=PATIENCE))

    assert ["x1", "x2"] == postgres.published()


def test_through_a_pooler(postgres: Place, pgbouncer: str) -> None:
    """A relay may read through a pooler that lends connections for a transaction."""
    postgres.send("a1", "a2", key="a")
    through = Place(pgbouncer, postgres.app, postgres.driver)

    assert 0 == through.relay(once=True).run()
    assert ["a1", "a2"] == postgres.published()
