"""Which messages are taken, as the SQL of each database: what is due, and of each ordering key the oldest.

Messages without a key are in the order of their ids, roughly that of their sends. Of a key only the oldest row, its
head, can be taken; the reader that holds it has the key, and gets more of its rows with it, to be published one by one.
Keys are met in the order of their digests, each look going on where the last one ended, so that none waits forever. A
look touches one row of a key, however many wait behind it.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from cloudq.core.clock import from_micros
from cloudq.outbox.rows import OutboxRow
from cloudq.outbox.schema import NOW
from cloudq.user_database import Answer, Dialect, Script, Statement

# Keys of one look, and those that it passes for that: MariaDB and MySQL end a recursion at 1,000 of their own accord.
_MOST_HEADS: Final = 400
_PASSED: Final = 2
_MORE_PASSED: Final = 50
_MOST_LOOKS: Final = 10
# In one statement, of what is listed in it.
MOST_LISTED: Final = 500
# Of one key in a batch, where there are many keys.
_IN_A_ROW: Final = 4
# Of one key in a batch, behind its head.
_MOST_IN_A_ROW: Final = 100
# Selects in one statement.
_MOST_UNITED: Final = 100

_UNKEYED: Final = b""
_COLUMNS: Final = "id, queue, task, body, ordering_key, attempts, created_at, key_digest, number"


class Held(msgspec.Struct, frozen=True):
    """A row, and where it stands in its key.

    Attributes:
        row: What the relay is given.
        digest: Of its key; empty if it has none.
        number: Its place among the rows of its key; of rows with the same number, their ids tell.
    """

    row: OutboxRow
    digest: bytes
    number: int


class Turn:
    """Where the looks of one reader have got to: at first anywhere, so that two don't go side by side."""

    def __init__(self) -> None:
        self.after = secrets.token_bytes(4)
        self.keys_first = True


