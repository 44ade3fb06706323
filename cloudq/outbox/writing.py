"""The writing half of the outbox: rows in the user's own transaction, and numbers that keep the order of each key.

A row is inserted when it is sent, so that a rollback to a savepoint takes it along with all else. The rows of ordering
keys get their number last, before the commit: the transaction locks their keys, and has them until it ends, and only
then takes a number, which is greater than all before it. So of two transactions of one key the one that commits first
has the lower number. All keys are locked by one statement, in sorted order: transactions that send to the same keys in
different orders never wait in a circle.

```
 send A  ─▶ insert, number -x                    -x: any negative number, the same for all rows of one Ordered
 send B  ─▶ insert, number -x
 end     ─▶ the locks of A and B
         ─▶ the next number, n
         ─▶ rows of -x get the number n          within a transaction ids tell which came first
 commit
```
A key's lock is one of 4,096 rows, by its digest. A row of each key's own would have to be made by the transaction that
first sends to it, and there InnoDB can't be kept from deadlocks: when one that made some is rolled back, those that
waited to make the same hold the gap between them, and wait for each other. And nobody changes these rows: where a
transaction sees the database as it was when it began (REPEATABLE READ), a row that has changed since can't be locked.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from cloudq.outbox.schema import LOCKS, NOW, missing
from cloudq.user_database import Answer, Dialect, Move, Script, Statement
from cloudq.user_database.faults import is_missing_table

# Of one statement: below every database's number of parameters, and below what a server takes in one packet.
_MOST_ROWS: Final = 500
_MOST_BYTES: Final = 4 * 1024 * 1024
_UNKEYED: Final = b""


class NewRow(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be stored.

    Attributes:
        queue: The queue it is for.
        task: Its task's name.
        body: Its bytes, as a send would store them.
        ordering_key: Its ordering key, if it has one.
    """

    queue: str
    task: str
    body: bytes
    ordering_key: str | None = None


def key_digest(namespace: str, queue: str, key: str) -> bytes:
    """32 bytes that no other key, queue or namespace has: messages keep their order within a queue."""
    made = hashlib.sha256()
    for part in (namespace, queue, key):
        encoded = part.encode("utf-8", "surrogatepass")
        made.update(len(encoded).to_bytes(8) + encoded)
    return made.digest()


