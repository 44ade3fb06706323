"""What is done on a user's connection, as values: written once, carried out by sync and by async connections.

A script is a generator. It yields a step, and is sent the answer, or thrown the driver's own error:

    def name_of(id: int) -> Script[str]:
        answer = yield Statement("select name from person where id = :id", {"id": id})
        return str(answer.rows[0][0])

    run(database, name_of(1))  # or: await arun(database, name_of(1))
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar

T = TypeVar("T")


class Dialect(Enum):
    """Whose SQL a connection speaks."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    """MySQL, and MariaDB."""
    SQLITE = "sqlite"


class Statement(NamedTuple):
    """One SQL statement.

    Attributes:
        text: Its parameters are `:name`. A colon or a percent sign in it is nothing else.
        values: Of the parameters, by name.
    """

    text: str
    values: Mapping[str, Any] = {}

    def in_pyformat(self) -> str:
        """The text with `%(name)s` for each parameter."""
        return _NAMED.sub(r"%(\1)s", self.text)


class Move(Enum):
    """What is done to the transaction itself."""

    BEGIN = "begin"
    """Begins one that is the outermost. `TransactionRefused`: one is open, or what is done would commit by itself."""
    JOIN = "join"
    """Makes sure of one that somebody ends: an open one, or that the next statement begins one. As above."""
    STAY = "stay"
    """Makes sure that one is open still. `TransactionBroken`: none is."""
    FLUSH = "flush"
    """What a session still keeps to itself is written."""
    COMMIT = "commit"
    ROLLBACK = "rollback"
    """Does nothing where none is open."""


class Answer(NamedTuple):
    """What a step brought.

    Attributes:
        rows: Those that a query found.
        changed: How many rows a statement changed; -1 where the driver doesn't say.
    """

    rows: Sequence[tuple[Any, ...]] = ()
    changed: int = -1


Step: TypeAlias = Statement | Move
Script: TypeAlias = Generator[Step, Answer, T]

NOTHING: Final = Answer()
_NAMED: Final = re.compile(r":([a-z_][a-z0-9_]*)")


class Doer(Protocol):
    """Carries out steps."""

    def do(self, step: Step, /) -> Answer:
        """Carries one out. Raises the driver's own errors."""
        ...


class AsyncDoer(Protocol):
    """Carries out steps on an async connection."""

    async def ado(self, step: Step, /) -> Answer:
        """Carries one out. Raises the driver's own errors."""
        ...


def run(database: Doer, script: Script[T]) -> T:
    """Carries a script out on a sync connection. Returns what it returns, and raises what it raises.

    What interrupts it between two steps, a time limit say, ends the script where it is: the caller has to undo.
    """
    try:
        step = next(script)
        while True:
            try:
                answer = database.do(step)
            except BaseException as error:  # noqa: BLE001 - the script's, which raises what it doesn't handle
                step = script.throw(error)
            else:
                step = script.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        script.close()


async def arun(database: AsyncDoer, script: Script[T]) -> T:
    """As `run`, on an async connection."""
    try:
        step = next(script)
        while True:
            try:
                answer = await database.ado(step)
            except BaseException as error:  # noqa: BLE001 - as above
                step = script.throw(error)
            else:
                step = script.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        script.close()