class Taking:
    """The statements of one outbox.

    Args:
        dialect: The database's.
        namespace: Whose rows.
        locks: Whether rows are locked, in the transaction that is open; else somebody else sees to it that this is the
            only reader.
    """

    def __init__(self, dialect: Dialect, namespace: str, *, locks: bool) -> None:
        self._dialect = dialect
        self._namespace = namespace
        self._lock = " for update skip locked" if locks else ""
        self._now = NOW[dialect]

    def take(self, limit: int, without: Collection[str], turn: Turn) -> Script[list[OutboxRow]]:
        """Up to `limit` rows in the order in which they are to be published, of none of the queues `without`."""
        resting = sorted(without)
        keyed: list[Held] = []
        unkeyed: list[Held] = []
        turn.keys_first = not turn.keys_first
        if not turn.keys_first:
            unkeyed = yield from self._unkeyed(limit, resting)
        if len(unkeyed) < limit:
            keyed = yield from self._keyed(limit - len(unkeyed), resting, turn)
        if turn.keys_first and len(keyed) < limit:
            unkeyed = yield from self._unkeyed(limit - len(keyed), resting)
        return [held.row for held in (*unkeyed, *keyed)]

    def _keyed(self, limit: int, resting: Sequence[str], turn: Turn) -> Script[list[Held]]:
        """Rows of keys: at first of few, with several of each, so that readers don't want the same keys."""
        wanted = -(-limit // _IN_A_ROW)
        heads = yield from self._heads(wanted, resting, turn)
        if not heads:
            return []
        keyed = heads
        if len(heads) < limit:
            keyed = yield from self._followed(heads, limit - len(heads))
        if len(heads) >= wanted and len(keyed) < limit:
            # Our own locks don't keep us from meeting the same heads again.
            digests = {held.digest for held in heads}
            met = yield from self._heads(limit - len(keyed) + len(heads), resting, turn)
            more = [held for held in met if held.digest not in digests][: limit - len(keyed)]
            room = limit - len(keyed) - len(more)
            keyed += (yield from self._followed(more, room)) if more and room else more
        return keyed

    def _unkeyed(self, limit: int, resting: Sequence[str]) -> Script[list[Held]]:
        # In the index's own order, so that no more is read and locked than is taken.
        answer = yield Statement(
            f"select {_COLUMNS} from cloudq_outbox {self._index('cloudq_outbox_order')}"
            f"where namespace = :namespace and key_digest = :unkeyed and {self._is_due(resting)} "
            f"order by number, id limit :most{self._lock}",
            self._values(resting) | {"most": limit},
        )
        return _held(answer)

    def _heads(self, limit: int, resting: Sequence[str], turn: Turn) -> Script[list[Held]]:
        """Once round all keys, until there are enough; of very many the rest is left to the next take."""
        began, is_second_half = turn.after, turn.after == _UNKEYED
        heads: dict[int, Held] = {}
        for _ in range(_MOST_LOOKS):
            for held in (yield from self._some_heads(limit - len(heads), resting, turn)):
                heads[held.row.id] = held
            if len(heads) >= limit:
                break
            if turn.after == _UNKEYED:
                if is_second_half:
                    break
                is_second_half = True
            elif is_second_half and turn.after >= began != _UNKEYED:
                break
        return list(heads.values())

    def _some_heads(self, limit: int, resting: Sequence[str], turn: Turn) -> Script[list[Held]]:
        """The oldest rows of the next keys, those that are due and free."""
        most = min(limit, _MOST_HEADS)
        passed = _PASSED * most + _MORE_PASSED
        next_key = (
            "(select o.key_digest from cloudq_outbox o where o.namespace = :namespace and o.key_digest > {after}"
            " order by o.key_digest limit 1)"
        )
        oldest = (
            "(select {columns} from cloudq_outbox o where o.namespace = :namespace and o.key_digest = walk.digest"
            " order by o.number, o.id limit 1)"
        )
        if self._dialect is Dialect.POSTGRESQL:  # whose planner may join the whole table else; others have no lateral
            head = f"cross join lateral {oldest.format(columns='o.id, o.parked_at, o.due, o.queue')} cloudq_outbox"
        else:
            head = f"join cloudq_outbox on cloudq_outbox.id = {oldest.format(columns='o.id')}"
        due = self._is_due(resting)
        answer: Answer = yield Statement(
            f"with recursive walk (digest, passed) as ("
            f"select {next_key.format(after=':after')}, 1"
            f" union all select {next_key.format(after='walk.digest')}, walk.passed + 1"
            f" from walk where walk.digest is not null and walk.passed < :passed) "
            f"select cloudq_outbox.id, walk.digest, walk.passed, case when {due} then 1 else 0 end from walk"
            f" {head}"
            # No order: they come in that of the walk, which so ends where there are enough.
            f" where walk.digest is not null and (walk.passed = :passed or {due}) limit :most",
            self._values(resting) | {"after": turn.after, "passed": passed, "most": most},
        )
        found = [int(id_) for id_, _, _, is_due in answer.rows if is_due]
        # What ends the look is its limit, the number of keys that it may pass, or the last key.
        was_cut = len(answer.rows) >= most or any(int(place) >= passed for _, _, place, _ in answer.rows)
        turn.after = max(bytes(digest) for _, digest, _, _ in answer.rows) if was_cut else _UNKEYED
        return (yield from self._rows(found, resting))

    def _rows(self, ids: Sequence[int], resting: Sequence[str]) -> Script[list[Held]]:
        """The rows of those that are still there, due and free. A head that is there is a head still."""
        held: list[Held] = []
        for part in listed(ids):
            answer = yield Statement(
                f"select {_COLUMNS} from cloudq_outbox {self._index('primary')}"
                f"where {among(self._dialect, part)} and {self._is_due(resting)} order by id{self._lock}",
                self._values(resting) | listing(self._dialect, part),
            )
            held += _held(answer)
        return held

    def _followed(self, heads: Sequence[Held], room: int) -> Script[list[Held]]:
        """The heads, each followed by rows of its key. Nobody else has these, as nobody else has their head."""
        in_a_row = 1 + min(_MOST_IN_A_ROW, -(-room // len(heads)))
        followers: dict[bytes, list[Held]] = {}
        for start in range(0, len(heads), _MOST_UNITED):
            part = [held.digest for held in heads[start : start + _MOST_UNITED]]
            for held in _held((yield self._oldest_of(part, in_a_row))):
                followers.setdefault(held.digest, []).append(held)
        followed: list[Held] = []
        for head in heads:
            behind = [held for held in followers.get(head.digest, ()) if held.row.id != head.row.id]
            chosen = sorted(behind, key=lambda held: (held.number, held.row.id))[:room]
            followed += [head, *chosen]
            room -= len(chosen)
        return followed

    def _oldest_of(self, digests: Sequence[bytes], most: int) -> Statement:
        """Reads the oldest rows of keys, `most` of each."""
        values: dict[str, Any] = {"namespace": self._namespace, "most": most}
        one = (
            f"select {_COLUMNS} from cloudq_outbox "
            "where namespace = :namespace and key_digest = {digest} order by number, id limit :most"
        )
        if self._dialect is Dialect.POSTGRESQL:
            # The others have no lateral joins, or not all of them.
            text = f"select f.* from unnest(:digests) k(digest) cross join lateral ({one.format(digest='k.digest')}) f"
            return Statement(text, values | {"digests": list(digests)})
        text = " union all ".join(
            f"select * from ({one.format(digest=f':d{index}')}) f{index}" for index in range(len(digests))
        )
        return Statement(text, values | {f"d{index}": digest for index, digest in enumerate(digests)})

    def _is_due(self, resting: Sequence[str]) -> str:
        due = f"cloudq_outbox.parked_at is null and cloudq_outbox.due <= {self._now}"
        if resting:
            names = ", ".join(f":rest{index}" for index in range(len(resting)))
            due += f" and cloudq_outbox.queue not in ({names})"
        return due

    def _index(self, name: str) -> str:
        # An optimizer that chose to read the whole table would lock it, and wait for what producers have inserted.
        return f"force index ({name}) " if self._dialect is Dialect.MYSQL else ""

    def _values(self, resting: Sequence[str]) -> dict[str, Any]:
        return {"namespace": self._namespace, "unkeyed": _UNKEYED} | {
            f"rest{index}": queue for index, queue in enumerate(resting)
        }


def listed(ids: Sequence[int]) -> list[Sequence[int]]:
    """In parts of which each can be listed in one statement."""
    return [ids[start : start + MOST_LISTED] for start in range(0, len(ids), MOST_LISTED)]


def among(dialect: Dialect, ids: Sequence[int]) -> str:
    """The condition that a row is one of those; `listing` has its values."""
    if dialect is Dialect.POSTGRESQL:
        return "id = any(:ids)"  # one text for any number, which is planned once
    return f"id in ({', '.join(f':i{index}' for index in range(len(ids)))})"


def listing(dialect: Dialect, ids: Sequence[int]) -> dict[str, Any]:
    """The values of `among`."""
    if dialect is Dialect.POSTGRESQL:
        return {"ids": list(ids)}
    return {f"i{index}": id_ for index, id_ in enumerate(ids)}


def _held(answer: Answer) -> list[Held]:
    return [
        Held(
            OutboxRow(
                id=int(id_),
                queue=str(queue),
                task=str(task),
                body=bytes(body),
                ordering_key=None if key is None else str(key),
                attempts=int(attempts),
                created_at=from_micros(int(created)),
            ),
            bytes(digest),
            int(number),
        )
        for id_, queue, task, body, key, attempts, created, digest, number in answer.rows
    ]