class Ordered:
    """The rows that one block writes within a transaction.

    Args:
        dialect: The database's.
        namespace: Keeps the rows of apps apart that share a database.
    """

    def __init__(self, dialect: Dialect, namespace: str) -> None:
        self._dialect = dialect
        self._namespace = namespace
        # Names this block's rows until they are numbered: nobody else's rows are read, let alone locked, to find them.
        self._token = -1 - secrets.randbits(62)
        self._keys: set[bytes] = set()

    @property
    def is_numbered(self) -> bool:
        """Whether no row waits for its number."""
        return not self._keys

    def add(self, rows: Sequence[NewRow]) -> Script[None]:
        """Inserts rows: all that fit, by one statement.

        Raises:
            TransactionRefused: Each statement would commit by itself.
            SchemaMismatch: The tables aren't there.
        """
        yield Move.JOIN
        for part in _parts(rows):
            digests = [
                _UNKEYED if row.ordering_key is None else key_digest(self._namespace, row.queue, row.ordering_key)
                for row in part
            ]
            # Noted first: of an insert that failed half-way nothing may stay unnumbered.
            self._keys.update(digest for digest in digests if digest)
            try:
                yield self._insertion(part, digests)
            except Exception as error:
                if is_missing_table(error):
                    raise missing() from error
                raise

    def number(self) -> Script[None]:
        """Numbers the rows of ordering keys. The last thing before the commit: it holds up others of the same keys.

        Raises:
            TransactionBroken: None is open any more. What was committed of it is published, but in no order.
        """
        if not self._keys:
            return
        # In a new one the keys would be locked until somebody happened to end it. If the user's code has begun another
        # one, nothing tells them apart: a savepoint of ours would also be gone once one of the user's around it is
        # released, as at the end of each inner `atomic` block of Django's.
        yield Move.STAY
        if self._dialect is not Dialect.SQLITE:  # whose transaction has the whole file, by its insert
            yield self._locking()
        number = yield from self._next_number()
        keys = sorted(self._keys)
        for start in range(0, len(keys), _MOST_ROWS):
            yield from self._numbering(keys[start : start + _MOST_ROWS], number)
        self._keys.clear()

    def _insertion(self, rows: Sequence[NewRow], digests: Sequence[bytes]) -> Statement:
        values: dict[str, Any] = {"namespace": self._namespace}
        places = []
        for index, (row, digest) in enumerate(zip(rows, digests, strict=True)):
            values |= {
                f"q{index}": row.queue,
                f"t{index}": row.task,
                f"b{index}": row.body,
                f"o{index}": _shown(row.ordering_key),
                f"d{index}": digest,
                f"n{index}": self._token if digest else 0,
            }
            places.append(
                f"(:namespace, :q{index}, :t{index}, :b{index}, :o{index}, :d{index}, :n{index}, {NOW[self._dialect]})"
            )
        return Statement(
            "insert into cloudq_outbox (namespace, queue, task, body, ordering_key, key_digest, number, created_at) "
            f"values {', '.join(places)}",
            values,
        )

    def _locking(self) -> Statement:
        """Locks the keys, in the same order in every transaction."""
        locks = {f"l{lock}": lock for lock in sorted({_lock_of(key) for key in self._keys})}
        return Statement(
            f"select stripe from cloudq_outbox_locks {self._primary}"
            f"where stripe in ({', '.join(f':{name}' for name in locks)}) order by stripe for update",
            locks,
        )

    def _next_number(self) -> Script[int]:
        """A number that is greater than all that were given before, of transactions that were rolled back too."""
        if self._dialect is Dialect.POSTGRESQL:
            answer = yield Statement("select nextval('cloudq_outbox_numbers')")
        elif self._dialect is Dialect.SQLITE:
            yield Statement("update cloudq_outbox_numbers set last = last + 1")
            answer = yield Statement("select last from cloudq_outbox_numbers")
        else:
            yield Statement("insert into cloudq_outbox_numbers values ()")
            answer = yield Statement("select last_insert_id()")
            yield Statement("delete from cloudq_outbox_numbers where id = :id", {"id": int(answer.rows[0][0])})
        return int(answer.rows[0][0])

    def _numbering(self, keys: Sequence[bytes], number: int) -> Script[None]:
        digests = {f"d{index}": key for index, key in enumerate(keys)}
        own = (
            "namespace = :namespace and number = :token "
            f"and key_digest in ({', '.join(f':{name}' for name in digests)})"
        )
        values = {**digests, "namespace": self._namespace, "token": self._token}
        if self._dialect is not Dialect.MYSQL:
            yield Statement(f"update cloudq_outbox set number = :number where {own}", values | {"number": number})
            return
        # An update locks all that it reads: so first a look, which locks nothing, and then by the primary key, whatever
        # the optimizer holds of it.
        answer: Answer = yield Statement(f"select id from cloudq_outbox where {own}", values)
        ids = [int(row[0]) for row in answer.rows]
        for start in range(0, len(ids), _MOST_ROWS):
            chosen = {f"i{index}": id_ for index, id_ in enumerate(ids[start : start + _MOST_ROWS])}
            yield Statement(
                f"update cloudq_outbox {self._primary}set number = :number "
                f"where id in ({', '.join(f':{name}' for name in chosen)})",
                {**chosen, "number": number},
            )

    @property
    def _primary(self) -> str:
        return "force index (primary) " if self._dialect is Dialect.MYSQL else ""


def _shown(key: str | None) -> str | None:
    """For people: PostgreSQL has no NUL in a text."""
    return None if key is None else key.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _lock_of(digest: bytes) -> int:
    return int.from_bytes(digest[:4]) % LOCKS


def _parts(rows: Sequence[NewRow]) -> Iterator[list[NewRow]]:
    """Cuts into statements by number and bytes."""
    part: list[NewRow] = []
    size = 0
    for row in rows:
        if part and (len(part) >= _MOST_ROWS or size + len(row.body) > _MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(row)
        size += len(row.body)
    if part:
        yield part
