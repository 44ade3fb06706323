"""Ten tasks as people ship them: five that must not run twice, and the same five as they should be.

Each function gives a check of one task, whose state is in the folder, so that a killed process leaves it behind.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import cloudq
from cloudq import App
from cloudq.testing.redelivery import Check, crash_point, crash_points

SCHEMA = """
CREATE TABLE points (customer TEXT PRIMARY KEY, points INTEGER NOT NULL);
CREATE TABLE seen (message TEXT PRIMARY KEY);
CREATE TABLE orders (id INTEGER PRIMARY KEY, confirmed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE mails (id INTEGER PRIMARY KEY, recipient TEXT NOT NULL, once TEXT UNIQUE);
CREATE TABLE charges (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL, key TEXT UNIQUE);
CREATE TABLE stock (item TEXT PRIMARY KEY, amount INTEGER NOT NULL);
"""


class Shop:
    """What a small shop keeps in a folder: a database, and the files of its exports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "shop.db"
        self.journal = folder / "journal.txt"

    @contextmanager
    def transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """Commits at the end of the block, or rolls back."""
        with closing(sqlite3.connect(self.file, isolation_level=None, timeout=10)) as db:
            db.execute("PRAGMA synchronous=OFF")
            db.execute("PRAGMA journal_mode=MEMORY")
            db.execute(begin)
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """What the query gives."""
        with self.transaction() as db:
            return db.execute(query, values).fetchall()

    def reset(self) -> None:
        """Empty, but for two orders and ten pens."""
        for file in self.folder.iterdir():
            file.unlink()
        with closing(sqlite3.connect(self.file)) as db:
            db.executescript(f"PRAGMA synchronous=OFF; BEGIN; {SCHEMA} COMMIT;")
            db.execute("INSERT INTO orders (id) VALUES (1), (2)")
            db.execute("INSERT INTO stock VALUES ('pen', 10)")
            db.commit()


def counter(shop: Shop, **options: object) -> Check:
    """Loyalty points are added with each run."""
    app = App()

    @app.task("shop.add_points")
    def add_points(customer: str, points: int) -> None:
        with shop.transaction() as db:
            db.execute("INSERT OR IGNORE INTO points VALUES (?, 0)", [customer])
            db.execute("UPDATE points SET points = points + ? WHERE customer = ?", [points, customer])

    return _points_check(shop, add_points, **options)


def counter_once_a_message(shop: Shop, **options: object) -> Check:
    """The message's id is stored with the points, in one transaction."""
    app = App()

    @app.task("shop.add_points")
    def add_points(context: cloudq.Context, customer: str, points: int) -> None:
        with shop.transaction() as db:
            if not db.execute("INSERT OR IGNORE INTO seen VALUES (?)", [context.id]).rowcount:
                return
            db.execute("INSERT OR IGNORE INTO points VALUES (?, 0)", [customer])
            db.execute("UPDATE points SET points = points + ? WHERE customer = ?", [points, customer])

    return _points_check(shop, add_points, **options)


def _points_check(shop: Shop, add_points: cloudq.Task, **options: object) -> Check:
    return Check(
        add_points.call(customer="ada", points=5),
        add_points.call(customer="ben", points=7),
        state=lambda: shop.rows("SELECT * FROM points ORDER BY customer"),
        reset=shop.reset,
        **options,
    )


def mail_before_commit(shop: Shop, **options: object) -> Check:
    """Whether the mail was sent is looked up before, and noted after."""
    app = App()

    @app.task("shop.confirm")
    def confirm(order_id: int) -> None:
        if shop.rows("SELECT confirmed FROM orders WHERE id = ?", order_id) == [(1,)]:
            return
        with shop.transaction() as mail_server:
            mail_server.execute("INSERT INTO mails (recipient) VALUES (?)", [f"customer {order_id}"])
        with shop.transaction() as db:
            db.execute("UPDATE orders SET confirmed = 1 WHERE id = ?", [order_id])

    return _mail_check(shop, confirm, **options)


def mail_with_a_name(shop: Shop, **options: object) -> Check:
    """The mail server knows a mail by its name, and drops the second one."""
    app = App()

    @app.task("shop.confirm")
    def confirm(order_id: int) -> None:
        with shop.transaction() as mail_server:
            mail_server.execute(
                "INSERT OR IGNORE INTO mails (recipient, once) VALUES (?, ?)",
                [f"customer {order_id}", f"confirmation-{order_id}"],
            )
        with shop.transaction() as db:
            db.execute("UPDATE orders SET confirmed = 1 WHERE id = ?", [order_id])

    return _mail_check(shop, confirm, **options)


def _mail_check(shop: Shop, confirm: cloudq.Task, **options: object) -> Check:
    return Check(
        confirm.call(order_id=1),
        confirm.call(order_id=2),
        state=lambda: (
            shop.rows("SELECT recipient FROM mails ORDER BY 1"),
            shop.rows("SELECT id, confirmed FROM orders ORDER BY 1"),
        ),
        reset=shop.reset,
        **options,
    )


def file_append(shop: Shop, **options: object) -> Check:
    """A line is added to the journal with each run."""
    app = App()

    @app.task("shop.note")
    async def note(order_id: int) -> None:
        with shop.journal.open("a") as journal:
            journal.write(f"order {order_id}\n")

    return _journal_check(shop, note, lambda: shop.journal.read_text().splitlines(), **options)


def file_of_its_own(shop: Shop, **options: object) -> Check:
    """Each order has a file of its own, which is there whole or not at all."""
    app = App()

    @app.task("shop.note")
    async def note(context: cloudq.Context, order_id: int) -> None:
        draft = shop.folder / f"draft-{context.id}-{os.urandom(8).hex()}"
        draft.write_text(f"order {order_id}\n")
        draft.replace(shop.folder / f"order-{order_id}.txt")

    def lines() -> list[str]:
        return [line for file in shop.folder.glob("order-*.txt") for line in file.read_text().splitlines()]

    return _journal_check(shop, note, lines, **options)


def _journal_check(shop: Shop, note: cloudq.Task, lines: Callable[[], list[str]], **options: object) -> Check:
    return Check(
        note.call(order_id=1), note.call(order_id=2), state=lambda: sorted(lines()), reset=shop.reset, **options
    )


def charge_without_a_key(shop: Shop, **options: object) -> Check:
    """The bank charges whenever it is asked to."""
    app = App()

    @app.task("shop.charge")
    def charge(order_id: int, amount: int) -> None:
        with crash_points("the charge"):
            _bank_charges(shop, amount, key=None)

    return _charge_check(shop, charge, **options)


def charge_with_a_key(shop: Shop, **options: object) -> Check:
    """The bank knows the order, and charges it once."""
    app = App()

    @app.task("shop.charge")
    def charge(order_id: int, amount: int) -> None:
        with crash_points("the charge"):
            _bank_charges(shop, amount, key=f"order-{order_id}")

    return _charge_check(shop, charge, **options)


def _bank_charges(shop: Shop, amount: int, key: str | None) -> None:
    with shop.transaction() as bank:
        bank.execute("INSERT OR IGNORE INTO charges (amount, key) VALUES (?, ?)", [amount, key])


def _charge_check(shop: Shop, charge: cloudq.Task, **options: object) -> Check:
    return Check(
        charge.call(order_id=1, amount=100),
        charge.call(order_id=2, amount=250),
        state=lambda: shop.rows("SELECT amount FROM charges ORDER BY amount"),
        reset=shop.reset,
        **options,
    )


def read_modify_write(shop: Shop, **options: object) -> Check:
    """Each message is applied once, if no other one is at the same time: read here, written there."""
    app = App()

    @app.task("shop.take")
    def take(context: cloudq.Context, amount: int) -> None:
        book = shop.folder / "stock.json"
        kept = json.loads(book.read_text()) if book.exists() else {"pen": 10, "seen": []}
        if context.id in kept["seen"]:
            return
        kept["pen"] -= amount
        kept["seen"].append(context.id)
        crash_point("counted")
        draft = shop.folder / f"draft-{os.urandom(8).hex()}"
        draft.write_text(json.dumps(kept))
        draft.replace(book)

    def state() -> object:
        return json.loads((shop.folder / "stock.json").read_text())["pen"]

    return Check(take.call(amount=1), take.call(amount=2), state=state, reset=shop.reset, **options)


def one_statement(shop: Shop, **options: object) -> Check:
    """The database subtracts, in the transaction in which the message's id is new."""
    app = App()

    @app.task("shop.take")
    def take(context: cloudq.Context, amount: int) -> None:
        with shop.transaction() as db:
            if db.execute("INSERT OR IGNORE INTO seen VALUES (?)", [context.id]).rowcount:
                crash_point("counted")
                db.execute("UPDATE stock SET amount = amount - ? WHERE item = 'pen'", [amount])

    return Check(
        take.call(amount=1),
        take.call(amount=2),
        state=lambda: shop.rows("SELECT amount FROM stock"),
        reset=shop.reset,
        **options,
    )


BROKEN = [counter, mail_before_commit, file_append, charge_without_a_key, read_modify_write]
RIGHT = [counter_once_a_message, mail_with_a_name, file_of_its_own, charge_with_a_key, one_statement]


# ── right by cloudq's own key, which the worker claims ───────────────────────────────────────────────────


def counter_by_key(shop: Shop, *, by_key: bool = True, **options: object) -> Check:
    """The counter, as broken as above, with a key: a second delivery finds that the work is done."""
    app = App()

    @app.task("shop.add_points", **({"idempotency_key": "points-{customer}"} if by_key else {}))
    def add_points(customer: str, points: int) -> None:
        with shop.transaction() as db:
            db.execute("INSERT OR IGNORE INTO points VALUES (?, 0)", [customer])
            db.execute("UPDATE points SET points = points + ? WHERE customer = ?", [points, customer])

    return _points_check(shop, add_points, **options)


def file_append_by_key(shop: Shop, *, by_key: bool = True, **options: object) -> Check:
    """The journal, as broken as above, with a key."""
    app = App()

    @app.task("shop.note", **({"idempotency_key": "note-{order_id}"} if by_key else {}))
    async def note(order_id: int) -> None:
        with shop.journal.open("a") as journal:
            journal.write(f"order {order_id}\n")

    return _journal_check(shop, note, lambda: shop.journal.read_text().splitlines(), **options)


def shared_book_by_key(shop: Shop, *, by_key: bool = True, **options: object) -> Check:
    """Read here, written there; each shelf has a file of its own, and one message: a key is all it has."""
    app = App()

    @app.task("shop.restock", **({"idempotency_key": "restock-{shelf}"} if by_key else {}))
    def restock(shelf: str, pens: int) -> None:
        book = shop.folder / f"{shelf}.txt"
        there = int(book.read_text()) if book.exists() else 0
        crash_point("read")
        book.write_text(str(there + pens))

    def state() -> object:
        return {shelf: (shop.folder / f"{shelf}.txt").read_text() for shelf in ("a", "b")}

    return Check(
        restock.call(shelf="a", pens=1), restock.call(shelf="b", pens=2), state=state, reset=shop.reset, **options
    )


RIGHT_BY_KEY = [counter_by_key, file_append_by_key, shared_book_by_key]
