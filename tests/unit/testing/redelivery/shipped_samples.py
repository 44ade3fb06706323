"""A shop's tasks as people ship them, written before their author had seen the tester.

About half are wrong under at-least-once delivery. What they change is a file `shop.db` and other files in the current
folder, this module's own memory, and two services elsewhere: `mailer` and `payments`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import uuid
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import cloudq

app = cloudq.App("memory://")


@dataclass
class Mailer:
    """A mail server: what it took, it delivers."""

    sent: list[tuple[str, str]] = field(default_factory=list)

    def send(self, to: str, subject: str) -> None:
        self.sent.append((to, subject))


@dataclass
class Payments:
    """A payment service, which knows idempotency keys: the second charge of one key is answered and not made."""

    charges: list[tuple[str, int]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    def charge(self, customer: str, cents: int, *, key: str | None = None) -> None:
        if key is not None:
            if key in self.keys:
                return
            self.keys.add(key)
        self.charges.append((customer, cents))


mailer = Mailer()
payments = Payments()
points: dict[str, int] = {}  # a cache of this process

SCHEMA = """
create table download (file text primary key, hits integer not null);
create table orders (id integer primary key, status text not null, customer text not null);
create table seen (message text primary key);
create table stock (item text primary key, pieces integer not null);
create table address (user_id integer primary key, street text not null);
create table badge (user_id integer, name text, primary key (user_id, name));
create table account (id integer primary key, badges integer not null, balance integer not null);
insert into download values ('manual.pdf', 0);
insert into orders values (7, 'paid', 'ada@example.org');
insert into stock values ('lamp', 10);
insert into account values (1, 0, 100);
"""


def set_up() -> None:
    """The shop as it is before any task: in the current folder, which is empty."""
    mailer.sent.clear()
    payments.charges.clear()
    payments.keys.clear()
    points.clear()
    with closing(shop()) as db:
        db.executescript(SCHEMA)
        cloudq.create_inbox(db)
        db.commit()
    Path("reports").mkdir()


def shop() -> sqlite3.Connection:
    return sqlite3.connect("shop.db")


# ── wrong ────────────────────────────────────────────────────────────────────────────────────────────────────


@app.task
def count_download(file: str) -> None:
    """Wrong: read, add one, write."""
    with closing(shop()) as db:
        (hits,) = db.execute("select hits from download where file = ?", [file]).fetchone()
        db.execute("update download set hits = ? where file = ?", [hits + 1, file])
        db.commit()


@app.task
def confirm_order(order_id: int) -> None:
    """Wrong, though it looks first: the mail is out before the commit that says so."""
    with closing(shop()) as db:
        status, customer = db.execute("select status, customer from orders where id = ?", [order_id]).fetchone()
        if status == "confirmed":
            return
        mailer.send(customer, f"Your order {order_id} is confirmed")
        db.execute("update orders set status = 'confirmed' where id = ?", [order_id])
        db.commit()


@app.task
def note_sale(order_id: int, cents: int) -> None:
    """Wrong: a line more with each run."""
    with Path("sales.csv").open("a") as sales:
        sales.write(f"{order_id},{cents}\n")


@app.task
def charge_with_a_fresh_key(customer: str, cents: int) -> None:
    """Wrong: the key is another one in each run."""
    payments.charge(customer, cents, key=str(uuid.uuid4()))


@app.task
def take_from_stock(context: cloudq.Context, item: str) -> None:
    """Wrong: that it is done is committed first. If it dies then, the next run believes it, and nothing is taken."""
    with closing(shop()) as db:
        first = db.execute("insert or ignore into seen values (?)", [context.id]).rowcount == 1
        db.commit()
        if first:
            db.execute("update stock set pieces = pieces - 1 where item = ?", [item])
            db.commit()


@app.task
async def add_points(customer: str, more: int) -> None:
    """Wrong: a sum in memory, with an await between reading and writing."""
    before = points.get(customer, 0)
    await asyncio.sleep(0)
    points[customer] = before + more


# ── right ────────────────────────────────────────────────────────────────────────────────────────────────────


@app.task
def remember_address(user_id: int, street: str) -> None:
    """Right: an upsert."""
    with closing(shop()) as db, db:
        db.execute(
            "insert into address values (?, ?) on conflict (user_id) do update set street = excluded.street",
            [user_id, street],
        )


@app.task
def award_badge(user_id: int, name: str) -> None:
    """Right: a unique row decides whether the sum changes, in one transaction."""
    with closing(shop()) as db, db:
        if db.execute("insert or ignore into badge values (?, ?)", [user_id, name]).rowcount == 1:
            db.execute("update account set badges = badges + 1 where id = ?", [user_id])


@app.task
def write_report(month: str) -> None:
    """Right: a whole file in place of the former one. A file that a dead run left in reports/.tmp* is nobody's."""
    with closing(shop()) as db:
        rows = db.execute("select id, customer from orders order by id").fetchall()
    with tempfile.NamedTemporaryFile("w", dir="reports", prefix=".tmp", delete=False) as file:
        for number, customer in rows:
            file.write(f"{number},{customer}\n")
    Path(file.name).replace(f"reports/{month}.csv")


@app.task
def ship_order(order_id: int, item: str) -> None:
    """Right: compare and set, and what follows from it in the same transaction."""
    with closing(shop()) as db, db:
        changed = db.execute("update orders set status = 'shipped' where id = ? and status = 'paid'", [order_id])
        if changed.rowcount == 1:
            db.execute("update stock set pieces = pieces - 1 where item = ?", [item])


@app.task
def charge_order(order_id: int, customer: str, cents: int) -> None:
    """Right: the order's number is the payment's key."""
    payments.charge(customer, cents, key=f"order-{order_id}")


@app.task
def pay_back(context: cloudq.Context, account: int, cents: int) -> None:
    """Right: the addition is committed together with the message's being done."""
    with closing(shop()) as db, context.transaction(db):
        db.execute("update account set balance = balance + ? where id = ?", [cents, account])


# ── right by its key alone, but for a worker that dies between the effect and the key's completion ───────────


@app.task(idempotency_key="digest-{user_id}-{day}")
def send_digest(user_id: int, day: str) -> None:
    """A mail, which nothing but the key keeps from being sent with each delivery."""
    mailer.send(f"user-{user_id}@example.org", f"Your digest of {day}")
